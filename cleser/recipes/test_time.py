r"""Test-time adaptation: a trained network adapts to unlabelled batches while it is tested, without the sources.

`T3A` adapts only the classifier and needs no gradient. `Tent` and `SAR` adapt the affine parameters of normalisation
layers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cleser.models.batch import Batch
from cleser.models.emotion import EmotionModel

_NORMALISATIONS = (
    nn.modules.batchnorm._NormBase,  # batch and instance normalisation
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


def entropy(logits: Tensor) -> Tensor:
    r"""Entropy of each prediction in nats, [N].

    .. math:: H(z) = -\sum_k p_k \log p_k, \qquad p = \mathrm{softmax}(z)

    >>> [round(h, 4) for h in entropy(torch.tensor([[0.0, 0.0], [50.0, 0.0]])).tolist()]  # log 2, and certain
    [0.6931, 0.0]
    """
    log_p = logits.log_softmax(-1)
    return 0 - (log_p.exp() * log_p).sum(-1)  # not −0


class T3A:
    r"""Classify by templates: means of the test embeddings of which the classifier is most confident.

    .. math::

        s_k(z) = z^\top \frac{c_k}{\lVert c_k \rVert}, \qquad
        c_k = \sum_{x \in S_k} \frac{x}{\lVert x \rVert}

    (Y. Iwasawa, Y. Matsuo, *Test-Time Classifier Adjustment Module for Model-Agnostic Domain Generalization*,
    NeurIPS 2021.) The supports S_k of class k start with the classifier's weight w_k. Each batch joins those of the
    classes that the classifier predicts; the ``keep`` of lowest entropy in each class stay. Nothing is differentiated
    and the classifier itself does not change.

    Compared with the authors' code (matsuolab/T3A, ``adapt_algorithms.py``): supports and templates are normalised, and
    entropies are of the classifier's own predictions, as there. There w_k begins as a support of the class that is
    predicted for it; here, as in the paper, of class k.

    Args:
        head: The classifier, D features to K classes, such as the last layer of ``EmotionModel.head``.
        keep: Most supports of a class; None keeps all.

    Raises:
        ValueError: ``keep`` is not positive.

    >>> head = torch.nn.Linear(2, 2, bias=False)
    >>> _ = head.weight.data.copy_(torch.eye(2))
    >>> adapted = T3A(head)
    >>> adapted(torch.tensor([[3.0, 1.0]])).argmax(-1).tolist()
    [0]
    """

    def __init__(self, head: nn.Linear, *, keep: int | None = 20) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"keep is {keep}, expected at least 1, or None to keep all")
        self.head, self.keep = head, keep
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Forget all batches."""
        weight = self.head.weight.detach().clone()
        self._supports = normalize(weight, dim=1)
        self._classes = torch.arange(len(weight), device=weight.device)
        self._entropies = entropy(self.head(weight))

    @torch.no_grad()
    def __call__(self, embeddings: Tensor) -> Tensor:
        """Take a batch in, then score it.

        Args:
            embeddings: What the head would classify, [N, D].

        Returns:
            s [N, K]; the largest is the class.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.head.in_features:
            raise ValueError(
                f"embeddings have shape {tuple(embeddings.shape)}, expected [items, {self.head.in_features}]"
            )
        logits = self.head(embeddings)
        self._supports = torch.cat([self._supports, normalize(embeddings, dim=1)])
        self._classes = torch.cat([self._classes, logits.argmax(1)])
        self._entropies = torch.cat([self._entropies, entropy(logits)])
        if self.keep is not None:
            self._keep_surest(self.keep)
        scores: Tensor = embeddings @ self.templates.T
        return scores

    @property
    def templates(self) -> Tensor:
        """The classes' templates after all batches so far, [K, D], each of length 1."""
        sums = torch.zeros_like(self.head.weight).index_add_(0, self._classes, self._supports)
        return normalize(sums, dim=1)

    def _keep_surest(self, keep: int) -> None:
        kept = []
        for k in range(self.head.out_features):
            own = (self._classes == k).nonzero()[:, 0]
            kept.append(own[self._entropies[own].argsort(stable=True)[:keep]])
        at = torch.cat(kept)
        self._supports, self._classes = self._supports[at], self._classes[at]
        self._entropies = self._entropies[at]


