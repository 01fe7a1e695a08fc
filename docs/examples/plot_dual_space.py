"""
Triplets in two spaces
======================

SAPA's speaker space and phoneme space. Colours are emotions, shapes languages.
"""

# %%
# What it pulls and pushes
# ------------------------
# In the speaker space an utterance is pulled only to those of the other language with its emotion *and* its style
# community; in the phoneme space a phone is compared with the same phoneme only.

import torch
from pulls import circle, draw_pulls, legend, panels

from cleser.losses import DualSpaceTriplet

utterances = circle([80, 120, 40, 160, 250])
utterance_labels = {
    "emotion": torch.tensor([0, 0, 0, 1, 1]),
    "community": torch.tensor([0, 0, 1, 2, 2]),
    "language": torch.tensor([0, 1, 1, 0, 1]),
}
phones = circle([10, 60, 90, 180, 220])
phone_labels = {
    "phoneme": torch.tensor([0, 0, 0, 1, 1]),
    "emotion": torch.tensor([0, 0, 1, 0, 1]),
    "community": torch.tensor([0, 0, 2, 0, 2]),
    "language": torch.tensor([0, 1, 0, 0, 1]),
}
dual = DualSpaceTriplet()
dual.speaker.margin = dual.phoneme.margin = 0.6
figure, axes = panels(2)
draw_pulls(axes[0], lambda x: dual.speaker(x, utterance_labels), utterances, title="speaker space",
           colours=utterance_labels["emotion"].tolist(), markers=utterance_labels["language"].tolist())  # fmt: skip
draw_pulls(axes[1], lambda x: dual.phoneme(x, phone_labels), phones, title="phoneme space",
           colours=phone_labels["emotion"].tolist(), markers=phone_labels["language"].tolist())  # fmt: skip
for ax, names in ((axes[0], utterance_labels["community"]), (axes[1], phone_labels["phoneme"])):
    places = utterances if ax is axes[0] else phones
    for (x, y), name in zip(places.tolist(), names.tolist(), strict=True):
        text = f"style {name}" if ax is axes[0] else ["/a/", "/i/"][name]
        ax.annotate(text, (1.25 * x, 1.25 * y), fontsize=7, ha="center")
legend(axes[1], {"anger, source": (0, 0), "anger, target": (0, 1), "sadness, source": (1, 0)})

# %%
# In a plain loop
# ---------------
# Utterances of eight phones each; both embeddings come from one encoder. ``terms`` names the parts for a log.

torch.manual_seed(0)
emotion, language = torch.arange(96) % 4, torch.arange(96) // 48
phoneme = torch.arange(96 * 8) % 8
of_phone = torch.arange(96 * 8) // 8
frames = (
    torch.randn(96 * 8, 24)
    + torch.eye(4, 24)[emotion][of_phone] * 2
    + torch.eye(8, 24)[phoneme] * 3
)
labels = {"emotion": emotion, "language": language, "community": emotion}
labels_of_phones = {name: values[of_phone] for name, values in labels.items()} | {
    "phoneme": phoneme
}

encoder = torch.nn.Linear(24, 16)
loss = DualSpaceTriplet(speaker_weight=1.0, phoneme_weight=0.5)
optimiser = torch.optim.Adam(encoder.parameters(), 1e-2)
for step in range(60):
    phones = encoder(frames)
    utterances = phones.reshape(96, 8, -1).mean(1)
    optimiser.zero_grad()
    loss(utterances, labels, phones, labels_of_phones).backward()
    optimiser.step()
    if step % 20 == 0 or step == 59:
        terms = loss.terms(utterances, labels, phones, labels_of_phones)
        print(step, {name: round(term.item(), 3) for name, term in terms.items()})
