"""Who trains, who tests, and what may be seen of whom: the terms under which a result holds.

A :class:`Protocol` is what a person writes down; :meth:`Protocol.load` reads its corpora and gives a
:class:`Cast`: the utterances in their roles. The cast's hash stands in every result, so that numbers
obtained under different terms are never compared by accident.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from cleser.corpora.registry import load

if TYPE_CHECKING:
    from cleser.corpora.audit import Audit

Normalisation = Literal["speaker", "corpus", "utterance"]
TargetAccess = Literal["nothing", "audio", "labels"]
Split = Literal["speakers", "official"]


@dataclass(frozen=True)
class Protocol:
    """The terms of an experiment.

    Args:
        source: Corpora whose labels are learned from, as specs (``"emodb:PATH"``).
        target: Corpora that are recognised.
        auxiliary: Further labelled corpora that a method may train on; never used to select.
        labels: The classes, in the order of the model's outputs. Other emotions are left out.
        split: ``"speakers"`` holds out whole source speakers for development and tests on every target
            utterance; ``"official"`` keeps to the corpora's own train, dev and test.
        seed: Draws the development speakers.
        map: Emotions to rename before anything else, as ``{"calm": "neutral"}``.
        dev: Share of the source speakers held out for development.
        normalisation: Whose unlabelled statistics standardise a feature. ``"speaker"`` and ``"corpus"``
            also use those of the target (transductive); ``"utterance"`` uses nothing but the utterance
            and the source.
        lexical_normalisation: Take out of the features what each phoneme sounds like on average in its corpus, where
            alignments say which sounds when: see :class:`cleser.speech.LexicalContent`. Those of the target are
            unlabelled statistics of it too, so that it is done only where ``normalisation`` uses such.
        target_access: What training may see of the target: ``"nothing"``, its ``"audio"`` without labels,
            or its ``"labels"`` too (an oracle, for an upper bound only: the target's speakers are then
            split into those that are learned and those that are tested).

    Raises:
        ValueError: A field holds something else than it may.

    Source corpora are weighted equally, whatever their sizes, wherever a method has a say in it.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    labels: tuple[str, ...] = ("anger", "happiness", "neutral", "sadness")
    split: Split = "speakers"
    seed: int = 0
    map: dict[str, str] = field(default_factory=dict)
    dev: float = 0.2
    normalisation: Normalisation = "speaker"
    lexical_normalisation: bool = True
    target_access: TargetAccess = "audio"

    def __post_init__(self) -> None:
        for name in ("source", "target", "auxiliary", "labels"):
            object.__setattr__(self, name, _as_tuple(name, getattr(self, name)))
        for name in ("source", "target"):
            if not getattr(self, name):
                raise ValueError(
                    f"{name} names no corpus, expected at least one spec like emodb:PATH"
                )
        if len(set(self.labels)) < max(2, len(self.labels)):
            raise ValueError(
                f"labels are {list(self.labels)}, expected two or more different classes"
            )
        if not 0 < self.dev < 1:
            raise ValueError(f"dev is {self.dev}, expected a share between 0 and 1")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {allowed}")
        if self.target_access == "nothing" and self.normalisation == "speaker":
            raise ValueError(
                "normalisation='speaker' needs statistics of the target's speakers, which "
                "target_access='nothing' forbids; use normalisation='utterance', or 'corpus', which "
                "then standardises the target by the source's statistics"
            )

    @property
    def transductive(self) -> bool:
        """Whether unlabelled statistics of the target enter its normalisation."""
        return self.normalisation != "utterance" and self.target_access != "nothing"

    @property
    def removes_content(self) -> bool:
        """Whether lexical content is removed, as far as phones are known."""
        return self.lexical_normalisation and self.transductive

    def load(self) -> Cast:
        """Read the corpora and put their utterances in their roles.

        Raises:
            ValueError: A corpus cannot be read, or holds no utterance of the labels asked for.
        """
        frames = {
            spec: load(spec, self.map) for spec in (*self.source, *self.auxiliary, *self.target)
        }
        roles = {
            role: pd.concat(
                [self._labelled(spec, frames[spec]) for spec in specs], ignore_index=True
            )
            for role, specs in (("source", self.source), ("target", self.target))
        }
        missing = [name for name in self.labels if name not in set(roles["source"]["emotion"])]
        if missing:
            raise ValueError(
                f"the source {list(self.source)} holds no utterance of {missing}, expected all of "
                f"{list(self.labels)}; choose other labels or map names (--map calm=neutral)"
            )
        auxiliary = [self._labelled(spec, frames[spec]) for spec in self.auxiliary]
        none = roles["source"].iloc[:0]
        left_out = [problem for f in frames.values() for problem in f.attrs.get("problems", [])]
        return Cast(
            self,
            source=roles["source"],
            auxiliary=pd.concat(auxiliary, ignore_index=True) if auxiliary else none,
            target=roles["target"],
            left_out=left_out,
        )

    def audit(self, *, content: bool = True) -> Audit:
        """Look for leakage; see :func:`cleser.corpora.audit.audit`."""
        from cleser.corpora.audit import audit  # noqa: PLC0415  (the audit knows casts, not vice versa)

        return audit(self.load(), content=content)

    def _labelled(self, spec: str, manifest: pd.DataFrame) -> pd.DataFrame:
        kept = manifest[manifest["emotion"].isin(self.labels)]
        if kept.empty:
            found = sorted(manifest["emotion"].dropna().unique())
            raise ValueError(
                f"{spec}: found the emotions {found}, expected some of {list(self.labels)}; "
                f"map names with map={{'calm': 'neutral'}} (--map calm=neutral)"
            )
        return kept.reset_index(drop=True)


