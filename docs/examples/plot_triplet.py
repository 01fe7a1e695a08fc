"""
Triplets by relation
====================

Who is a positive and who a negative is said by relations. Colours are emotions, shapes languages.
"""

# %%
# What it pulls and pushes
# ------------------------
# Arrows show where a descent step moves each item. With ``same("emotion") & differ("language")`` as positive, items of one
# language do not pull each other, however far apart they are. Grey items have an unknown emotion: nothing holds for them.

import torch
from pulls import circle, draw_pulls, legend, panels

from cleser.losses import RelationalTripletLoss
from cleser.relations import differ, same

items = circle([80, 130, 60, 200, 230, 100, 350])
labels = {
    "emotion": torch.tensor([0, 0, 0, 1, 1, 1, -1]),
    "language": torch.tensor([0, 0, 1, 0, 1, 1, 0]),
}
figure, axes = panels(3)
relations = {
    "same emotion": same("emotion"),
    "same emotion, other language": same("emotion") & differ("language"),
}
for ax, (title, positive) in zip(axes, relations.items(), strict=False):
    loss = RelationalTripletLoss(positive, differ("emotion"), margin=0.5)
    draw_pulls(ax, lambda x, loss=loss: loss(x, labels), items, title=title,
               colours=labels["emotion"].tolist(), markers=labels["language"].tolist())  # fmt: skip
hardest = RelationalTripletLoss(same("emotion"), differ("emotion"), margin=0.5, mining="hard")
draw_pulls(axes[2], lambda x: hardest(x, labels), items, title='same emotion, mining="hard"',
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
# Two languages whose features are shifted against each other; the encoder learns to put an emotion's items together.

torch.manual_seed(0)
emotion, language = torch.arange(240) % 4, torch.arange(240) // 120
features = (
    torch.randn(240, 16)
    + 2 * torch.eye(4, 16)[emotion]
    + 3 * torch.eye(2, 16, dtype=torch.float)[language].roll(8, 1)
)

encoder = torch.nn.Linear(16, 8)
loss = RelationalTripletLoss(same("emotion") & differ("language"), differ("emotion"))
optimiser = torch.optim.Adam(encoder.parameters(), 1e-2)
for step in range(200):
    at = torch.randint(0, 240, (64,))
    value = loss(encoder(features[at]), {"emotion": emotion[at], "language": language[at]})
    optimiser.zero_grad()
    value.backward()
    optimiser.step()


def nearest_is_right(x: torch.Tensor) -> float:
    """Share of items whose most similar item of the other language has their emotion."""
    x = torch.nn.functional.normalize(x)
    other = differ("language").mask({"language": language})
    return (emotion[(x @ x.T).masked_fill(~other, -2).argmax(1)] == emotion).float().mean().item()


print(f"before {nearest_is_right(features):.2f}, after {nearest_is_right(encoder(features)):.2f}")
