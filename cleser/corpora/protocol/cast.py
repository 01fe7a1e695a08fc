"""The utterances of a protocol in their roles, and those of one seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from cleser.corpora.attributes import without_labels
from cleser.corpora.folds import Fold
from cleser.corpora.left_out import lost
from cleser.corpora.protocol.hashes import (
    hash_of_attributes,
    hash_of_division,
    hash_of_rows,
    hash_of_terms,
    hash_of_uses,
    hash_of_utterances,
    hash_of_votes,
)
from cleser.corpora.protocol.holding_out import hold_out, official_part, select_on, unit_of
from cleser.corpora.protocol.uses import Uses

if TYPE_CHECKING:  # a protocol loads a cast
    from cleser.corpora.protocol.protocol import Protocol

ROLES: Final = ("source", "auxiliary", "target")


@dataclass(frozen=True)
class Parts:
    """The utterances of one seed: what is learned from, selected on, adapted to and tested.

    Attributes:
        train: Source utterances to learn from, with labels (oracle: and the target's learned share).
        dev: Source utterances to select on, with labels.
        auxiliary: Labelled utterances of auxiliary corpora.
        adapt: Target utterances whose audio training may see, whatever they express; their labels are blanked.
        test: Target utterances to recognise, with labels for the evaluation alone.

    >>> from cleser.corpora import Protocol
    >>> spec = "synthetic:{}?speakers=4&sentences=1"
    >>> parts = Protocol((spec.format("en"),), (spec.format("zh"),)).load().parts()
    >>> set(parts.train["speaker"]) & set(parts.dev["speaker"]), int(parts.adapt["emotion"].notna().sum())
    (set(), 0)
    """

    train: pd.DataFrame
    dev: pd.DataFrame
    auxiliary: pd.DataFrame
    adapt: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Cast:
    """The utterances of a protocol in their roles, emotions renamed.

    Attributes:
        protocol: The terms.
        source: Labelled utterances to learn from and to select on.
        auxiliary: Labelled utterances of further corpora.
        target: Labelled utterances to test; of a target without any label all utterances, to recognise.
        pool: Utterances of the target of which a method may hear some, whatever they express.
        left_out: Recordings that could not be used, as ``{"path": …, "reason": …}``.
        notes: Sentences on what the protocol asked for and the corpora lack, and on what they hold beside its classes.
        several: The casts of all folds, if there are several; the cast itself then holds all that take part in any of
            them.
        fold: The fold that this cast is of, where the split has folds.

    >>> from cleser.corpora import Protocol
    >>> spec = "synthetic:{}?speakers=4&sentences=1"
    >>> cast = Protocol((spec.format("en"),), (spec.format("zh"),)).load()
    >>> cast.target["speaker"].nunique(), cast.shared
    (4, set())
    """

    protocol: Protocol
    source: pd.DataFrame
    auxiliary: pd.DataFrame
    target: pd.DataFrame
    pool: pd.DataFrame
    left_out: list[dict[str, str]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    several: tuple[Cast, ...] = ()
    fold: Fold | None = None

    @property
    def folds(self) -> tuple[Cast, ...]:
        """The casts of all folds; where nothing is divided, this one."""
        return self.several or (self,)

    @property
    def scored(self) -> bool:
        """Whether the target has labels; without, it is recognised, and nothing can be said of how well."""
        terms = self.protocol
        return bool(terms.regressed) or bool(self.target["emotion"].notna().any())

    def needs_labels(self) -> None:
        """Raise a ValueError if the target has no labels to test by."""
        if not self.scored:
            raise ValueError(
                f"the target {list(self.protocol.target)} has no labels, so that nothing can be tested: cleser predict "
                "RUN --corpus SPEC recognises it"
            )

    @property
    def phones_on_one_side(self) -> bool:
        """Whether the manifests of either the source or the target say when phones sound, but not those of both."""
        return _states_phones(self.source) != _states_phones(self.heard)

    def without_phones(self) -> Cast:
        """The same cast without the times of phones."""
        roles = ("source", "auxiliary", "target", "pool")
        bare = {name: getattr(self, name).drop(columns="phones", errors="ignore") for name in roles}
        return replace(self, **bare, several=tuple(cast.without_phones() for cast in self.several))

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of the protocol's terms and of who takes part; folders do not matter."""
        terms: dict[str, Any] = {
            "roles": {role: hash_of_utterances(getattr(self, role)) for role in (*ROLES, "pool")},
            **self.protocol.hashed,
        }
        if self.protocol.by_folds:
            terms["folds"] = [_division(cast) for cast in self.folds]
        if self.protocol.regressed:
            terms["truths"] = [hash_of_attributes(getattr(self, role)) for role in ROLES]
        votes = [hash_of_votes(getattr(self, role), self.protocol.classes) for role in ROLES]
        if any(votes):
            terms["votes"] = votes
        return hash_of_terms(terms)

    @cached_property
    def rows(self) -> str:
        """Twelve hexadecimal digits of all that the corpora say of the utterances, by role, wherever files lie."""
        return hash_of_terms({role: hash_of_rows(getattr(self, role)) for role in (*ROLES, "pool")})

    @cached_property
    def tested_of_shared(self) -> float:
        """Share of the tested utterances whose speaker is also learned from, or selected on, in the same fold."""
        shared = sum(int(fold.target["speaker"].isin(fold.shared).sum()) for fold in self.folds)
        return shared / max(1, sum(len(fold.target) for fold in self.folds))

    @property
    def shared(self) -> set[str]:
        """Speakers who are tested and also learned from or selected on."""
        seen = {*self.source["speaker"].dropna(), *self.auxiliary["speaker"].dropna()}
        return seen & set(self.target["speaker"].dropna())

    def _describe_folds(self) -> list[dict[str, Any]]:
        folds = []
        for cast in self.folds:
            assert cast.fold is not None
            folds.append(
                {
                    "fold": cast.fold.name,
                    "learned": int(cast.source["split"].ne("dev").sum()),
                    "dev": int(cast.source["split"].eq("dev").sum()),
                    "test": len(cast.target),
                    "speakers_test": int(cast.target["speaker"].nunique()),
                    "shared_speakers": len(cast.shared),
                    "left_out": int(cast.fold.roles.isna().sum()),
                    "unmatched": len(cast.fold.unmatched),
                }
            )
        return folds

    def describe(self, uses: Uses | None = None) -> dict[str, Any]:
        """The terms as they stand in ``protocol.json``.

        Args:
            uses: What the method uses of the target's unlabelled recordings; nothing by default.

        Returns:
            Under ``hash`` all that decides what a result rests on, what the method uses included; under ``cast`` the
            protocol's part of it, which runs of different methods share. Under ``rows`` all that the corpora say.
        """
        uses = uses or Uses()
        roles = {role: getattr(self, role) for role in ROLES}
        adapts = uses.training and self.protocol.target_access == "audio"
        on_tested = adapts and self.protocol.adapt == "test" and self.protocol.split == "speakers"
        return {
            "hash": hash_of_uses(self.hash, asdict(uses)),
            "cast": self.hash,
            "rows": self.rows,
            **{role: sorted(frame["corpus"].unique()) for role, frame in roles.items()},
            **{k: v for k, v in self.protocol.terms.items() if k not in ("labels", "task")},
            "classes": list(self.protocol.classes),  # these two say the labels and the task
            "attributes": list(self.protocol.regressed),
            **({"folds": self._describe_folds()} if self.protocol.by_folds else {}),
            "tested_of_shared": self.tested_of_shared,
            "uses": asdict(uses),
            "adapts_to_tested": on_tested,
            "transductive": self.protocol.transductive or on_tested,
            "utterances": {
                role: len(frame) for role, frame in (*roles.items(), ("pool", self.pool))
            },
            "speakers": {role: int(frame["speaker"].nunique()) for role, frame in roles.items()},
            "left_out": len(lost(self.left_out)),
        }

    @property
    def heard(self) -> pd.DataFrame:
        """All utterances of the target that take part, which are those tested and those of the pool."""
        return pd.concat([self.target, self.pool], ignore_index=True).drop_duplicates(
            "utterance", ignore_index=True
        )

    def parts(self, repeat: int = 0) -> Parts:
        """Divide the cast for one training seed; each ``repeat`` draws its own development speakers.

        Raises:
            ValueError: There are several folds, of which each has its own parts; a target of which speakers are to
                be held out has one alone; or no division leaves every class to learn from, or to test.
        """
        if self.several:
            raise ValueError(f"{len(self.several)} folds have parts of their own, see Cast.folds")
        protocol = self.protocol
        rng = np.random.default_rng([protocol.seed, repeat])
        test, adapt = self.target, self.pool
        if protocol.split == "official":
            train, dev = (official_part("source", self.source, name) for name in ("train", "dev"))
        elif protocol.by_folds:
            train, dev = select_on(self.source, protocol.dev, rng, protocol.classes)
        else:
            train, dev = hold_out(self.source, protocol.dev, rng, protocol.classes)
            if protocol.target_access == "labels" or protocol.adapt == "disjoint":
                _, tested = hold_out(self.target, 0.5, rng, protocol.classes, every_class_in="held")
                of_tested = unit_of(adapt).isin(unit_of(tested))
                test, adapt = tested, adapt[~of_tested].reset_index(drop=True)
        if protocol.target_access == "labels":
            learned = adapt[adapt["emotion"].isin(protocol.labels)]
            train = pd.concat([train, learned], ignore_index=True)
        elif protocol.target_access == "nothing":
            adapt = adapt.iloc[:0]
        return Parts(train, dev, self.auxiliary, without_labels(adapt), test)


def _states_phones(rows: pd.DataFrame) -> bool:
    return "phones" in rows and bool(rows["phones"].notna().any())


def _division(cast: Cast) -> str:
    """Hash of who is learned from, selected on, heard and tested in a fold."""
    return hash_of_division({role: getattr(cast, role) for role in ("source", "target", "pool")})