_CHOICES: dict[str, tuple[str, ...]] = {
    "split": ("speakers", "official"),
    "normalisation": ("speaker", "corpus", "utterance"),
    "target_access": ("nothing", "audio", "labels"),
}


def _as_tuple(name: str, value: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ValueError(f"{name} is the string {value!r}, expected a list, as [{value!r}]")
    return tuple(value)


@dataclass(frozen=True)
class Parts:
    """The utterances of one seed: what is learned from, selected on, adapted to and tested.

    Attributes:
        train: Source utterances to learn from, with labels (oracle: and the target's learned share).
        dev: Source utterances to select on, with labels.
        auxiliary: Labelled utterances of auxiliary corpora.
        adapt: Target utterances whose audio training may see; their labels are blanked.
        test: Target utterances to recognise, with labels for the evaluation alone.
    """

    train: pd.DataFrame
    dev: pd.DataFrame
    auxiliary: pd.DataFrame
    adapt: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Cast:
    """The utterances of a protocol in their roles, labels mapped and filtered."""

    protocol: Protocol
    source: pd.DataFrame
    auxiliary: pd.DataFrame
    target: pd.DataFrame
    left_out: list[dict[str, str]] = field(default_factory=list)

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of the terms and of who takes part; folders do not matter."""
        terms = {
            "roles": {role: _fingerprint(getattr(self, role)) for role in _ROLES},
            **{name: getattr(self.protocol, name) for name in _TERMS},
        }
        return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:12]

    def describe(self) -> dict[str, Any]:
        """The terms as they stand in ``protocol.json``."""
        roles = {role: getattr(self, role) for role in _ROLES}
        return {
            "hash": self.hash,
            **{role: sorted(frame["corpus"].unique()) for role, frame in roles.items()},
            "classes": list(self.protocol.labels),
            **{name: getattr(self.protocol, name) for name in _TERMS if name != "labels"},
            "transductive": self.protocol.transductive,
            "utterances": {role: len(frame) for role, frame in roles.items()},
            "speakers": {role: int(frame["speaker"].nunique()) for role, frame in roles.items()},
            "left_out": len(self.left_out),
        }

    def parts(self, repeat: int = 0) -> Parts:
        """Divide the cast for one training seed; each ``repeat`` draws its own development speakers."""
        rng = np.random.default_rng([self.protocol.seed, repeat])
        if self.protocol.split == "official":
            train, dev, adapt, test = self._official()
        else:
            train, dev = _hold_out(self.source, self.protocol.dev, rng)
            adapt = test = self.target
        if self.protocol.target_access == "labels":
            learned, test = _hold_out(self.target, 0.5, rng)
            train, adapt = pd.concat([train, learned], ignore_index=True), learned
        elif self.protocol.target_access == "nothing":
            adapt = adapt.iloc[:0]
        return Parts(train, dev, self.auxiliary, adapt.assign(emotion=None), test)

    def _official(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        def part(frame: pd.DataFrame, name: str, role: str) -> pd.DataFrame:
            rows = frame[frame["split"].str.startswith(name, na=False)].reset_index(drop=True)
            if rows.empty:
                found = sorted(frame["split"].dropna().unique())
                raise ValueError(
                    f"the {role} has no official {name} split (found {found}); use split='speakers'"
                )
            return rows

        return (
            part(self.source, "train", "source"),
            part(self.source, "dev", "source"),
            part(self.target, "train", "target"),
            part(self.target, "test", "target"),
        )


_ROLES = ("source", "auxiliary", "target")
_TERMS = (
    "labels", "split", "seed", "map", "dev", "normalisation", "lexical_normalisation",
    "target_access",
)  # fmt: skip


def _fingerprint(frame: pd.DataFrame) -> str:
    columns = frame[["utterance", "corpus", "speaker", "emotion", "start", "end"]]
    text = columns.sort_values("utterance").to_csv(index=False, float_format="%.6f")
    return hashlib.sha256(text.encode()).hexdigest()


def _hold_out(
    frame: pd.DataFrame, share: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out about this share of the speakers of every corpus (at least one, never all).

    Where speakers are unknown, utterances are drawn instead: nothing better can be known.
    """
    unit = frame["speaker"].fillna(frame["utterance"])
    held: list[str] = []
    for corpus, units in unit.groupby(frame["corpus"]):
        names = np.sort(units.unique())
        if len(names) < 2:
            raise ValueError(
                f"corpus {corpus} has one speaker ({names[0]}), expected two or more to hold one out"
            )
        count = int(np.clip(round(share * len(names)), 1, len(names) - 1))
        held.extend(rng.permutation(names)[:count])
    out = unit.isin(held)
    return frame[~out].reset_index(drop=True), frame[out].reset_index(drop=True)
