r"""Detects whether the speakers of a corpus show one emotion each, so that speakers differ by emotion.

Normalisation by speaker removes from the features the voice and the microphone of a speaker, and everything else that
distinguishes the speaker's utterances from those of others. In most corpora there is nothing else. But in some, such as
URDU, most speakers recorded one emotion only, and the emotion is removed. Labels of the target may not be used to
detect this, but labels of the source help.

A linear classifier is fitted to the source, standardised by speaker. Its scores on the target, standardised by corpus,
vary between speakers and within speakers. The share of the variance between speakers is the intraclass correlation of
the scores (P. E. Shrout, J. L. Fleiss, *Intraclass Correlations: Uses in Assessing Rater Reliability*, 1979, one-way):

.. math:: \rho = \frac{\sum_k \sigma^2_{k,\text{between}}}
                     {\sum_k \sigma^2_{k,\text{between}} + \sigma^2_{k,\text{within}}} \qquad (1)

It is small if every speaker shows several emotions, and large if speakers differ by emotion. The source gives both
values: :math:`\rho_0` is that of its own held-out speakers, and :math:`\rho_1` that of the same utterances if each
speaker is split into several speakers with one emotion each. If the target has

.. math:: \sqrt\rho > \frac{\sqrt{\rho_0} + \sqrt{\rho_1}}{2} \qquad (2)

its speakers are taken to show one emotion each; the root of a share of variance is a correlation. The same holds if
half of the speakers or more have two utterances or fewer, which are too few to decide, or for statistics of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.alignment import Alignment
from cleser.corpora.protocol import Normalisation, Protocol
from cleser.corpora.protocol.normalisations import describe_normalisation
from cleser.features.normalisation import StandardisedSummaries
from cleser.features.pooled import Record
from cleser.speech.backbones import Backbone
from cleser.training.dataset import balance
from cleser.training.from_manifest import summaries_of

_RIDGE = 1.0  # times the mean variance of a channel
_FEW = 2  # utterances of a speaker, whose own statistics would then count no more than those of the corpus
_CLOSE = 0.75  # of the threshold, from which on a user is told what to do if he knows better


class OneSidedness(NamedTuple):
    """Intraclass correlations of the source, to compare those of a target with.

    Attributes:
        weights: Weights of the linear classifier [C, K].
        several: Intraclass correlation of the source's own speakers, ρ₀.
        single: The statistic of the same utterances with each speaker split into several with one emotion each, ρ₁.
    """

    weights: Tensor
    several: float
    single: float

    @property
    def threshold(self) -> float:
        """Eq. 2; NaN where the source has no speaker with several utterances of an emotion."""
        return float(np.mean(np.sqrt([self.several, self.single])) ** 2)

    def correlation(self, summaries: Iterable[Tensor], rows: pd.DataFrame) -> float:
        """Eq. 1 of some utterances, whose emotions are not looked at.

        Args:
            summaries: Utterance statistics, not standardised, in blocks [n, L, C] that can be gone over twice.
            rows: Their manifest; each corpus is standardised by itself. Utterances without a speaker count for nothing.

        Returns:
            The correlation; NaN where there are not two speakers, one of them with several utterances.
        """
        scores = torch.cat([x @ self.weights for x in _Flat(summaries, rows["corpus"])])
        known = rows["speaker"].notna().to_numpy()
        return intraclass(scores.numpy()[known], rows["speaker"].to_numpy(object)[known])

    def tensors(self) -> dict[str, Tensor]:
        """All that has to be kept of it, as tensors by name."""
        bounds = torch.tensor([self.several, self.single], dtype=torch.float64)
        return {"weights": self.weights.contiguous(), "bounds": bounds}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor]) -> OneSidedness:
        """Restore it from what :meth:`tensors` gave."""
        return cls(tensors["weights"], *tensors["bounds"].tolist())


def fit_one_sidedness(
    summaries: Iterable[Tensor], rows: pd.DataFrame, classes: Sequence[str]
) -> OneSidedness:
    """Fit the classifier to the source, and compute ρ₀ and ρ₁.

    Args:
        summaries: Utterance statistics of the source, not standardised, in blocks [n, L, C] that can be iterated
            several times.
        rows: Their manifest, with emotions.
        classes: The K emotions.
    """
    speakers = rows["speaker"].fillna(rows["corpus"])
    codes = torch.from_numpy(pd.Index(classes).get_indexer(pd.Index(rows["emotion"])))
    weight = balance(rows).double() / len(rows)
    half = torch.from_numpy(
        speakers.groupby(rows["corpus"])
        .transform(lambda names: pd.factorize(names, sort=True)[0] % 2)
        .to_numpy(np.int64, copy=True)
    )
    nothing = torch.zeros((), dtype=torch.float64)
    halves = 2 * [_Products(nothing, nothing, nothing)]
    for x, at in _Flat(summaries, speakers).with_positions():
        for part in (0, 1):
            chosen = half[at] == part
            block = x[chosen], codes[at][chosen], weight[at][chosen]
            halves[part] = halves[part].and_of(_Products.of(*block, len(classes)))
    by_half = [products.ridge() for products in halves]
    scores = torch.zeros(len(rows), len(classes), dtype=torch.float64)
    for x, at in _Flat(summaries, rows["corpus"]).with_positions():
        for part in (0, 1):
            out = half[at] == part
            scores[at[out]] = x[out] @ by_half[1 - part]
    several, single = [], []
    single_names = speakers.str.cat(rows["emotion"], sep="\n")
    for places in rows.groupby("corpus").indices.values():
        several.append(intraclass(scores.numpy()[places], speakers.to_numpy(object)[places]))
        single.append(intraclass(scores.numpy()[places], single_names.to_numpy(object)[places]))
    return OneSidedness(halves[0].and_of(halves[1]).ridge(), _mean(several), _mean(single))


def speakers_of_one_emotion(rows: pd.DataFrame) -> list[str]:
    """Labelled speakers of several utterances whose emotions are all the same."""
    known = rows[rows["emotion"].notna() & rows["speaker"].notna()]
    each = known.groupby("speaker")["emotion"].agg(["size", "nunique"])
    return sorted(each.index[(each["size"] > 1) & (each["nunique"] == 1)])


def choose_normalisation(
    protocol: Protocol,
    source: OneSidedness | None,
    target: pd.DataFrame,
    backbone: Backbone,
    phones: Sequence[Alignment | None],
    record: Record | None = None,
) -> tuple[Protocol, str]:
    """Decide ``normalisation="auto"``: by corpus where Eq. 2 holds, else by speaker, shrunk.

    Args:
        protocol: The terms; a protocol with another normalisation is returned unchanged.
        source: The correlations of the source; None if no statistics of the target may be used, which is then
            standardised by the source.
        target: Manifest of the utterances to recognise; their emotions are not used.
        backbone: Turns recordings into frames.
        phones: The target's alignments.
        record: What the store keeps of an utterance.

    Returns:
        The terms, and a sentence that says what was found; it is empty if there was nothing to decide.
    """
    if protocol.normalisation != "auto":
        return protocol, ""
    if protocol.target_access == "nothing" or source is None:
        return protocol.normalised(
            "corpus"
        ), "normalisation: by corpus, the target by the source's statistics"
    summaries, rows = summaries_of(target, backbone, phones, title="target", record=record)
    each = rows["speaker"].value_counts()
    found = source.correlation(summaries, rows)
    too_few = each.median() <= _FEW or len(each) < 2
    if np.isnan(source.threshold) and not too_few:
        return protocol.normalised("shrunk"), (
            f"normalisation: {describe_normalisation('shrunk')}; the source's speakers have too few utterances to say "
            "whether those of the target show one emotion each"
        )
    if too_few or np.isnan(found):
        return protocol.normalised("corpus"), f"normalisation: by corpus; {_too_few(each)}"
    by: Normalisation = "corpus" if found > source.threshold else "shrunk"
    close = _CLOSE * source.threshold < found < source.threshold / _CLOSE
    advice = "; that is close: if each speaker shows several emotions, give --normalisation shrunk, else corpus"
    return protocol.normalised(by), (
        f"normalisation: {describe_normalisation(by)}; {100 * found:.1f} % of the variance of a source classifier's "
        f"scores lies between the target's speakers; more than {100 * source.threshold:.1f} % would mean one emotion "
        f"each{advice if close else ''}"
    )


def _too_few(each: pd.Series[int]) -> str:
    """Why the speakers of a target tell nothing, by their numbers of utterances."""
    if each.empty:
        return "no speakers of the target are known"
    if len(each) == 1:
        return "of the target one speaker is known, to whom nobody can be compared"
    return f"half of the target's {len(each)} speakers have {each.median():.0f} utterances or fewer"


class _Flat:
    """Summaries standardised within groups, and the mean over layers: [n, C] each, double."""

    def __init__(self, summaries: Iterable[Tensor], groups: pd.Series[str]) -> None:
        self._standardised = StandardisedSummaries(summaries, groups)

    def __iter__(self) -> Iterator[Tensor]:
        for block in self._standardised:
            yield block.mean(1).double()

    def with_positions(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each block, and at which rows its utterances stand."""
        first = 0
        for x in self:
            yield x, torch.arange(first, first + len(x))
            first += len(x)


