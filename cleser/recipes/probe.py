r"""Linear probe: logistic regression on the utterance statistics of all layers, the simplest use of an encoder.

Only a linear map is learned, as is usual to evaluate the representations of an encoder (G. Alain, Y. Bengio,
*Understanding Intermediate Layers Using Linear Classifier Probes*, 2016):

.. math:: \min_{W, b} \; \frac{\sum_i w_i \, \ell(W x_i + b, y_i)}{\sum_i w_i} + \frac{\lambda F}{2} \lVert W \rVert_F^2
          \qquad (1)

over utterances i of weights w with F channels that vary; ℓ is the cross-entropy. The loss is a mean, so that λ
(`penalty`) regularises equally on two hundred utterances and on five thousand. A value that was chosen on some corpora
therefore fits others.
Three steps without target labels are possible:

* *Recolouring* (`recolour`): before the map is fitted, the features of each source corpus are moved so that their
  covariances are those of the target.
* *Prior* (`match_prior`): the logits are shifted so that the classes of the target's utterances have the shares that
  the protocol assumes.
* *Self-training* (`rounds`): the most confident predictions of each class are added to the source as pseudo-labels, and
  the map is fitted again. Source and pseudo-labels have the same total weight. More predictions are trusted from round
  to round: a share of `confidence` in the first round, all in the last.

Arousal, valence and dominance (``--task avd``, or ``both``) are learned by ridge regression on the same statistics, see
:mod:`cleser.recipes.ridge`; the last two steps apply to classes only.

On the command line::

    cleser run probe --source emodb:DIR --target ravdess:DIR --backbone MODEL --out runs/probe
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from cleser.features.recolouring import Recolouring
from cleser.recipes.classical import by_blocks, held_at_most
from cleser.recipes.logistic import LogisticRegressions, Space, layer_scale
from cleser.recipes.pseudo_labels import confident_labels, decision_shift, prior_shift
from cleser.recipes.ridge import Ridge
from cleser.settings import check_ranges
from cleser.training.dataset import Dataset


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of the probe.

    Attributes:
        penalty: λ of Eq. 1, the strength of the regularisation. For attributes, the loss is half the squared error.
        refit: Fit again to all source speakers once the speakers held out for development have been recognised, since
            nothing is chosen by them. Development UAR and temperature are those of the first fit, which had not seen
            these speakers.
        match_prior: Shift the logits so that the target's classes have the shares that the protocol assumes.
        recolour: Move the features of each source corpus so that their covariances are the target's, in closed form
            (CORAL, see cleser.features.recolouring).
        ridge: λ of that map.
        rounds: Rounds of self-training on the target; 0 is the plain probe.
        confidence: Share of each class' predictions that are trusted in the first round.
        final_confidence: The same share in the last round; in between it rises evenly.
        most: Largest number of utterances of the source, and of the target, to learn from, reduced if their statistics
            need more than half a gigabyte. Of more utterances a random sample is taken, which is the same in every run;
            the log and the report say so.

    >>> ProbeConfig(rounds=3).shares, ProbeConfig().adapts
    ([0.5, 0.75, 1.0], False)
    """

    penalty: float = 3e-4
    refit: bool = field(default=True, metadata={"before": False})
    match_prior: bool = False
    recolour: bool = False
    ridge: float = 1.0
    rounds: int = 0
    confidence: float = 0.5
    final_confidence: float = 1.0
    most: int = 100_000

    def __post_init__(self) -> None:
        check_ranges(
            self,
            least={"rounds": 0, "most": 1},
            above={"penalty": 0, "ridge": 0, "confidence": 0, "final_confidence": 0},
            most={"confidence": 1, "final_confidence": 1},
        )

    def limit(self, shape: tuple[int, int]) -> int:
        """How many utterances with L layers of C channels are learned from at most."""
        return held_at_most(self.most, shape)

    @property
    def shares(self) -> list[float]:
        """What is trusted in each round."""
        return torch.linspace(self.confidence, self.final_confidence, self.rounds).tolist()

    @property
    def adapts(self) -> bool:
        """Whether unlabelled target utterances are trained on."""
        return self.rounds > 0 or self.recolour


