"""Features of a corpus: each recording cut into tokens, each token pooled over its frames, kept on disk.

A *token* is a short stretch of speech with one feature vector per layer, the mean and the standard
deviation of its frames; a *summary* is the same over the whole utterance. Where phones are not known,
tokens are uniform.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cleser.anchors.pooling import pool_phones, uniform_bounds
from cleser.speech.audio import AudioError, load_audio
from cleser.speech.backbones import Backbone

_SHARD = 128  # utterances: what an interruption loses at most
_BATCH_SECONDS = 60.0


@dataclass(frozen=True)
class Features:
    """Tokens and summaries of many utterances.

    Attributes:
        utterances: Their ids, in order.
        tokens: [S, L, C], all utterances' tokens one after another.
        offsets: Where each utterance's tokens begin, int64 [N + 1].
        summaries: [N, L, C].
        left_out: Recordings that could not be used: ``{"path": …, "reason": …}``.
    """

    utterances: list[str]
    tokens: Tensor
    offsets: Tensor
    summaries: Tensor
    left_out: list[dict[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.utterances)


def cache_folder() -> Path:
    """Where features are kept: ``$CLESER_CACHE``, else ``cleser`` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cleser"
    return Path(os.environ.get("CLESER_CACHE", default))


def extract_features(
    manifest: pd.DataFrame,
    backbone: Backbone,
    *,
    token: float = 0.1,
    cache: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> Features:
    """Describe every utterance of a manifest, from the cache where it is known.

    Args:
        manifest: Utterances with ``utterance, path, start, end``.
        backbone: What turns sound into frames.
        token: Length of a token, in seconds.
        cache: Folder to keep results in; by default :func:`cache_folder`.
        advance: Called with the number of utterances finished, for progress.

    Returns:
        Features of the readable utterances in the manifest's order; the others are in ``left_out``.
    """
    folder = (cache or cache_folder()) / "features"
    identity = f"{backbone.name}-token{token:g}"
    shards = []
    for begin in range(0, len(manifest), _SHARD):
        rows = manifest.iloc[begin : begin + _SHARD]
        path = folder / f"{_shard_key(rows, identity)}.safetensors"
        if not path.exists():
            _write(path, _extract_shard(rows, backbone, token))
        shards.append(load_file(path))
        if advance:
            advance(len(rows))
    return _join(manifest, shards)


def _shard_key(rows: pd.DataFrame, identity: str) -> str:
    """Changes with the backbone, the recordings' files, and the stretches taken of them."""
    digest = hashlib.sha256(identity.encode())
    for path, start, end in zip(rows["path"], rows["start"], rows["end"], strict=True):
        try:
            stat = os.stat(path)  # noqa: PTH116  (Path objects cost more than the call)
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"{path}|{state}|{start}|{end}\n".encode())
    return digest.hexdigest()[:32]


def _extract_shard(rows: pd.DataFrame, backbone: Backbone, token: float) -> dict[str, Tensor | str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sounds = list(pool.map(_read(backbone.rate), rows["path"], rows["start"], rows["end"]))
    tokens: list[Tensor | None] = [None] * len(rows)
    summaries: list[Tensor | None] = [None] * len(rows)
    reasons = {str(i): s for i, s in enumerate(sounds) if isinstance(s, str)}
    usable = [(i, s) for i, s in enumerate(sounds) if isinstance(s, Tensor)]
    for batch in _batches(usable, backbone.rate):
        for i, frames in zip(batch, backbone.extract([sounds[i] for i in batch]), strict=True):  # type: ignore[misc]
            if not frames.shape[1]:
                reasons[str(i)] = "holds no speech: every frame is silent"
                continue
            tokens[i], summaries[i] = _pool(frames, round(token * backbone.frame_rate))
    kept = [t for t in tokens if t is not None]
    empty = torch.zeros(0, backbone.n_layers, 2 * backbone.dim)
    return {
        "tokens": torch.cat(kept) if kept else empty,
        "counts": torch.tensor([0 if t is None else len(t) for t in tokens]),
        "summaries": torch.stack([s for s in summaries if s is not None]) if kept else empty,
        "reasons": json.dumps(reasons),
    }


def _read(rate: int) -> Callable[[str, float, float], Tensor | str]:
    def read(path: str, start: float, end: float) -> Tensor | str:
        try:
            return load_audio(path, rate, start=start, end=end)
        except AudioError as error:
            return str(error).removeprefix(f"{path}: ")

    return read


def _batches(usable: Sequence[tuple[int, Tensor]], rate: int) -> Iterator[list[int]]:
    """Recordings of like length together, a bounded amount of sound at a time."""
    batch: list[int] = []
    for i, sound in sorted(usable, key=lambda item: len(item[1])):
        if batch and (len(batch) + 1) * len(sound) > _BATCH_SECONDS * rate:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _pool(frames: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Tokens [S, L, 2D] and the summary [L, 2D] of frames [L, T, D]."""
    layers, count, dim = frames.shape
    flat = frames.transpose(0, 1).reshape(1, count, layers * dim)

    def pooled(bounds: Tensor) -> Tensor:
        mean, std = pool_phones(flat, [bounds], std=True).chunk(2, -1)
        return torch.cat([mean.unflatten(-1, (layers, dim)), std.unflatten(-1, (layers, dim))], -1)

    return pooled(uniform_bounds(count, length)), pooled(torch.tensor([[0, count]]))[0]


def _write(path: Path, shard: dict[str, Tensor | str]) -> None:
    """All or nothing: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.contiguous() for k, v in shard.items() if isinstance(v, Tensor)}
    reasons = np.frombuffer(str(shard["reasons"]).encode(), dtype=np.uint8).copy()
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    save_file({**tensors, "reasons": torch.from_numpy(reasons)}, temporary)
    Path(temporary).replace(path)


def _join(manifest: pd.DataFrame, shards: list[dict[str, Tensor]]) -> Features:
    if not shards:
        raise ValueError("the manifest is empty, expected at least one utterance")
    counts = torch.cat([s["counts"] for s in shards])
    left_out = []
    for number, shard in enumerate(shards):
        for i, reason in json.loads(shard["reasons"].numpy().tobytes()).items():
            path = manifest["path"].iloc[number * _SHARD + int(i)]
            left_out.append({"path": str(path), "reason": reason})
    kept = (counts > 0).numpy()
    return Features(
        utterances=manifest["utterance"][kept].tolist(),
        tokens=torch.cat([s["tokens"] for s in shards]),
        offsets=torch.nn.functional.pad(counts[counts > 0].cumsum(0), (1, 0)),
        summaries=torch.cat([s["summaries"] for s in shards]),
        left_out=left_out,
    )
