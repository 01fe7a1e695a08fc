"""Who is held out: a corpus' own parts, a fold's dev part, or whole speakers who are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd

_DRAWS: Final = 200


def official_part(role: str, rows: pd.DataFrame, *parts: str) -> pd.DataFrame:
    """The rows of official splits whose names begin with one of these.

    Args:
        role: What the rows are, for messages: ``"source"`` or ``"target"``.
        rows: A manifest.
        parts: How the splits' names begin, such as ``"test"``.

    Raises:
        ValueError: There is no such row.
    """
    found = rows[rows["split"].str.startswith(parts, na=False)].reset_index(drop=True)
    if found.empty:
        names = sorted(rows["split"].dropna().unique())
        raise ValueError(
            f"the {role} has no official {' or '.join(parts)} split (found {names}); use split='speakers'"
        )
    return found


def select_on(
    source: pd.DataFrame, share: float, rng: np.random.Generator, classes: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide a source into train and dev: the dev part of its fold, or held-out speakers of corpora without one.

    Args:
        source: Rows of which ``split`` is ``"dev"`` where a fold says so.
        share: About the share of speakers to hold out of corpora without a dev part.
        rng: Draws them.
        classes: Classes of which the train part needs utterances.

    Raises:
        ValueError: As :func:`hold_out` does.
    """
    given = source["split"].eq("dev")
    divided = source["corpus"].isin(source["corpus"][given].unique())
    # Once somebody is held out, corpora of a single speaker are learned from.
    if given.any():
        divided |= source["corpus"].isin([*lone_speakers(source)])
    rest = source[~divided]
    needed = [name for name in classes if name not in set(source["emotion"][divided & ~given])]
    train, dev = hold_out(rest, share, rng, needed) if len(rest) else (rest, rest)
    return (
        pd.concat([source[divided & ~given], train], ignore_index=True),
        pd.concat([source[given], dev], ignore_index=True),
    )


def hold_out(
    frame: pd.DataFrame,
    share: float,
    rng: np.random.Generator,
    classes: Sequence[str],
    *,
    every_class_in: Literal["kept", "held"] = "kept",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out about this share of the speakers of every corpus (at least one, never all).

    Where speakers are unknown, utterances are drawn instead: nothing better can be known. A corpus of a single speaker
    is kept whole where another one has speakers to hold out; where none has, its utterances are drawn. Speakers are
    drawn anew while a part that is to show every class does not.

    Args:
        frame: Utterances of one or more corpora.
        share: Share of speakers to hold out, above 0 and below 1.
        rng: Draws them.
        classes: Classes of which there has to be an utterance in the part that ``every_class_in`` names.
        every_class_in: That part: what is kept, to learn from, or what is held out, to test on. To be tested on, a
            corpus of a single speaker is refused.

    Returns:
        What is kept, and what is held out.

    Raises:
        ValueError: A corpus has too few speakers or utterances to divide, or no division that was tried leaves every
            class in that part.
    """
    found = unit_of(frame)
    lone = lone_speakers(frame)
    if lone and every_class_in == "held":
        raise ValueError(
            f"corpus {next(iter(lone))} has one speaker ({next(iter(lone.values()))}), expected two or more to divide "
            "them: give a corpus with more speakers"
        )
    divisible = ~frame["corpus"].isin([*lone])
    if not divisible.any():
        found, divisible = frame["utterance"], frame["corpus"].notna()
    units = [
        (corpus, np.sort(names.unique()))
        for corpus, names in found[divisible].groupby(frame["corpus"][divisible])
    ]
    for corpus, names in units:
        if len(names) < 2:
            raise ValueError(
                f"corpus {corpus} has one utterance of the classes ({names[0]}), expected more, to hold some out"
            )
    for _ in range(_DRAWS):
        held: list[str] = []
        for _corpus, names in units:
            count = int(np.clip(round(share * len(names)), 1, len(names) - 1))
            held.extend(rng.permutation(names)[:count])
        out = found.isin(held)
        shown = set(frame["emotion"][out if every_class_in == "held" else ~out])
        missing = [name for name in classes if name not in shown]
        if not missing:
            return frame[~out].reset_index(drop=True), frame[out].reset_index(drop=True)
    few = frame[frame["emotion"] == missing[0]].groupby("corpus")["speaker"].nunique().to_dict()
    use = "tested" if every_class_in == "held" else "learned from"
    raise ValueError(
        f"{_DRAWS} divisions of {sorted(set(frame['corpus']))} by speakers left no {missing[0]} to be {use} (speakers "
        f"with it: {few}), expected all of {list(classes)}: give corpora in which several speakers show it, or narrow "
        "the classes (--labels)"
    )


def lone_speakers(frame: pd.DataFrame) -> dict[str, str]:
    """The corpora in which one speaker says everything, and who that is.

    >>> lone_speakers(pd.DataFrame({"corpus": ["a", "a", "b"], "utterance": ["1", "2", "3"],
    ...                             "speaker": ["a/x", "a/x", None]}))
    {'a': 'a/x'}
    """
    known = frame.groupby("corpus")["speaker"].agg(["nunique", "first", "size", "count"])
    alone = known[(known["nunique"] == 1) & (known["size"] == known["count"])]
    return {str(corpus): str(name) for corpus, name in alone["first"].items()}


def unit_of(frame: pd.DataFrame) -> pd.Series[str]:
    """What is held out whole: speakers, or utterances of which nobody knows the speaker."""
    return frame["speaker"].fillna(frame["utterance"])