class Probe:
    """A fitted linear map x ↦ W x + b.

    Args:
        weights: W [K, F].
        biases: b [K], the prior's shift included.
        ridge: The map to attributes, if they are learned; without emotions, K is 0.

    Attributes:
        held_out: The map that has not seen the development speakers; None if this map itself has not seen them.
        moved: How the source was moved onto the target; None if it was not, or after :meth:`restore`.

    >>> probe = Probe(torch.eye(2).double(), torch.tensor([0.0, 1.0]).double())
    >>> probe.shares(torch.tensor([[1.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, weights: Tensor, biases: Tensor, ridge: Ridge | None = None) -> None:
        self.weights, self.biases, self.ridge = weights, biases, ridge
        self.held_out: Probe | None = None
        self.moved: Recolouring | None = None

    @classmethod
    def fit(
        cls,
        config: ProbeConfig,
        source: Dataset,
        target: Dataset | None,
        prior: Tensor,
        attributes: Sequence[str] = (),
    ) -> Probe:
        """Fit to a source, and go on with a target's unlabelled utterances.

        Args:
            config: Settings.
            source: Labelled utterances.
            target: Unlabelled ones; None where nothing of the target may be known.
            prior: The class shares that are assumed of it [K]; empty where attributes alone are learned.
            attributes: Names of the attributes that are learned.

        Raises:
            ValueError: The target's classes are to be matched or learned from, and there are none.
        """
        if not len(prior) and (config.match_prior or config.rounds):
            raise ValueError("match_prior and rounds are about classes, and task='avd' has none")
        source = source.sample(config.limit(source.shape))
        moved = None
        if config.recolour and target is not None and len(target):
            moved = source.recolouring(target, range(source.shape[0]), ridge=config.ridge)
            source = source.recoloured(moved)
        if len(prior):
            found = cls._classifier(config, source, target, prior)
        else:
            width = math.prod(source.shape)
            nothing = torch.zeros(0, width, dtype=torch.float64)
            found = cls(nothing, nothing[:, 0])
        if attributes:
            found.ridge = _ridge(config, source, attributes)
        found.moved = moved
        return found

    @classmethod
    def _classifier(
        cls, config: ProbeConfig, source: Dataset, target: Dataset | None, prior: Tensor
    ) -> Probe:
        y, weight = source.labels["emotion"], source.weight
        scale, everyone = _scaled(config, source, target if config.rounds else None)
        space = Space(everyone)
        x, unlabelled = space.utterances.tensor_split([len(source)])
        regression = LogisticRegressions(config.penalty * space.channels, len(prior))
        found = cls(*regression.fit(x, y, weight))
        for trusted_share in config.shares if len(unlabelled) else ():
            logits = found.logits(unlabelled)
            shift = prior_shift(logits, prior) if config.match_prior else 0.0
            trusted = confident_labels((logits + shift).softmax(-1), trusted_share)
            kept = trusted >= 0
            share = 1 / torch.bincount(trusted[kept], minlength=len(prior))[trusted[kept]]
            # Each class alike, all together as much as the source.
            even = share / share.sum() * weight.sum()
            both = torch.cat([x, unlabelled[kept]])
            labels = torch.cat([y, trusted[kept]])
            found = cls(*regression.fit(both, labels, torch.cat([weight, even])))
        found = cls(space.back(found.weights) * scale, found.biases)
        if config.match_prior and target is not None and len(target):
            logits = torch.cat([found.logits(b.flatten(1)) for b in target.summary_blocks()])
            found.biases = found.biases + decision_shift(logits, prior)
        return found

    def knowing(self, held_out: Probe | None) -> Probe:
        """A copy of the map, with one that has not seen the development speakers."""
        ridge = self.ridge and Ridge(self.ridge.weights.clone(), self.ridge.biases.clone())
        same = type(self)(self.weights.clone(), self.biases.clone(), ridge)
        same.held_out, same.moved = held_out, self.moved
        return same

    def of_source(self, dataset: Dataset) -> Dataset:
        """Source utterances as the probe learned from them, that is, moved onto the target where it did so."""
        return dataset if self.moved is None else dataset.recoloured(self.moved)

    def logits(self, x: Tensor) -> Tensor:
        """Logits [N, K] of flat statistics [N, F], in double precision."""
        return x.double() @ self.weights.T + self.biases

    @classmethod
    def restore(cls, config: ProbeConfig, tensors: Mapping[str, Tensor], emotions: int) -> Probe:
        """Restore a probe from what :meth:`tensors` gave.

        The config and the number of emotions are not needed here: all methods are restored by the same call.
        """
        kept = "ridge.weights" in tensors
        ridge = Ridge(tensors["ridge.weights"], tensors["ridge.biases"]) if kept else None
        return cls(tensors["weights"], tensors["biases"], ridge)

    def shares(self, x: Tensor) -> Tensor:
        """Probabilities [N, K] of flat statistics [N, F]."""
        return self.logits(x).softmax(-1).float()

    def predict(self, dataset: Dataset, *, together: bool = True) -> tuple[Tensor, Tensor]:
        """Probabilities [N, K], and the statistics themselves, projected where there are many."""
        return by_blocks(self.shares, dataset)

    def attributes(self, dataset: Dataset, *, together: bool = True) -> Tensor:
        """Attributes [N, A], from −1 to 1."""
        assert self.ridge is not None  # they were learned
        return torch.cat([self.ridge(x.flatten(1)) for x in dataset.summary_blocks()])

    def tensors(self) -> dict[str, Tensor]:
        """Weights and biases of the fitted maps, by name."""
        parts = {"": self} if self.ridge is None else {"": self, "ridge.": self.ridge}
        return {
            f"{prefix}{name}": getattr(part, name).contiguous()
            for prefix, part in parts.items()
            for name in ("weights", "biases")
        }

    def write(self, folder: Path) -> None:
        """Write nothing: it has nothing to show beside its results."""


def _scaled(config: ProbeConfig, source: Dataset, target: Dataset | None) -> tuple[Tensor, Tensor]:
    """The scale of flat statistics [F], and what it makes of the source's and then the target's, [N, F]."""
    summaries = source.summaries()
    scale = layer_scale(summaries)
    statistics = summaries.flatten(1)
    if target is not None:
        further = target.sample(config.limit(target.shape)).summaries().flatten(1)
        statistics = torch.cat([statistics, further])
    return scale, statistics.mul_(scale)  # in place: they may be gigabytes


def _ridge(config: ProbeConfig, source: Dataset, attributes: Sequence[str]) -> Ridge:
    """Ridge regression on statistics that are scaled as the classifier's.

    Of those of whom an attribute is known, every corpus counts alike. The dataset's own weights make emotions count
    alike, and utterances without one nothing.
    """
    summaries = source.summaries()
    scale, x = layer_scale(summaries), summaries.flatten(1)
    varying = max(int((x != 0).any(0).sum()), 1)
    y = source.labels["attributes"]
    corpus = torch.from_numpy(pd.factorize(source.manifest["corpus"])[0])
    known = (~y.isnan()).double()
    of_corpus = torch.zeros(int(corpus.max()) + 1, len(attributes), dtype=torch.float64)
    weight = known / of_corpus.index_add(0, corpus, known)[corpus].clamp_min(1)
    ridge = Ridge.fit(x * scale, y, weight, config.penalty * varying, attributes)
    ridge.weights = ridge.weights * scale
    return ridge
