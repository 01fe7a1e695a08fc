"""``cleser layers``: measure how similar languages are in each layer of a backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from cleser.cli.console import console
from cleser.cli.pairs import parse_map

if TYPE_CHECKING:
    from cleser.studies.layers import LayerStudy


def layers(
    corpora: Positional[tuple[str, ...]],
    *,
    out: Path,
    backbone: str = "acoustic",
    alignments: Path | None = None,
    map: tuple[str, ...] = (),
    between: Literal["language", "corpus"] = "language",
    emotions: bool = False,
    scaled: bool = True,
    group: int = 3,
    device: str | None = None,
) -> None:
    """Compare languages in every layer: heat maps, tables, and the layers to anchor by each policy.

    Features that cleser extract has stored for the same backbone and alignments are not encoded again; an interrupted
    command continues when it is given again.

    Args:
        corpora: Two or more corpora, each as NAME:FOLDER.
        out: Folder for the results.
        backbone: acoustic, or a model of transformers as NAME_OR_PATH,layers=0+6+12,dtype=bfloat16.
        alignments: A folder with a TextGrid, CTM or JSON file for each utterance or recording, to compare vowels too.
            Not needed for the synthetic corpus.
        map: Emotions to rename, as calm=neutral.
        between: Whether languages or corpora are compared.
        emotions: Compare within each emotion too, by the true labels of all corpora. Layers are chosen without labels.
        scaled: Divide each channel by its standard deviation over all that is compared. Otherwise a few large
            channels of a pretrained encoder decide alone.
        group: Number of layers that the policy group anchors.
        device: Where the backbone runs; by default a GPU if there is one.
    """
    import torch

    from cleser.alignment import load_alignments
    from cleser.corpora.registry import load_all
    from cleser.progress import track
    from cleser.speech import load_backbone
    from cleser.studies.layers import study_layers

    if group < 1:
        raise ValueError(f"--group is {group}, expected 1 or more")
    manifest = load_all(corpora, parse_map(map))
    stated = "phones" in manifest and manifest["phones"].notna().all()
    phones = load_alignments(manifest, alignments) if alignments or stated else None
    if phones is not None and phones.problems:
        console.print(phones.summary(), highlight=False)
    model = load_backbone(backbone).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if group > model.n_layers:
        console.print(
            f"--group {group}: the backbone gives {model.n_layers} layers, which are the group",
            highlight=False,
        )
    with track("utterances", len(manifest)) as advance:
        study = study_layers(
            manifest, model, alignments=phones, between=between, emotions=emotions,
            scaled=scaled, size=group, advance=advance,
        )  # fmt: skip
    study.write(out)
    for problem in study.left_out:
        console.print(f"left out: {problem['path']}: {problem['reason']}", highlight=False)
    _show(study)
    console.print(f"{out}: languages.svg, layers.svg, languages.csv, layers.csv, study.json")


def _show(study: LayerStudy) -> None:
    from rich.table import Table

    shown = Table("units", "layers to anchor", "by debiased CKA", "by CORAL", "by cosine of means")
    for units, policies in study.selected.items():
        for policy, measures in policies.items():
            chosen = [measures.get(m) for m in ("cka_debiased", "coral", "cosine")]
            shown.add_row(units, policy, *(" ".join(map(str, c)) if c else "–" for c in chosen))
    console.print(shown)
