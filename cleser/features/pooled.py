"""Features of a corpus: each recording cut into tokens, each token pooled over its frames, kept on disk.

A *token* is a short stretch of speech with one feature vector per layer, the mean and the standard
deviation of its frames; a *summary* is the same over the whole utterance. Tokens are phones where an alignment
says when each sounds, and stretches of equal length elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cleser.alignment import Alignment
from cleser.anchors.pooling import pool_phones, uniform_bounds
from cleser.files import cache_folder, replacing
from cleser.speech.audio import AudioError, load_audio
from cleser.speech.backbones import Backbone, Frames

_FORMAT = 2  # of what is kept on disk
SHARD = 128  # utterances: what an interruption loses at most
_BATCH_SECONDS = 60.0


@dataclass(frozen=True)
class Features:
    """Tokens and summaries of many utterances.

    Attributes:
        utterances: Their ids, in order.
        tokens: [S, L, C], all utterances' tokens one after another.
        offsets: Where each utterance's tokens begin, int64 [N + 1].
        summaries: [N, L, C].
        phones: IPA symbol of each token [S], empty where no alignment says it.
        left_out: Recordings that could not be used: ``{"path": …, "reason": …}``.
        sizes: Frames in each token, int64 [S]; of features as they were extracted, else None.
        frames: Frames that count in each utterance, int64 [N], those between its phones too; likewise.
    """

    utterances: list[str]
    tokens: Tensor
    offsets: Tensor
    summaries: Tensor
    phones: list[str]
    left_out: list[dict[str, str]] = field(default_factory=list)
    sizes: Tensor | None = None
    frames: Tensor | None = None

    def __len__(self) -> int:
        return len(self.utterances)


def extract_features(
    manifest: pd.DataFrame,
    backbone: Backbone,
    *,
    alignments: Sequence[Alignment | None] | None = None,
    token: float = 0.1,
    cache: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> Features:
    """Describe every utterance of a manifest, from the cache where it is known.

    Args:
        manifest: Utterances with ``utterance, path, start, end``.
        backbone: What turns sound into frames.
        alignments: When each phone sounds, one for each row, None where nobody knows; a phone of which every
            frame is silent is no token.
        token: Length of a token where phones are not known, in seconds.
        cache: Folder to keep results in; by default :func:`cleser.files.cache_folder`.
        advance: Called with the number of utterances finished, for progress.

    Returns:
        Features of the readable utterances in the manifest's order; the others are in ``left_out``.

    Raises:
        ValueError: The manifest is empty, or the alignments are not as many as its rows.
    """
    known = list(alignments) if alignments is not None else [None] * len(manifest)
    if len(known) != len(manifest):
        raise ValueError(
            f"found {len(known)} alignments, expected one for each of {len(manifest)} rows"
        )
    folder = (cache or cache_folder()) / "features"
    identity = f"{backbone.name}-token{token:g}-{_FORMAT}"
    shards = []
    for begin in range(0, len(manifest), SHARD):
        rows = manifest.iloc[begin : begin + SHARD]
        phones = known[begin : begin + SHARD]
        path = folder / f"{_shard_key(rows, phones, identity)}.safetensors"
        if not path.exists():
            _write(path, _extract_shard(rows, phones, backbone, token))
        shards.append(load_file(path))
        if advance:
            advance(len(rows))
    return _join(manifest, shards)


def _shard_key(rows: pd.DataFrame, alignments: Sequence[Alignment | None], identity: str) -> str:
    """Changes with the backbone, the recordings' files, the stretches taken of them, and their phones."""
    digest = hashlib.sha256(identity.encode())
    for path, start, end in zip(rows["path"], rows["start"], rows["end"], strict=True):
        try:
            stat = os.stat(path)  # noqa: PTH116  (Path objects cost more than the call)
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"{path}|{state}|{start}|{end}\n".encode())
    for i, alignment in enumerate(alignments):
        if alignment is not None:
            digest.update(f"{i} {alignment.uniform} {' '.join(alignment.phones)}\n".encode())
            digest.update(alignment.starts.tobytes() + alignment.ends.tobytes())
    return digest.hexdigest()[:32]


