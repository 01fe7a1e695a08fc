"""The usual baseline: utterance statistics and a classical classifier from scikit-learn.

The fitted classifier is stored as tensors and predicts from them, because scikit-learn's own format is pickle.

scikit-learn holds all utterances in memory, and the training time of a support vector machine grows with the square of
their number. From a large source, a random sample is therefore learned (`ClassicalConfig.most`); the log and the report
say so. All utterances are predicted, a block at a time. The kernel of a support vector machine is found once, as a
product of matrices, for all fits that choose C: within the machine it took longer than everything else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from cleser.features.projection import projected
from cleser.settings import check_ranges
from cleser.training.dataset import Dataset

HELD = 1 << 29  # bytes of statistics to learn from, of which solvers make several copies


def held_at_most(most: int, shape: tuple[int, int]) -> int:
    """How many utterances of L layers of C channels are learned from: ``most``, or as many as memory holds."""
    return min(most, HELD // (4 * shape[0] * shape[1]))


@dataclass(frozen=True)
class ClassicalConfig:
    """Settings of the recipe classical.

    Attributes:
        classifier: "svm" (RBF kernel) or "linear" (logistic regression).
        c: Inverse strength of the regularisation; None chooses it by speaker-grouped cross-validation on
            the source.
        most: Largest number of utterances to learn from, reduced if their statistics need more than half a gigabyte.
            Of a larger source a random sample is taken, which is the same in every run.

    >>> ClassicalConfig(classifier="linear", c=0.1).c
    0.1
    """

    classifier: Literal["svm", "linear"] = "svm"
    c: float | None = None
    most: int = 10_000

    def __post_init__(self) -> None:
        check_ranges(self, least={"most": 1}, above={"c": 0})

    def limit(self, shape: tuple[int, int]) -> int:
        """How many utterances with L layers of C channels are learned from at most."""
        return held_at_most(self.most, shape)


class LinearScores(NamedTuple):
    """Linear scores of K classes (of two, one row for the second): x ↦ W x + b.

    Attributes:
        weights: W [K, D].
        biases: b [K].
        classes: Which emotions the rows stand for, int64.
    """

    weights: Tensor
    biases: Tensor
    classes: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Scores [N, K] of x [N, D]."""
        scores = x @ self.weights.T + self.biases
        return _of_both(scores[:, 0]) if len(self.classes) == 2 else scores


class SupportVectors(NamedTuple):
    r"""A machine with an RBF kernel for each pair of classes (C.-C. Chang, C.-J. Lin, *LIBSVM*, 2011).

    .. math:: f_{ij}(x) = \sum_{s \in i} \alpha_{s,j} k(x, x_s) + \sum_{s \in j} \alpha_{s,i} k(x, x_s) + b_{ij}

    A class' score is the number of pairs that it wins, and by how much it wins them, squeezed to less than half a vote.

    Attributes:
        vectors: Support vectors, class after class, [S, D].
        duals: α [K − 1, S], a row for each other class.
        biases: b, a pair (i, j) after another, i < j.
        counts: Support vectors of each class, int64 [K].
        gamma: γ of the kernel.
        classes: Which emotions these are, int64 [K].
    """

    vectors: Tensor
    duals: Tensor
    biases: Tensor
    counts: Tensor
    gamma: Tensor
    classes: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Scores [N, K] of x [N, D]."""
        kernel = _rbf(x, self.vectors, self.gamma)
        parts = [
            k @ d.T
            for k, d in zip(
                kernel.split(self.counts.tolist(), 1), self.duals.split(self.counts.tolist(), 1),
                strict=True,
            )
        ]  # fmt: skip
        pairs = list(combinations(range(len(self.counts)), 2))
        margins = torch.stack(
            [parts[i][:, j - 1] + parts[j][:, i] for i, j in pairs], 1
        ) + self.biases  # fmt: skip
        if len(pairs) == 1:
            return _of_both(margins[:, 0])
        first, second = (
            one_hot(torch.tensor(side), len(self.counts)).to(margins)
            for side in zip(*pairs, strict=True)
        )
        votes = (margins >= 0).to(margins) @ first + (margins < 0).to(margins) @ second
        by = margins @ (first - second)
        return votes + by / (3 * (by.abs() + 1))


class Classical:
    """A fitted classifier of utterance statistics."""

    def __init__(self, scores: LinearScores | SupportVectors, emotions: int) -> None:
        self.scores = scores
        self.emotions = emotions

    @classmethod
    def fit(cls, config: ClassicalConfig, source: Dataset, emotions: int) -> Classical:
        """Fit to a source, or a sample of it.

        Where C is not given, it is chosen by cross-validation with speakers held out, of a single speaker utterances.

        Raises:
            ValueError: The source is too small for that.
        """
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
        from sklearn.model_selection import (  # noqa: PLC0415
            GridSearchCV,
            GroupKFold,
            StratifiedKFold,
        )
        from sklearn.svm import SVC  # noqa: PLC0415

        source = source.sample(config.limit(source.shape))
        statistics = source.summaries().flatten(1)
        y, weight = source.labels["emotion"].numpy(), source.weight.numpy()
        if config.classifier == "svm":
            gamma = _gamma(statistics)
            x = _kernel(statistics, gamma)
            estimator, grid = SVC(kernel="precomputed"), (0.1, 0.3, 1.0, 3.0)
        else:
            x = statistics.numpy()
            estimator, grid = LogisticRegression(max_iter=1000), (1e-4, 1e-3, 1e-2, 1e-1)

        def fitted(machine: Any) -> Classical:
            if config.classifier == "svm":
                return cls(_support_vectors(machine, statistics, gamma), emotions)
            return cls(_linear_scores(machine), emotions)

        if config.c is not None:
            return fitted(estimator.set_params(C=config.c).fit(x, y, sample_weight=weight))
        speakers = source.manifest["speaker"].fillna(source.manifest["utterance"])
        # Of two speakers, one is held out for development; of the other, only utterances can be.
        alone = speakers.nunique() == 1
        classes = source.labels["emotion"].unique(return_counts=True)[1]
        count = min(5, int(classes.max()) if alone else speakers.nunique())
        try:
            folds = StratifiedKFold(count) if alone else GroupKFold(count)
            search = GridSearchCV(estimator, {"C": grid}, scoring="balanced_accuracy", cv=folds)
            with warnings.catch_warnings():
                # Of speakers who show fewer emotions: the mean is then over the recalls of those.
                warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
                search.fit(x, y, groups=None if alone else speakers, sample_weight=weight)
        except ValueError as error:
            corpora = ", ".join(sorted(source.manifest["corpus"].unique()))
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"{corpora}: C cannot be chosen by cross-validation over {len(y)} utterances of {speakers.nunique()} "
                f"speakers ({reason}); give it (--c 1), or a larger source"
            ) from error
        return fitted(search.best_estimator_)

    @classmethod
    def restore(
        cls, config: ClassicalConfig, tensors: Mapping[str, Tensor], emotions: int
    ) -> Classical:
        """Restore a classifier from what :meth:`tensors` gave."""
        kind = SupportVectors if config.classifier == "svm" else LinearScores
        return cls(kind(**tensors), emotions)

    def shares(self, x: Tensor) -> Tensor:
        """Scores of flat statistics [N, F] turned into shares [N, K] by softmax; no calibrated probabilities."""
        scores = self.scores(x.double()).softmax(-1).float()
        return scores.new_zeros(x.shape[0], self.emotions).index_copy(
            1, self.scores.classes, scores
        )

    def predict(self, dataset: Dataset, *, together: bool = True) -> tuple[Tensor, Tensor]:
        """Shares, see :meth:`shares`, and the statistics themselves, projected where there are many."""
        return by_blocks(self.shares, dataset)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that scores are computed from, by name."""
        return self.scores._asdict()

    def write(self, folder: Path) -> None:
        """Write nothing: it has nothing to show beside its results."""