@dataclass(eq=False, repr=False)
class Tent:
    r"""Minimise the entropy of predictions by the scales and shifts of normalisation layers.

    .. math:: \min_{\gamma, \beta} \frac{1}{N} \sum_i H(z_i)

    (D. Wang et al., *Tent: Fully Test-Time Adaptation by Entropy Minimization*, ICLR 2021.) Each batch is predicted and
    then learned from, by Adam. Dropout is off; batch normalisation takes its statistics from the batch. A copy of the
    network adapts: the one that is given stays as it is. An entropy falls also where all of a batch is said to be of
    one class: give large mixed batches and few steps.

    Compared with the authors' code (DequanWang/tent, ``tent.py``): the mean entropy, the statistics by batch and the
    prediction from before the step are as there. There only batch normalisation adapts, and dropout stays on.

    Args:
        model: The network.
        read: The logits [N, K] among what the network returns; by default that is the logits.
        lr: Learning rate.
        steps: Number of steps of learning from each batch.

    Raises:
        ValueError: There is no normalisation layer with a scale or a shift, or ``steps`` is not positive.

    >>> network = torch.nn.Sequential(torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))
    >>> adapting = Tent(network)
    >>> adapting(torch.eye(3)).shape
    torch.Size([3, 2])
    """

    model: nn.Module
    _: KW_ONLY
    read: Callable[[Any], Tensor] | None = None
    lr: float = 1e-3
    steps: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected at least 1")
        self._given = self.model
        self.reset()

    def reset(self) -> None:
        """Start again from the network that was given.

        Raises:
            ValueError: It has no normalisation layer to adapt.
        """
        self.model = copy.deepcopy(self._given).requires_grad_(False).eval()
        for layer in self.model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
        learned = [p.requires_grad_() for p in normalisation_parameters(self.model)]
        if not learned:
            raise ValueError(
                f"{type(self.model).__name__} has no normalisation layer with a scale or a shift to adapt"
            )
        self._learned = learned
        self._optimizer = self._new_optimizer()

    @torch.enable_grad()
    def __call__(self, *inputs: Any) -> Tensor:
        """Logits [N, K] of a batch, from before its last step, and learn from it."""
        for _ in range(self.steps):
            logits = self._step(inputs)
        return logits.detach()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self._learned, lr=self.lr)

    def _step(self, inputs: tuple[Any, ...]) -> Tensor:
        logits = self._logits(inputs)
        self._optimizer.zero_grad()
        entropy(logits).mean().backward()
        self._optimizer.step()
        return logits

    def _logits(self, inputs: tuple[Any, ...]) -> Tensor:
        found = self.model(*inputs)
        logits: Tensor = found if self.read is None else self.read(found)
        return logits


