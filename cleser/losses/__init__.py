"""Losses for cross-lingual transfer: tensors in, scalars out; needs torch and NumPy alone."""

from typing import TYPE_CHECKING, Any

from cleser.losses.adversary import Adversary, DomainAdversary, SpeakerAdversary
from cleser.losses.concordance import ConcordanceLoss, concordance_loss
from cleser.losses.coral import CoralLoss, StreamingCovariance, coral, coral_debiased
from cleser.losses.dual_space import DualSpaceTriplet
from cleser.losses.focal import FocalLoss, focal_loss
from cleser.losses.gradient_reversal import GradientReversal, Warmup, gradient_reversal
from cleser.losses.layer_anchor import LayerAnchorLoss
from cleser.losses.mmd import MmdLoss, mmd
from cleser.losses.multi_label import MultiLabelSupCon, multi_label_supcon
from cleser.losses.soft_cross_entropy import SoftCrossEntropy, soft_cross_entropy
from cleser.losses.supcon import CrossLingualSupCon, cross_lingual_supcon
from cleser.losses.triplet import RelationalTripletLoss, relational_triplet_loss

if TYPE_CHECKING:
    from cleser.losses.miner import RelationMiner

__all__ = [
    "Adversary",
    "ConcordanceLoss",
    "CoralLoss",
    "CrossLingualSupCon",
    "DomainAdversary",
    "DualSpaceTriplet",
    "FocalLoss",
    "GradientReversal",
    "LayerAnchorLoss",
    "MmdLoss",
    "MultiLabelSupCon",
    "RelationMiner",
    "RelationalTripletLoss",
    "SoftCrossEntropy",
    "SpeakerAdversary",
    "StreamingCovariance",
    "Warmup",
    "concordance_loss",
    "coral",
    "coral_debiased",
    "cross_lingual_supcon",
    "focal_loss",
    "gradient_reversal",
    "mmd",
    "multi_label_supcon",
    "relational_triplet_loss",
    "soft_cross_entropy",
]


def __getattr__(name: str) -> Any:
    """Import what needs pytorch-metric-learning only when it is asked for."""
    if name == "RelationMiner":
        from cleser.losses.miner import RelationMiner  # noqa: PLC0415

        return RelationMiner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