def _rbf(x: Tensor, vectors: Tensor, gamma: Tensor) -> Tensor:
    r"""The kernel :math:`k(x, v) = e^{-\gamma \lVert x - v \rVert^2}` [N, S] of x [N, D] and v [S, D]."""
    # As products, since squares would be another copy of the vectors.
    lengths, others = (torch.einsum("nd,nd->n", v, v) for v in (x, vectors))
    apart = (lengths[:, None] + others).addmm_(x, vectors.T, alpha=-2).clamp_min_(0)
    return apart.mul_(-gamma).exp_()


def _gamma(x: Tensor) -> Tensor:
    """One over the number of statistics and their variance, as scikit-learn has it for ``gamma="scale"``."""
    variance = x.double().var(correction=0)
    return 1 / (x.shape[1] * variance) if variance else torch.ones_like(variance)


def _kernel(x: Tensor, gamma: Tensor) -> np.ndarray:
    """The kernel of all utterances' statistics [N, D] with one another, a block of rows at a time, float64 [N, N]."""
    wide = x.double()
    kernel = wide.new_empty(len(x), len(x))
    for rows, into in zip(wide.split(1024), kernel.split(1024), strict=True):
        into.copy_(_rbf(rows, wide, gamma))
    found: np.ndarray = kernel.numpy()
    return found


def _support_vectors(machine: Any, x: Tensor, gamma: Tensor) -> SupportVectors:
    """A machine that was fitted to the kernel of statistics x [N, D]."""
    return SupportVectors(
        x[torch.from_numpy(machine.support_).long()].double(),
        _double(machine.dual_coef_),
        _double(machine.intercept_),
        torch.from_numpy(machine.n_support_).long(),
        gamma,
        torch.from_numpy(machine.classes_),
    )


def _linear_scores(estimator: Any) -> LinearScores:
    """A fitted linear estimator of scikit-learn as tensors."""
    classes = torch.from_numpy(estimator.classes_)
    return LinearScores(_double(estimator.coef_), _double(estimator.intercept_), classes)


def _double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).contiguous()


def _of_both(second: Tensor) -> Tensor:
    """The score of the second of two classes [N], as scores of both [N, 2]."""
    return torch.stack([-second, second], 1)


def by_blocks(shares: Callable[[Tensor], Tensor], dataset: Dataset) -> tuple[Tensor, Tensor]:
    """What a classifier of flat statistics makes of utterances, a bounded number at a time.

    Args:
        shares: Turns flat statistics [n, F] into shares or logits [n, K].
        dataset: The N utterances.

    Returns:
        Shares [N, K], and the statistics themselves, see :func:`cleser.features.projection.projected`.
    """
    found, statistics = [], []
    for block in dataset.summary_blocks():
        x = block.flatten(1)
        found.append(shares(x))
        statistics.append(projected(x))
    return torch.cat(found), torch.cat(statistics)
