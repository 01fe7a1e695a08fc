"""The rows of a comparison: recipes, their ablations, and lower and upper bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from cleser.corpora.protocol import Protocol
from cleser.evaluation.results import Run
from cleser.experiments.methods import METHODS
from cleser.models.emotion import ModelConfig
from cleser.recipe_names import new_name
from cleser.settings import changed, completed, to_plain
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.speech.backbones.open import located
from cleser.suggestions import did_you_mean
from cleser.training.loop import TrainingConfig


@dataclass(frozen=True)
class Variant:
    """A recipe with some settings changed.

    Attributes:
        method: Its name in :data:`cleser.recipes.METHODS`.
        settings: Fields of its config.
        terms: Fields of the protocol.
        control: The fair control, a row that differs only by what the method adds: it has the same number of epochs,
            the same choice of the epoch and the same matched prior. Empty if there is none, as for controls themselves.
        grid: Name of the settings to choose from by transfer validation; empty if nothing is chosen.
        within: Learn from the target alone, by folds of its speakers: another upper bound.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    terms: dict[str, Any] = field(default_factory=dict)
    control: str = ""
    grid: str = ""
    within: bool = False

    def config(self, usual: dict[str, Any] | None = None) -> Any:
        """The method's config with the settings.

        Args:
            usual: Settings of all the method's rows here; those of this row take precedence.
        """
        return replace(changed(METHODS[self.method].config(), usual or {}), **self.settings)

    def protocol(self, protocol: Protocol) -> Protocol:
        """The protocol with the terms."""
        if self.within:
            protocol = replace(protocol, source=protocol.target, auxiliary=(), split=_FOLDS)
        return replace(protocol, **self.terms)


_FOLDS = "kfold:4"  # no corpus at hand has fewer speakers
_WITH_CONTENT = {"lexical_normalisation": False}
_UNSEEN = {"target_access": "nothing", "normalisation": "corpus"}
_DISJOINT: dict[str, Any] = {"adapt": "disjoint"}
_SELF_TRAINING: dict[str, Any] = {
    "communities": 0,
    "conditioned": False,
    "speaker_weight": 0.0,
    "phoneme_weight": 0.0,
}
_LONG: dict[str, Any] = {"match_prior": True, "training": TrainingConfig(epochs=30, keep="last")}
_TOKENS = ModelConfig(token_view=True)
_ENSEMBLE: dict[str, Any] = {"training": TrainingConfig(epochs=30, keep="last", members=3)}


def _sapa(
    terms: dict[str, Any] | None = None, control: str = "self-training", **settings: Any
) -> Variant:
    return Variant("sapa", settings, terms or {}, control)


VARIANTS: dict[str, Variant] = {
    "erm": Variant("erm"),
    "erm-prior": Variant("erm", {"match_prior": True}),
    "erm-long": Variant("erm", _LONG),
    "erm-long-tokens": Variant("erm", {**_LONG, "model": _TOKENS}),
    "erm-ensemble": Variant("erm", {**_LONG, **_ENSEMBLE}),
    "erm-selected": Variant("erm", grid="features"),
    "erm-with-content": Variant("erm", terms=_WITH_CONTENT),
    "erm-all": Variant("erm", {"all_languages": True}),
    "classical": Variant("classical"),
    "probe": Variant("probe"),
    "probe-prior": Variant("probe", {"match_prior": True}),
    "probe-self-training": Variant("probe", {"match_prior": True, "rounds": 6}),
    "probe-self-training-no-prior": Variant("probe", {"rounds": 6}),
    "probe-recoloured": Variant(
        "probe",
        {"match_prior": True, "rounds": 6, "recolour": True},
        control="probe-self-training",
    ),
    "probe-selected": Variant("probe", grid="probe"),
    "coral": Variant("coral", control="erm"),
    "dann": Variant("dann", control="erm"),
    "self-training": Variant("sapa", _SELF_TRAINING),
    "self-training-ensemble": Variant("sapa", {**_SELF_TRAINING, **_ENSEMBLE}),
    "self-training-with-content": Variant("sapa", _SELF_TRAINING, _WITH_CONTENT),
    "phonetic-anchors": _sapa(communities=0, speaker_weight=0.0),
    "sapa": _sapa(),
    "sapa-ensemble": _sapa(control="self-training-ensemble", **_ENSEMBLE),
    "sapa-with-content": _sapa(_WITH_CONTENT, "self-training-with-content"),
    "sapa-no-communities": _sapa(communities=0),
    "sapa-no-speaker-space": _sapa(speaker_weight=0.0),
    "sapa-no-phoneme-space": _sapa(phoneme_weight=0.0),
    "sapa-no-refinement": _sapa(refine=False),
    # Its communities and triplets still rest on pseudo-labels, as its control does.
    "sapa-no-target-cross-entropy": _sapa(target_weight=0.0),
    "layer-anchoring": Variant("layer-anchoring", control="erm-long"),
    "layer-anchoring-debiased": Variant(
        "layer-anchoring", {"distance": "coral_debiased"}, control="erm-long"
    ),
    "layer-anchoring-last": Variant("layer-anchoring", {"policy": "last"}, control="erm-long"),
    "layer-anchoring-single": Variant("layer-anchoring", {"policy": "single"}, control="erm-long"),
    "layer-anchoring-vowel": Variant(
        "layer-anchoring", {"units": "vowel", "model": _TOKENS}, control="erm-long-tokens"
    ),
    "erm-disjoint": Variant("erm", terms=_DISJOINT),
    "self-training-disjoint": Variant("sapa", _SELF_TRAINING, _DISJOINT),
    "sapa-disjoint": _sapa(_DISJOINT, "self-training-disjoint"),
    "erm-unseen": Variant("erm", terms=_UNSEEN),
    "erm-all-unseen": Variant("erm", {"all_languages": True}, _UNSEEN),
    "erm-all-unseen-as-long": Variant(
        "erm", {"all_languages": True, "training": TrainingConfig(epochs=10)}, _UNSEEN
    ),
    "zero-shot": Variant("zero-shot", terms=_UNSEEN, control="erm-all-unseen-as-long"),
    "zero-shot-no-contrast": Variant(
        "zero-shot", {"contrast_weight": 0.0}, _UNSEEN, "erm-all-unseen-as-long"
    ),
    "zero-shot-no-adversary": Variant(
        "zero-shot", {"adversary_weight": 0.0}, _UNSEEN, "erm-all-unseen-as-long"
    ),
    "oracle": Variant("erm", terms={"target_access": "labels"}),
    "within": Variant("erm", terms=_UNSEEN, within=True),
}
"""By name. *Unseen*: nothing is known of the target before the test, not even its statistics. *Disjoint*: what is
adapted to are other speakers of the target than those tested. *Self-training* is SAPA without all that is SAPA's:
pseudo-labels and prior alone. *Oracle* learns from labelled speakers of the target too, *within* from them alone."""


