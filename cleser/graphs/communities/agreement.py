r"""What a speaker's community in one emotion says about the speaker's communities in other emotions.

A speaker who sounds tense in anger may also sound tense in sadness. Over the speakers that two
parts (graphs of an emotion each) have in common, let :math:`T_{cc'} = \sum_s q_{sc}\, q'_{sc'}` count the speakers in
community c of the one and c' of the other, E be its expected value if both were independent, and :math:`m` the mean of
E. Then

.. math:: \lambda_{cc'} = \frac{m\, T_{cc'} / E_{cc'} + 1}{m + 1}, \qquad
          \log q_{sc} \leftarrow \log q_{sc} + \alpha \sum_{\text{parts}} \log \sum_{c'} \lambda_{cc'}\, q'_{sc'}

is the evidence of the other parts by Bayes' rule, shrunk towards none (λ = 1) by one pseudo-count for each cell. If the
initial communities of two parts do not depend on each other, by Pearson's :math:`\chi^2` at the level .001, these parts
share no information: styles of one emotion alone are not changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.special import chdtri
from torch import Tensor

_BY_CHANCE: Final = 1e-3  # how often independent parts may be taken for dependent ones


class Agreement:
    """The parts that tell of each other, and where in them a speaker is.

    Args:
        starts: Communities that each part starts from, [N] each.
        speakers: The speaker of each node, in each part: integers [N], none twice.
        strength: α; 0 ignores the other parts.

    >>> same = torch.arange(60) % 3
    >>> parts = Agreement([same, same], [np.arange(60), np.arange(60)], 1.0)
    >>> sure, unsure = F.one_hot(same).float(), torch.full((60, 3), 1 / 3)
    >>> parts.evidence([unsure, sure], 0).abs().max().item() < 1e-6  # what is not known yet cannot depend on anything
    True
    >>> bool((parts.evidence([sure, sure], 0).argmax(1) == same).all())
    True
    """

    def __init__(
        self,
        starts: Sequence[Tensor],
        speakers: Sequence[npt.ArrayLike | None],
        strength: float,
    ) -> None:
        self.strength = strength
        self.common: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        if not strength:
            return
        known = {
            part: (_checked(np.asarray(values), len(start), part), F.one_hot(start).double())
            for part, (values, start) in enumerate(zip(speakers, starts, strict=True))
            if values is not None and len(start)
        }
        for a, b in permutations(known, 2):
            (who, mine), (others, theirs) = known[a], known[b]
            _, i, j = np.intersect1d(who, others, return_indices=True)
            own, other = torch.from_numpy(i), torch.from_numpy(j)
            if len(i) and depends(mine[own].T @ theirs[other]):
                self.common[a, b] = own, other

    def evidence(self, memberships: Sequence[Tensor], part: int) -> Tensor:
        """Log-odds [N, K] of a part's nodes from the other emotions' graphs; 0 for speakers in none of them."""
        said = torch.zeros_like(memberships[part])
        for (a, b), (own, other) in self.common.items():
            if a == part:
                theirs = memberships[b][other]
                lift = lifts(memberships[a][own].T @ theirs)
                said[own] += self.strength * (theirs @ lift.T).log()
        return said


def lifts(table: Tensor) -> Tensor:
    """λ of counts [C, C']: above 1 where two communities share more speakers than by chance."""
    expected = _expected(table)
    mean = expected.mean()
    ratio = torch.where(expected > 0, table / expected.clamp_min(1e-30), 1.0)
    return (mean * ratio + 1) / (mean + 1)


def depends(table: Tensor) -> bool:
    """Whether rows and columns of a table of counts depend on each other."""
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if not freedom:
        return False
    expected = _expected(table)
    statistic = float(((table - expected).square() / expected).sum())
    return statistic > float(chdtri(freedom, _BY_CHANCE))


def _expected(table: Tensor) -> Tensor:
    return table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()


def _checked(speakers: npt.NDArray[Any], n: int, part: int) -> npt.NDArray[Any]:
    if speakers.shape != (n,):
        raise ValueError(f"speakers of part {part} have shape {speakers.shape}, expected ({n},)")
    values, counts = np.unique(speakers, return_counts=True)
    if (counts > 1).any():
        twice = values[counts.argmax()]
        raise ValueError(f"speaker {twice} has {counts.max()} nodes in part {part}, expected one")
    return speakers
