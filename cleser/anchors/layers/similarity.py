r"""Which layers of a speech model describe two languages alike: the study behind layer anchoring.

S. G. Upadhyay, C. Busso, C.-C. Lee, *A Layer-Anchoring Strategy for Enhancing Cross-Lingual Speech Emotion
Recognition*, arXiv 2407.04966, 2024, chooses anchor layers by the similarity of their features across languages. Its
measure is not public; here are three.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from cleser.anchors.layers.moments import LayerMoments
from cleser.anchors.layers.pairs import LayerPairs
from cleser.relations import Labels, integers

if TYPE_CHECKING:
    import pandas as pd

Policy = Literal["last", "single", "group"]
Measure = Literal["cka_debiased", "cka", "coral", "coral_debiased", "cosine"]
ALL = "all"
"""In a table, the row of all emotions, known or not."""


class LayerSimilarity:
    r"""Similarity of languages in every layer, and of all layers in every language, from one pass over the items.

    Between two languages, for each layer, within each emotion and over all (`compute`), with :math:`\mu` the means and
    C the covariances (divided by n − 1) of the layer's items:

    .. math::

        \mathrm{CKA}(S, T) = \frac{\langle C_S, C_T \rangle_F}{\lVert C_S \rVert_F \lVert C_T \rVert_F}, \qquad
        \mathrm{CORAL}(S, T) = \frac{1}{4 D^2} \lVert C_S - C_T \rVert_F^2, \qquad
        \cos(S, T) = \frac{\mu_S^\top \mu_T}{\lVert \mu_S \rVert \lVert \mu_T \rVert}

    CKA between items needs the same items on both sides, which two languages do not have. This is the CKA of their
    *feature* kernels :math:`X^\top X`, which share the model's dimensions: 1 where both vary along the same
    directions in the same proportion, whatever their number and scale.

    A sample covariance's norm is too large, and CKA therefore too small and CORAL too large, the more so the fewer
    items there are: with as many items as dimensions, two halves of one and the same language look dissimilar. In the
    *debiased* columns :math:`\lVert C \rVert_F^2` is replaced by an unbiased estimate of the true covariance's (the
    HSIC of Song et al., 2012); :math:`\langle C_S, C_T \rangle` has no bias. They may leave [0, 1] by chance, and are
    missing where an estimate is not positive.

    Between two layers of one language (`layer_pairs`) the items are the same, and CKA is Kornblith's.

    Memory: L·D² numbers for each language, and for each of its emotions where they are given. Labels are taken as they
    come: to keep a target's labels out, give −1 or pseudo-labels.

    Args:
        n_layers: Number of layers L.
        dim: Channels D of a layer.
        names: What the values of labels are called in the tables, e.g. ``{"language": ["en", "de"]}``; else their
            numbers.
        chunk: Items of which layer pairs are compared at a time (see `cleser.anchors.layers.pairs.LayerPairs`); 0
            leaves layer pairs out.
        dtype: Type of the sums; float32 halves their memory.

    >>> similarity = LayerSimilarity(n_layers=2, dim=3, names={"language": ["en", "de"]})
    >>> x = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0))
    >>> similarity.update(x, {"language": torch.arange(40) % 2})
    >>> similarity.compute()[["source", "target", "layer", "emotion", "n_source"]]
      source target  layer emotion  n_source
    0     en     de      0     all        20
    1     en     de      1     all        20
    """

    def __init__(
        self,
        n_layers: int,
        dim: int,
        *,
        names: Mapping[str, Sequence[str]] | None = None,
        chunk: int = 256,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.n_layers, self.dim, self.chunk, self.dtype = n_layers, dim, chunk, dtype
        self.names = dict(names or {})
        self._origin: dict[str, Tensor] = {}
        # By (units, language, emotion): moments of each emotion apart, −1 the unknown; pairs also of all, under None.
        self._moments: dict[tuple[str, int, int], LayerMoments] = {}
        self._pairs: dict[tuple[str, int, int | None], LayerPairs] = {}

    @torch.no_grad()
    def update(
        self, layers: Tensor, labels: Labels, *, units: str = "utterance", items_first: bool = False
    ) -> None:
        """Add items.

        Args:
            layers: [L, N, D], or [N, L, D] with ``items_first``, as a store gives them.
            labels: ``"language"`` and, if wanted, ``"emotion"`` → integers [N]; −1 is unknown. Items of unknown
                language are left out.
            units: What an item is, ``"utterance"`` or ``"vowel"`` or any other word: each is a study of its own.
            items_first: Whether N comes before L.

        Raises:
            ValueError: Shapes do not fit, a value is not finite, or labels are missing.
        """
        layers = layers.transpose(0, 1) if items_first else layers
        self._check(layers)
        names = ("language", "emotion") if "emotion" in labels else ("language",)
        found = {
            n: torch.as_tensor(v).to(layers.device, torch.int64)
            for n, v in integers(names, labels, "labels").items()
        }
        if len(found["language"]) != layers.shape[1]:
            raise ValueError(f"labels are {len(found['language'])}, layers {layers.shape[1]} items")
        emotion = found.get("emotion", torch.full_like(found["language"], -1)).clamp_min(-1)
        if layers.shape[1] and units not in self._origin:
            self._origin[units] = layers.to(self.dtype).mean(1)
        for language in found["language"].unique().tolist():
            if language < 0:
                continue
            inside = found["language"] == language
            self._compare_layers((units, language, None), layers[:, inside])
            for value in emotion[inside].unique().tolist():
                part = layers[:, inside & (emotion == value)]
                key = (units, language, value)
                if key not in self._moments:
                    self._moments[key] = LayerMoments(self._origin[units], self.dtype)
                self._moments[key].update(part)
                if value >= 0:
                    self._compare_layers(key, part)

    def _compare_layers(self, key: tuple[str, int, int | None], layers: Tensor) -> None:
        if self.chunk:
            self._pairs.setdefault(key, LayerPairs(self.chunk, self.dtype)).update(layers)

    def _check(self, layers: Tensor) -> None:
        shape = tuple(layers.shape)
        if len(shape) != 3 or shape[0] != self.n_layers or shape[2] != self.dim:
            raise ValueError(
                f"layers have shape {shape} (L, N, D), expected ({self.n_layers}, N, {self.dim})"
            )
        finite = layers.isfinite().all(-1).all(0)
        if not finite.all():
            raise ValueError(f"item {int((~finite).nonzero()[0])} of layers is not finite")

    def compute(self) -> pd.DataFrame:
        """The similarity of languages, a row for each unit, pair of languages, emotion and layer.

        Returns:
            Columns ``units, source, target, emotion, layer, n_source, n_target, cka, coral, cka_debiased,
            coral_debiased, cosine``. All are symmetric in source and target. Emotion ``"all"`` has all items; others
            are those that both languages have 2 items of at least.
        """
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame(list(self._rows()), columns=_COLUMNS)

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for units in self._origin:
            languages = sorted({key[1] for key in self._moments if key[0] == units})
            for source, target in itertools.combinations(languages, 2):
                names = (self._name("language", source), self._name("language", target))
                for emotion, sides in self._sides(units, source, target):
                    counts = tuple(side.count for side in sides)
                    values = torch.stack(list(_compared(*sides))).T.tolist()
                    for layer, row in enumerate(values):
                        yield units, *names, emotion, layer, *counts, *row

    def _sides(
        self, units: str, source: int, target: int
    ) -> Iterator[tuple[str, tuple[LayerMoments, LayerMoments]]]:
        """Moments of both languages for all emotions, then for each that both have."""
        whole = self._whole(units, source), self._whole(units, target)
        if min(side.count for side in whole) >= 2:
            yield ALL, whole
        for emotion in sorted({key[2] for key in self._moments if key[2] >= 0}):
            sides = [self._moments.get((units, side, emotion)) for side in (source, target)]
            first, second = sides
            if first and second and min(first.count, second.count) >= 2:
                yield self._name("emotion", emotion), (first, second)

    def _whole(self, units: str, language: int) -> LayerMoments:
        whole = LayerMoments(self._origin[units], self.dtype)
        for (other_units, other_language, _), moments in self._moments.items():
            if (other_units, other_language) == (units, language):
                whole.add(moments)
        return whole

    def layer_pairs(self) -> pd.DataFrame:
        """The similarity of layers, a row for each unit, language, emotion and pair of layers.

        Returns:
            Columns ``units, language, emotion, layer, other, n, cka, cka_debiased``.

        Raises:
            ValueError: ``chunk`` is 0.
        """
        import pandas as pd  # noqa: PLC0415

        if not self.chunk:
            raise ValueError("chunk is 0, expected a number of items to compare layers by")
        rows = []
        for (units, language, emotion), pairs in self._pairs.items():
            biased, debiased = pairs.cka(debiased=False).tolist(), pairs.cka().tolist()
            called = ALL if emotion is None else self._name("emotion", emotion)
            for i, j in itertools.product(range(self.n_layers), repeat=2):
                name = self._name("language", language)
                rows.append((units, name, called, i, j, pairs.count, biased[i][j], debiased[i][j]))
        columns = ["units", "language", "emotion", "layer", "other", "n", "cka", "cka_debiased"]
        return pd.DataFrame(rows, columns=columns)

    def _name(self, label: str, value: int) -> str:
        return str(self.names[label][value] if label in self.names else value)


_COLUMNS = [
    "units", "source", "target", "emotion", "layer", "n_source", "n_target",
    "cka", "coral", "cka_debiased", "coral_debiased", "cosine",
]  # fmt: skip


def _compared(source: LayerMoments, target: LayerMoments) -> Iterator[Tensor]:
    """CKA and CORAL, the two debiased, and the cosine of means, each [L]."""
    a, b = source.covariance(), target.covariance()
    scale = 4 * a.shape[-1] ** 2
    inner = (a * b).sum((-2, -1))
    for x, y in (
        (a.square().sum((-2, -1)), b.square().sum((-2, -1))),
        (source.unbiased_norm(), target.unbiased_norm()),
    ):
        positive = torch.where((x > 0) & (y > 0), x * y, torch.nan)
        yield inner / positive.sqrt()
        yield (x + y - 2 * inner) / scale
    yield torch.cosine_similarity(source.mean(), target.mean(), dim=-1)


def select_layers(
    similarity: pd.DataFrame,
    policy: Policy,
    units: str = "utterance",
    *,
    measure: Measure = "cka_debiased",
    size: int = 3,
    each_emotion: bool = False,
) -> list[int]:
    """Layers to anchor.

    ``"last"`` is the last layer; ``"single"`` (LAM-SL) the one in which the languages are most similar; ``"group"``
    (LAM-GL) the run of ``size`` neighbouring layers that are so on average. The paper does not say how groups are made:
    a run is our reading, for the similarity of neighbours differs by chance.

    Args:
        similarity: What `LayerSimilarity.compute` gives. With several pairs of languages their mean counts.
        policy: Which layers to take.
        units: Compared on what.
        measure: A column; CORAL is a distance, of which the smallest is best.
        size: Layers of a group.
        each_emotion: Use the mean over emotions instead of all items together. Then the labels that came with
            the target's items have a say: they must not be its true ones.

    Returns:
        Numbers of layers as the table's column ``layer`` has them, ascending. Where the table leaves layers out,
        neighbours are those next to each other in it.

    Raises:
        ValueError: The table has no such rows, or an argument is out of range.

    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"units": "utterance", "emotion": "all", "layer": range(5), "cka": [0.1, 0.9, 0.2, 0.7, 0.6]}
    ... )
    >>> [select_layers(table, policy, measure="cka", size=2) for policy in ("last", "single", "group")]
    [[4], [1], [3, 4]]
    """
    if policy not in get_args(Policy):
        raise ValueError(f"policy is {policy!r}, expected one of {get_args(Policy)}")
    if measure not in get_args(Measure):
        raise ValueError(f"measure is {measure!r}, expected one of {get_args(Measure)}")
    layers, scores = _scores(similarity, units, measure, each_emotion)
    size = {"last": 1, "single": 1, "group": size}[policy]
    if not 1 <= size <= len(scores):
        raise ValueError(f"size is {size}, expected 1 to {len(scores)} layers")
    if policy == "last":
        return layers[-1:]
    means = scores.unfold(0, size, 1).mean(-1)
    if means.isnan().all():
        raise ValueError(f"{measure} of {units}s is missing in all layers: there are too few items")
    best = int(means.nan_to_num(-torch.inf).argmax())
    return layers[best : best + size]


def _scores(
    similarity: pd.DataFrame, units: str, measure: Measure, each_emotion: bool
) -> tuple[list[int], Tensor]:
    """The layers' numbers, ascending, and how similar the languages are in each [L]."""
    known = similarity["emotion"] != ALL
    rows = similarity[(similarity["units"] == units) & (known if each_emotion else ~known)]
    if not len(rows):
        what = "single emotions" if each_emotion else "all emotions"
        there = sorted(set(similarity["units"]))
        raise ValueError(
            f"similarity has no rows of {what} with units {units!r}; there are {there}"
        )
    means = rows.groupby("layer")[measure].mean().sort_index()
    scores = torch.from_numpy(means.to_numpy(dtype="float64", copy=True))
    layers = [int(layer) for layer in means.index]
    return layers, -scores if measure.startswith("coral") else scores
