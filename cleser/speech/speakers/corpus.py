"""Speaker vectors of a corpus, kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cleser.files import cache_folder, in_cache, replacing
from cleser.speech.audio import AudioError, load_audio
from cleser.speech.digests import utterance_keys
from cleser.speech.speakers.base import SpeakerEncoder

_SHARD = 128  # utterances: what an interruption loses at most


@dataclass(frozen=True)
class SpeakerEmbeddings:
    """Vectors of many utterances.

    Attributes:
        utterances: Their ids, in order.
        values: float32 [N, D].
        left_out: Recordings that could not be used: ``{"path": …, "reason": …}``.

    >>> found = SpeakerEmbeddings(["a", "b"], torch.eye(2))
    >>> len(found), found.values[0] @ found.values[1]
    (2, tensor(0.))
    """

    utterances: list[str]
    values: Tensor
    left_out: list[dict[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.utterances)


def embed_speakers(
    manifest: pd.DataFrame,
    encoder: SpeakerEncoder,
    *,
    cache: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> SpeakerEmbeddings:
    """Encode every utterance of a manifest, from the cache where it is known.

    Args:
        manifest: Utterances with ``utterance, path, start, end``.
        encoder: What turns sound into vectors.
        cache: Folder to keep results in; by default :func:`cleser.files.cache_folder`.
        advance: Called with the number of utterances finished since, for progress.

    Returns:
        Vectors of the readable utterances in the manifest's order; the others are in ``left_out``.

    Raises:
        ValueError: The manifest is empty.

    >>> from cleser.corpora import load
    >>> from cleser.speech import AcousticSpeakerEncoder
    >>> found = embed_speakers(load("synthetic:zh?speakers=2&sentences=1"), AcousticSpeakerEncoder())
    >>> len(found), len(found.values) == len(found.utterances)
    (8, True)
    """
    if not len(manifest):
        raise ValueError("the manifest is empty, expected at least one utterance")
    folder = (cache or cache_folder()) / "speakers"
    keys = utterance_keys(manifest)
    values, left_out, kept = [], [], []
    for begin in range(0, len(manifest), _SHARD):
        rows = manifest.iloc[begin : begin + _SHARD]
        path = folder / f"{_shard_key(keys[begin : begin + _SHARD], rows, encoder)}.safetensors"
        if not path.exists():
            found = _encode(rows, encoder)
            with in_cache("speakers' vectors", cache):
                _write(path, *found)
        shard = load_file(path)
        reasons = json.loads(shard["reasons"].numpy().tobytes())
        values.append(shard["values"])
        for i, at in enumerate(rows["path"]):
            if str(i) in reasons:
                left_out.append({"path": str(at), "reason": reasons[str(i)]})
            else:
                kept.append(begin + i)
        if advance:
            advance(len(rows))
    return SpeakerEmbeddings(manifest["utterance"].iloc[kept].tolist(), torch.cat(values), left_out)


def _shard_key(keys: list[str | None], rows: pd.DataFrame, encoder: SpeakerEncoder) -> str:
    """Changes with the encoder and with what is heard; files that cannot be read are known by their paths."""
    names = [key or f"missing {path}" for key, path in zip(keys, rows["path"], strict=True)]
    return hashlib.sha256("\n".join([encoder.name, *names]).encode()).hexdigest()[:32]


def _encode(rows: pd.DataFrame, encoder: SpeakerEncoder) -> tuple[Tensor, dict[str, str]]:
    """Vectors of those that have one, and why the others have none."""

    def read(path: str, start: float, end: float) -> Tensor | str:
        try:
            return load_audio(path, encoder.rate, start=start, end=end)
        except AudioError as error:
            return str(error).removeprefix(f"{path}: ")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sounds = list(pool.map(read, rows["path"], rows["start"], rows["end"]))
    reasons = {str(i): sound for i, sound in enumerate(sounds) if isinstance(sound, str)}
    usable = [(i, sound) for i, sound in enumerate(sounds) if isinstance(sound, Tensor)]
    vectors = []
    for (i, _), vector in zip(usable, encoder.embed_each([s for _, s in usable]), strict=True):
        if vector is None:
            reasons[str(i)] = "holds no speech"
        else:
            vectors.append(vector)
    return torch.stack(vectors) if vectors else torch.empty(0, encoder.dim), reasons


def _write(path: Path, values: Tensor, reasons: dict[str, str]) -> None:
    said = np.frombuffer(json.dumps(reasons).encode(), dtype=np.uint8).copy()
    with replacing(path) as part:
        save_file({"values": values.contiguous(), "reasons": torch.from_numpy(said)}, part)