@dataclass(eq=False, repr=False, kw_only=True)
class SAR(Tent):
    r"""Minimise the entropy of the surer predictions, where it is low all around the parameters.

    .. math::

        \min_{\theta} \frac{1}{|S|} \sum_{i \in S} H(z_i(\theta + \epsilon)), \qquad
        \epsilon = \rho \frac{g}{\lVert g \rVert_2}, \qquad
        g = \nabla_{\theta} \frac{1}{|S_0|} \sum_{i \in S_0} H(z_i(\theta))

    (S. Niu et al., *Towards Stable Test-Time Adaptation in Dynamic Wild World*, ICLR 2023.) θ are the scales and
    shifts of normalisation layers, S₀ the predictions with :math:`H(z_i(\theta)) < E_0`, and S those of them with
    :math:`H(z_i(\theta + \epsilon)) < E_0`. The step is by gradient descent with momentum .9. An average of the
    entropies of S, .9 of its last value and .1 of the new one, says when all predictions have become too sure:
    below ``restart`` the network starts again as it was given. A batch without a sure prediction teaches nothing.

    Compared with the authors' code (mr-eggplant/SAR, ``sar.py`` and ``sam.py``): E₀, ρ, the two choices, the average
    and its bound are as there. There the last blocks of a network stay as they are, here all normalisation layers
    adapt; there the average is kept when the network starts again, so that it may at once start once more, here it is
    begun anew.

    Args:
        model: The trained network; it, ``read``, ``lr`` and ``steps`` are as for :class:`Tent`.
        sure: E₀ as a part of log K, the entropy of knowing nothing.
        rho: ρ, how far around the parameters the entropy is to be low.
        restart: Average entropy below which it starts again, as a part of log K; by default the authors' .2 for a
            thousand classes. 0 never starts again.

    Raises:
        ValueError: What :class:`Tent` refuses; ``sure`` is not positive, or ``rho`` or ``restart`` is negative.

    >>> network = torch.nn.Sequential(torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))
    >>> adapting = SAR(network)
    >>> adapting(torch.eye(3)).shape
    torch.Size([3, 2])
    """

    sure: float = 0.4
    rho: float = 0.05
    restart: float = 0.2 / math.log(1000)

    def __post_init__(self) -> None:
        if not self.sure > 0:
            raise ValueError(f"sure is {self.sure}, expected more than 0")
        if not (self.rho >= 0 and self.restart >= 0):
            raise ValueError(f"rho is {self.rho} and restart {self.restart}, expected at least 0")
        super().__post_init__()

    def reset(self) -> None:
        """Start again from the network that was given."""
        super().reset()
        self._average: float | None = None

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self._learned, lr=self.lr, momentum=0.9)

    def _step(self, inputs: tuple[Any, ...]) -> Tensor:
        logits = self._logits(inputs)
        most = math.log(logits.shape[1])
        here = entropy(logits)
        first = here < self.sure * most
        if not first.any():
            return logits
        self._optimizer.zero_grad()
        here[first].mean().backward()
        parameters = [p.detach().clone() for p in self._learned]
        self._climb()
        around = entropy(self._logits(inputs))[first]
        around = around[around < self.sure * most]
        self._optimizer.zero_grad()
        if len(around):
            around.mean().backward()
        for parameter, before in zip(self._learned, parameters, strict=True):
            parameter.data.copy_(before)
        if len(around):
            self._optimizer.step()
            self._watch(around.mean().item(), self.restart * most)
        return logits

    @torch.no_grad()
    def _climb(self) -> None:
        """Move by ε, along the gradient."""
        moved = [p for p in self._learned if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in moved if p.grad is not None]).norm()
        for parameter in moved:
            assert parameter.grad is not None
            parameter.add_(parameter.grad * (self.rho / (norm + 1e-12)))

    def _watch(self, found: float, least: float) -> None:
        """Start again once the average entropy is too low."""
        self._average = found if self._average is None else 0.9 * self._average + 0.1 * found
        if self._average < least:
            self.reset()


def adapt(
    model: EmotionModel, batches: Iterable[Batch], how: Literal["t3a", "tent", "sar"]
) -> EmotionModel:
    """A copy of a recipe's network that has learned from unlabelled batches, each seen once.

    Args:
        model: The network; stays as it is.
        batches: Batches of utterances in mixed order.
        how: The method: :class:`T3A`, :class:`Tent` or :class:`SAR`, with their defaults.

    Raises:
        ValueError: The network has no classifier.
    """
    if model.head is None:
        raise ValueError("the network recognises no emotions, expected one with a classifier")
    if how != "t3a":
        adapting = (SAR if how == "sar" else Tent)(model, read=lambda found: found.logits)
        for batch in batches:
            adapting(batch)
        return cast(EmotionModel, adapting.model)
    adapted = copy.deepcopy(model).eval()
    classifier = cast(nn.Linear, cast(nn.Sequential, adapted.head)[-1])
    scorer = T3A(classifier)
    with torch.no_grad():
        for batch in batches:
            scorer(adapted(batch).utterances)
        classifier.weight.copy_(scorer.templates)
        classifier.bias.zero_()
    return adapted


def normalisation_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Scales and shifts of the normalisation layers of a network."""
    for layer in model.modules():
        if isinstance(layer, _NORMALISATIONS):
            yield from layer.parameters(recurse=False)