def variant(name: str) -> Variant:
    """The row of a name: one of :data:`VARIANTS`, or a recipe of another package as its config says.

    Raises:
        ValueError: It is neither.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    if name in METHODS:
        return Variant(name)
    known = [*VARIANTS, *(other for other in METHODS if other not in VARIANTS)]
    raise ValueError(
        f"there is no row {name!r}, expected one of {', '.join(known)}"
        f"{new_name(name) or did_you_mean(name, known)}"
    )


def reference_of(name: str) -> str:
    """The plain ERM that a row is compared with, besides its control: the one with the same access to the target.

    Other terms may differ, so that rows *with content* are compared with ERM without it, as in the tables.

    Returns:
        Its row; empty for a row with the target's labels, which no plain ERM has.
    """
    plain = ("erm", "erm-unseen", "erm-disjoint")
    wanted = _access(variant(name))
    return next((row for row in plain if _access(VARIANTS[row]) == wanted), "")


def _access(row: Variant) -> dict[str, Any]:
    """The terms of a row that say what it sees of the target."""
    return {term: row.terms.get(term) for term in ("target_access", "adapt")}


def variant_of(run: Run) -> str | None:
    """The row of a comparison that a run is: the one that its folder is named after, or whose settings it has.

    Returns:
        Its name; None for settings that no row has.
    """
    settings = run.settings
    named = VARIANTS.get(run.folder.name)
    if named is not None and named.method == settings["recipe"]:
        return run.folder.name
    for name, variant in VARIANTS.items():
        usual = {term: getattr(Protocol, term) for term in _TOLD_APART_BY}
        wanted = {term: variant.terms.get(term, of) for term, of in usual.items()}
        if (
            variant.method == settings["recipe"]
            and to_plain(variant.config()) == settings["config"]
            and wanted == {term: settings["protocol"].get(term) for term in _TOLD_APART_BY}
        ):
            return name
    return None


_TOLD_APART_BY: Final = ("target_access", "adapt", "lexical_normalisation")  # rows of like settings


def controls_of(folders: Sequence[Path]) -> dict[Path, Path]:
    """The fair control of each run that has one among these: by folder, as :func:`cleser.evaluation.report` takes it.

    It has the protocol, backbone and number of seeds of the run, and all settings that their rows share, as epochs. Of
    several, that beside the run is taken.

    Args:
        folders: Run folders, of any directions.
    """
    runs = [Run(Path(folder)) for folder in folders]
    names = [variant_of(run) for run in runs]
    by_terms: dict[tuple[str | None, str], list[Run]] = {}
    for run, name in zip(runs, names, strict=True):
        by_terms.setdefault((name, run.protocol["cast"]), []).append(run)
    found = {}
    for run, name in zip(runs, names, strict=True):
        wanted = VARIANTS[name].control if name else ""
        others = by_terms.get((wanted, run.protocol["cast"]), [])
        if not name or not others:
            continue
        own = _shared(run, name, wanted)
        alike = [other for other in others if _shared(other, name, wanted) == own]
        if alike:
            # False comes before True.
            nearest = min(alike, key=lambda other: other.folder.parent != run.folder.parent)
            found[run.folder] = nearest.folder
    return found


def _shared(run: Run, name: str, control: str) -> dict[str, Any]:
    """What a run and its fair control have in common beside the terms: settings in which their rows are alike."""
    settings = run.settings
    own = completed(METHODS[settings["recipe"]].config, settings.get("config", {}))
    return {
        "seeds": settings.get("seeds"),
        "backbone": located(settings.get("backbone", "")),
        "tuning": completed(FineTuning, settings.get("tuning", {})),
        **{setting: own.get(setting) for setting in _alike(name, control)},
    }


@cache
def _alike(name: str, control: str) -> tuple[str, ...]:
    """The settings in which two rows are alike."""
    one, other = (to_plain(VARIANTS[row].config()) for row in (name, control))
    return tuple(setting for setting in one if one[setting] == other.get(setting))
