"""``cleser communities``: find speakers who express an emotion alike, across the languages of corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from cleser.cli.console import console
from cleser.cli.pairs import parse_map
from cleser.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd


def communities(
    corpora: Positional[tuple[str, ...]],
    *,
    out: Path,
    encoder: str = "acoustic",
    map: tuple[str, ...] = (),
    emotions: tuple[str, ...] = (),
    communities: int | None = None,
    k: int = 15,
    resolution: float = 1.0,
    refine: bool = True,
    language_offsets: Literal["centre", "relation", "keep"] = "centre",
    speaker_offsets: Literal["centre", "keep"] = "centre",
    permutations: int = 199,
    refit: bool = True,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Find communities of speakers in each emotion, and test whether languages mix in them.

    Writes nodes.csv, utterances.csv, mixing.csv, graph.npz, styles.svg and .png, and summary.md.

    Args:
        corpora: Corpora, each as NAME:FOLDER; utterances need an emotion.
        out: Folder for the results.
        encoder: acoustic, resemblyzer, or a speaker-verification model of transformers.
        map: Emotions to rename, as calm=neutral.
        emotions: Emotions to look at; by default all. Languages are compared only among speakers who show the same.
        communities: Number of communities in each emotion; by default as many as are found.
        k: Number of neighbours of a speaker in the graph.
        resolution: Resolution of the search; larger values give smaller communities.
        refine: Refine the communities that Leiden finds by a graph neural network.
        language_offsets: Remove the mean of each language, search neighbours only across languages, or do neither.
        speaker_offsets: Remove each speaker's mean over emotions, or not.
        permutations: How often languages are assigned to speakers at random, for the test of mixing.
        refit: Find communities again for each permutation, which is exact and slower.
        seed: Seed of all random choices.
        device: Where the encoder runs.
    """
    from cleser.graphs import CommunityRefiner
    from cleser.progress import track
    from cleser.speech import embed_speakers, load_speaker_encoder
    from cleser.studies.styles import study_styles, verdict

    least = {"communities": communities, "k": k, "permutations": permutations}
    for flag, value in least.items():
        if value is not None and value < 1:
            raise ValueError(f"--{flag} is {value}, expected 1 or more")
    if not 0 <= resolution < float("inf"):
        raise ValueError(f"--resolution is {resolution:g}, expected a finite number from 0 on")
    if seed < 0:
        raise ValueError(f"--seed is {seed}, expected 0 or more")
    if communities is not None and not refine:
        raise ValueError(
            f"--communities {communities} is a number that refinement keeps to, expected it without --no-refine"
        )
    told, unlabelled = _labelled(corpora, parse_map(map), emotions)
    if communities is not None:
        _check_speakers(told, communities, alone=speaker_offsets == "keep")
    refiner = refine if communities is None else CommunityRefiner(n_communities=communities)
    model = load_speaker_encoder(encoder, device=device)
    with track(f"speakers by {encoder}", len(told)) as advance:
        embedded = embed_speakers(told, model, advance=advance)
    study = study_styles(
        told, embedded, k=k, resolution=resolution, refine=refiner, language_offsets=language_offsets,
        speaker_offsets=speaker_offsets, permutations=permutations, refit=refit, seed=seed,
    )  # fmt: skip
    settings: dict[str, object] = {
        "corpora": " ".join(corpora), "encoder": encoder, "map": " ".join(map) or "none",
        "emotions": " ".join(emotions) or "all", "communities": communities or "as found",
        "k": k, "resolution": resolution,
        "language offsets": language_offsets, "speaker offsets": speaker_offsets,
        "refined": bool(refiner), "seed": seed, "permutations": permutations, "refit": refit,
    }  # fmt: skip
    study.write(out, settings, unlabelled=unlabelled)
    console.print(_narrow(study.mixing), highlight=False, soft_wrap=True)
    console.print(verdict(study.mixing), highlight=False)
    for note in study.notes:
        console.print(note, highlight=False)
    found = study.communities.nodes["community"].max() + 1
    console.print(f"{out}: {found} communities", highlight=False)


def _labelled(
    corpora: tuple[str, ...], renamed: dict[str, str], emotions: tuple[str, ...]
) -> tuple[pd.DataFrame, int]:
    """Utterances with a speaker and an emotion that is looked at, and how many lack either."""
    from cleser.corpora.registry import load_all

    manifest = load_all(corpora, renamed)
    told = manifest[manifest["emotion"].notna() & manifest["speaker"].notna()]
    if told.empty:
        raise ValueError(f"no utterance of {' '.join(corpora)} has an emotion and a speaker")
    unlabelled = len(manifest) - len(told)
    check_emotions(emotions, told["emotion"])
    return (told[told["emotion"].isin(emotions)] if emotions else told), unlabelled


def check_emotions(asked: tuple[str, ...], shown: pd.Series[str]) -> None:
    """Refuse --emotions that no utterance shows."""
    known = sorted(shown.dropna().unique())
    for emotion in asked:
        if emotion not in known:
            raise ValueError(
                f"--emotions {emotion}: no utterance shows it, expected some of {', '.join(known)}"
                f"{did_you_mean(emotion, known)}"
            )


def _check_speakers(told: pd.DataFrame, wanted: int, *, alone: bool) -> None:
    """Refuse more communities than an emotion has speakers, before any recording is read.

    Args:
        told: Utterances.
        wanted: Communities of each emotion.
        alone: Whether speakers of one emotion count; nothing is left of them where their mean is removed.
    """
    shown = told[["speaker", "emotion"]].drop_duplicates()
    if not alone:
        shown = shown[shown.groupby("speaker")["emotion"].transform("size") > 1]
    speakers = shown.groupby("emotion").size()
    if len(speakers) and wanted > speakers.min():
        raise ValueError(
            f"--communities is {wanted}, expected at most {speakers.min()}, the speakers who show {speakers.idxmin()}"
            f"{'' if alone else ' and another emotion'}"
        )


def _narrow(mixing: pd.DataFrame) -> str:
    """The table for a terminal of 80 columns; all of it is in mixing.csv."""
    shown = mixing.drop(columns=["nodes", "languages", "untested"]).rename(
        columns={"assortativity": "assort."}
    )
    header = [name.rpartition("_")[2] for name in shown.columns]
    return str(shown.round(3).to_string(index=False, header=header))
