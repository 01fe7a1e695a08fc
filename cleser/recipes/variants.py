"""The rows of a comparison: recipes, their ablations, and the bounds that they stand between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from cleser.corpora.protocol import Protocol
from cleser.recipes.engine import TrainingConfig
from cleser.recipes.methods import METHODS


@dataclass(frozen=True)
class Variant:
    """A recipe with some settings changed.

    Attributes:
        method: Its name in :data:`cleser.recipes.METHODS`.
        settings: Fields of its config.
        terms: Fields of the protocol.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    terms: dict[str, Any] = field(default_factory=dict)

    def config(self) -> Any:
        """The method's config with the settings."""
        return replace(METHODS[self.method].config(), **self.settings)

    def protocol(self, protocol: Protocol) -> Protocol:
        """The protocol with the terms."""
        return replace(protocol, **self.terms)


_WITH_CONTENT = {"lexical_normalisation": False}
_UNSEEN = {"target_access": "nothing", "normalisation": "corpus"}

VARIANTS: dict[str, Variant] = {
    "erm": Variant("baseline"),
    "erm-prior": Variant("baseline", {"match_prior": True}),
    "erm-ensemble": Variant(
        "baseline", {"match_prior": True, "training": TrainingConfig(members=3)}
    ),
    "erm-with-content": Variant("baseline", terms=_WITH_CONTENT),
    "erm-all": Variant("baseline", {"all_languages": True}),
    "classical": Variant("classical"),
    "coral": Variant("coral"),
    "dann": Variant("dann"),
    "phonetic-anchors": Variant("sapa", {"communities": 0, "speaker_weight": 0.0}),
    "sapa": Variant("sapa"),
    "sapa-ensemble": Variant(
        "sapa", {"training": TrainingConfig(epochs=30, keep="last", members=3)}
    ),
    "sapa-with-content": Variant("sapa", terms=_WITH_CONTENT),
    "sapa-no-communities": Variant("sapa", {"communities": 0}),
    "sapa-no-speaker-space": Variant("sapa", {"speaker_weight": 0.0}),
    "sapa-no-phoneme-space": Variant("sapa", {"phoneme_weight": 0.0}),
    "sapa-no-refinement": Variant("sapa", {"refine": False}),
    "sapa-no-pseudo-labels": Variant("sapa", {"target_weight": 0.0}),
    "layer-anchoring": Variant("layer_anchoring"),
    "layer-anchoring-last": Variant("layer_anchoring", {"policy": "last"}),
    "layer-anchoring-single": Variant("layer_anchoring", {"policy": "single"}),
    "layer-anchoring-vowel": Variant("layer_anchoring", {"units": "vowel"}),
    "erm-unseen": Variant("baseline", terms=_UNSEEN),
    "erm-all-unseen": Variant("baseline", {"all_languages": True}, _UNSEEN),
    "zero-shot": Variant("zero_shot", terms=_UNSEEN),
    "zero-shot-no-contrast": Variant("zero_shot", {"contrast_weight": 0.0}, _UNSEEN),
    "zero-shot-no-adversary": Variant("zero_shot", {"adversary_weight": 0.0}, _UNSEEN),
    "oracle": Variant("baseline", terms={"target_access": "labels"}),
}
"""By name. *Unseen*: nothing is known of the target before the test, not even its statistics."""
