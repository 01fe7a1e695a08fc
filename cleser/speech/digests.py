"""Names for utterances, and for weights, that follow from their content: the same on every machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123  (Path objects cost more than the call)
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(weights: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 of named weights in their order, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in weights:
        digest.update(name.encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()


def utterance_key(
    digest: str, start: float = 0.0, end: float = np.nan, cuts: ArrayLike | None = None
) -> str:
    """The name of a stretch of a recording, cut into segments.

    Args:
        digest: Digest of the recording's content, e.g. :func:`file_digest`.
        start: Where the utterance begins, in seconds.
        end: Where it ends; unknown means where the recording does.
        cuts: What else decides what is stored, as numbers: the times [S, 2] of the phones, say. A new alignment
            of the same sound then has another key.

    Returns:
        32 hexadecimal digits.

    >>> utterance_key("aa", 0.5, 2.0) == utterance_key("aa", 0.5, 2.0)
    True
    >>> utterance_key("aa") == utterance_key("aa", cuts=[[0.0, 0.1]])
    False
    """
    name = hashlib.sha256(f"{digest} {float(start)!r} {float(end)!r}".encode())
    if cuts is not None:
        # Rounded to a microsecond: as many digits as any alignment file has.
        cuts = np.rint(np.asarray(cuts, dtype=np.float64) * 1e6).astype("<i8")
        name.update(f" {cuts.shape} ".encode() + cuts.tobytes())
    return name.hexdigest()[:32]


def utterance_keys(
    manifest: pd.DataFrame, *, advance: Callable[[int], object] | None = None
) -> list[str | None]:
    """The names of a manifest's utterances; each file is read once, however many utterances it holds.

    Args:
        manifest: Rows with ``path, start, end``.
        advance: Called with the number of files read since, for progress.

    Returns:
        A key a row; ``None`` where the file cannot be read.

    >>> from cleser.corpora import load
    >>> manifest = load("synthetic:zh?speakers=2&sentences=1")
    >>> keys = utterance_keys(manifest)
    >>> len(set(keys)) == len(manifest), len(keys[0])
    (True, 32)
    """
    paths = manifest["path"].drop_duplicates()

    def digest(path: str) -> str | None:
        try:
            return file_digest(path)
        except OSError:
            return None
        finally:
            if advance:
                advance(1)

    with ThreadPoolExecutor() as pool:
        digests = dict(zip(paths, pool.map(digest, paths), strict=True))
    keys: list[str | None] = []
    for path, start, end in zip(manifest["path"], manifest["start"], manifest["end"], strict=True):
        found = digests[path]
        keys.append(None if found is None else utterance_key(found, start, end))
    return keys
