"""Approximate search by faiss, for graphs too large for an exact one: the extra ``faiss``.

J. Johnson, M. Douze, H. Jégou, *Billion-scale similarity search with GPUs*, IEEE Transactions on Big Data, 2021. Items
are assigned to the nearest of some thousand centroids, and a query looks into the cells of the nearest ones alone. Each
group in which a relation admits pairs (the same emotion, say) has an index of its own, and what the relation
forbids within a group is left out while searching, so that nothing is fetched in vain. The similarities of what is
found are exact. `cleser.graphs.neighbour_recall` tells what is missed.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cleser.graphs.neighbours.packing import NONE
from cleser.graphs.neighbours.tiles import Tiles

Array = npt.NDArray[Any]

_FEW: Final = 20_000  # items among which all are compared
_TRAINING: Final = 64  # items a centroid is trained on


def search_approximately(units: Tensor, tiles: Tiles, k: int) -> Tensor:
    """The k best admissible items of each that faiss finds; as `cleser.graphs.neighbours.search.search`."""
    from cleser.graphs.neighbours import kernels  # noqa: PLC0415

    result = torch.full((len(units), k), NONE)
    exact = units.numpy()
    for group in tiles.groups():
        index = _Index(exact[tiles.order[group]].astype(np.float32) * np.float32(2.0**-30), k)
        for queries, admissible in tiles.queries(group):
            found = index.search(queries, admissible)
            own = tiles.order[group][queries]
            near = np.where(found >= 0, tiles.order[group][found], -1)
            kernels.settle(exact, own, near, result.numpy())
    return result


class _Index:
    """The items of a group, by position in it."""

    def __init__(self, rows: Array, k: int) -> None:
        self.faiss, self.rows, self.k = _faiss(), rows, k
        n, dim = rows.shape
        self.index = self.faiss.IndexFlatIP(dim)
        self.probes = 0
        if n > _FEW:
            cells = int(4 * np.sqrt(n))
            self.probes = max(16, cells // 24)
            metric = self.faiss.METRIC_INNER_PRODUCT
            self.index = self.faiss.IndexIVFFlat(self.index, dim, cells, metric)
            self.index.cp.max_points_per_centroid = _TRAINING
            self.index.train(rows)
        self.index.add(rows)

    def search(self, queries: slice, admissible: Array | None) -> Array:
        """Positions [Q, k + 1] of the most similar, −1 where there are none; the query itself may be among them."""
        options: dict[str, Any] = {"nprobe": self.probes} if self.probes else {}
        if admissible is not None:
            bits = np.packbits(admissible, bitorder="little")
            options["sel"] = self.faiss.IDSelectorBitmap(bits)
        kind = "SearchParametersIVF" if self.probes else "SearchParameters"
        parameters = getattr(self.faiss, kind)(**options)
        k = min(self.k + 1, len(self.rows))
        return np.asarray(self.index.search(self.rows[queries], k, params=parameters)[1])


def _faiss() -> Any:
    try:
        import faiss  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "approximate search needs faiss; install cleser with its extra: cleser[faiss]"
        ) from error
    return faiss
