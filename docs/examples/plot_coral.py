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
# Anchor layers 1 and 2 of a three-layer encoder are aligned while it learns to classify the source.

emotion = torch.arange(120) % 2
english = torch.randn(120, 8) + 2 * torch.eye(2, 8)[emotion]
german = (torch.randn(90, 8) + 2 * torch.eye(2, 8)[torch.arange(90) % 2]) @ torch.randn(8, 8)
layers = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(3)])
head = torch.nn.Linear(8, 2)
anchors = LayerAnchorLoss([1, 2])
optimiser = torch.optim.Adam([*layers.parameters(), *head.parameters()], 1e-2)


def states(x: torch.Tensor) -> torch.Tensor:
    """Hidden states of all layers, [L, N, D]."""
    found = []
    for layer in layers:
        x = torch.tanh(layer(x))
        found.append(x)
    return torch.stack(found)


for step in range(200):
    s, t = states(english), states(german)
    alignment = anchors(s, t)
    loss = torch.nn.functional.cross_entropy(head(s[-1]), emotion) + alignment
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step in (0, 199):
        print(step, f"alignment {alignment.item():.4f}")

# %%
# Small batches and whole corpora
# -------------------------------
# ``CoralLoss(momentum=…)`` compares running covariances; ``StreamingCovariance`` goes over a corpus batch by batch.

smooth = CoralLoss(momentum=0.9, dim=8)
values = [smooth(states(english[i::8])[-1], states(german[i::6])[-1]).item() for i in range(6)]
stream = StreamingCovariance(8)
for batch in english.split(50):
    stream.update(batch)
print(
    [round(v, 4) for v in values], torch.allclose(stream.covariance, torch.cov(english.T).double())
)
