r"""Detects whether each sentence of a corpus belongs to one emotion, so that a sentence's mean contains the emotion.

If every sentence is said in several emotions, subtracting the mean of a sentence from its utterances
(:mod:`cleser.features.sentences`) removes what is said and leaves how it is said. In some corpora, such as
eNTERFACE'05, each sentence belongs to one emotion, and the emotion would be removed. For the source, the labels show
this. For the target, a classifier of the source shows it: the difference of class means

.. math:: W_k = \sum_i w_i \, (y_{ik} - 1/K) \, x_i \qquad (1)

over the source's utterances, which are standardised by speaker and from which each sentence's mean is subtracted. Its
scores on the target vary between sentences and within sentences. Let ρ be the share between sentences, the intraclass
correlation. If each sentence belonged to one emotion, the scores would vary between sentences as much as between
emotions; this value, :math:`\rho_1`, is computed on held-out speakers of the source. If

.. math:: \rho > \rho_1 / 2 \qquad (2)

the sentences' means are not subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.corpora.protocol.hashes import hash_of_sentences
from cleser.experiments.one_sided import intraclass
from cleser.features.sentences import knows_texts, sentences_of
from cleser.features.stored import BLOCK
from cleser.speech.backbones import Backbone
from cleser.training.dataset import Dataset
from cleser.training.sources import ContentRemovedSource


class SentenceCheck(NamedTuple):
    """The classifier and the intraclass correlation of the source, to compare that of a target with.

    Attributes:
        weights: W [F, K], Eq. 1.
        single: ρ₁.
    """

    weights: Tensor
    single: float

    def one_emotion_each(self, dataset: Dataset, sentences: pd.Series[str]) -> bool:
        """Eq. 2 of some utterances, whose emotions are not looked at.

        Args:
            dataset: The utterances, standardised.
            sentences: What they say; NA counts for nothing.
        """
        known = sentences.notna().to_numpy()
        scores = torch.cat([x @ self.weights for _, x in _blocks(dataset)]).numpy()
        found = intraclass(scores[known], sentences.to_numpy(object)[known])
        return bool(found > self.single / 2)  # NaN, where no sentence is repeated, is not greater

    def tensors(self) -> dict[str, Tensor]:
        """All that has to be kept of it, as tensors by name."""
        single = torch.tensor(self.single, dtype=torch.float64)
        return {"weights": self.weights.contiguous(), "single": single}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor]) -> SentenceCheck:
        """Restore it from what :meth:`tensors` gave."""
        return cls(tensors["weights"], float(tensors["single"]))


def said_in(dataset: Dataset, backbone: Backbone) -> pd.Series[str]:
    """The sentences of a dataset's utterances, by their texts or their sound."""
    rows, layer = dataset.manifest, backbone.content_layer
    if layer is None or knows_texts(rows).all():
        return sentences_of(rows)

    def content(places: np.ndarray) -> np.ndarray:
        blocks = torch.from_numpy(places).split(BLOCK)
        # Copies, since a view would hold all layers of its block.
        return torch.cat(
            [_state(dataset, at, layer, backbone.dim).clone() for at in blocks]
        ).numpy()

    return sentences_of(rows, content)


def _state(dataset: Dataset, at: Tensor, layer: int, dim: int) -> Tensor:
    """The mean over time of a layer, [n, D], of the utterances at some positions."""
    return dataset.batch(at, tokens=False).summaries[:, layer, :dim].float().cpu()


def remove_target_content(
    dataset: Dataset, check: SentenceCheck, backbone: Backbone
) -> tuple[Dataset, str]:
    """Subtract the sentences' means from a target's utterances, whose labels are not looked at, unless Eq. 2 holds.

    Returns:
        The dataset, and a sentence that says what was found.
    """
    said = said_in(dataset, backbone)
    # Nothing is taken off, but an oracle joins it to the source, whose features are of this kind.
    untouched = dataset.without_sentences(said.mask(said.notna()))
    repeated = int((said.value_counts() > 1).sum())
    if not repeated:
        return untouched, "lexical content: no sentences are repeated in the target"
    how = f"their {_known_by(dataset.manifest)}"
    if check.one_emotion_each(dataset, said):
        return untouched, (
            f"lexical content: {repeated} sentences of the target, known by {how}, look as if each showed one emotion; "
            "they are left as they are"
        )
    return dataset.without_sentences(said), (
        f"lexical content: the mean of each of {repeated} repeated sentences of the target, by {how}, is taken off"
    )


