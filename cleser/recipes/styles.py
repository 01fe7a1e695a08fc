"""Speaker-style communities of a recipe: found in graphs over all languages, and assigned to new speakers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from cleser.graphs import (
    pseudo_speakers,
    recordings_of,
    speaker_styles,
    style_communities,
)
from cleser.models.batch import Batch
from cleser.training.dataset import Dataset

T = TypeVar("T", Batch, Dataset)
_COMBINATIONS = 64  # of communities, that source speakers have; the commonest


class KnownCommunities(nn.Module):
    """The communities of each emotion, represented by their mean styles.

    Communities keep their numbers from one search to the next: a new community gets the number of the old community
    whose style is most similar.

    A speaker has one community in every emotion. If the emotions of a new speaker are only predicted, each community
    alone is uncertain. The speaker therefore gets the communities of all emotions at once: the combination of the
    source speaker that fits best.

    Args:
        emotions: Number of emotions K.
        communities: Largest number C of communities of an emotion; if there are more, the largest communities are kept.
        dim: Numbers F that describe an utterance, see :func:`cleser.features.projection.described_by`.
        refine: Refine the communities that Leiden finds by a graph neural network.
        resolution: Resolution of the search; a larger value gives smaller communities.
    """

    styles: Tensor
    found: Tensor
    combinations: Tensor

    def __init__(
        self, emotions: int, communities: int, dim: int, *, refine: bool, resolution: float
    ) -> None:
        super().__init__()
        self.refine, self.resolution = refine, resolution
        self.register_buffer("styles", torch.zeros(emotions, communities, dim))
        self.register_buffer("found", torch.zeros(emotions, communities, dtype=torch.bool))
        self.register_buffer("combinations", torch.full((_COMBINATIONS, emotions), -1))

    @torch.no_grad()
    def search(self, datasets: list[Dataset], shares: list[Tensor]) -> list[Tensor]:
        """Find the communities of some datasets, one graph an emotion over all their languages.

        Args:
            datasets: Source and target, the source first: its speakers' combinations of communities are remembered.
            shares: Their emotions, as probabilities [N, K].

        Returns:
            For each dataset the community of every speaker in every emotion, by utterance: [N, K], −1 where there is
            none.
        """
        found = style_communities(
            **_described(datasets, shares), refine=self.refine, resolution=self.resolution
        )
        nodes = found.nodes
        number: dict[int, int] = {}
        settled = nodes[nodes["community"] >= 0]
        for emotion in sorted({int(e) for e in settled["emotion"]}):
            of = settled[settled["emotion"] == emotion]
            sizes = of["community"].value_counts(sort=True)
            kept = sorted(sizes.index[: self.styles.shape[1]])
            means = torch.tensor(
                np.stack([found.styles[nodes["community"] == c].mean(0) for c in kept])
            )
            places = self._places(emotion, means)
            number |= dict(zip(kept, places, strict=True))
            self.styles[emotion] = 0
            self.styles[emotion, places] = means.to(self.styles)
            self.found[emotion] = False
            self.found[emotion, places] = True
        chosen = np.array([number.get(c, -1) for c in nodes["community"]])
        by_dataset = self._by_utterance(nodes, chosen, datasets)
        common, counts = by_dataset[0].unique(dim=0, return_counts=True)
        common = common[counts.argsort(descending=True, stable=True)[:_COMBINATIONS]]
        self.combinations.fill_(-1)
        self.combinations[: len(common)] = common
        return by_dataset

    @torch.no_grad()
    def look_up(self, dataset: Dataset, shares: Tensor) -> Tensor:
        """The communities of some source speaker that each speaker of a dataset is most like, by utterance [N, K].

        Args:
            dataset: The utterances.
            shares: Their emotions, as probabilities [N, K].
        """
        unknown = torch.full(shares.shape, -1, dtype=torch.int64)
        combinations = self.combinations[(self.combinations >= 0).any(1)].cpu()
        # In a small corpus no speaker may have a community: then there is nobody to be like.
        if not self.found.any() or not len(combinations) or speakers_of(dataset).nunique() < 2:
            return unknown
        nodes, styles = speaker_styles(**_described([dataset], [shares]))
        if nodes.empty:  # nobody has said enough in any emotion
            return unknown
        emotions = torch.from_numpy(nodes["emotion"].to_numpy(np.int64, copy=True))
        own = torch.nn.functional.normalize(torch.tensor(styles), dim=-1)
        known = torch.nn.functional.normalize(self.styles.cpu(), dim=-1)[emotions]
        alike = torch.einsum("md,mcd->mc", own, known)
        of_node = combinations[:, emotions].T  # [nodes, combinations]
        suits = alike.gather(1, of_node.clamp_min(0)) * (of_node >= 0)
        speakers = torch.from_numpy(pd.factorize(nodes["speaker"])[0])
        total = torch.zeros(int(speakers.max()) + 1, len(combinations)).index_add(
            0, speakers, suits
        )
        best = total.argmax(1)[speakers]
        chosen = of_node.gather(1, best[:, None])[:, 0].masked_fill(own.norm(dim=-1) < 0.5, -1)
        return self._by_utterance(nodes, chosen.numpy(), [dataset])[0]

    def _places(self, emotion: int, means: Tensor) -> list[int]:
        """A free number for each new community: of all assignments the one most like the old styles."""
        old = torch.nn.functional.normalize(self.styles[emotion].cpu(), dim=-1)
        alike = torch.nn.functional.normalize(means, dim=-1) @ old.T
        return [int(c) for c in linear_sum_assignment(-alike.numpy())[1]]

    def _by_utterance(
        self, nodes: pd.DataFrame, chosen: Any, datasets: list[Dataset]
    ) -> list[Tensor]:
        emotions = range(self.styles.shape[0])
        long = pd.Series(chosen, index=pd.MultiIndex.from_frame(nodes[["speaker", "emotion"]]))
        table = long.unstack().reindex(columns=emotions).fillna(-1).astype(np.int64)
        tables = [table.reindex(speakers_of(d)).fillna(-1) for d in datasets]
        return [torch.from_numpy(t.to_numpy(np.int64, copy=True)) for t in tables]


def _described(datasets: list[Dataset], shares: list[Tensor]) -> dict[str, Any]:
    """Utterances of all datasets as style communities are asked for."""
    return {
        "embeddings": torch.cat([descriptions(d) for d in datasets]).numpy(),
        "speakers": pd.concat([speakers_of(d) for d in datasets]).to_numpy(object),
        "emotions": torch.cat([s.cpu() for s in shares]).double().numpy(),
        "languages": pd.concat([languages_of(d) for d in datasets]).to_numpy(object),
    }


def without_communities(items: T) -> T:
    """A batch or a dataset without what it knows of its speakers' communities."""
    return replace(items, labels={n: v for n, v in items.labels.items() if n != "communities"})


