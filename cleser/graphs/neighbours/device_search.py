"""Exact search by whole rows of the matrix, in PyTorch: what a GPU is fast at."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cleser.graphs.neighbours.packing import NONE, pack
from cleser.precision import float32_products
from cleser.relations import Labels, Relation

_PAIRS: Final = 2**26  # similarities held at once
_SPARE: Final = 32  # candidates beyond k, for similarities that float32 cannot tell apart
_GATHERED: Final = 256  # rows whose candidates are gathered at once


def search_on_device(
    units: Tensor,
    where: Relation | None,
    labels: Labels,
    k: int,
    *,
    share: tuple[int, int] = (0, 1),
) -> Tensor:
    """The k best admissible items of each, as `cleser.graphs.neighbours.search.search`; tensors on the units' device.

    Ranks take blocks of rows in turns. Rows have k + 32 candidates by float32; where these may not hold all
    neighbours, since too many are equal, the row is searched once more with whole numbers throughout.
    """
    n = len(units)
    result = torch.full((n, k), NONE, device=units.device)
    wide = units.float() * 2.0**-30
    labels = {name: torch.as_tensor(values, device=units.device) for name, values in labels.items()}
    height = max(1, _PAIRS // max(n, 1))
    for number, start in enumerate(range(0, n, height)):
        if number % share[1] != share[0]:
            continue
        rows = slice(start, min(start + height, n))
        mask = _admissible(where, labels, rows, n, units.device)
        # TensorFloat-32's errors would leave hardly a row sure of its neighbours.
        with float32_products():
            approximate = (wide[rows] @ wide.T).masked_fill_(~mask, -torch.inf)
        highest, candidates = approximate.topk(min(k + _SPARE, n), dim=1)
        result[rows] = _settle(units, rows, highest, candidates, k)
        for row in torch.nonzero(_unsure(highest, k, n, units.shape[1])).flatten().tolist():
            every = torch.nonzero(mask[row]).flatten()
            exact = [_exact(units[start + row], units[part]) for part in every.split(2**16)]
            result[start + row] = nearest(pack(torch.cat(exact), every), k)
    return result


def _admissible(
    where: Relation | None, labels: Labels, rows: slice, n: int, device: torch.device
) -> Tensor:
    if where is not None:
        mask: Tensor = where.mask(labels, rows=rows)
        return mask
    mask = torch.ones(rows.stop - rows.start, n, dtype=torch.bool, device=device)
    mask.diagonal(rows.start).fill_(False)
    return mask


def _unsure(best: Tensor, k: int, n: int, dim: int) -> Tensor:
    """Rows of which an item that is no candidate might be a neighbour."""
    if best.shape[1] == n:
        return torch.zeros(len(best), dtype=torch.bool, device=best.device)
    error = 2 * dim * 2.0**-24 + 16 * 2.0**-24
    return (best[:, -1] >= best[:, k - 1] - 2 * error) & best[:, -1].isfinite()


def _settle(units: Tensor, rows: slice, highest: Tensor, candidates: Tensor, k: int) -> Tensor:
    """The first k of each row's candidates by exact similarity."""
    parts = zip(units[rows].split(_GATHERED), candidates.split(_GATHERED), strict=True)
    exact = torch.cat([_exact(own[:, None], units[others]) for own, others in parts])
    return nearest(pack(exact, candidates).masked_fill_(highest.isinf(), NONE), k)


def _exact(units: Tensor, others: Tensor) -> Tensor:
    """Similarities [...] of rows [..., D] in fixed point: sums of whole numbers, rounded once."""
    return (units.long() * others.long()).sum(-1).float() * 2.0**-60


def nearest(keys: Tensor, k: int) -> Tensor:
    """The first k of neighbours [..., M], in order: [..., k]."""
    found = keys.topk(min(k, keys.shape[-1]), dim=-1).values
    return torch.nn.functional.pad(found, (0, k - found.shape[-1]), value=NONE)
