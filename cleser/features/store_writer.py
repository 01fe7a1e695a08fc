"""What adds utterances to a store of features, one after another: each is checked, written and sealed."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from types import TracebackType

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cleser.features.shards import ShardWriter

_KEY = re.compile(r"[0-9a-f]{32}")


class StoreWriter:
    """Adds utterances to a store, from one process or thread; opened by :meth:`PooledStore.writer`.

    Args:
        shard: The file that is written to.
        shape: Layers L and channels C of the values.
        dtype: How values are kept.
        known: Keys that the store holds already.
    """

    def __init__(
        self,
        shard: ShardWriter,
        shape: tuple[int, int],
        dtype: torch.dtype,
        *,
        known: Container[str],
    ) -> None:
        self._shard = shard
        self._known = known
        self._added = set(shard.records["key"].astype("U32").tolist())
        self._shape = shape
        self._dtype = dtype

    def add(
        self,
        key: str,
        values: Tensor | NDArray[np.floating],
        *,
        times: ArrayLike | None = None,
        frames: ArrayLike | None = None,
        labels: Sequence[str] | None = None,
    ) -> bool:
        """Add an utterance; when this returns, it is on the disk.

        Args:
            key: Its name (:func:`utterance_key`).
            values: [S, L, C], on any device, of any floating dtype; S may be 0.
            times: Where the rows begin and end, in seconds, [S, 2].
            frames: How many frames each row is made of, integers [S].
            labels: One a row, such as its phone.

        Returns:
            Whether it was added: False where the store held it already.

        Raises:
            ValueError: The key is no key, a shape is wrong, a value is NaN or infinite or beyond the store's dtype, or
                a label holds a line break.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"key is {key!r}, expected 32 hexadecimal digits (utterance_key)")
        if key in self._known or key in self._added:
            return False
        kept = self._values(key, values)
        rows = len(kept)
        spans = _times(key, times, rows)
        counts = _frames(key, frames, rows)
        text = _text(key, labels, rows)
        self._shard.append(key, kept.reshape(-1).view(np.uint8).data, spans, counts, text, rows)
        self._added.add(key)
        return True

    def _values(self, key: str, values: Tensor | NDArray[np.floating]) -> NDArray[np.generic]:
        tensor = torch.as_tensor(values).detach()
        if tensor.ndim != 3 or tuple(tensor.shape[1:]) != self._shape:
            layers, dim = self._shape
            raise ValueError(
                f"{key}: values have shape {list(tensor.shape)}, expected [S, {layers}, {dim}]"
            )
        kept = tensor.to("cpu", self._dtype).contiguous()
        if not torch.isfinite(kept).all():
            limit = torch.finfo(self._dtype).max
            raise ValueError(
                f"{key}: found values that are NaN, infinite or beyond ±{limit:g}, "
                f"expected what {str(self._dtype).removeprefix('torch.')} can hold"
            )
        array: NDArray[np.generic] = kept.numpy()
        return array

    def close(self) -> None:
        """Let others write under this name."""
        self._shard.close()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _times(key: str, times: ArrayLike | None, rows: int) -> bytes:
    if times is None:
        return np.full((rows, 2), np.nan, dtype="<f4").tobytes()
    spans = np.asarray(times, dtype="<f4").reshape(-1, 2) if rows == 0 else np.asarray(times, "<f4")
    if spans.shape != (rows, 2):
        raise ValueError(f"{key}: times have shape {list(spans.shape)}, expected [{rows}, 2]")
    return spans.tobytes()


def _frames(key: str, frames: ArrayLike | None, rows: int) -> bytes:
    counts = np.zeros(rows, "<i4") if frames is None else np.asarray(frames, "<i4")
    if counts.shape != (rows,):
        raise ValueError(f"{key}: frames have shape {list(counts.shape)}, expected [{rows}]")
    return counts.tobytes()


def _text(key: str, labels: Sequence[str] | None, rows: int) -> bytes:
    if labels is None:
        return b""
    if len(labels) != rows:
        raise ValueError(f"{key}: found {len(labels)} labels, expected one for each of {rows} rows")
    for label in labels:
        if "\n" in label:
            raise ValueError(f"{key}: found the label {label!r}, expected one without line breaks")
    return "".join(f"{label}\n" for label in labels).encode()
