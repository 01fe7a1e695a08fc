r"""Ridge regression of arousal, valence and dominance in closed form: the linear probe for attributes.

.. math::

    \min_{w, b} \frac{\sum_i s_i (y_i - b - w^\top x_i)^2}{\sum_i s_i} + \kappa \lVert w \rVert^2, \qquad
    w = (X^\top S X + \lambda I)^{-1} X^\top S y = X^\top (X X^\top + \lambda S^{-1})^{-1} y

with :math:`\lambda = \kappa \sum_i s_i`, after the weighted means of X and y are subtracted (A. E. Hoerl, R. W.
Kennard, *Ridge Regression: Biased Estimation for Nonorthogonal Problems*, 1970). The form with the smaller matrix is
solved. Each attribute is learned from the utterances for which it is known. :math:`\kappa` is the strength
:math:`\lambda F` in Eq. 1 of the probe.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Ridge:
    """A fitted linear map x ↦ W x + b of A attributes.

    Args:
        weights: W [A, F].
        biases: b [A].
    """

    def __init__(self, weights: Tensor, biases: Tensor) -> None:
        self.weights, self.biases = weights, biases

    @classmethod
    def fit(
        cls, x: Tensor, y: Tensor, weight: Tensor, strength: float, names: Sequence[str]
    ) -> Ridge:
        """Fit each attribute to the utterances of which it is known.

        Args:
            x: Statistics [N, F].
            y: Attributes [N, A], NaN where unknown.
            weight: How much each utterance counts for each attribute, s [N, A].
            strength: The strength κ of the penalty.
            names: The attributes' names, for errors.

        Raises:
            ValueError: An attribute is known of fewer than two utterances.

        >>> x = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> ridge = Ridge.fit(x, 0.5 * x + 0.2, torch.ones(3, 1), 1e-9, ["arousal"])
        >>> ridge.weights.round(decimals=4).tolist(), ridge.biases.round(decimals=4).tolist()
        ([[0.5]], [0.2])
        """
        maps = []
        for a, name in enumerate(names):
            known = ~y[:, a].isnan()
            if int(known.sum()) < 2:
                raise ValueError(
                    f"{name} is known of {int(known.sum())} utterances to learn from, expected two or more"
                )
            maps.append(_solved(x[known], y[known, a], weight[known, a], strength))
        weights, biases = zip(*maps, strict=True)
        return cls(torch.stack(weights), torch.stack(biases))

    def __call__(self, x: Tensor) -> Tensor:
        """Attributes [N, A] of statistics [N, F], clipped to the scale from −1 to 1."""
        return (x.double() @ self.weights.T + self.biases).clamp(-1, 1).float()


def _solved(x: Tensor, y: Tensor, weight: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Weights [F] and bias of one attribute."""
    x, y = x.double(), y.double()
    share = weight.double() / weight.double().sum()
    mean_x, mean_y = share @ x, share @ y
    root = share.sqrt()
    centred, target = root[:, None] * (x - mean_x), root * (y - mean_y)
    if len(x) < x.shape[1]:
        kernel = centred @ centred.T + strength * torch.eye(len(x), dtype=x.dtype)
        found = centred.T @ torch.linalg.solve(kernel, target)
    else:
        normal = centred.T @ centred + strength * torch.eye(x.shape[1], dtype=x.dtype)
        found = torch.linalg.solve(normal, centred.T @ target)
    return found, mean_y - found @ mean_x
