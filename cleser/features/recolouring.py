r"""Sources recoloured as a target: linear maps after which their covariances are alike, in closed form.

B. Sun, J. Feng, K. Saenko, *Return of Frustratingly Easy Domain Adaptation*, AAAI 2016:

.. math:: x' = A^\top x, \qquad A = (C_S + \lambda I)^{-1/2} (C_T + \lambda I)^{1/2} \qquad (1)

whitens a source and gives it the colour (the covariances) of the target. Without :math:`\lambda`, A minimises the loss
CORAL (:func:`cleser.losses.coral`), :math:`\lVert A^\top C_S A - C_T \rVert_F^2`, to zero; the paper has
:math:`\lambda = 1` on standardised features, with which few utterances of many channels are moved little. No label and
no training is needed, and what is learned afterwards is learned in the target's own space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cleser.features.transport import matrix_power

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Recolouring:
    """The maps of some groups of utterances, say source corpora.

    Attributes:
        layers: The layers that are moved, M of them.
        groups: Names of the groups.
        maps: A of Eq. 1 for each group and layer, [G, M, C, C].
    """

    layers: list[int]
    groups: list[str]
    maps: Tensor

    def apply(self, summaries: Tensor, group: Tensor) -> Tensor:
        """Summaries with the layers moved.

        Args:
            summaries: [N, L, C]; left as they are.
            group: Each one's group, int64 [N]; −1 leaves an utterance as it is.

        >>> swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> moved = Recolouring([1], ["de"], swap[None, None])
        >>> moved.apply(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([0])).tolist()
        [[[1.0, 2.0], [4.0, 3.0]]]
        """
        found = summaries.clone()
        for g in group.unique().tolist():
            if g >= 0:
                own = (group == g).nonzero()[:, 0]
                for layer, matrix in zip(self.layers, self.maps[g], strict=True):
                    found[own, layer] = summaries[own, layer] @ matrix.to(summaries)
        return found


def recolouring(source: Tensor, target: Tensor, *, ridge: float = 1.0) -> Tensor:
    """A of Eq. 1, in double precision.

    Args:
        source: C_S [..., C, C].
        target: C_T [..., C, C].
        ridge: The ridge λ.

    Returns:
        [..., C, C].

    Raises:
        ValueError: The ridge is not positive, or the covariances are not of one shape.

    >>> recolouring(torch.tensor([[0.0]]), torch.tensor([[3.0]]))  # (0 + 1) ** -.5 * (3 + 1) ** .5
    tensor([[2.]], dtype=torch.float64)
    """
    if not ridge > 0:
        raise ValueError(f"ridge is {ridge}, expected more than 0")
    if source.shape[-2:] != target.shape[-2:] or source.shape[-1] != source.shape[-2]:
        raise ValueError(
            f"covariances have shapes {tuple(source.shape)} and {tuple(target.shape)}, expected [..., C, C] of one C"
        )
    added = ridge * torch.eye(source.shape[-1], dtype=torch.float64, device=source.device)
    whitened = matrix_power(source.double() + added, -0.5)
    return whitened @ matrix_power(target.double() + added, 0.5)


def covariances(blocks: Iterable[Tensor], layers: Sequence[int]) -> Tensor:
    """Covariance (divided by N) of each of some layers, in double precision and in one pass.

    Args:
        blocks: Some utterances' summaries after others', [n, L, C] each.
        layers: Which of the L layers to move.

    Returns:
        [M, C, C].

    Raises:
        ValueError: There is no utterance.

    >>> covariances([torch.tensor([[[1.0]]]), torch.tensor([[[3.0]]])], [0])
    tensor([[[1.]]], dtype=torch.float64)
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for block in blocks:
        x = block[:, list(layers)].transpose(0, 1).double()
        count, total, squares = count + len(block), total + x.sum(1), squares + x.mT @ x
    if not count:
        raise ValueError("found no utterance, expected some to find a covariance of")
    mean = total / count
    return squares / count - mean[:, :, None] * mean[:, None, :]
