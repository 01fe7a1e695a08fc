"""Who trains, who tests, and what may be seen of whom: the terms under which a result holds.

A :class:`Protocol` is what a person writes down; :meth:`Protocol.load` reads its corpora and gives a
:class:`Cast`: the utterances in their roles. The cast's hash stands in every result, so that numbers
obtained under different terms are never compared by accident.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from cleser.corpora.attributes import ATTRIBUTES, attributes_of, without_labels
from cleser.corpora.folds import FORMS, Fold, check_split, make_folds, without_folders
from cleser.corpora.left_out import lost, lost_classes, reasons
from cleser.corpora.manifest import unused_columns
from cleser.corpora.registry import check_distinct, load
from cleser.suggestions import did_you_mean

Normalisation = Literal["auto", "shrunk", "speaker", "corpus", "utterance"]
Task = Literal["emotion", "avd", "both"]
TargetAccess = Literal["nothing", "audio", "labels"]
Adapt = Literal["test", "disjoint"]
Pool = Literal["all", "labels"]


@dataclass(frozen=True)
class Protocol:
    """The terms of an experiment.

    A term is written down once, as a field. The flags of ``cleser run`` with their defaults and their help, what
    ``config.yaml`` and ``protocol.json`` hold, the hash and the report's terms all follow from the fields.

    Args:
        source: Corpora to learn from, as NAME:FOLDER.
        target: Corpora to recognise. If nothing in them has a label, all of it is recognised, and nothing is scored.
        auxiliary: Further labelled corpora, for methods that learn from them; never used to select.
        labels: The classes, in the order of the model's outputs. Other emotions are left out.
        split: Hold out whole source speakers for development and test on every target utterance ("speakers"), or keep
            to the corpora's own train, dev and test ("official"); or folds of the target: FILE.csv, emobox:FOLDER,
            kfold:5, leave-one-speaker-out. To test within a corpus, name it as source and target.
        seed: Seed by which the development speakers are drawn.
        map: Emotions to rename before anything else, such as calm to neutral.
        dev: Share of the source speakers held out for development, on which the epoch is chosen.
        normalisation: Which unlabelled statistics standardise the features: those of each "speaker"; those of each
            speaker, "shrunk" towards those of the corpus if they come from few utterances; or those of the "corpus".
            "auto" means shrunk, or corpus if the target's speakers seem to show one emotion each. All of these also use
            statistics of the target (transductive); "utterance" uses nothing but the utterance and the source.
        lexical_normalisation: Remove from the features what is said: the mean of each phoneme if there are alignments,
            and on pretrained encoders the mean of each repeated sentence. This uses unlabelled statistics of the target
            too, and is therefore done only if the normalisation does.
        target_access: What training may see of the target: "nothing"; its "audio" without labels; or also its "labels",
            which is an oracle, for an upper bound only: the target's speakers are then divided into those that are
            learned from and those that are tested.
        test: Official test sets of the target, such as test1; "test" stands for all of them. Several are also reported
            apart.
        adapt: Whether methods that use target audio adapt to the tested utterances ("test") or to utterances of other
            speakers of the target ("disjoint"): each seed then draws half of the speakers to adapt to and tests the
            others. With official splits and folds, target audio is always that of the train part.
        pool: Whether methods that use target audio use "all" of it, because without labels nobody could filter it, or
            only utterances with one of the "labels".
        prior: Class shares assumed of the target by methods that match them: "uniform", those of the "source", or
            shares by class, such as {neutral: 0.7, anger: 0.3}; classes that are not named cannot occur.
        fold: One fold of the split, by its name; by default all of them, each with networks of its own.
        shared_speakers: Allow a split that trains on speakers it tests, as many published lists do. Every result then
            says how many tested utterances are concerned. No recording may be in both parts.
        task: Learn and test emotions ("emotion"); arousal, valence and dominance ("avd"), in utterances that have any
            of them, whatever their emotion; or "both", in utterances that have one of the labels.
        attributes: Which of arousal, valence and dominance are learned, unless the task is "emotion".

    Raises:
        ValueError: A field has a value that is not allowed.

    :func:`cleser.corpora.folds.make_folds` describes folds. The test part of a fold is tested. Methods learn from its
    train part if the corpus is also a source; otherwise the train part is the target audio that they may use. Other
    source corpora are learned from completely. If a fold has no dev part, whole speakers of its train part are held
    out.

    :mod:`cleser.experiments.one_sided` explains how "auto" finds speakers who show one emotion. This needs emotions; if
    the task is "avd", "auto" therefore means "shrunk". :class:`cleser.speech.LexicalContent` explains lexical
    normalisation. Methods that can weight corpora give all source corpora the same weight, whatever their sizes.

    >>> protocol = Protocol(source=("emodb:DIR",), target=("ravdess:DIR",), labels=("anger", "sadness"))
    >>> protocol.target_access, protocol.normalisation
    ('audio', 'auto')
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    labels: tuple[str, ...] = ("anger", "happiness", "neutral", "sadness")
    split: str = "speakers"
    seed: int = 0
    map: dict[str, str] = field(default_factory=dict)
    dev: float = 0.2
    normalisation: Normalisation = "auto"
    lexical_normalisation: bool = True
    target_access: TargetAccess = "audio"
    test: tuple[str, ...] = ("test",)
    adapt: Adapt = "test"
    pool: Pool = "all"
    prior: str | dict[str, float] = "uniform"
    # A term is in the hash where "counts" says so, or always. Where a term that is added changes nothing, it should
    # not count: the hashes of older runs then stay as they are.
    fold: str = field(default="", metadata={"counts": lambda p: p.by_folds})
    shared_speakers: bool = field(
        default=False, metadata={"counts": lambda p: p.by_folds or p.shared_speakers}
    )
    task: Task = field(default="emotion", metadata={"counts": lambda p: p.regressed})
    attributes: tuple[str, ...] = field(
        default=ATTRIBUTES, metadata={"counts": lambda p: p.regressed}
    )

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            self._check_kind(name, kind)
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
        if self.by_folds:
            check_split(self.split, f"speakers, official, {FORMS}")
        elif self.fold:
            raise ValueError(
                f"fold is {self.fold!r}, expected none, since split={self.split!r} has no folds"
            )
        if self.target_access == "nothing" and self.normalisation in ("speaker", "shrunk"):
            raise ValueError(
                f"normalisation={self.normalisation!r} needs statistics of the target's speakers, which "
                "target_access='nothing' forbids; use normalisation='utterance', or 'corpus', which "
                "then standardises the target by the source's statistics (as 'auto' does)"
            )
        if not self.attributes or not set(self.attributes) <= set(ATTRIBUTES):
            raise ValueError(
                f"attributes are {list(self.attributes)}, expected some of {list(ATTRIBUTES)}"
            )
        if self.task == "avd" and self.normalisation == "auto":
            nothing = self.target_access == "nothing"
            object.__setattr__(self, "normalisation", "corpus" if nothing else "shrunk")
        self._check_prior()

    def _check_kind(self, name: str, kind: Any) -> None:
        """Make a list a tuple, and refuse what is none of a term's choices."""
        value = getattr(self, name)
        if get_origin(kind) is Literal and value not in get_args(kind):
            raise ValueError(f"{name} is {value!r}, expected one of {get_args(kind)}")
        if get_origin(kind) is tuple:
            if isinstance(value, str):
                raise ValueError(f"{name} is the string {value!r}, expected a list, as [{value!r}]")
            object.__setattr__(self, name, tuple(value))

    @property
    def terms(self) -> dict[str, Any]:
        """All terms but the corpora; a split without the folders of its files."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _ROLES}
        return found | {"split": without_folders(self.split)}

    @property
    def hashed(self) -> dict[str, Any]:
        """The terms that a result depends on under this protocol."""
        counts = {f.name: f.metadata.get("counts", lambda _: True) for f in fields(self)}
        return {name: value for name, value in self.terms.items() if counts[name](self)}

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions that are recognised; none where attributes alone are."""
        return () if self.task == "avd" else self.labels

    @property
    def regressed(self) -> tuple[str, ...]:
        """The attributes that are predicted; none where emotions alone are."""
        return () if self.task == "emotion" else self.attributes

    def _check_prior(self) -> None:
        if isinstance(self.prior, str):
            if self.prior not in ("uniform", "source"):
                raise ValueError(
                    f"prior is {self.prior!r}, expected 'uniform', 'source' or shares by class"
                )
            return
        if unknown := [name for name in self.prior if name not in self.labels]:
            raise ValueError(f"prior names {unknown}, expected some of {list(self.labels)}")
        shares = list(self.prior.values())
        if min(shares, default=0) < 0 or not sum(shares) > 0:
            raise ValueError(
                f"prior is {self.prior}, expected shares of zero or more, not all zero"
            )

    @property
    def by_folds(self) -> bool:
        """Whether the target is divided into folds."""
        return self.split not in ("speakers", "official")

    @property
    def transductive(self) -> bool:
        """Whether unlabelled statistics of the target enter its normalisation; see also :class:`Uses`."""
        return self.normalisation != "utterance" and self.target_access != "nothing"

    @property
    def removes_content(self) -> bool:
        """Whether lexical content is removed, as far as phones are known."""
        return self.lexical_normalisation and self.transductive

    def normalised(self, by: Normalisation) -> Protocol:
        """The same terms with another normalisation."""
        return replace(self, normalisation=by)

    def load(self) -> Cast:
        """Read the corpora and put their utterances in their roles.

        Raises:
            ValueError: A corpus cannot be read, or holds no utterance of the labels asked for; or two corpora call
                different recordings by the same name.
        """
        specs = (*self.source, *self.auxiliary, *self.target)
        renamed = {spec: load(spec, self.map) for spec in specs}
        check_distinct(renamed)
        for role in _ROLES:
            _check_given_once(role, getattr(self, role), renamed)
        source, auxiliary = (
            _concatenated([self._labelled(spec, renamed[spec]) for spec in specs])
            for specs in (self.source, self.auxiliary)
        )
        target = _concatenated(self._tested(renamed))
        everything = _concatenated([renamed[spec] for spec in self.target])
        cast = Cast(
            self,
            source=source,
            auxiliary=source.iloc[:0] if auxiliary.empty else auxiliary,
            target=target,
            pool=everything if self.pool == "all" else target,
            left_out=_left_out(renamed.values()),
            notes=self._notes(renamed),
        )
        if self.split == "official":
            cast = cast.official()
        elif self.by_folds:
            cast = cast.divided(everything)
        for one in cast.folds:
            role = f"source of fold {one.fold.name}" if one.fold and cast.several else "source"
            self._check_classes(role, self.source, one.source, renamed)
            self._check_attributes(role, self.source, one.source)
        if cast.scored:
            self._check_classes("target", self.target, cast.target, renamed)
            self._check_attributes("target", self.target, cast.target)
        return cast

    def _notes(self, renamed: dict[str, pd.DataFrame]) -> tuple[str, ...]:
        """What was asked for and not found, and what the corpora hold beside the classes."""
        used = {name for rows in renamed.values() for name in rows.attrs.get("renamed", [])}
        found = sorted({e for rows in renamed.values() for e in rows["emotion"].dropna().unique()})
        notes = [
            f"map: no corpus has the emotion {name!r}, so that nothing is renamed{did_you_mean(name, found)}"
            for name in self.map
            if name not in used
        ]
        notes += [
            f"{spec}: no {name} was found, and the columns {', '.join(others)} are not used"
            for spec, rows in renamed.items()
            for name, others in unused_columns(rows).items()
            if name == "speaker" or self.classes
        ]
        for role in ("source", "auxiliary", "target") if self.classes else ():
            specs = getattr(self, role)
            emotions = [renamed[spec]["emotion"] for spec in specs]
            counts = pd.concat(emotions).value_counts() if emotions else pd.Series(dtype=int)
            others = counts[~counts.index.isin(self.labels)]
            if len(others):
                listed = ", ".join(f"{name} {count}" for name, count in others.items())
                verb = "tested" if role == "target" else "learned from"
                notes.append(
                    f"{role}: {others.sum()} of {counts.sum()} labelled utterances express other emotions and are not "
                    f"{verb}: {listed}"
                )
        return (*notes, *self._lost(renamed))

    def _lost(self, renamed: dict[str, pd.DataFrame]) -> list[str]:
        """Corpora to learn from of which a class may be among what cannot be used."""
        learned = (*self.source, *self.auxiliary)
        return [said for spec in learned for said in lost_classes(self.classes, renamed[spec])]

    def _check_classes(
        self,
        role: str,
        specs: tuple[str, ...],
        rows: pd.DataFrame,
        renamed: dict[str, pd.DataFrame],
    ) -> None:
        """A class that nobody can learn, or that no recall can be computed of, is an error of the protocol."""
        missing = [name for name in self.classes if name not in set(rows["emotion"])]
        if missing:
            by_speakers = self.split == "speakers"
            of = _concatenated([renamed[spec] for spec in specs]) if by_speakers else rows
            counts = of["emotion"].value_counts()
            found = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            part = "" if by_speakers else f" part of {without_folders(self.split)}"
            unused = "".join(f"; {said}" for said in reasons(_left_out(renamed[s] for s in specs)))
            raise ValueError(
                f"the {role}{part} {list(specs)} holds no utterance of {missing}, expected all of {list(self.labels)}; "
                f"found {found}: map one of them (--map calm=neutral), or narrow the classes on purpose (--labels)"
                f"{unused}"
            )

    def _check_attributes(self, role: str, specs: tuple[str, ...], rows: pd.DataFrame) -> None:
        """An attribute of which nobody gave two values can neither be learned nor tested."""
        known = dict(zip(ATTRIBUTES, (~np.isnan(attributes_of(rows))).sum(0).tolist(), strict=True))
        if missing := [name for name in self.regressed if known[name] < 2]:
            raise ValueError(
                f"the {role} {list(specs)} has no {' and no '.join(missing)}, expected all of {list(self.attributes)}; "
                "narrow them on purpose (--attributes)"
            )

    def _tested(self, renamed: dict[str, pd.DataFrame]) -> list[pd.DataFrame]:
        """The rows of the target's corpora that are recognised: those of a class, or all where nobody labelled any."""
        bare = [spec for spec in self.target if renamed[spec]["emotion"].isna().all()]
        if self.task != "emotion" or not bare:
            return [self._labelled(spec, renamed[spec]) for spec in self.target]
        if len(bare) < len(self.target):
            raise ValueError(
                f"the target {bare} has no emotion, but {[s for s in self.target if s not in bare]} has, expected "
                "emotions in all of them or in none: recognise the corpora in runs of their own"
            )
        asked = {"split": self.split, "adapt": self.adapt, "target_access": self.target_access}
        usual = {"split": "speakers", "adapt": "test"}
        for name, value in asked.items():
            if usual.get(name, value) != value or value == "labels":
                raise ValueError(
                    f"{name} is {value!r}, which needs emotions of the target, and {bare} has none: leave it out"
                )
        return [renamed[spec] for spec in bare]

    def _labelled(self, spec: str, renamed: pd.DataFrame) -> pd.DataFrame:
        if self.task == "avd":
            known = pd.DataFrame(attributes_of(renamed), renamed.index).notna().any(axis=1)
            if not known.any():
                raise ValueError(
                    f"{spec}: no utterance has any of {list(ATTRIBUTES)}, expected numbers in these columns"
                )
            return renamed[known].reset_index(drop=True)
        kept = renamed[renamed["emotion"].isin(self.labels)]
        if kept.empty:
            found = sorted(renamed["emotion"].dropna().unique())
            if not found:
                way = (
                    f"task {self.task!r} needs them; a target without labels takes the task 'emotion'"
                    if spec in self.target and spec not in self.source
                    else "a corpus without labels can be a target, to be recognised"
                )
                raise ValueError(
                    f"{spec}: no utterance has an emotion, expected some of {list(self.labels)}; {way}"
                )
            raise ValueError(
                f"{spec}: found the emotions {found}, expected some of {list(self.labels)}; "
                f"map names with map={{'calm': 'neutral'}} (--map calm=neutral)"
            )
        return kept.reset_index(drop=True)


