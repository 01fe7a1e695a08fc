"""``cleser communities``: find speakers who express an emotion alike, across the languages of corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from cleser.cli.console import console
from cleser.cli.run import parse_map
from cleser.files import write_bytes
from cleser.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from cleser.graphs import StyleCommunities


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
    from cleser.graphs import CommunityRefiner, style_communities  # noqa: PLC0415

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
    told, silent = _labelled(corpora, parse_map(map), emotions)
    if communities is not None:
        _check_speakers(told, communities, alone=speaker_offsets == "keep")
    manifest, values, left_out = _embedded(told, encoder, device)
    refiner = refine if communities is None else CommunityRefiner(n_communities=communities)
    found = style_communities(
        values,
        speakers=manifest["speaker"],
        emotions=manifest["emotion"],
        languages=manifest["language"],
        k=k,
        refine=refiner,
        seed=seed,
        resolution=resolution,
        language_offsets=language_offsets,
        speaker_offsets=speaker_offsets,
    )
    mixing = found.mixing(permutations=permutations, refit=refit, seed=seed)
    settings: dict[str, object] = {
        "corpora": " ".join(corpora), "encoder": encoder, "map": " ".join(map) or "none",
        "emotions": " ".join(emotions) or "all", "communities": communities or "as found",
        "k": k, "resolution": resolution,
        "language offsets": language_offsets, "speaker offsets": speaker_offsets,
        "refined": bool(refiner), "seed": seed, "permutations": permutations, "refit": refit,
    }  # fmt: skip
    _write(out, manifest, found, mixing, _summary(settings, found, mixing, left_out, silent))
    console.print(_narrow(mixing), highlight=False, soft_wrap=True)
    console.print(_verdict(mixing), highlight=False)
    console.print(f"{out}: {found.nodes['community'].max() + 1} communities", highlight=False)


def _labelled(
    corpora: tuple[str, ...], renamed: dict[str, str], emotions: tuple[str, ...]
) -> tuple[pd.DataFrame, int]:
    """Utterances with a speaker and an emotion that is looked at, and how many lack either."""
    from cleser.corpora.registry import load_all  # noqa: PLC0415

    manifest = load_all(corpora, renamed)
    told = manifest[manifest["emotion"].notna() & manifest["speaker"].notna()]
    if told.empty:
        raise ValueError(f"no utterance of {' '.join(corpora)} has an emotion and a speaker")
    silent = len(manifest) - len(told)
    check_emotions(emotions, told["emotion"])
    return (told[told["emotion"].isin(emotions)] if emotions else told), silent


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


def _embedded(
    manifest: pd.DataFrame, encoder: str, device: str
) -> tuple[pd.DataFrame, object, list[dict[str, str]]]:
    """Utterances that can be read, their vectors, and what was left out."""
    from cleser.progress import track  # noqa: PLC0415
    from cleser.speech import embed_speakers, load_speaker_encoder  # noqa: PLC0415

    model = load_speaker_encoder(encoder, device=device)
    with track(f"speakers by {encoder}", len(manifest)) as advance:
        embedded = embed_speakers(manifest, model, advance=advance)
    rows = manifest.set_index("utterance").loc[embedded.utterances].reset_index()
    return rows, embedded.values, embedded.left_out


def _summary(
    settings: dict[str, object],
    found: StyleCommunities,
    mixing: pd.DataFrame,
    left_out: list[dict[str, str]],
    silent: int,
) -> str:
    nodes = found.nodes
    lines = ["# Style communities", "", "| setting | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in settings.items()]
    lines += [
        "",
        f"{nodes['speaker'].nunique()} speakers, {int(nodes['utterances'].sum())} utterances",
    ]
    lines[-1] += f", {len(left_out)} recordings left out."
    if silent:
        lines[-1] += f" {silent} more utterances have no emotion or no speaker."
    lines += ["", "![communities](styles.svg)", "", "## Do languages mix?", ""]
    lines += [_table(mixing.round(3)), "", _verdict(mixing), "", _READING, ""]
    lines += ["## Who is where", ""]
    for community, own in nodes[nodes["community"] >= 0].groupby("community"):
        counts = own["language"].value_counts().sort_index()
        said = ", ".join(f"{count} {language}" for language, count in counts.items())
        lines.append(f"- {own['emotion'].iloc[0]}, community {community}: {said}")
    lines += [f"- left out: {problem['path']}: {problem['reason']}" for problem in left_out[:50]]
    return "\n".join(lines) + "\n"


_LEVEL = 0.05
_READING = (
    "Entropy is 0 where each community has one language and 1 where all mix; assortativity is 1 where edges keep\n"
    "within a language and about 0 where they ignore it. `_chance` is the mean when languages are dealt at random\n"
    "among speakers who show the same emotions; `_p` the share of such deals in which languages keep apart as much:\n"
    "small means that they do."
)


def _narrow(mixing: pd.DataFrame) -> str:
    """The table for a terminal of 80 columns; all of it is in mixing.csv."""
    shown = mixing.drop(columns=["nodes", "languages", "untested"]).rename(
        columns={"assortativity": "assort."}
    )
    header = [name.rpartition("_")[2] for name in shown.columns]
    return str(shown.round(3).to_string(index=False, header=header))


def _verdict(mixing: pd.DataFrame) -> str:
    """What the tests say at a level of 0.05."""
    said = []
    for name, kept in (("communities", "entropy_p"), ("edges", "assortativity_p")):
        each = mixing[mixing["emotion"] != "all"]
        apart = each.loc[each[kept] <= _LEVEL, "emotion"].tolist()
        where = ", ".join(map(str, apart)) or "no emotion"
        p = mixing[kept].iloc[-1]
        said.append(f"by {name} in {where} (all: {f'p = {p:.3g}' if p >= 0 else 'not tested'})")
    text = f"Languages keep apart more than by chance (p ≤ {_LEVEL:g}) {'; '.join(said)}."
    untested = mixing[(mixing["emotion"] != "all") & (mixing["untested"] != "")]
    why = [
        f"{emotion} ({reason})"
        for emotion, reason in zip(untested["emotion"], untested["untested"], strict=True)
    ]
    return f"{text} Not tested: {', '.join(why)}." if why else text


def _table(frame: pd.DataFrame) -> str:
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [list(map(str, row)) for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _write(
    out: Path, manifest: pd.DataFrame, found: StyleCommunities, mixing: pd.DataFrame, summary: str
) -> None:
    import io  # noqa: PLC0415

    from scipy import sparse  # noqa: PLC0415

    from cleser.studies.layer_maps import save_figure  # noqa: PLC0415

    out.mkdir(parents=True, exist_ok=True)
    labels = found.labels(manifest["speaker"], manifest["emotion"])
    who = manifest[["utterance", "speaker", "language", "emotion"]].assign(community=labels)
    graph = io.BytesIO()
    sparse.save_npz(graph, found.graph.tocsr())
    save_figure(found.plot(), out / "styles")
    files = {
        "nodes.csv": found.nodes.to_csv(index=False).encode(),
        "utterances.csv": who.to_csv(index=False).encode(),
        "mixing.csv": mixing.to_csv(index=False).encode(),
        "graph.npz": graph.getvalue(),
        "summary.md": summary.encode(),
    }
    for name, content in files.items():
        write_bytes(out / name, content)
