"""The study behind layer anchoring, on recordings: in which layers of a backbone do languages look alike?

S. G. Upadhyay, C. Busso, C.-C. Lee, *A Layer-Anchoring Strategy for Enhancing Cross-Lingual Speech Emotion
Recognition*, arXiv 2407.04966, 2024.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import torch

from cleser.anchors.layers.similarity import LayerSimilarity, Measure, Policy, select_layers
from cleser.features.extraction import Extraction, Pooling, extract_to_store
from cleser.files import write_bytes
from cleser.studies.layer_maps import plot_languages, plot_layers, save_figure

if TYPE_CHECKING:
    from cleser.alignment import Alignment
    from cleser.speech.backbones import Backbone

_BATCH = 256  # utterances


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
    folder: Path,
    *,
    alignments: Sequence[Alignment | None] | None = None,
    between: Literal["language", "corpus"] = "language",
    emotions: bool = False,
    size: int = 3,
    advance: Callable[[int], object] | None = None,
) -> LayerStudy:
    """Extract what is not there yet, and compare languages in every layer.

    Args:
        manifest: Utterances of two or more languages.
        backbone: Whose layers.
        folder: Keeps the pooled layers; a study that was stopped goes on.
        alignments: When phones sound, one for each row: compares vowels too.
        between: What is compared: languages or corpora.
        emotions: Compare within each emotion too, by the manifest's labels: all of them, hence never a way to choose
            layers for one of these corpora as a target.
        size: Layers of a group.
        advance: Called with the number of utterances finished, twice each where vowels are compared.

    Raises:
        ValueError: The manifest has one language only, or no recording of one could be used.
    """
    sides = sorted(manifest[between].dropna().unique())
    if len(sides) < 2:
        raise ValueError(f"the corpora have one {between} ({sides}), expected two or more")
    kinds = sorted(manifest["emotion"].dropna().unique())
    similarity = LayerSimilarity(
        backbone.n_layers, backbone.dim, names={"language": sides, "emotion": kinds}
    )
    labels = {"language": _codes(manifest[between], sides)}
    if emotions:
        labels["emotion"] = _codes(manifest["emotion"], kinds)
    left_out = []
    for units, over in (("utterance", "utterance"), ("vowel", "phone")):
        if units == "vowel" and alignments is None:
            continue
        extraction = extract_to_store(
            manifest, backbone, folder / over, pooling=Pooling(over),  # type: ignore[arg-type]
            alignments=alignments if over == "phone" else None, advance=advance,
        )  # fmt: skip
        if units == "utterance":
            _refuse_missing(manifest[between], extraction)
        left_out += [{"units": units, **row} for row in extraction.left_out]
        for values, rows in _items(extraction, units):
            of_rows = {name: codes[rows] for name, codes in labels.items()}
            similarity.update(values, of_rows, units=units, items_first=True)
    numbers = list(extraction.store.settings.layers)
    table = similarity.compute()
    settings = {
        "backbone": backbone.name, "between": between, "sides": sides, "layers": numbers,
        "utterances": len(manifest), "emotions": kinds if emotions else [], "group_size": size,
    }  # fmt: skip
    return LayerStudy(
        _numbered(table, numbers), _numbered(similarity.layer_pairs(), numbers),
        _selected(table, numbers, size), settings, left_out,
    )  # fmt: skip


def _codes(values: pd.Series[str], names: list[str]) -> torch.Tensor:
    """Each row's position among the names, −1 where it is missing."""
    codes = np.array(pd.Categorical(values, categories=names).codes, dtype=np.int64)
    return torch.from_numpy(codes)


def _items(extraction: Extraction, units: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Values [N, L, D] and the manifest's row of each, some utterances at a time."""
    from cleser.phonetics.articulation import is_vowel  # noqa: PLC0415

    known = [(row, key) for row, key in enumerate(extraction.keys) if key in extraction.store]
    for some in (known[at : at + _BATCH] for at in range(0, len(known), _BATCH)):
        keys = [str(key) for _, key in some]
        values, offsets = extraction.store.batch(keys, dtype=torch.float32)
        rows = torch.tensor([row for row, _ in some]).repeat_interleave(offsets.diff())
        if units == "vowel":
            phones = [phone for key in keys for phone in extraction.store.labels(key)]
            kept = torch.tensor([is_vowel(phone) for phone in phones], dtype=torch.bool)
            values, rows = values[kept], rows[kept]
        yield values, rows


def _refuse_missing(sides: pd.Series[str], extraction: Extraction) -> None:
    used = [key in extraction.store for key in extraction.keys]
    counts = sides[used].value_counts()
    for side in sorted(sides.dropna().unique()):
        if counts.get(side, 0) < 2:
            why = "; ".join(f"{row['path']}: {row['reason']}" for row in extraction.left_out[:3])
            raise ValueError(f"{side!r} has no two utterances that could be used; {why}")


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
        selected[units] = {
            policy: {
                measure: [
                    numbers[i]
                    for i in select_layers(table, policy, units, measure=measure, size=size)
                ]
                for measure in measures
            }
            for policy in get_args(Policy)
        }
    return selected
