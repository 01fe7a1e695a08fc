"""Who trains, who tests, and what may be seen of whom: the terms under which a result holds.

A :class:`Protocol` is what a person writes down; :meth:`Protocol.load` reads its corpora and gives a
:class:`~cleser.corpora.Cast`: the utterances in their roles. The cast's hash stands in every result, so that numbers
obtained under different terms are never compared by accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from cleser.corpora.attributes import ATTRIBUTES
from cleser.corpora.folds import FORMS, check_split, without_folders
from cleser.corpora.protocol.cast import ROLES, Cast
from cleser.corpora.protocol.casting import load_cast
from cleser.corpora.terms import to_class

Normalisation = Literal["auto", "shrunk", "speaker", "corpus", "utterance"]
Task = Literal["emotion", "avd", "both"]
TargetAccess = Literal["nothing", "audio", "labels"]
Adapt = Literal["test", "disjoint"]
Pool = Literal["all", "labels"]
_ROUNDING: Final = 1e-9  # by which shares may miss one


@dataclass(frozen=True)
class Protocol:
    """The terms of an experiment.

    A term is written down once, as a field. The flags of ``cleser run`` with their defaults and their help, what
    ``config.yaml`` and ``protocol.json`` hold, the hash and the report's terms all follow from the fields.

    Args:
        source: Corpora to learn from, as NAME:FOLDER.
        target: Corpora to recognise. If nothing in them has a label, all of it is recognised, and nothing is scored.
        auxiliary: Further labelled corpora, for methods that learn from them; never used to select.
        labels: The classes, in the order of the model's outputs, by any name that a manifest may have for them. Other
            emotions are left out.
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
            shares by class, such as {neutral: 0.7, anger: 0.3}, which are divided by their sum; classes that are not
            named cannot occur.
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
        object.__setattr__(self, "labels", tuple(map(self._class, self.labels)))
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

    def _class(self, name: str) -> str:
        """Our name of a class; those that ``map`` makes are classes as they are."""
        return name if name in self.map.values() else to_class(name)

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
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ROLES}
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
        shares_by_class = {self._class(k): v for k, v in self.prior.items()}
        if len(shares_by_class) < len(self.prior):
            raise ValueError(f"prior names a class twice: {self.prior}, expected one share of each")
        object.__setattr__(self, "prior", shares_by_class)
        assert not isinstance(self.prior, str)
        if unknown := [name for name in self.prior if name not in self.labels]:
            raise ValueError(f"prior names {unknown}, expected some of {list(self.labels)}")
        shares = list(self.prior.values())
        if min(shares, default=0) < 0 or not sum(shares) > 0:
            raise ValueError(
                f"prior is {self.prior}, expected shares of zero or more, not all zero"
            )
        object.__setattr__(self, "prior", divided(self.prior))

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
        return load_cast(self)


def divided(prior: Mapping[str, float]) -> dict[str, float]:
    """Shares by class, divided by their sum: 70 and 30 are .7 and .3, in the hash too."""
    whole = sum(prior.values())
    return dict(prior) if abs(whole - 1) <= _ROUNDING else {k: v / whole for k, v in prior.items()}