class _Products(NamedTuple):
    """What a linear regression on the classes, centred, needs of some utterances."""

    total: Tensor
    gram: Tensor
    by_class: Tensor

    @classmethod
    def of(cls, x: Tensor, codes: Tensor, weight: Tensor, classes: int) -> _Products:
        """The products of utterances [n, C] with their classes and weights [n]."""
        y = torch.nn.functional.one_hot(codes, classes).double() - 1 / classes
        weighted = x * weight[:, None]
        return cls(weight.sum(), weighted.T @ x, weighted.T @ y)

    def and_of(self, others: _Products) -> _Products:
        """The products of these utterances and others together."""
        return _Products(*(a + b for a, b in zip(self, others, strict=True)))

    def ridge(self) -> Tensor:
        """Weights [C, K] of the regression; zero where there is nothing to learn from."""
        # Nobody, or speakers of one utterance each, of whom nothing is left without their own mean.
        if not self.gram.any():
            return torch.zeros_like(self.by_class)
        gram = self.gram / self.total
        penalty = _RIDGE * gram.trace() / len(gram) * torch.eye(len(gram), dtype=torch.float64)
        solved: Tensor = torch.linalg.solve(gram + penalty, self.by_class / self.total)
        return solved


def _mean(values: list[float]) -> float:
    """Mean of the values that are defined; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def intraclass(scores: np.ndarray, speakers: np.ndarray) -> float:
    """Eq. 1 of scores [N, K], from the mean squares between and within speakers; NaN where it is not defined."""
    _, code = np.unique(speakers.astype(str), return_inverse=True)
    count = np.bincount(code)
    groups, total = len(count), len(code)
    if groups < 2 or total == groups:
        return float("nan")
    mean = np.stack([np.bincount(code, s) for s in scores.T], 1) / count[:, None]
    within = np.square(scores - mean[code]).sum() / (total - groups)
    between = (count[:, None] * np.square(mean - scores.mean(0))).sum() / (groups - 1)
    size = (total - np.square(count).sum() / total) / (groups - 1)
    excess = max(between - within, 0.0) / size
    spread = excess + within
    return float(excess / spread) if spread > 0 else float("nan")
