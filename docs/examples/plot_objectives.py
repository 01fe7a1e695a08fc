"""
Three papers' objectives from relations
=======================================

Each paper's training objective in a few lines, on tensors of the shapes that a model gives.
"""

import torch
from torch.nn.functional import cross_entropy

from cleser.losses import (
    CrossLingualSupCon,
    DualSpaceTriplet,
    LayerAnchorLoss,
    RelationalTripletLoss,
    SpeakerAdversary,
)
from cleser.relations import differ, same

torch.manual_seed(0)
B, S, L, D = 36, 180, 5, 32
logits, utterances, phones = torch.randn(B, 4), torch.randn(B, D), torch.randn(S, D)
layers = torch.randn(L, B, D)
labels = {
    "emotion": torch.randint(0, 4, (B,)),
    "language": torch.arange(B) % 3,
    "speaker": torch.randint(-1, 10, (B,)),
    "community": torch.randint(0, 6, (B,)),
}
of_phone = torch.arange(S) // (S // B)
phone_labels = {name: values[of_phone] for name, values in labels.items()}
phone_labels["phoneme"] = torch.randint(0, 12, (S,))
source, target = labels["language"] < 2, labels["language"] == 2

# %%
# SAPA: speaker-style aware phoneme anchoring
# -------------------------------------------
# Anchors are target utterances, whose emotions are the model's own confident predictions.

speaker = RelationalTripletLoss(
    same("emotion", "community") & differ("language"), differ("emotion", "language")
)
phoneme = RelationalTripletLoss(
    same("phoneme", "emotion", "community") & differ("language"),
    same("phoneme") & differ("emotion"),
)
anchoring = DualSpaceTriplet(speaker, phoneme)  # these are its defaults, written out
sapa = cross_entropy(logits[source], labels["emotion"][source]) + anchoring(
    utterances, labels, phones, phone_labels, utterance_anchors=target
)
print(f"SAPA {sapa.item():.3f}")

# %%
# Without communities it is phonetic anchoring:

plain = RelationalTripletLoss(
    same("phoneme", "emotion") & differ("language"), same("phoneme") & differ("emotion")
)
print(f"phonetic anchors {plain(phones, phone_labels).item():.3f}")

# %%
# Layer anchoring
# ---------------
# CORAL on chosen layers; the layers come from a similarity study.

align = LayerAnchorLoss([1, 2, 3])
anchored = cross_entropy(logits[source], labels["emotion"][source]) + align(
    layers[:, source], layers[:, target]
)
print(f"layer anchoring {anchored.item():.3f}")

# %%
# Zero-shot: supervised contrast and a speaker adversary
# ------------------------------------------------------
# Eq. 12 with λ = 2.5, α = 1.0, β = 0.3; no target utterance takes part.

contrast = CrossLingualSupCon(cross_lingual_weight=2.5)
adversary = SpeakerAdversary(D, 10)
zero_shot = (
    cross_entropy(logits, labels["emotion"])
    + 1.0 * contrast(utterances, labels)
    + 0.3 * adversary(utterances, labels["speaker"])
)
print(f"zero-shot {zero_shot.item():.3f}")

# %%
# A variant is another relation: positives from other speakers only, or with either the community or the speaker in common.

print(same("emotion") & differ("speaker"))
print(same("emotion") & (same("community") | same("speaker")) & differ("language"))
