"""The study behind style communities, on corpora: who expresses an emotion alike, and whether languages mix in that."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd
from scipy import sparse

from cleser.evaluation.many_runs import markdown_table
from cleser.files import write_bytes
from cleser.graphs.communities.refine import CommunityRefiner
from cleser.graphs.styles.search import LanguageOffsets, SpeakerOffsets
from cleser.graphs.styles.style_communities import StyleCommunities, style_communities
from cleser.studies.figures import save_figure
from cleser.studies.in_no_community import in_no_community

if TYPE_CHECKING:
    from cleser.speech.speakers.corpus import SpeakerEmbeddings

LEVEL: Final = 0.05
_READING: Final = (
    "Entropy is 0 where each community has one language and 1 where all mix; assortativity is 1 where edges keep\n"
    "within a language and about 0 where they ignore it. `_chance` is the mean when languages are dealt at random\n"
    "among speakers who show the same emotions; `_p` the share of such deals in which languages keep apart as much:\n"
    "small means that they do."
)


@dataclass(frozen=True)
class StyleStudy:
    """What a study found.

    Attributes:
        utterances: The utterances that could be used: ``utterance, speaker, language, emotion, community``.
        communities: Communities of speakers in each emotion.
        mixing: How languages mix within them, see :meth:`cleser.graphs.StyleCommunities.mixing`.
        left_out: Recordings that could not be used.
        notes: Sentences on speakers who are in no community, and why, see
            :func:`cleser.studies.in_no_community.in_no_community`.
    """

    utterances: pd.DataFrame
    communities: StyleCommunities
    mixing: pd.DataFrame
    left_out: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path, settings: Mapping[str, object], *, unlabelled: int = 0) -> None:
        """Write ``nodes.csv``, ``utterances.csv``, ``mixing.csv``, ``graph.npz``, ``summary.md`` and the figure.

        Args:
            folder: Where to write them.
            settings: What was asked for, for the summary.
            unlabelled: Number of utterances that had no emotion or no speaker, for the summary.
        """
        folder.mkdir(parents=True, exist_ok=True)
        graph = io.BytesIO()
        sparse.save_npz(graph, self.communities.graph.tocsr())
        save_figure(self.communities.plot(), folder / "styles")
        files = {
            "nodes.csv": self.communities.nodes.to_csv(index=False).encode(),
            "utterances.csv": self.utterances.to_csv(index=False).encode(),
            "mixing.csv": self.mixing.to_csv(index=False).encode(),
            "graph.npz": graph.getvalue(),
            "summary.md": self._summary(settings, unlabelled).encode(),
        }
        for name, content in files.items():
            write_bytes(folder / name, content)

    def _summary(self, settings: Mapping[str, object], unlabelled: int) -> str:
        nodes = self.communities.nodes
        lines = ["# Style communities", "", "| setting | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in settings.items()]
        lines += [
            "",
            f"{nodes['speaker'].nunique()} speakers, {int(nodes['utterances'].sum())} utterances, "
            f"{len(self.left_out)} recordings left out.",
        ]
        if unlabelled:
            lines[-1] += f" {unlabelled} more utterances have no emotion or no speaker."
        for note in self.notes:
            lines += ["", note[0].upper() + note[1:] + "."]
        lines += ["", "![communities](styles.svg)", "", "## Do languages mix?", ""]
        cells = self.mixing.round(3)
        rows = ([str(value) for value in row] for row in cells.itertuples(index=False))
        lines += [markdown_table([*cells], rows), "", verdict(self.mixing), "", _READING, ""]
        lines += ["## Who is where", ""]
        for community, own in nodes[nodes["community"] >= 0].groupby("community"):
            counts = own["language"].value_counts().sort_index()
            said = ", ".join(f"{count} {language}" for language, count in counts.items())
            lines.append(f"- {own['emotion'].iloc[0]}, community {community}: {said}")
        lines += [f"- left out: {row['path']}: {row['reason']}" for row in self.left_out[:50]]
        return "\n".join(lines) + "\n"


def study_styles(
    manifest: pd.DataFrame,
    embedded: SpeakerEmbeddings,
    *,
    k: int = 15,
    resolution: float = 1.0,
    refine: bool | CommunityRefiner = True,
    language_offsets: LanguageOffsets = "centre",
    speaker_offsets: SpeakerOffsets = "centre",
    permutations: int = 199,
    refit: bool = True,
    seed: int = 0,
) -> StyleStudy:
    """Find communities of speakers in each emotion, and test whether languages mix in them.

    Args:
        manifest: Utterances, each with a speaker and an emotion.
        embedded: Their vectors by a speaker encoder, see :func:`cleser.speech.embed_speakers`.
        k: Number of neighbours of a speaker in the graph.
        resolution: Resolution of the search; larger values give smaller communities.
        refine: Refine the communities that Leiden finds by a graph neural network, or by this one.
        language_offsets: What is removed of a language, see :func:`cleser.graphs.style_communities`.
        speaker_offsets: What is removed of a speaker.
        permutations: How often languages are assigned to speakers at random, for the test of mixing.
        refit: Find communities again for each permutation, which is exact and slower.
        seed: Seed of all random choices.

    Raises:
        ValueError: What `style_communities` refuses.
    """
    rows = manifest.set_index("utterance").loc[embedded.utterances].reset_index()
    found = style_communities(
        embedded.values,
        speakers=rows["speaker"],
        emotions=rows["emotion"],
        languages=rows["language"],
        k=k,
        refine=refine,
        seed=seed,
        resolution=resolution,
        language_offsets=language_offsets,
        speaker_offsets=speaker_offsets,
    )
    mixing = found.mixing(permutations=permutations, refit=refit, seed=seed)
    labels = found.labels(rows["speaker"], rows["emotion"])
    utterances = rows[["utterance", "speaker", "language", "emotion"]].assign(community=labels)
    notes = in_no_community(
        found.nodes, rows, language_offsets=language_offsets, speaker_offsets=speaker_offsets
    )
    return StyleStudy(utterances, found, mixing, embedded.left_out, notes)


def verdict(mixing: pd.DataFrame) -> str:
    """What the tests of a table of mixing say, at a level of 0.05.

    >>> ps = {"entropy_p": [0.2, 0.01], "assortativity_p": [0.3, 0.2]}
    >>> verdict(pd.DataFrame({"emotion": ["anger", "all"], **ps, "untested": ""}))
    'Languages keep apart more than by chance (p ≤ 0.05) by communities in no emotion (all: p = 0.01); by edges in no
    emotion (all: p = 0.2).'
    """
    said = []
    for name, kept in (("communities", "entropy_p"), ("edges", "assortativity_p")):
        each = mixing[mixing["emotion"] != "all"]
        apart = each.loc[each[kept] <= LEVEL, "emotion"].tolist()
        where = ", ".join(map(str, apart)) or "no emotion"
        p = mixing[kept].iloc[-1]
        said.append(f"by {name} in {where} (all: {f'p = {p:.3g}' if p >= 0 else 'not tested'})")
    text = f"Languages keep apart more than by chance (p ≤ {LEVEL:g}) {'; '.join(said)}."
    untested = mixing[(mixing["emotion"] != "all") & (mixing["untested"] != "")]
    why = [
        f"{emotion} ({reason})"
        for emotion, reason in zip(untested["emotion"], untested["untested"], strict=True)
    ]
    return f"{text} Not tested: {', '.join(why)}." if why else text
