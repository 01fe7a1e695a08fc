"""
Cross-lingual supervised contrast
=================================

An emotion's utterances gather, those of other languages more strongly. Colours are emotions, shapes languages.
"""

# %%
# What it pulls and pushes
# ------------------------
# Weight 1 is plain supervised contrast; at 2.5 (the paper's λ) the pull between languages grows at the expense of that
# within one. Grey items have an unknown emotion: they attract nobody and are repelled like any other item.

import torch
from pulls import circle, draw_pulls, legend, panels

from cleser.losses import CrossLingualSupCon

items = circle([80, 130, 20, 190, 240, 300])
labels = {
    "emotion": torch.tensor([0, 0, 0, 1, 1, -1]),
    "language": torch.tensor([0, 0, 1, 0, 1, 0]),
}
figure, axes = panels(3)
for ax, weight in zip(axes, (1.0, 2.5, 10.0), strict=True):
    loss = CrossLingualSupCon(temperature=0.5, cross_lingual_weight=weight)
    draw_pulls(ax, lambda x, loss=loss: loss(x, labels), items, title=f"λ = {weight}",
               colours=labels["emotion"].tolist(), markers=labels["language"].tolist())  # fmt: skip
legend(
    axes[2],
    {
        "anger, German": (0, 0),
        "anger, English": (0, 1),
        "sadness, German": (1, 0),
        "unknown": (-1, 0),
    },
)

# %%
# In a plain loop
# ---------------
# Cosine similarity of an emotion's items across languages, before and after.

torch.manual_seed(0)
emotion, language = torch.arange(240) % 4, torch.arange(240) % 3
features = (
    torch.randn(240, 16) + 2 * torch.eye(4, 16)[emotion] + 2 * torch.eye(3, 16)[language].roll(8, 1)
)


def across(x: torch.Tensor) -> float:
    x = torch.nn.functional.normalize(x)
    pairs = (emotion[:, None] == emotion) & (language[:, None] != language)
    return (x @ x.T)[pairs].mean().item()


encoder = torch.nn.Linear(16, 8)
for weight in (1.0, 2.5):
    torch.manual_seed(0)
    encoder.reset_parameters()
    before = across(encoder(features))
    loss = CrossLingualSupCon(temperature=0.2, cross_lingual_weight=weight)
    optimiser = torch.optim.Adam(encoder.parameters(), 1e-2)
    for step in range(100):
        at = torch.randint(0, 240, (36,))
        optimiser.zero_grad()
        loss(encoder(features[at]), {"emotion": emotion[at], "language": language[at]}).backward()
        optimiser.step()
    print(f"λ = {weight}: {before:.2f} before, {across(encoder(features)):.2f} after")