def descriptions(dataset: Dataset) -> Tensor:
    """What styles are compared on: summary statistics of every utterance, flat and projected, [N, F].

    They are of the backbone before it was trained: what a style is does not change while the network learns, and no
    recording has to be encoded for it.
    """
    return dataset.source.before_training().describe(dataset.at)


def languages_of(dataset: Dataset) -> pd.Series[str]:
    """The languages; utterances of which nobody knows it count as those of one further language."""
    return dataset.manifest["language"].fillna("unknown")


def speakers_of(dataset: Dataset) -> pd.Series[str]:
    """The speakers; where a corpus tells none, pseudo-speakers of one language each, by recording and sound."""
    speakers = dataset.manifest["speaker"]
    unknown = speakers.isna().to_numpy()
    if not unknown.any():
        return speakers
    recordings = np.array(recordings_of(dataset.manifest["path"][unknown]), dtype=object)
    sounds = descriptions(dataset).numpy()[unknown]
    # At the mean of their group utterances have no direction: such count as alike.
    sounds[~sounds.any(axis=1)] = 1
    found = pseudo_speakers(sounds, recordings=recordings)
    named = speakers.to_numpy(object, copy=True)
    corpora = dataset.manifest["corpus"].str.cat(languages_of(dataset), sep="/")[unknown]
    named[unknown] = [f"{c}/pseudo-{i}" for c, i in zip(corpora, found, strict=True)]
    return pd.Series(named, index=speakers.index, dtype="str")
