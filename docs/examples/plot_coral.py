"""
CORAL, MMD and layer anchors
============================

Alignment of two sets without knowing who is who. Colours are the sides.
"""

# %%
# What they pull and push
# -----------------------
# CORAL sees covariances alone: it turns and stretches, and leaves the means where they are. MMD sees whole
# distributions, and moves them onto each other.

import torch
from pulls import draw_pulls, legend, panels

from cleser.losses import CoralLoss, LayerAnchorLoss, StreamingCovariance, coral, mmd

torch.manual_seed(0)
source = torch.randn(40, 2) * torch.tensor([1.2, 0.3])
target = torch.randn(25, 2) * torch.tensor([0.4, 0.9]) + torch.tensor([1.5, 1.0])
items = torch.cat([source, target])
side = [0] * 40 + [1] * 25
figure, axes = panels(2)
for ax, (title, loss) in zip(axes, {"coral": coral, "mmd": mmd}.items(), strict=True):
    draw_pulls(
        ax,
        lambda x, loss=loss: loss(x[:40], x[40:]),
        items,
        colours=side,
        markers=side,
        title=title,
    )
legend(axes[1], {"source": (0, 0), "target": (1, 1)})

# %%
# In a plain loop
# ---------------
# A three-layer encoder learns to classify English; German is the same task behind an unknown linear map. With layers 1 and
# 2 as anchors, their covariances end closer than without.

emotion = torch.arange(120) % 2
english = torch.randn(120, 8) + 2 * torch.eye(2, 8)[emotion]
german = (torch.randn(90, 8) + 2 * torch.eye(2, 8)[torch.arange(90) % 2]) @ torch.randn(8, 8)
anchors = LayerAnchorLoss([1, 2])


def states(layers: torch.nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    """Hidden states of all layers, [L, N, D]."""
    found = []
    for layer in layers:
        x = torch.tanh(layer(x))
        found.append(x)
    return torch.stack(found)


for weight in (0.0, 30.0):
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(3)])
    head = torch.nn.Linear(8, 2)
    optimiser = torch.optim.Adam([*layers.parameters(), *head.parameters()], 1e-2)
    for _ in range(200):
        s, t = states(layers, english), states(layers, german)
        classified = torch.nn.functional.cross_entropy(head(s[-1]), emotion)
        loss = classified + weight * anchors(s, t)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    distance = anchors(s, t).item()
    print(f"weight {weight:2.0f}: cross-entropy {classified.item():.3f}, distance {distance:.4f}")

# %%
# Small batches and whole corpora
# -------------------------------
# ``CoralLoss(momentum=…)`` compares running covariances; ``StreamingCovariance`` goes over a corpus batch by batch.

smooth = CoralLoss(momentum=0.9, dim=8)
values = [
    smooth(states(layers, english[i::8])[-1], states(layers, german[i::6])[-1]).item()
    for i in range(6)
]
stream = StreamingCovariance(8)
for batch in english.split(50):
    stream.update(batch)
print(
    [round(v, 4) for v in values], torch.allclose(stream.covariance, torch.cov(english.T).double())
)
