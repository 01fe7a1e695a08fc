r"""Predictions for unlabelled utterances: class shares matched to a prior, and pseudo-labels.

A network trained on one language tends to predict some emotions too often in another language, and UAR falls with every
emotion that is predicted too rarely. This can be corrected without labels: a bias is added to the logits so that the
classes are predicted as often as the prior says (M. Saerens, P. Latinne, C. Decaestecker, *Adjusting the Outputs of a
Classifier to New a Priori Probabilities*, 2002, where the prior is unknown; here it is given and the outputs are
corrected). The correction is only as good as the assumed prior.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

_NEVER = -1e4  # a logit; finite, so that averages of several networks stay numbers


def prior_shift(logits: Tensor, prior: Tensor | None = None, *, steps: int = 100) -> Tensor:
    r"""The bias b under which the mean prediction is the prior.

    .. math:: \frac{1}{N} \sum_i \mathrm{softmax}(z_i + b) = \pi

    Args:
        logits: z [N, K].
        prior: π [K]; uniform by default. Of a class with π = 0, b is so low that it is never predicted.
        steps: Of the fixed-point iteration, damped by half.

    Returns:
        b [K], of mean zero over the classes that can occur; zeros where there are no logits.

    >>> logits = torch.tensor([[2.0, 0.0], [1.5, 0.0], [1.0, 0.0], [0.5, 0.0]])
    >>> shift = prior_shift(logits)
    >>> (logits + shift).softmax(-1).mean(0)
    tensor([0.5000, 0.5000])
    """
    classes = logits.shape[1]
    shift = logits.new_zeros(classes)
    if not len(logits):
        return shift
    wanted = torch.full_like(shift, 1 / classes) if prior is None else prior.to(shift)
    occurs = wanted > 0
    kept, wanted = logits[:, occurs], wanted[occurs] / wanted.sum()
    own = shift[occurs]
    for _ in range(steps):
        found = (kept + own).softmax(-1).mean(0)
        own = own + 0.5 * (wanted.log() - found.clamp_min(1e-12).log())
    shift = shift.masked_fill(~occurs, _NEVER)
    shift[occurs] = own - own.mean()
    return shift


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
    occurs = prior > 0
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
        share: Of each class' predictions to trust, from 0 to 1, rounded up.

    Returns:
        int64 [N].

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
        kept = best[: int(-(-share * len(at) // 1))]
        trusted[kept] = k
    return trusted
