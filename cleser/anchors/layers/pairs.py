r"""How similarly the layers of a model describe the same items: linear CKA of all pairs of layers, batch by batch.

S. Kornblith, M. Norouzi, H. Lee, G. Hinton, *Similarity of Neural Network Representations Revisited*, ICML 2019;
debiased as in L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt, *Feature Selection via Dependence Maximization*,
JMLR 13, 2012; averaged over parts as in T. Nguyen, M. Raghu, S. Kornblith, *Do Wide and Deep Networks Learn the
Same Things?*, ICLR 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor


class LayerPairs:
    r"""HSIC, and by it CKA, of all pairs of L layers over a stream of items.

    .. math::

        \mathrm{CKA}(l, m) =
        \frac{\mathrm{HSIC}(K_l, K_m)}{\sqrt{\mathrm{HSIC}(K_l, K_l) \, \mathrm{HSIC}(K_m, K_m)}},
        \qquad K_l = X_l X_l^\top

    Both HSICs follow from products of centred Gram matrices, all pairs of which are one product of a matrix [L, n²]:
    with the diagonals the biased one (Kornblith et al.), without them and with two corrections the unbiased (Song et
    al.).

    Items are taken in parts of ``chunk``, and HSIC is averaged over parts: exact for up to ``chunk`` items, and
    independent of how a stream comes in batches.

    Args:
        chunk: Items n of a part.
        dtype: Type of the sums.

    >>> pairs = LayerPairs(chunk=8)
    >>> x = torch.randn(1, 8, 3)
    >>> pairs.update(torch.cat([x, 2 * x + 1]))  # the same but for scale and place
    >>> round(pairs.cka()[0, 1].item(), 6)
    1.0
    """

    def __init__(self, chunk: int = 256, dtype: torch.dtype = torch.float64) -> None:
        self.chunk, self.dtype = chunk, dtype
        self.count = 0
        self._waiting: list[Tensor] = []
        self._sums: dict[bool, tuple[Tensor | float, int]] = {False: (0.0, 0), True: (0.0, 0)}

    def update(self, layers: Tensor) -> None:
        """Add items [L, N, D]; a layer may have its own way of dimensions, but all the same D."""
        self.count += layers.shape[1]
        self._waiting.append(layers)
        if sum(part.shape[1] for part in self._waiting) >= self.chunk:
            *full, rest = torch.cat(self._waiting, 1).split(self.chunk, 1)
            if rest.shape[1] == self.chunk:
                full, rest = [*full, rest], rest[:, :0]
            for part in full:
                self._sums = self._added(part)
            self._waiting = [rest.clone()]  # else the whole batch stays in memory

    def cka(self, *, debiased: bool = True) -> Tensor:
        """CKA of all pairs [L, L], NaN where there are too few items (2, or 4 debiased) or a layer does not vary.

        Raises:
            ValueError: There were no items at all.
        """
        if not self._waiting:
            raise ValueError("found no items, expected 4 at least")
        total, count = self._added(torch.cat(self._waiting, 1))[debiased]
        if not count:
            size = len(self._waiting[0])
            return torch.full((size, size), torch.nan, dtype=self.dtype)
        hsic = torch.as_tensor(total) / count
        scale = hsic.diagonal().clamp_min(0).sqrt()
        # Of a layer without spread, rounding leaves traces.
        scale = scale.where(scale > 1e-12 * scale.max(), torch.nan)
        return hsic / scale / scale[:, None]

    def _added(self, part: Tensor) -> dict[bool, tuple[Tensor | float, int]]:
        """The sums with another part's HSICs, weighted by its items."""
        n = part.shape[1]
        if n < 2:
            return self._sums
        flat = torch.empty(len(part), n * n, dtype=self.dtype, device=part.device)
        own = torch.empty(len(part), n, dtype=self.dtype, device=part.device)
        for layer, x in enumerate(part.unbind()):  # one by one, they stay in the cache
            centred = x.to(self.dtype)
            centred = centred - centred.mean(0)
            gram = centred @ centred.T  # its rows sum to zero
            own[layer] = gram.diagonal()
            flat[layer] = gram.fill_diagonal_(0).flatten()
        products, owns = flat @ flat.T, own @ own.T
        sums = dict(self._sums)
        sums[False] = _plus(self._sums[False], (products + owns) / (n - 1) ** 2, n)
        if n >= 4:
            # Without its diagonal a row sums to minus what was there: K̃1 = −own.
            traces = torch.outer(own.sum(1), own.sum(1)) / ((n - 1) * (n - 2))
            hsic = (products + traces - 2 / (n - 2) * owns) / (n * (n - 3))
            sums[True] = _plus(self._sums[True], hsic, n)
        return sums


def _plus(sums: tuple[Tensor | float, int], hsic: Tensor, n: int) -> tuple[Tensor | float, int]:
    return sums[0] + n * hsic, sums[1] + n