def sentences_taken_off(dataset: Dataset, heard: pd.DataFrame) -> str:
    """How the sentences are known whose means were taken off a target, for :class:`cleser.corpora.protocol.Uses`.

    Args:
        dataset: The target's utterances as :func:`remove_target_content` gave them.
        heard: All utterances of the target, also those that this backbone cannot use.
    """
    source = dataset.source
    if not isinstance(source, ContentRemovedSource) or bool((source.sentence < 0).all()):
        return "none"
    by, said = _known_by(heard), sentences_of(heard)
    if by == "sound":
        return by
    count = f"{said.notna().sum()} of {len(heard)} utterances"
    return f"{by} of {count}, {hash_of_sentences(heard, said)[:8]}"


def _known_by(rows: pd.DataFrame) -> str:
    """Whether sentences are known by texts, by sound, or in some corpora by the one and in some by the other."""
    by_texts = knows_texts(rows)
    return "texts" if by_texts.all() else "sound, and texts" if by_texts.any() else "sound"


def fit_sentence_check(dataset: Dataset, bare: Dataset, classes: int) -> SentenceCheck:
    """Fit Eq. 1 to the source, and compute ρ₁: how much its scores vary between emotions.

    Args:
        dataset: The source, standardised.
        bare: The same with the sentences' means subtracted.
        classes: Number K of emotions.
    """
    rows, emotions = dataset.manifest, dataset.labels["emotion"]
    half = np.zeros(len(rows), dtype=np.int64)
    speakers = rows["speaker"].fillna(rows["utterance"])
    for _, of_corpus in rows.groupby("corpus").indices.items():
        half[of_corpus] = pd.factorize(speakers.iloc[of_corpus], sort=True)[0] % 2
    held = torch.from_numpy(half)
    y = torch.nn.functional.one_hot(emotions.clamp_min(0), classes).double() - 1 / classes
    y *= ((emotions >= 0) * dataset.weight)[:, None]
    # Of each half of the speakers, what it adds to Eq. 1; the weights that the other half is scored by.
    parts = torch.zeros(2, int(np.prod(dataset.shape)), classes, dtype=torch.float64)
    for at, x in _blocks(bare):
        for part in (0, 1):
            of = held[at] == part
            parts[part] += x[of].T @ y[at][of]
    scores = torch.zeros(len(rows), classes, dtype=torch.float64)
    for at, x in _blocks(dataset):
        for part in (0, 1):
            of = held[at] == part
            scores[at[of]] = x[of] @ parts[1 - part]
    known = (emotions >= 0).numpy()
    found = []
    for _, of_corpus in rows.groupby("corpus").indices.items():
        kept = of_corpus[known[of_corpus]]
        found.append(intraclass(scores.numpy()[kept], emotions.numpy()[kept].astype(str)))
    single = float(np.nanmean(found)) if not np.isnan(found).all() else 0.0
    return SentenceCheck(parts.sum(0), single)


def sentences_of_one_emotion(
    rows: pd.DataFrame, sentences: pd.Series[str], *, least: int = 4
) -> list[str]:
    """Sentences of labelled utterances, several of them, whose emotions are all the same."""
    known = rows["emotion"].notna() & sentences.notna()
    each = rows["emotion"][known].groupby(sentences[known]).agg(["size", "nunique"])
    return sorted(each.index[(each["size"] >= least) & (each["nunique"] == 1)])


def _blocks(dataset: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
    """Positions and flat summaries [n, F] of a bounded number of utterances at a time, in double precision."""
    for at in torch.arange(len(dataset)).split(BLOCK):
        yield at, dataset.batch(at, tokens=False).summaries.flatten(1).double().cpu()