def _extract_shard(
    rows: pd.DataFrame,
    alignments: Sequence[Alignment | None],
    backbone: Backbone,
    token: float,
) -> dict[str, Tensor | str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sounds = list(pool.map(_read(backbone.rate), rows["path"], rows["start"], rows["end"]))
    tokens: list[Tensor | None] = [None] * len(rows)
    summaries: list[Tensor | None] = [None] * len(rows)
    phones: list[list[str]] = [[] for _ in range(len(rows))]
    sizes: list[Tensor] = [torch.zeros(0, dtype=torch.long)] * len(rows)
    frames_of = torch.zeros(len(rows), dtype=torch.long)
    reasons = {str(i): s for i, s in enumerate(sounds) if isinstance(s, str)}
    usable = [(i, s) for i, s in enumerate(sounds) if isinstance(s, Tensor)]
    length = round(token * backbone.frame_rate)
    for batch in _batches(usable, backbone.rate):
        frames = _encode(backbone, [sounds[i] for i in batch])  # type: ignore[misc]
        for row, i in enumerate(batch):
            mask = frames.mask[row, : int(frames.lengths[row])]
            if not mask.any():
                reasons[str(i)] = "holds no speech: every frame is silent"
                continue
            bounds, phones[i] = token_bounds(mask, alignments[i], backbone.frame_rate, length)
            sizes[i], frames_of[i] = bounds[:, 1] - bounds[:, 0], mask.sum()
            spoken = frames.hidden_states[:, row, : len(mask)][:, mask]
            tokens[i], summaries[i] = _pool(spoken, bounds)
    kept = [t for t in tokens if t is not None]
    empty = torch.zeros(0, backbone.n_layers, 2 * backbone.dim)
    return {
        "tokens": torch.cat(kept) if kept else empty,
        "counts": torch.tensor([0 if t is None else len(t) for t in tokens]),
        "sizes": torch.cat(sizes),
        "frames": frames_of,
        "summaries": torch.stack([s for s in summaries if s is not None]) if kept else empty,
        "phones": json.dumps([phone for of in phones for phone in of], ensure_ascii=False),
        "reasons": json.dumps(reasons),
    }


def _encode(backbone: Backbone, sounds: Sequence[Tensor]) -> Frames:
    with torch.no_grad():
        lengths = torch.tensor([len(sound) for sound in sounds])
        frames: Frames = backbone(pad_sequence(list(sounds), batch_first=True), lengths)
    return frames


def token_bounds(
    mask: Tensor, alignment: Alignment | None, frame_rate: float, length: int
) -> tuple[Tensor, list[str]]:
    """Where tokens begin and end among the frames that count.

    Args:
        mask: Frames that count, bool [T].
        alignment: Phones in time; None, or a uniform one, for stretches of equal length.
        frame_rate: Frames a second.
        length: Of a uniform token, in frames.

    Returns:
        Bounds int64 [S, 2] among the frames of the mask, and the symbol of each token.

    >>> mask = torch.tensor([False, True, True, True])
    >>> bounds, phones = token_bounds(mask, Alignment([0.0, 0.2], [0.2, 0.4], "pa"), 10, 1)
    >>> bounds.tolist(), phones
    ([[0, 1], [1, 3]], ['p', 'a'])
    """
    if alignment is not None and not alignment.uniform:
        before = torch.nn.functional.pad(mask.cumsum(0), (1, 0))
        bounds = before[torch.from_numpy(alignment.bounds(frame_rate, len(mask)))]
        sounding = bounds[:, 1] > bounds[:, 0]
        if sounding.any():
            phones = [p for p, s in zip(alignment.phones, sounding.tolist(), strict=True) if s]
            return bounds[sounding], phones
    bounds = uniform_bounds(int(mask.sum()), length)
    return bounds, [""] * len(bounds)


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


def _pool(frames: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [S, L, 2D] and the summary [L, 2D] of frames [L, T, D]."""
    layers, count, dim = frames.shape
    flat = frames.transpose(0, 1).reshape(1, count, layers * dim)

    def pooled(within: Tensor) -> Tensor:
        mean, std = pool_phones(flat, [within], std=True).chunk(2, -1)
        return torch.cat([mean.unflatten(-1, (layers, dim)), std.unflatten(-1, (layers, dim))], -1)

    return pooled(bounds), pooled(torch.tensor([[0, count]]))[0]


def _write(path: Path, shard: dict[str, Tensor | str]) -> None:
    tensors = {k: v.contiguous() for k, v in shard.items() if isinstance(v, Tensor)}
    texts = {
        k: torch.from_numpy(np.frombuffer(v.encode(), dtype=np.uint8).copy())
        for k, v in shard.items()
        if isinstance(v, str)
    }
    with replacing(path) as part:
        save_file({**tensors, **texts}, part)


def _join(manifest: pd.DataFrame, shards: list[dict[str, Tensor]]) -> Features:
    if not shards:
        raise ValueError("the manifest is empty, expected at least one utterance")
    counts = torch.cat([s["counts"] for s in shards])
    left_out = []
    for number, shard in enumerate(shards):
        for i, reason in _text(shard["reasons"]).items():
            path = manifest["path"].iloc[number * SHARD + int(i)]
            left_out.append({"path": str(path), "reason": reason})
    kept = (counts > 0).numpy()
    return Features(
        utterances=manifest["utterance"][kept].tolist(),
        tokens=torch.cat([s["tokens"] for s in shards]),
        offsets=torch.nn.functional.pad(counts[counts > 0].cumsum(0), (1, 0)),
        summaries=torch.cat([s["summaries"] for s in shards]),
        phones=[phone for shard in shards for phone in _text(shard["phones"])],
        left_out=left_out,
        sizes=torch.cat([s["sizes"] for s in shards]),
        frames=torch.cat([s["frames"] for s in shards])[counts > 0],
    )


def _text(stored: Tensor) -> Any:
    return json.loads(stored.numpy().tobytes())
