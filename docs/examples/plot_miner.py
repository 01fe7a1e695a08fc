"""
Relations in pytorch-metric-learning
====================================

Every loss of that library, its memory and its wrappers, with our relations; its distances and reducers in ours.
"""

# %%
# Any loss of that library
# ------------------------
# Arrows show what ``MultiSimilarityLoss`` does with pairs that a relation chose. Colours are emotions, shapes languages.

import torch
from pulls import circle, draw_pulls, legend, panels
from pytorch_metric_learning import distances, losses, reducers

from cleser.losses import RelationalTripletLoss, RelationMiner
from cleser.relations import differ, same

items = circle([80, 130, 20, 200, 250])
labels = {"emotion": torch.tensor([0, 0, 0, 1, 1]), "language": torch.tensor([0, 0, 1, 0, 1])}
theirs = losses.MultiSimilarityLoss()
figure, axes = panels(2)
for ax, (title, positive) in zip(axes, {"same emotion": same("emotion"),
        "same emotion, other language": same("emotion") & differ("language")}.items(), strict=True):  # fmt: skip
    miner = RelationMiner(positive, differ("emotion"))
    draw_pulls(ax, lambda x, miner=miner: theirs(x, indices_tuple=miner(x, labels)), items, title=title,
               colours=labels["emotion"].tolist(), markers=labels["language"].tolist())  # fmt: skip
legend(axes[1], {"anger, German": (0, 0), "anger, English": (0, 1), "sadness, German": (1, 0)})

# %%
# In a plain loop, with a memory
# ------------------------------
# ``CrossBatchMemory`` keeps one integer an item: ``encode`` packs all labels into it, and the miner reads them back.

torch.manual_seed(0)
emotion, language = torch.arange(240) % 4, torch.arange(240) // 120
features = torch.randn(240, 16) + 2 * torch.eye(4, 16)[emotion]
encoder = torch.nn.Linear(16, 8)
miner = RelationMiner(same("emotion") & differ("language"), differ("emotion"))
memory = losses.CrossBatchMemory(losses.ContrastiveLoss(), 8, memory_size=128, miner=miner)
optimiser = torch.optim.Adam(encoder.parameters(), 1e-2)
for step in range(50):
    at = torch.randint(0, 240, (32,))
    known = {"emotion": emotion[at], "language": language[at]}
    value = memory(encoder(features[at]), miner.encode(known))
    optimiser.zero_grad()
    value.backward()
    optimiser.step()
    if step in (0, 49):
        print(step, f"{value.item():.3f}")

# %%
# Their parts in our losses
# -------------------------

loss = RelationalTripletLoss(
    same("emotion"),
    differ("emotion"),
    distance=distances.LpDistance(normalize_embeddings=False),
    reducer=reducers.MeanReducer(),
)
print(f"{loss(encoder(features), {'emotion': emotion}).item():.3f}")
