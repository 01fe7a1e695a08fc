"""
Adversaries behind a gradient reversal
======================================

The classifier descends on its loss, the embeddings climb it. Colours are what is to be forgotten.
"""

# %%
# What it pulls and pushes
# ------------------------
# A classifier that tells two speakers apart by the horizontal axis; behind the reversal each item moves towards where it would be taken
# for the other speaker. Grey items are of unknown speakers: they contribute nothing.

import torch
from pulls import draw_pulls, legend, panels

from cleser.losses import DomainAdversary, SpeakerAdversary, Warmup

torch.manual_seed(0)
items = torch.tensor([[-1.0, 0.6], [-0.8, -0.4], [0.9, 0.5], [0.7, -0.6], [0.1, 0.0]])
speakers = torch.tensor([0, 0, 1, 1, -1])
figure, axes = panels(2)
adversary = SpeakerAdversary(2, 2, hidden=16, dropout=0.0)
optimiser = torch.optim.Adam(adversary.parameters(), 1e-2)
for _ in range(100):
    optimiser.zero_grad()
    adversary(items, speakers).backward()
    optimiser.step()
draw_pulls(axes[0], lambda x: adversary(x, speakers), items, colours=speakers.tolist(), markers=[0] * 5,
           title="through the reversal")  # fmt: skip
legend(axes[0], {"speaker 1": (0, 0), "speaker 2": (1, 0), "unknown": (-1, 0)})
steps = torch.arange(0, 1500)
axes[1].plot(steps, Warmup(1000, peak=0.3)(steps))
axes[1].set(title="Warmup(1000, peak=0.3)", xlabel="step", ylabel="λ")
figure.tight_layout()

# %%
# In a plain loop
# ---------------
# Language shifts the features; a domain adversary takes the shift out while the emotion stays.

emotion, language = torch.arange(256) % 2, torch.arange(256) // 128
features = torch.randn(256, 8)
features[:, 0] += 3 * (2 * emotion - 1)
features[:, 1] += 3 * (2 * language - 1)
encoder, head = torch.nn.Linear(8, 2), torch.nn.Linear(2, 2)
adversary = DomainAdversary(2, 2, hidden=16, dropout=0.0, schedule=Warmup(200))
optimiser = torch.optim.Adam(
    [*encoder.parameters(), *head.parameters(), *adversary.parameters()], 1e-2
)


def languages_apart(x: torch.Tensor) -> float:
    """Distance of the languages' means over the spread within them."""
    a, b = x[language == 0], x[language == 1]
    return ((a.mean(0) - b.mean(0)).norm() / torch.cat([a - a.mean(0), b - b.mean(0)]).std()).item()


before = languages_apart(features)
for step in range(400):
    h = encoder(features)
    loss = torch.nn.functional.cross_entropy(head(h), emotion) + adversary(h, language)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
with torch.no_grad():
    h = encoder(features)
right = (head(h).argmax(1) == emotion).float().mean().item()
print(
    f"languages apart: {before:.2f} before, {languages_apart(h):.2f} after; emotion right: {right:.2f}"
)
