r"""The two anchoring losses of SAPA: speaker style in the space of utterances, phonemes in the space of phones.

S. G. Upadhyay, C. Busso, C.-C. Lee, *Speaker Style-Aware Phoneme Anchoring for Improved Cross-Lingual Speech Emotion
Recognition*, arXiv 2509.20373, 2025.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cleser.losses.triplet import RelationalTripletLoss
from cleser.relations import Labels, differ, same


class DualSpaceTriplet(nn.Module):
    r"""Triplets among utterances and triplets among phones.

    .. math:: \mathcal{L} = \alpha \mathcal{L}_{\text{speaker}} + \beta \mathcal{L}_{\text{phoneme}}

    with `RelationalTripletLoss` in each space. By default the relations are SAPA's, as far as public descriptions tell:

    ======== ====================================================== =================================
    space    positive                                               negative
    ======== ====================================================== =================================
    speaker  same emotion and community, another language           another emotion, another language
    phoneme  same phoneme, emotion and community, another language  same phoneme, another emotion
    ======== ====================================================== =================================

    Shapes:
        ``utterances`` [B, D] and each of their labels [B]; ``phones`` [S, E] and each of their labels [S]; result [].

    Args:
        speaker: The loss among utterances.
        phoneme: The loss among phones.
        margin: m of the two default losses; those that are given have their own.
        all_ranks: For the default losses: under `torch.distributed`, take the items of all ranks as one batch.
        speaker_weight: α. At 0 its term is left out and its labels are not needed.
        phoneme_weight: β, likewise.

    Raises:
        ValueError: A weight or the margin is negative, or a setting of the default losses comes with two losses.

    >>> import torch
    >>> loss = DualSpaceTriplet(phoneme_weight=0.0)
    >>> labels = {"emotion": [0, 0, 1], "community": [3, 3, 4], "language": [0, 1, 1]}
    >>> utterances = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> loss.terms(utterances, labels)  # s(a, n) - s(a, p) + 0.2 with anchor 0, positive 1, negative 2
    {'speaker': tensor(0.2000)}
    """

    def __init__(
        self,
        speaker: RelationalTripletLoss | None = None,
        phoneme: RelationalTripletLoss | None = None,
        *,
        speaker_weight: float = 1.0,
        phoneme_weight: float = 1.0,
        margin: float | None = None,
        all_ranks: bool | None = None,
    ) -> None:
        super().__init__()
        if speaker and phoneme and not (margin is None and all_ranks is None):
            raise ValueError(
                "margin and all_ranks are of the default losses, and both losses are given"
            )
        for name, weight in (("speaker", speaker_weight), ("phoneme", phoneme_weight)):
            if not weight >= 0:
                raise ValueError(f"{name}_weight is {weight}, expected a number of at least 0")
        settings: dict[str, Any] = {
            "margin": 0.2 if margin is None else margin,
            "all_ranks": all_ranks is not False,
        }
        self.speaker = speaker or RelationalTripletLoss(
            same("emotion", "community") & differ("language"),
            differ("emotion", "language"),
            **settings,
        )
        self.phoneme = phoneme or RelationalTripletLoss(
            same("phoneme", "emotion", "community") & differ("language"),
            same("phoneme") & differ("emotion"),
            **settings,
        )
        self.speaker_weight, self.phoneme_weight = speaker_weight, phoneme_weight

    def terms(
        self,
        utterances: Tensor,
        utterance_labels: Labels,
        phones: Tensor | None = None,
        phone_labels: Labels | None = None,
        *,
        utterance_anchors: Tensor | None = None,
        phone_anchors: Tensor | None = None,
        ref_phones: Tensor | None = None,
        ref_phone_labels: Labels | None = None,
    ) -> dict[str, Tensor]:
        """The terms by name, unweighted, for logging.

        Args:
            utterances: [B, D].
            utterance_labels: Name → integers [B]; −1 is unknown.
            phones: [S, E]; needed unless ``phoneme_weight`` is 0.
            phone_labels: Name → integers [S].
            utterance_anchors: Which utterances may be anchors, bool [B], as the target's; by default all.
            phone_anchors: Which phones may be anchors, bool [S].
            ref_phones: Where phones' positives and negatives come from, [M, E], as a bank; by default the batch.
            ref_phone_labels: Their labels.

        Raises:
            ValueError: Phones are missing, shapes do not fit, or a label is missing.
        """
        terms = {}
        if self.speaker_weight:
            terms["speaker"] = self.speaker(utterances, utterance_labels, anchors=utterance_anchors)
        if self.phoneme_weight:
            if phones is None or phone_labels is None:
                raise ValueError(f"phones are missing, and phoneme_weight is {self.phoneme_weight}")
            terms["phoneme"] = self.phoneme(
                phones, phone_labels, ref_phones, ref_phone_labels, anchors=phone_anchors
            )
        return terms

    def forward(
        self,
        utterances: Tensor,
        utterance_labels: Labels,
        phones: Tensor | None = None,
        phone_labels: Labels | None = None,
        *,
        utterance_anchors: Tensor | None = None,
        phone_anchors: Tensor | None = None,
        ref_phones: Tensor | None = None,
        ref_phone_labels: Labels | None = None,
    ) -> Tensor:
        """The weighted sum of `terms`, whose arguments it shares."""
        terms = self.terms(
            utterances, utterance_labels, phones, phone_labels,
            utterance_anchors=utterance_anchors, phone_anchors=phone_anchors,
            ref_phones=ref_phones, ref_phone_labels=ref_phone_labels,
        )  # fmt: skip
        weights = {"speaker": self.speaker_weight, "phoneme": self.phoneme_weight}
        weighted = [weights[name] * term for name, term in terms.items()]
        return sum(weighted, utterances[:0].sum())

    def extra_repr(self) -> str:
        """The weights."""
        return f"speaker_weight={self.speaker_weight}, phoneme_weight={self.phoneme_weight}"
