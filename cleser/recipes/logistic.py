"""Logistic regression as the linear probe needs it: layers scaled, and utterances by as few numbers as will do.

Eq. 1 is that of :mod:`cleser.recipes.probe`.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

# Times as many channels as utterances: from there on it is worth the search for L.
_GAINS: Final = 4


def layer_scale(summaries: Tensor) -> Tensor:
    r"""What flat statistics are multiplied by so that a layer with few channels is not drowned by those with many.

    .. math:: a_l = \sqrt{\frac{F}{F_l} \cdot \frac{\sqrt{F_l}}{\sum_m \sqrt{F_m}}} \qquad F = \sum_l F_l

    for each of the F_l channels of layer l that vary: the layer's share of the kernel :math:`x^\top x` is as the root
    of its channels, between a share as the channels (nothing scaled, in which eighty descriptors count for nothing
    beside seven thousand channels of an encoder) and equal shares of all layers. Layers with as many channels each are
    left as they are.

    Args:
        summaries: [N, L, C].

    Returns:
        [L · C].

    >>> layer_scale(torch.ones(1, 2, 3)).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    channels = (summaries != 0).any(0).sum(-1).double().clamp_min(1)
    share = channels.sqrt() / channels.sqrt().sum()
    scale = (channels.sum() * share / channels).sqrt()
    return scale.float().repeat_interleave(summaries.shape[-1])


class Space:
    r"""Utterances by as few numbers as their inner products need, and the way back to channels.

    A map whose squared weights are penalised depends on utterances by their inner products alone (B. Schölkopf,
    R. Herbrich, A. Smola, *A Generalized Representer Theorem*, 2001). Utterances X that are fewer than their channels
    are therefore described by the rows of L, where :math:`L L^\top = X X^\top`. The map is the same, and found sooner.

    Args:
        x: The utterances [N, F].

    Attributes:
        channels: How many of them vary.
        utterances: The utterances in this space, [N, R]; R is N if there are many more channels, else F.

    >>> space = Space(torch.tensor([[3.0, 0.0, 4.0, 0.0]]))
    >>> space.utterances
    tensor([[5.]])
    >>> space.back(torch.tensor([[1.0]]).double())
    tensor([[0.6000, 0.0000, 0.8000, 0.0000]], dtype=torch.float64)
    """

    def __init__(self, x: Tensor) -> None:
        self.channels = max(int((x != 0).any(0).sum()), 1)
        self.utterances = x
        self._root = None
        if _GAINS * len(x) <= x.shape[1]:
            # In double precision, but never all channels of all utterances.
            self._blocks = x.split(1024, dim=1)
            gram = sum((b.double() @ b.double().T for b in self._blocks), torch.zeros(()))
            # Utterances that occur twice, or show nothing at all, leave nothing to divide by.
            gram.diagonal().add_(1e-10 * gram.diagonal().mean().clamp_min(1.0))
            self._root = torch.linalg.cholesky(gram)
            self.utterances = self._root.float()

    def back(self, weights: Tensor) -> Tensor:
        """Weights [K, R] of a map from this space, as weights [K, F] of channels: times the inverse of L, times X."""
        if self._root is None:
            return weights
        of_utterances = torch.linalg.solve_triangular(self._root, weights, upper=False, left=False)
        return torch.cat([of_utterances @ b.double() for b in self._blocks], 1)


class LogisticRegressions:
    """Weighted logistic regressions one after another, each begun where the last one ended: Eq. 1 is convex.

    Args:
        strength: λ F of Eq. 1.
        classes: Number of classes K.
    """

    def __init__(self, strength: float, classes: int) -> None:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

        self.strength, self.classes = strength, classes
        self.model: Any = LogisticRegression(max_iter=1000, warm_start=True)

    def fit(self, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [K, R] and biases [K]; a class that nobody shows is never predicted."""
        model = self.model
        # As scikit-learn has it. Of two classes it learns one row w, the rows here are −w / 2 and w / 2: half the norm.
        rows = 2 if len(y.unique()) == 2 else 1
        model.C = rows / (self.strength * float(weight.sum()))
        model.fit(x.numpy(), y.numpy(), sample_weight=weight.numpy())
        coefficients, intercepts = (
            torch.from_numpy(v).double() for v in (model.coef_, model.intercept_)
        )
        if len(model.classes_) == 2:  # one row, for the second
            coefficients = torch.cat([-coefficients, coefficients]) / 2
            intercepts = torch.cat([-intercepts, intercepts]) / 2
        at = torch.from_numpy(model.classes_)
        weights = torch.zeros(self.classes, x.shape[1], dtype=torch.float64)
        biases = torch.full((self.classes,), -1e4, dtype=torch.float64)
        weights[at], biases[at] = coefficients, intercepts
        return weights, biases
