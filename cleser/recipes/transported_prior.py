r"""Estimate how often each class occurs in an unlabelled target, by optimal transport of labelled sources onto it.

I. Redko, N. Courty, R. Flamary, D. Tuia, *Optimal Transport for Multi-source Domain Adaptation under Target Shift*,
AISTATS 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def transported_prior(
    sources: Sequence[Tensor],
    labels: Sequence[Tensor],
    target: Tensor,
    *,
    classes: int,
    regularisation: float = 0.05,
    steps: int = 100,
    tolerance: float = 1e-6,
) -> Tensor:
    r"""The shares of classes under which the sources, so weighed, are cheapest to move onto the target.

    .. math::

        h^* = \arg\min_h \frac{1}{S} \sum_{s=1}^{S} \min_{\gamma_s}
            \langle \gamma_s, M_s \rangle - \varepsilon H(\gamma_s), \qquad
        \gamma_s^\top 1 = \frac{1}{N}, \quad (\gamma_s 1)_i = \frac{h_{y_i}}{n_{s, y_i}}

    with M_s the squared distances of source s to the target, H the entropy and n the number of a class' items.
    `prior_shift` takes a prior as given; this finds one. It assumes that an emotion looks alike in sources and target
    and only occurs more or less often: normalise features first, say by speaker, if corpora differ otherwise.
    The iterative Bregman projections of the paper, in logarithms, so that no kernel underflows.

    Args:
        sources: Features of each source, [N_s, D].
        labels: Their classes, integers [N_s]; −1 is unknown, and such items are left out.
        target: Features, [N, D].
        classes: Number of classes K.
        regularisation: ε, as a share of the mean squared distance.
        steps: Most steps to take.
        tolerance: Change of h at which to stop.

    Returns:
        h [K] in double precision, of sum 1: a prior for `prior_shift`.

    Raises:
        ValueError: Shapes do not fit, there is nothing to move, a class occurs in some source not at all, or the
            regularisation is not positive.

    >>> source = torch.tensor([[0.0], [1.0]])
    >>> target = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    >>> transported_prior([source], [torch.tensor([0, 1])], target, classes=2)
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    _check(sources, labels, target, regularisation)
    x = target.double()
    costs, members = [], []
    for number, (source, own) in enumerate(zip(sources, labels, strict=True)):
        known = own >= 0
        costs.append(torch.cdist(source[known].double(), x).square())
        members.append(_members(own[known].long(), classes, number))
    epsilon = regularisation * torch.stack([cost.mean() for cost in costs]).mean()
    # Where all distances are zero any plan is as good as another.
    plans = [-cost / torch.where(epsilon > 0, epsilon, 1) for cost in costs]
    prior = torch.ones(classes, dtype=x.dtype, device=x.device)
    for _ in range(steps):
        before, total = prior, torch.zeros_like(prior)
        for s, plan in enumerate(plans):
            plans[s] = plan - plan.logsumexp(0) - math.log(len(x))
            total = total + (members[s] @ plans[s].exp().sum(1)).log()
        prior = (total / len(plans)).exp()
        for s, plan in enumerate(plans):
            rows = (prior / members[s].sum(1)) @ members[s]
            plans[s] = plan + (rows.log() - plan.logsumexp(1))[:, None]
        if (prior - before).norm() < tolerance:
            break
    return prior / prior.sum()


def _members(labels: Tensor, classes: int, number: int) -> Tensor:
    """Which items [N] are of each class, [K, N]."""
    members = labels == torch.arange(classes, device=labels.device)[:, None]
    counts = members.sum(1)
    if not bool((counts > 0).all()) or int(counts.sum()) != len(labels):
        raise ValueError(
            f"sources[{number}] has {counts.tolist()} items of the {classes} classes and {len(labels)} with a label, "
            "expected some of every class and none beyond: leave out the source or the class"
        )
    return members.double()


def _check(
    sources: Sequence[Tensor], labels: Sequence[Tensor], target: Tensor, regularisation: float
) -> None:
    if not regularisation > 0:
        raise ValueError(f"regularisation is {regularisation}, expected more than 0")
    if not len(sources) or len(sources) != len(labels):
        raise ValueError(f"found {len(sources)} sources and labels of {len(labels)}")
    if target.ndim != 2 or not len(target):
        raise ValueError(f"target has shape {tuple(target.shape)}, expected [items, features]")
    for number, (source, own) in enumerate(zip(sources, labels, strict=True)):
        width = target.shape[1]
        if source.ndim != 2 or source.shape[1] != width or own.shape != source.shape[:1]:
            raise ValueError(
                f"sources[{number}] has shape {tuple(source.shape)} and its labels {tuple(own.shape)}, "
                f"expected [items, {width}] and [items]"
            )