def _check_given_once(role: str, specs: tuple[str, ...], renamed: dict[str, pd.DataFrame]) -> None:
    """Raise a ValueError where two specs of a role hold the same recordings, which would count twice."""
    first: dict[str, str] = {}
    for spec in specs:
        twice = [name for name in renamed[spec]["utterance"] if name in first]
        if twice:
            raise ValueError(
                f"{role} names {len(twice)} recordings twice, in {first[twice[0]]} and in {spec}, as {twice[0]}; "
                "expected each corpus once"
            )
        first.update(dict.fromkeys(renamed[spec]["utterance"], spec))


def _left_out(manifests: Iterable[pd.DataFrame]) -> list[dict[str, str]]:
    """What the readers of corpora could not use."""
    return [problem for rows in manifests for problem in rows.attrs.get("problems", [])]


def _concatenated(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _official(role: str, rows: pd.DataFrame, *parts: str) -> pd.DataFrame:
    """The rows of official splits whose names begin with one of these."""
    found = rows[rows["split"].str.startswith(parts, na=False)].reset_index(drop=True)
    if found.empty:
        names = sorted(rows["split"].dropna().unique())
        raise ValueError(
            f"the {role} has no official {' or '.join(parts)} split (found {names}); use split='speakers'"
        )
    return found


@dataclass(frozen=True)
class Parts:
    """The utterances of one seed: what is learned from, selected on, adapted to and tested.

    Attributes:
        train: Source utterances to learn from, with labels (oracle: and the target's learned share).
        dev: Source utterances to select on, with labels.
        auxiliary: Labelled utterances of auxiliary corpora.
        adapt: Target utterances whose audio training may see, whatever they express; their labels are blanked.
        test: Target utterances to recognise, with labels for the evaluation alone.

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
class Uses:
    """What a method makes of what a protocol lets it see of the target, besides normalisation.

    Attributes:
        training: Whether it trains on unlabelled target utterances, or matches its predictions' prior on them.
        prior: The class shares that its predictions are matched to, ``"none"`` where they are not.
        alignments: Whether it knows when phones sound, which takes what is said (a transcript) or a phone recogniser.
        sentences: How utterances that say the same are known, whose mean is taken off: by the manifest's ``"texts"``,
            by their ``"sound"``, or not at all, ``"none"``.
    """

    training: bool = False
    prior: str | dict[str, float] = "none"
    alignments: bool = False
    sentences: Literal["none", "texts", "sound"] = "none"


@dataclass(frozen=True)
class Cast:
    """The utterances of a protocol in their roles, emotions renamed.

    Attributes:
        protocol: The terms.
        source: Labelled utterances to learn from and to select on.
        auxiliary: Labelled utterances of further corpora.
        target: Labelled utterances to test; of a target without any label all utterances, to recognise.
        pool: Utterances of the target of which a method may hear some, whatever they express.
        left_out: What could not be used, as ``{"path": …, "reason": …}``.
        notes: What the protocol asked for and the corpora lack, and what they hold beside its classes.
        several: The casts of all folds, of one that has several; what it holds itself is then all that takes part in
            any of them.
        fold: The fold that this one is, where there is a split.

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

    def official(self) -> Cast:
        """The same corpora by their own splits."""
        source = _official("source", self.source, "train", "dev")
        nothing = self.protocol.target_access == "nothing"
        pool = self.pool.iloc[:0] if nothing else _official("target", self.pool, "train")
        target = _official("target", self.target, *self.protocol.test)
        return replace(self, source=source, target=target, pool=pool)

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
        """The same, when phones sound not being known of anybody."""
        roles = ("source", "auxiliary", "target", "pool")
        bare = {name: getattr(self, name).drop(columns="phones", errors="ignore") for name in roles}
        return replace(self, **bare, several=tuple(cast.without_phones() for cast in self.several))

    def divided(self, everything: pd.DataFrame) -> Cast:
        """The same corpora by the protocol's folds of the whole target, ``everything``.

        Raises:
            ValueError: The split has no such fold, nobody is tested, or somebody in several folds.
        """
        found = make_folds(everything, self.protocol.split)
        wanted = self.protocol.fold
        chosen = [fold for fold in found if wanted in ("", fold.name)]
        if not chosen:
            names = ", ".join(fold.name for fold in found)
            raise ValueError(
                f"{self.protocol.split} has no fold {wanted!r}, expected one of {names}"
            )
        casts = [
            self._within(everything["utterance"], fold, alone=len(found) == 1) for fold in chosen
        ]
        casts = [cast for cast in casts if len(cast.target)]
        if not casts:
            raise ValueError(
                f"{self.protocol.split} tests no utterance of {list(self.protocol.labels)}"
            )
        if len(casts) == 1:
            return casts[0]
        tested = _concatenated([cast.target for cast in casts])
        again = tested["utterance"][tested["utterance"].duplicated()].unique()
        if len(again):
            raise ValueError(
                f"{self.protocol.split}: {len(again)} utterances are tested in several folds, as {again[0]}, expected "
                "each in one: run the folds one by one (--fold NAME)"
            )
        roles: dict[str, Any] = {
            role: _concatenated([getattr(cast, role) for cast in casts])
            .drop_duplicates("utterance", ignore_index=True)
            .assign(split=None)
            for role in (*_ROLES, "pool")
        }
        return replace(self, **roles, several=tuple(casts))

    def _within(self, utterances: pd.Series[str], fold: Fold, *, alone: bool) -> Cast:
        """The cast of one fold; ``split`` says who is train, dev and test of what the fold divides."""
        roles = dict(zip(utterances, fold.roles, strict=True))

        def of(rows: pd.DataFrame, *parts: str, whole: bool = False) -> pd.DataFrame:
            """Rows of these parts, and, if asked, those of corpora that are not divided."""
            role = rows["utterance"].map(roles)
            kept = role.isin(parts) | (whole & ~rows["utterance"].isin(roles))
            return rows.assign(split=role)[kept].reset_index(drop=True)

        return replace(
            self,
            protocol=self.protocol if alone else replace(self.protocol, fold=fold.name),
            source=of(self.source, "train", "dev", whole=True),
            auxiliary=of(self.auxiliary, "train", whole=True),
            target=of(self.target, "test"),
            pool=self.pool.iloc[:0]
            if self.protocol.target_access == "nothing"
            else of(self.pool, "train"),
            fold=fold,
        )

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of the protocol's terms and of who takes part; folders do not matter."""
        terms: dict[str, Any] = {
            "roles": {role: _fingerprint(getattr(self, role)) for role in (*_ROLES, "pool")},
            **self.protocol.hashed,
        }
        if self.protocol.by_folds:
            terms["folds"] = [_division(cast) for cast in self.folds]
        if self.protocol.regressed:
            terms["truths"] = [_truths(getattr(self, role)) for role in _ROLES]
        return _digest(terms)

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
            uses: What the method makes of the target's unlabelled recordings; nothing by default.

        Returns:
            Under ``hash`` all that decides what a result rests on, what the method uses included; under ``cast`` the
            protocol's part of it, which runs of different methods share.
        """
        uses = uses or Uses()
        roles = {role: getattr(self, role) for role in _ROLES}
        adapts = uses.training and self.protocol.target_access == "audio"
        on_tested = adapts and self.protocol.adapt == "test" and self.protocol.split == "speakers"
        return {
            "hash": _digest({"cast": self.hash, **asdict(uses)}),
            "cast": self.hash,
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
        return _concatenated([self.target, self.pool]).drop_duplicates(
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
            train, dev = (_official("source", self.source, name) for name in ("train", "dev"))
        elif protocol.by_folds:
            train, dev = _select_on(self.source, protocol.dev, rng, protocol.classes)
        else:
            train, dev = _hold_out(self.source, protocol.dev, rng, protocol.classes)
            if protocol.target_access == "labels" or protocol.adapt == "disjoint":
                _, tested = _hold_out(self.target, 0.5, rng, protocol.classes, whole="held")
                of_tested = _unit(adapt).isin(_unit(tested))
                test, adapt = tested, adapt[~of_tested].reset_index(drop=True)
        if protocol.target_access == "labels":
            learned = adapt[adapt["emotion"].isin(protocol.labels)]
            train = pd.concat([train, learned], ignore_index=True)
        elif protocol.target_access == "nothing":
            adapt = adapt.iloc[:0]
        return Parts(train, dev, self.auxiliary, without_labels(adapt), test)


_ROLES = ("source", "auxiliary", "target")


def _digest(terms: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:12]


def _fingerprint(frame: pd.DataFrame) -> str:
    columns = frame[["utterance", "corpus", "speaker", "emotion", "start", "end"]]
    text = columns.sort_values("utterance").to_csv(index=False, float_format="%.6f")
    return hashlib.sha256(text.encode()).hexdigest()


def _truths(frame: pd.DataFrame) -> str:
    """The attributes of whoever takes part."""
    table = frame[["utterance"]].assign(
        **dict(zip(ATTRIBUTES, attributes_of(frame).T, strict=True))
    )
    text = table.sort_values("utterance").to_csv(index=False, float_format="%.6f")
    return hashlib.sha256(text.encode()).hexdigest()


def _division(cast: Cast) -> str:
    """Who is learned from, selected on, heard and tested in a fold."""
    lines = [
        f"{role} {split} {utterance}"
        for role in ("source", "target", "pool")
        for utterance, split in getattr(cast, role)[["utterance", "split"]].itertuples(index=False)
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _select_on(
    source: pd.DataFrame, share: float, rng: np.random.Generator, classes: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The dev part of a fold; of corpora that have none in it, held-out speakers."""
    given = source["split"].eq("dev")
    divided = source["corpus"].isin(source["corpus"][given].unique())
    if given.any():  # and somebody is held out: corpora of a single speaker are then learned from
        divided |= source["corpus"].isin([*lone_speakers(source)])
    rest = source[~divided]
    needed = [name for name in classes if name not in set(source["emotion"][divided & ~given])]
    train, dev = _hold_out(rest, share, rng, needed) if len(rest) else (rest, rest)
    return (
        _concatenated([source[divided & ~given], train]),
        _concatenated([source[given], dev]),
    )


def _states_phones(rows: pd.DataFrame) -> bool:
    return "phones" in rows and bool(rows["phones"].notna().any())


def _unit(frame: pd.DataFrame) -> pd.Series[str]:
    """What is held out whole: speakers, or utterances of which nobody knows the speaker."""
    return frame["speaker"].fillna(frame["utterance"])


def lone_speakers(frame: pd.DataFrame) -> dict[str, str]:
    """The corpora in which one speaker says everything, and who that is.

    >>> lone_speakers(pd.DataFrame({"corpus": ["a", "a", "b"], "utterance": ["1", "2", "3"],
    ...                             "speaker": ["a/x", "a/x", None]}))
    {'a': 'a/x'}
    """
    known = frame.groupby("corpus")["speaker"].agg(["nunique", "first", "size", "count"])
    alone = known[(known["nunique"] == 1) & (known["size"] == known["count"])]
    return {str(corpus): str(name) for corpus, name in alone["first"].items()}


def _hold_out(
    frame: pd.DataFrame,
    share: float,
    rng: np.random.Generator,
    classes: Sequence[str],
    *,
    whole: Literal["kept", "held"] = "kept",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out about this share of the speakers of every corpus (at least one, never all).

    Where speakers are unknown, utterances are drawn instead: nothing better can be known. A corpus of a single speaker
    is kept whole where another one has speakers to hold out; where none has, its utterances are drawn. If the part that
    is to be whole, of those kept and those held out, lacks a class, others are drawn.
    """
    found = _unit(frame)
    lone = lone_speakers(frame)
    if lone and whole == "held":
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
        kept_whole = frame["emotion"][out if whole == "held" else ~out]
        missing = [name for name in classes if name not in set(kept_whole)]
        if not missing:
            return frame[~out].reset_index(drop=True), frame[out].reset_index(drop=True)
    few = frame[frame["emotion"] == missing[0]].groupby("corpus")["speaker"].nunique().to_dict()
    use = "tested" if whole == "held" else "learned from"
    raise ValueError(
        f"{_DRAWS} divisions of {sorted(set(frame['corpus']))} by speakers left no {missing[0]} to be {use} (speakers "
        f"with it: {few}), expected all of {list(classes)}: give corpora in which several speakers show it, or narrow "
        "the classes (--labels)"
    )


_DRAWS: Final = 200
