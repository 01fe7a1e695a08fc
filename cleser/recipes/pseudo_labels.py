r"""Predictions for unlabelled utterances: class shares matched to a prior, and pseudo-labels.

A network trained on one language tends to predict some emotions too often in another language, and UAR falls with every
emotion that is predicted too rarely. This can be corrected without labels: a bias is added to the logits so that the
classes are predicted as often as the prior says (M. Saerens, P. Latinne, C. Decaestecker, *Adjusting the Outputs of a
Classifier to New a Priori Probabilities*, 2002, where the prior is unknown; here it is given and the outputs are
corrected). The correction is only as good as the assumed prior.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy import optimize, special
from torch import Tensor
from torch.nn.functional import one_hot

Floats = npt.NDArray[np.float64]

_NEVER = -1e4  # a logit; finite, so that averages of several networks stay numbers
_CLOSE = 1e-7  # by how much shares of classes may miss those of the prior


def prior_shift(logits: Tensor, prior: Tensor | None = None) -> Tensor:
    r"""The bias b under which the mean prediction is the prior.

    .. math:: \frac{1}{N} \sum_i \mathrm{softmax}(z_i + b) = \pi
        \quad\Leftrightarrow\quad
        b = \arg\min_b \; \frac{1}{N} \sum_i \log \sum_k e^{z_{ik} + b_k} - \pi^\top b

    The minimum of a convex function, found by Newton steps within a trust region.

    Args:
        logits: z [N, K].
        prior: π [K]; uniform by default. Of a class with π = 0, or that the classifier never predicts (all its logits
            are thousands below the others'), b is so low that it is never predicted; the others share its part.

    Returns:
        b [K], of mean zero over the classes that can occur; zeros where there are no logits.

    >>> logits = torch.tensor([[2.0, 0.0], [1.5, 0.0], [1.0, 0.0], [0.5, 0.0]])
    >>> shift = prior_shift(logits)
    >>> (logits + shift).softmax(-1).mean(0)
    tensor([0.5000, 0.5000])
    """
    shift = logits.new_zeros(logits.shape[1])
    if not len(logits):
        return shift
    wanted = torch.ones_like(shift) if prior is None else prior.to(shift)
    occurs = (wanted > 0) & (logits.amax(0) > logits.amax() + _NEVER / 2)
    own = _matching(
        logits[:, occurs].detach().cpu().double().numpy(),
        (wanted[occurs] / wanted[occurs].sum()).detach().cpu().double().numpy(),
    )
    shift = shift.masked_fill(~occurs, _NEVER)
    shift[occurs] = torch.from_numpy(own - own.mean()).to(shift)
    return shift


def _matching(logits: Floats, prior: Floats) -> Floats:
    """The bias [K] at which the function of `prior_shift` is least, for logits [N, K] and a prior without zeros."""
    classes = len(prior)

    def value(bias: Floats) -> tuple[float, Floats]:
        moved = logits + bias
        level = special.logsumexp(moved, 1, keepdims=True)
        return float(level.mean() - prior @ bias), special.softmax(moved, 1).mean(0) - prior

    def curvature(bias: Floats) -> Floats:
        shares = special.softmax(logits + bias, 1)
        found: Floats = np.diag(shares.mean(0)) - shares.T @ shares / len(shares)
        return found + 1 / classes  # b + c is as good as b: this tells them apart

    start = np.log(prior)
    found = optimize.minimize(
        value, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": _CLOSE}
    )
    bias: Floats = found.x
    return bias


def decision_shift(logits: Tensor, prior: Tensor | None = None) -> Tensor:
    r"""The bias under which every class is recognised as well as any other, given the shares of the classes.

    .. math:: b_k - \log \pi_k \qquad \text{with } b \text{ of } \mathrm{prior\_shift}

    With b alone a rare class is hardly ever the likeliest, which suits accuracy; UAR counts all classes alike. With a
    uniform prior the two are the same.

    Args:
        logits: z [N, K].
        prior: π [K]; uniform by default.

    Returns:
        [K], of mean zero over the classes that can occur.

    >>> logits = torch.tensor([[2.0, 0.0], [1.5, 0.0], [1.0, 0.0], [0.5, 0.0]])
    >>> torch.equal(decision_shift(logits), prior_shift(logits))
    True
    """
    shift = prior_shift(logits, prior)
    if prior is None or not len(logits):
        return shift
    occurs = shift > _NEVER / 2
    own = shift[occurs] - prior.to(shift)[occurs].log()
    return shift.masked_scatter(occurs, own - own.mean())


def as_shares(labels: Tensor, classes: int) -> Tensor:
    """Labels [N] as probabilities [N, K]; of an unknown one (−1) all are zero.

    >>> as_shares(torch.tensor([1, -1]), 2).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    return one_hot(labels.clamp_min(0), classes).float() * (labels >= 0)[:, None]


def confident_labels(probabilities: Tensor, share: float) -> Tensor:
    """For each class, the most confident of those predicted so; −1 for the others.

    Taking a share of each class, not all above a threshold, keeps a class that the network is shy of.

    Args:
        probabilities: [N, K].
        share: Share of each class' predictions to trust, from 0 to 1; their number is rounded up.

    Returns:
        int64 [N].

    Raises:
        ValueError: The share is out of range.

    >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> confident_labels(p, 0.5).tolist()
    [0, -1, 1]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, expected 0 to 1")
    confidence, predicted = probabilities.max(-1)
    trusted = torch.full_like(predicted, -1)
    for k in range(probabilities.shape[1]):
        at = (predicted == k).nonzero()[:, 0]
        best = at[confidence[at].argsort(descending=True, stable=True)]
        kept = best[: math.ceil(round(share * len(at), 9))]  # .07 · 100 is a little more than 7
        trusted[kept] = k
    return trusted
