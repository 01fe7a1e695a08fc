"""Hashes of a protocol's terms and of who takes part: results that rest on the same have the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cleser.corpora.attributes import ATTRIBUTES, attributes_of
from cleser.corpora.votes import votes_of


def hash_of_terms(terms: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of terms by name, in whatever order they are given."""
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:12]


def hash_of_uses(cast: str, uses: Mapping[str, Any]) -> str:
    """Hash of a cast, by its own, and of what a method uses of the target.

    What is empty is left out: where a use that is added later plays no part, the hashes of older runs stay.
    """
    return hash_of_terms({"cast": cast, **{k: v for k, v in uses.items() if v != ""}})


def hash_of_utterances(frame: pd.DataFrame) -> str:
    """Hash of who says what where in a recording, and in which emotion."""
    columns = frame[["utterance", "corpus", "speaker", "emotion", "start", "end"]]
    text = columns.sort_values("utterance").to_csv(index=False, float_format="%.6f")
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of_rows(frame: pd.DataFrame) -> str:
    """Hash of all that a manifest says of its utterances, wherever their files lie: texts, votes and splits, too."""
    said = frame[sorted(set(frame.columns) - {"path", "phones"})]
    text = said.sort_values("utterance").to_csv(index=False, float_format="%.6f")
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of_sentences(frame: pd.DataFrame, sentences: pd.Series[str]) -> str:
    """Hash of who says which sentence, as far as that is known."""
    table = frame[["utterance"]].assign(sentence=sentences.array)
    text = table.sort_values("utterance").to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of_attributes(frame: pd.DataFrame) -> str:
    """Hash of the attributes of whoever takes part."""
    table = frame[["utterance"]].assign(
        **dict(zip(ATTRIBUTES, attributes_of(frame).T, strict=True))
    )
    text = table.sort_values("utterance").to_csv(index=False, float_format="%.6f")
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of_votes(frame: pd.DataFrame, classes: Sequence[str]) -> str | None:
    """Hash of the votes for some classes; None where nobody voted for any."""
    votes = votes_of(frame, classes) if classes else None
    if votes is None or not votes.any():
        return None
    table = pd.DataFrame(votes, columns=list(classes)).assign(utterance=frame["utterance"].array)
    columns = table[["utterance", *sorted(classes)]].sort_values("utterance")
    return hashlib.sha256(columns.to_csv(index=False, float_format="%.6f").encode()).hexdigest()


def hash_of_division(roles: Mapping[str, pd.DataFrame]) -> str:
    """Hash of who is in which part of a fold, from the utterances by their role."""
    lines = [
        f"{role} {split} {utterance}"
        for role, frame in roles.items()
        for utterance, split in frame[["utterance", "split"]].itertuples(index=False)
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
