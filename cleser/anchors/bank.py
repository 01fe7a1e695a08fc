"""Running prototypes of phonemes in each emotion, style and language: positives and negatives from beyond the batch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cleser.losses.blockwise import unit
from cleser.ranks import gather
from cleser.relations import Labels, integers
from cleser.running_statistics import RunningStatistics


class AnchorBank(RunningStatistics):
    r"""A running mean of embeddings for every combination of labels, such as (phoneme, emotion, community, language).

    After a batch in which n items of mean :math:`\bar x` have the combination c, which had :math:`N_c` items before,

    .. math:: p_c \leftarrow p_c + \rho \, (\bar x - p_c), \qquad
              \rho = \max \Big( 1 - \mu, \; \frac{n}{N_c + n} \Big), \qquad N_c \leftarrow N_c + n.

    The first batch sets a prototype. While few items were seen, the prototype is their mean; afterwards it follows the
    model with momentum μ. An item with an unknown label, or that is not finite, is skipped. Prototypes are buffers:
    they carry no gradient, and ``state_dict`` holds them, with names and
    sizes in their order, without which a bank refuses it. Their memory is that of the product of all sizes. They are
    in float32 at least, also in a model of half precision; losses take them beside embeddings of any type.

    Under `torch.distributed` the items of all ranks are one batch; every rank calls `update` equally often, and ends
    with the same prototypes.

    Args:
        dim: Channels D of an embedding.
        sizes: Name → number of values; a label is below it, or −1 for unknown.
        momentum: μ in [0, 1); 0 keeps the latest batch alone.
        min_count: Number of items that a prototype must have seen before `prototypes` returns it.
        normalise: Take embeddings at unit length, so that under cosine similarity all items weigh the same.
        all_ranks: Whether ranks share what they see.

    Raises:
        ValueError: An argument is out of range.

    >>> bank = AnchorBank(2, {"phoneme": 40, "emotion": 4}, normalise=False)
    >>> x = torch.tensor([[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]])
    >>> bank.update(x, {"phoneme": torch.tensor([7, 7, 8]), "emotion": torch.tensor([2, 2, -1])})
    >>> bank.prototypes()
    (tensor([[2., 1.]]), {'phoneme': tensor([7]), 'emotion': tensor([2])})
    """

    means: Tensor
    counts: Tensor

    def __init__(
        self,
        dim: int,
        sizes: Mapping[str, int],
        *,
        momentum: float = 0.99,
        min_count: int = 1,
        normalise: bool = True,
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}, expected a number in [0, 1)")
        if not sizes or min(sizes.values()) < 1:
            raise ValueError(f"sizes are {dict(sizes)}, expected names with a number of at least 1")
        if min_count < 1:
            raise ValueError(f"min_count is {min_count}, expected a number of at least 1")
        self.sizes, self.momentum, self.min_count = dict(sizes), momentum, min_count
        self.normalise, self.all_ranks = normalise, all_ranks
        combinations = math.prod(sizes.values())
        self.register_running("means", combinations, dim)
        self.register_buffer("counts", torch.zeros(combinations, dtype=torch.int64))

    @torch.no_grad()
    def update(self, embeddings: Tensor, labels: Labels) -> None:
        """Update the prototypes by a batch. Call it after the loss: otherwise items are compared with themselves.

        Args:
            embeddings: [N, D]; N may be 0, and differ between ranks.
            labels: Name → integers [N] for all names of ``sizes``; −1 is unknown. Others are ignored.

        Raises:
            ValueError: Shapes do not fit, or a label is missing or too large.
        """
        items, slots = self._checked(embeddings), self._slots(labels, len(embeddings))
        if self.normalise:
            items = unit(items)
        if self.all_ranks:
            items, slots = gather(items), gather(slots)
        usable = (slots >= 0) & items.isfinite().all(-1)
        seen, at = slots[usable].unique(return_inverse=True)
        n = torch.bincount(at, minlength=len(seen))
        totals = items.new_zeros(len(seen), items.shape[1]).index_add_(0, at, items[usable])
        share = n.to(items.dtype) / (self.counts[seen] + n)  # integers would divide in float32
        rate = share.clamp_min(1 - self.momentum)[:, None]
        before = self.means[seen]
        self.means[seen] = before + rate * (totals / n[:, None] - before)
        self.counts[seen] += n

    def prototypes(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The prototypes of at least ``min_count`` items, for ``ref_embeddings`` and ``ref_labels`` of a loss.

        Returns:
            Embeddings [M, D] and name → int64 [M]; M may be 0.
        """
        kept = (self.counts >= self.min_count).nonzero().squeeze(1)
        labels = torch.unravel_index(kept, tuple(self.sizes.values()))
        return self.means[kept], dict(zip(self.sizes, labels, strict=True))

    def get_extra_state(self) -> Tensor:
        """Names and sizes in their order, which the shape of the prototypes does not tell, as bytes of JSON."""
        return torch.frombuffer(bytearray(json.dumps(self.sizes).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse the state of a bank of other names, sizes or order, which numbers its prototypes otherwise."""
        found = json.loads(bytes(state.tolist()))
        if list(found.items()) != list(self.sizes.items()):
            raise ValueError(f"the state is of a bank of sizes {found}, expected {self.sizes}")

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Load a state, once it is known to be of such a bank: torch asks last, with the prototypes overwritten."""
        if (own := prefix + "_extra_state") in state:
            self.set_extra_state(state[own])
        super()._load_from_state_dict(state, prefix, *args)

    def reset(self) -> None:
        """Forget all, as when communities have been found anew and their numbers mean others."""
        self.means.zero_()
        self.counts.zero_()

    def extra_repr(self) -> str:
        """The sizes and what rules the updates."""
        return (
            f"{self.means.shape[1]}, {self.sizes}, momentum={self.momentum}, "
            f"min_count={self.min_count}, normalise={self.normalise}"
        )

    def _checked(self, embeddings: Tensor) -> Tensor:
        dim = self.means.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != dim:
            raise ValueError(
                f"embeddings have shape {tuple(embeddings.shape)}, expected [items, {dim}]"
            )
        return embeddings.to(self.means)

    def _slots(self, labels: Labels, size: int) -> Tensor:
        """The number of each item's combination of labels [N], −1 where one is unknown."""
        slots = torch.zeros(size, dtype=torch.int64, device=self.means.device)
        known = torch.ones_like(slots, dtype=torch.bool)
        for name, values in integers(tuple(self.sizes), labels, "labels").items():
            at, count = torch.as_tensor(values, device=slots.device).long(), self.sizes[name]
            if len(at) != size:
                raise ValueError(f"labels[{name!r}] are {len(at)}, expected {size} as embeddings")
            if size and int(at.max()) >= count:
                raise ValueError(f"labels[{name!r}] has {int(at.max())}, expected below {count}")
            slots, known = slots * count + at, known & (at >= 0)
        return torch.where(known, slots, -1)
