"""``cleser phonemes``: phonemes that languages share, and whether emotion changes them alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from cleser.cli.communities import check_emotions
from cleser.cli.console import console
from cleser.cli.pairs import parse_map
from cleser.files import write_text

if TYPE_CHECKING:
    import pandas as pd

    from cleser.alignment import Alignment
    from cleser.studies.phonemes import PhonemeStudy


def phonemes(
    corpora: Positional[tuple[str, ...]],
    *,
    out: Path,
    alignments: tuple[Path, ...] = (),
    map: tuple[str, ...] = (),
    emotions: tuple[str, ...] = (),
    backbone: str = "acoustic",
    minimum: int = 10,
    permutations: int = 2000,
    seed: int = 0,
) -> None:
    """Compare the phonemes of languages: inventories, nearest counterparts, and how emotions change each phoneme.

    Args:
        corpora: Corpora of two languages or more, each as NAME:FOLDER.
        out: Folder for tables (CSV) and vowel charts.
        alignments: A folder for each corpus, as cleser align writes it, or one folder that holds those of all corpora.
            Not needed if the corpora contain the times of their phones, as the synthetic corpus does.
        map: Emotions to rename, as calm=neutral.
        emotions: Emotions to compare; by default all that the languages share.
        backbone: What turns recordings into the features of phones.
        minimum: Least number of phones of a phoneme in each emotion and language.
        permutations: Number of permutations of each speaker's emotions, for the test against chance.
        seed: Seed of the permutations.
    """
    import pandas as pd

    from cleser.alignment import load_alignments
    from cleser.corpora.registry import check_distinct, load
    from cleser.progress import track
    from cleser.speech import load_backbone
    from cleser.studies.figures import save_figure
    from cleser.studies.phonemes import study_phonemes
    from cleser.studies.vowel_chart import plot_vowels

    for flag, value, least in (
        ("minimum", minimum, 1),
        ("permutations", permutations, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ValueError(f"--{flag} is {value}, expected {least} or more")
    if len(alignments) not in (0, 1, len(corpora)):
        raise ValueError(
            f"--alignments names {len(alignments)} folders, expected one, or one for each of {len(corpora)} corpora"
        )
    renamed = parse_map(map)
    manifests = {spec: load(spec, renamed) for spec in corpora}
    if not manifests:
        raise ValueError("found no corpus, expected one or more as emodb:PATH")
    check_distinct(manifests)
    rows = pd.concat(manifests.values(), ignore_index=True)
    languages = sorted(rows["language"].unique())
    if len(languages) < 2:
        raise ValueError(f"the corpora are all in {languages[0]}, expected two languages or more")
    check_emotions(emotions, rows["emotion"])
    if len(set(emotions)) == 1:
        raise ValueError(f"--emotions names {emotions[0]} alone, expected two or more")
    known: list[Alignment | None] = []
    folders = alignments * len(corpora) if len(alignments) == 1 else alignments
    for i, (spec, manifest) in enumerate(manifests.items()):
        found = load_alignments(manifest, folders[i] if folders else None)
        console.print(f"{spec}: {found.summary()}", highlight=False, soft_wrap=True)
        known += found
    _check_phones(rows["language"].tolist(), known)
    with track("phones", len(rows)) as advance:
        study = study_phonemes(
            rows,
            known,
            load_backbone(backbone),
            emotions=emotions,
            minimum=minimum,
            permutations=permutations,
            seed=seed,
            advance=advance,
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in ("inventory", "counterparts", "consistency", "overall"):
        write_text(out / f"{name}.csv", getattr(study, name).to_csv(index=False))
    for column in ("consistency", "own"):
        save_figure(plot_vowels(study, column), out / f"vowels-{column}")
    _show(study)
    console.print(f"tables and charts: {out}", highlight=False, soft_wrap=True)


def _check_phones(languages: list[str], known: list[Alignment | None]) -> None:
    """Refuse alignments in which fewer than two languages have phones: of utterances without a text they have none."""
    spoken = {
        language
        for language, alignment in zip(languages, known, strict=True)
        if alignment is not None and not alignment.uniform
    }
    if len(spoken) < 2:
        lacking = ", ".join(sorted(set(languages) - spoken))
        raise ValueError(
            f"no utterance in {lacking} has phones, expected some in two languages or more: align utterances of which "
            "the manifest has the text (those without one get segments of equal length)"
        )


def _show(study: PhonemeStudy) -> None:
    from cleser.studies.phonemes import overlap

    for row in overlap(study.inventory).to_dict("records"):
        console.print(
            f"{row['language']}: {row['phonemes']} phonemes, {row['shared']} shared ({row['shared_vowels']} vowels), "
            f"which are {row['coverage']:.0%} of its phones",
            highlight=False,
            soft_wrap=True,
        )
    console.print(_table(study.consistency), highlight=False)
    for row, what in zip(study.overall.to_dict("records"), _SAYS, strict=True):
        console.print(
            f"{what}: mean cosine {row['statistic']:+.3f}, p {row['p']:.4f}; {row['holm']} of {row['phonemes']} "
            f"phonemes by Holm, {row['bh']} by Benjamini-Hochberg at .05",
            highlight=False,
            soft_wrap=True,
        )


_SAYS = ("emotion in phonemes across languages", "relative to the utterance")


def _table(consistency: pd.DataFrame) -> str:
    """The table as the file has it, but with headings that need no explanation."""
    both = ("consistency", "p", "p_holm"), ("own", "own_p", "own_p_holm")
    shown = consistency[["phoneme", "tokens", *both[0], *both[1]]].set_axis(
        ["phoneme", "tokens", "consistency", "p", "p (Holm)", "in the utterance", "p", "p (Holm)"],
        axis=1,
    )
    numbers = ["{:.3f}".format, "{:.4f}".format, "{:.4f}".format]
    formatters: list[Callable[..., str]] = [str, str, *numbers, *numbers]
    return shown.to_string(index=False, formatters=formatters)
