"""Mean and spread of each channel, for groups of utterances that come a part at a time.

A corpus of podcasts is read once, from a disk. What is worked out on the way has to be no slower than that: each value
is read once, and added to its group's statistics while these are in the processor's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from cleser.features.pooled import Features


class Moments(NamedTuple):
    """Mean and standard deviation of each channel over many utterances, each [L, C]."""

    token_mean: Tensor
    token_std: Tensor
    summary_mean: Tensor
    summary_std: Tensor


class GroupMoments:
    """The statistics of groups, from features that come a part at a time.

    Args:
        groups: How many there are, G.
    """

    def __init__(self, groups: int) -> None:
        self._tokens = RunningMoments(groups)
        self._summaries = RunningMoments(groups)

    def add(self, features: Features, codes: Tensor) -> None:
        """Take in some utterances, whose groups are given as integers [N]."""
        self._tokens.add(features.tokens, codes.repeat_interleave(features.offsets.diff()))
        self._summaries.add(features.summaries, codes)

    def each(self) -> Moments:
        """Statistics of each group, [G, L, C]."""
        return Moments(*(m.float() for x in (self._tokens, self._summaries) for m in x.each()))

    def merged(self, into: Tensor) -> Moments:
        """Statistics of larger groups, [H, L, C], where group g lies in the larger group ``into[g]``."""
        return Moments(*(m for x in (self._tokens, self._summaries) for m in x.merged(into)))

    def typical(self) -> Moments:
        """What to expect of a group that nobody has met, [L, C]: the mean of the means and of the variances."""
        return Moments(*(m for x in (self._tokens, self._summaries) for m in x.typical()))


class RunningMoments:
    r"""Mean and sum of squared deviations of G groups, so far (B. P. Welford, 1962).

    .. math:: \mu_n = \mu_{n-1} + \frac{x_n - \mu_{n-1}}{n}, \qquad
        q_n = q_{n-1} + (x_n - \mu_{n-1}) (x_n - \mu_n) \qquad (1)

    Args:
        groups: How many there are, G.

    >>> running = RunningMoments(2)
    >>> running.add(torch.tensor([[[1.0]], [[5.0]], [[3.0]]]), torch.tensor([0, 1, 0]))
    >>> [m.flatten().tolist() for m in running.each()]
    [[2.0, 5.0], [1.0, 0.0]]
    """

    def __init__(self, groups: int) -> None:
        self.count = torch.zeros(groups, dtype=torch.float64)
        self.mean: Tensor | None = None
        self.squares: Tensor | None = None

    def add(self, values: Tensor, codes: Tensor) -> None:
        """Take in some values [n, L, C], whose groups are given as integers [n]."""
        if self.mean is None or self.squares is None:
            shape = (len(self.count), *values.shape[1:])
            self.mean = torch.zeros(shape, dtype=torch.float64)
            self.squares = torch.zeros_like(self.mean)
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        flat = [t.detach().flatten(1).contiguous() for t in (values, self.mean, self.squares)]
        _take_in(flat[0].numpy(), codes.numpy(), self.count.numpy(), *(t.numpy() for t in flat[1:]))

    def each(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each group, [G, L, C]; zeros for a group without values."""
        if self.mean is None or self.squares is None:
            raise ValueError("no features were added, expected some")
        return self.mean, (self.squares / self.count.clamp_min(1)[:, None, None]).sqrt()

    def merged(self, into: Tensor) -> tuple[Tensor, Tensor]:
        """Those of larger groups, [H, L, C], where group g lies in the larger group ``into[g]``."""
        mean, std = self.each()
        size = int(into.max()) + 1
        count = torch.zeros(size, dtype=torch.float64).index_add(0, into, self.count)
        share = (self.count / count.clamp_min(1)[into])[:, None, None]
        empty = mean.new_zeros(size, *mean.shape[1:])
        centre = empty.index_add(0, into, share * mean)
        spread = share * (std.square() + (mean - centre[into]).square())
        return centre, empty.index_add(0, into, spread).sqrt()

    def typical(self) -> tuple[Tensor, Tensor]:
        """The mean of the means, and of the variances, of all groups that have values, [L, C]."""
        mean, std = (m[self.count > 0] for m in self.each())
        if not len(mean):  # of tokens, where none are kept
            return mean.new_zeros(mean.shape[1:]), mean.new_ones(mean.shape[1:])
        return mean.mean(0), std.square().mean(0).sqrt()


@njit(cache=True, nogil=True)
def _take_in(
    values: np.ndarray, codes: np.ndarray, count: np.ndarray, mean: np.ndarray, squares: np.ndarray
) -> None:
    """Eq. 1 for each row of values [n, K], in its group's row of ``mean`` and ``squares`` [G, K]."""
    for i in range(len(values)):
        group = codes[i]
        count[group] += 1
        share = 1 / count[group]
        value, centre, spread = values[i], mean[group], squares[group]
        for k in range(len(value)):
            apart = value[k] - centre[k]
            centre[k] += apart * share
            spread[k] += apart * (value[k] - centre[k])
