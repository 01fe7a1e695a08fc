"""Who is in no community, and why: means that are removed may be all that there is of a speaker."""

from __future__ import annotations

import pandas as pd

from cleser.graphs.styles.search import LanguageOffsets, SpeakerOffsets


def in_no_community(
    nodes: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    language_offsets: LanguageOffsets = "centre",
    speaker_offsets: SpeakerOffsets = "centre",
) -> list[str]:
    """Sentences on the speakers in emotions of whom nothing is left, with the flag that changes it.

    Args:
        nodes: The nodes of :class:`cleser.graphs.StyleCommunities`.
        rows: The utterances behind them: ``speaker, corpus, language``.
        language_offsets: What was removed of a language.
        speaker_offsets: What was removed of a speaker.

    >>> nodes = pd.DataFrame({"speaker": list("abb"), "emotion": ["fear", "fear", "joy"], "community": [-1, 0, 1]})
    >>> rows = pd.DataFrame({"speaker": ["a", "b"], "corpus": "mine", "language": ["de", "en"]})
    >>> in_no_community(nodes, rows)
    ['1 of 2 speakers shows a single emotion and is in no community, since nothing is left once the mean over the own
    emotions is removed: mine (de) 1; --speaker-offsets keep keeps it']
    """
    lost = nodes[nodes["community"] < 0]
    shown = nodes.groupby("speaker")["emotion"].transform("size")
    single = lost[shown[lost.index] == 1] if speaker_offsets == "centre" else lost[:0]
    others = lost.drop(index=single.index)
    total = nodes["speaker"].nunique()
    notes = []
    if len(single):
        verb, be = ("shows", "is") if len(single) == 1 else ("show", "are")
        notes.append(
            f"{len(single)} of {total} speakers {verb} a single emotion and {be} in no community, since nothing is "
            f"left once the mean over the own emotions is removed: {_where(single, rows)}; "
            "--speaker-offsets keep keeps it"
        )
    if len(others):
        removed = {"language": language_offsets, "speaker": speaker_offsets}
        flags = [f"--{name}-offsets keep" for name, kind in removed.items() if kind == "centre"]
        notes.append(
            f"{others['speaker'].nunique()} of {total} speakers have an emotion in which they are in no community "
            f"({_emotions(others)}), since too few others show the same for anything to be left once means are "
            f"removed: {_where(others, rows)}"
            + (f"; {' or '.join(flags)} removes less" if flags else "")
        )
    return notes


def _emotions(nodes: pd.DataFrame) -> str:
    return ", ".join(map(str, sorted(nodes["emotion"].unique())))


def _where(nodes: pd.DataFrame, rows: pd.DataFrame) -> str:
    """How many speakers of each corpus and language they are."""
    own = rows[rows["speaker"].isin(nodes["speaker"])].drop_duplicates("speaker")
    counts = (own["corpus"] + " (" + own["language"] + ")").value_counts().sort_index()
    return ", ".join(f"{corpus} {count}" for corpus, count in counts.items())
