"""The study behind layer anchoring, on recordings: in which layers of a backbone languages are similar.

S. G. Upadhyay, C. Busso, C.-C. Lee, *A Layer-Anchoring Strategy for Enhancing Cross-Lingual Speech Emotion
Recognition*, arXiv 2407.04966, 2024.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import torch

from cleser.anchors.layers.similarity import LayerSimilarity, Measure, Policy, select_layers
from cleser.features.pooled import Record
from cleser.features.stored import StoredFeatures, store_features
from cleser.files import write_bytes
from cleser.phonetics import is_vowel
from cleser.studies.figures import save_figure
from cleser.studies.layer_maps import plot_languages, plot_layers

if TYPE_CHECKING:
    from cleser.alignment import Alignment
    from cleser.speech.backbones import Backbone


@dataclass
class LayerStudy:
    """What a study found.

    Attributes:
        languages: Similarity of languages: see `LayerSimilarity.compute`.
        layers: Similarity of layers: see `LayerSimilarity.layer_pairs`.
        selected: Units → policy → measure → the backbone's layers to anchor; chosen without emotions.
        settings: What was studied.
        left_out: Recordings that could not be used.
    """

    languages: pd.DataFrame
    layers: pd.DataFrame
    selected: dict[str, dict[str, dict[str, list[int]]]]
    settings: dict[str, Any]
    left_out: list[dict[str, str]]

    def write(self, folder: Path) -> None:
        """Write ``languages.csv``, ``layers.csv``, ``study.json``, and the heat maps as SVG and PNG."""
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / "languages.csv", self.languages.to_csv(index=False).encode())
        write_bytes(folder / "layers.csv", self.layers.to_csv(index=False).encode())
        found = {**self.settings, "selected": self.selected, "left_out": self.left_out}
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        write_bytes(folder / "study.json", text.encode())
        save_figure(plot_languages(self.languages), folder / "languages")
        save_figure(plot_layers(self.layers), folder / "layers")


def study_layers(
    manifest: pd.DataFrame,
    backbone: Backbone,
    *,
    alignments: Sequence[Alignment | None] | None = None,
    between: Literal["language", "corpus"] = "language",
    emotions: bool = False,
    scaled: bool = True,
    size: int = 3,
    cache: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> LayerStudy:
    """Compare languages in every layer, by the features that recipes learn from; those not kept yet are extracted.

    Args:
        manifest: Utterances of two or more languages.
        backbone: Backbone whose layers are compared.
        alignments: When phones sound, one for each row: compares vowels too.
        between: What is compared: languages or corpora.
        emotions: Compare within each emotion too, by the manifest's labels: all of them, hence never a way to choose
            layers for one of these corpora as a target.
        scaled: Divide each channel by its standard deviation over all utterances, or all vowels. In pretrained
            encoders a few channels are many times as large as the others and would decide alone, and CORAL would
            prefer layers of small values.
        size: Layers of a group; all where there are fewer.
        cache: Folder of the features; by default :func:`cleser.files.cache_folder`. A study that was stopped goes on.
        advance: Called with the number of utterances finished, for progress.

    Raises:
        ValueError: The manifest has one language only, or no recording of one could be used.
    """
    sides = sorted(manifest[between].dropna().unique())
    if len(sides) < 2:
        raise ValueError(f"the corpora have one {between} ({sides}), expected two or more")
    kinds = sorted(manifest["emotion"].dropna().unique())
    record = Record("none") if alignments is None else Record()
    found = store_features(
        manifest, backbone, alignments=alignments, record=record, cache=cache, advance=advance
    )
    _refuse_missing(manifest[between], found)
    labels = {"language": _codes(manifest[between], sides)}
    if emotions:
        labels["emotion"] = _codes(manifest["emotion"], kinds)
    similarity = LayerSimilarity(
        backbone.n_layers, backbone.dim, names={"language": sides, "emotion": kinds}
    )
    vowels = alignments is not None
    scales = _scales(found, backbone.dim, vowels) if scaled else {}
    for units, values, rows in _items(found, backbone.dim, vowels):
        of_rows = {name: codes[rows] for name, codes in labels.items()}
        similarity.update(values / scales.get(units, 1.0), of_rows, units=units, items_first=True)
    numbers = list(found.store.settings.layers)
    table = similarity.compute()
    settings = {
        "backbone": backbone.name, "between": between, "sides": sides, "layers": numbers,
        "utterances": len(manifest), "emotions": kinds if emotions else [], "group_size": size, "scaled": scaled,
    }  # fmt: skip
    return LayerStudy(
        _numbered(table, numbers), _numbered(similarity.layer_pairs(), numbers),
        _selected(table, numbers, size), settings, _left_out(manifest, found, alignments),
    )  # fmt: skip


def _codes(values: pd.Series[str], names: list[str]) -> torch.Tensor:
    """Each row's position among the names, −1 where it is missing."""
    codes = np.array(pd.Categorical(values, categories=names).codes, dtype=np.int64)
    return torch.from_numpy(codes)


def _items(
    found: StoredFeatures, dim: int, vowels: bool
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Means over utterances and over vowels, some at a time: what they are, [N, L, D], the manifest's row of each."""
    for features, at in found.blocks(tokens=vowels):
        rows = torch.tensor(found.rows)[at]
        yield "utterance", features.summaries[..., :dim], rows
        if vowels:
            # Where no alignment says the phones, tokens have no symbol.
            kept = torch.tensor([bool(phone) and is_vowel(phone) for phone in features.phones])
            rows = rows.repeat_interleave(features.offsets.diff())[kept]
            yield "vowel", features.tokens[kept, :, :dim], rows


def _scales(found: StoredFeatures, dim: int, vowels: bool) -> dict[str, torch.Tensor]:
    """Standard deviation of each channel over all utterances and over all vowels, [L, D]; 1 where it is zero."""
    sums: dict[str, torch.Tensor] = {}
    for units, values, _ in _items(found, dim, vowels):
        x = values.double()
        powers = torch.stack([torch.ones_like(x), x, x.square()]).sum(1)
        sums[units] = sums.get(units, 0) + powers
    scales = {}
    for units, (count, first, second) in sums.items():
        spread = (second / count - (first / count).square()).clamp_min(0).sqrt()
        scales[units] = torch.where(spread > 0, spread, 1.0).float()
    return scales


def _refuse_missing(sides: pd.Series[str], found: StoredFeatures) -> None:
    counts = sides.iloc[found.rows].value_counts()
    for side in sorted(sides.dropna().unique()):
        if counts.get(side, 0) < 2:
            why = "; ".join(f"{row['path']}: {row['reason']}" for row in found.left_out[:3])
            raise ValueError(f"{side!r} has no two utterances that could be used; {why}")


def _left_out(
    manifest: pd.DataFrame,
    found: StoredFeatures,
    alignments: Sequence[Alignment | None] | None,
) -> list[dict[str, str]]:
    """Recordings that could not be used, and those whose vowels are not known."""
    left_out = [{"units": "utterance", **row} for row in found.left_out]
    if alignments is not None:
        paths = manifest["path"].tolist()
        left_out += [
            {"units": "vowel", "path": paths[i], "reason": "has no alignment of its phones"}
            for i in found.rows
            if (known := alignments[i]) is None or known.uniform
        ]
    return left_out


def _numbered(table: pd.DataFrame, numbers: list[int]) -> pd.DataFrame:
    """The table with the backbone's own numbers of layers."""
    columns = [c for c in ("layer", "other") if c in table]
    return table.assign(**{c: [numbers[i] for i in table[c]] for c in columns})


def _selected(
    table: pd.DataFrame, numbers: list[int], size: int
) -> dict[str, dict[str, dict[str, list[int]]]]:
    size = min(size, len(numbers))
    selected: dict[str, dict[str, dict[str, list[int]]]] = {}
    for units in table["units"].unique():
        rows = table[(table["units"] == units) & (table["emotion"] == "all")]
        measures = [m for m in get_args(Measure) if rows[m].notna().any()]
        selected[units] = {policy: {} for policy in get_args(Policy)}
        for policy, measure in itertools.product(get_args(Policy), measures):
            found = select_layers(table, policy, units, measure=measure, size=size)
            selected[units][policy][measure] = [numbers[i] for i in found]
    return selected
