r"""Losses that are means over anchors: each anchor's share is read off its row of similarities to all candidates.

.. math:: \mathcal{L} = \frac{\sum_i \ell(s_{i\cdot})}{\sum_i c(s_{i\cdot})}, \qquad s_{ij} = s(x_i, r_j)

A loss states ℓ (a sum) and c (a count) for a block of rows. Blocks are visited one after another; because the result
is a scalar, its gradient is known up to a factor as soon as a block has been seen, so nothing of the size [N, M] is
kept. Memory is linear in the number of items, and blocks stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cleser.ranks import gather, sizes_of_ranks, world
from cleser.ranks import sum_over_ranks as over_ranks
from cleser.relations import Labels, Relation, integers
from cleser.tracing import transformed, unseen

BLOCK = 2**20
"""Similarities held at once, about: 4 MiB in float32."""

Similarity = Callable[[Tensor, Tensor], Tensor]
"""[N, D] and [M, D] → [N, M], larger where items are more alike."""


@dataclass(frozen=True)
class Pairs:
    """Anchors, the candidates that they are compared with, and who they are.

    Attributes:
        anchors: [N, D].
        candidates: [M, D].
        labels: Labels of the anchors and, where they are among the candidates, of all items.
        ref_labels: Labels of the candidates; None where they are ``labels``.
        start: The number of the first anchor among the items that have ``labels``.
        allowed: bool [N], which anchors count; None for all.
        among: Whether the anchors are among the candidates: item ``start`` is the first.
    """

    anchors: Tensor
    candidates: Tensor
    labels: Labels
    ref_labels: Labels | None
    start: int = 0
    allowed: Tensor | None = None
    among: bool = False

    def zero(self) -> Tensor:
        """Zero, with a zero gradient for every item."""
        return self.anchors[:0].sum() + self.candidates[:0].sum()

    def block(self, rows: slice, similarity: Tensor) -> Block:
        """Some anchors' rows, with their similarities."""
        allowed = None if self.allowed is None else self.allowed[rows]
        items = slice(self.start + rows.start, self.start + rows.stop)
        return Block(similarity, self.labels, self.ref_labels, items, allowed, self.among)


@dataclass(frozen=True)
class Block:
    """A block of anchors' rows: similarities [n, M] and masks of relations."""

    similarity: Tensor
    labels: Labels
    ref_labels: Labels | None
    items: slice
    allowed: Tensor | None
    among: bool

    @property
    def others(self) -> int:
        """Candidates of each anchor, itself not counted."""
        return self.similarity.shape[1] - int(self.among)  # a compiler has no bools among its sizes

    def where(self, relation: Relation) -> Tensor:
        """The pairs of an anchor and another candidate for which a relation holds, bool [n, M]."""
        mask: Tensor = relation.mask(self.labels, self.ref_labels, rows=self.items)
        if self.among and self.ref_labels is not None:
            mask.diagonal(self.items.start).fill_(False)
        return mask if self.allowed is None else mask & self.allowed[:, None]

    def without_self(self, fill: float) -> Tensor:
        """The similarities with those of an anchor to itself overwritten."""
        if self.among:
            self.similarity.diagonal(self.items.start).fill_(fill)
        return self.similarity


Rule = Callable[[Block], tuple[Tensor, Tensor]]
"""A block's sum of losses (with gradient) and how many there are (without)."""


def tensor_of(values: Any) -> Tensor:
    """A tensor as it is; a copy of an array, a column or a list, with all its digits."""
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, order="C"))


def check_tensor(values: Any, argument: str) -> None:
    """Refuse with a ValueError what has no gradient for a network: an array, a list."""
    if not isinstance(values, Tensor):
        kind = type(values)
        raise ValueError(
            f"{argument} of {kind.__module__}.{kind.__qualname__}, expected a torch.Tensor: write torch.as_tensor(…)"
        )


def check_floats(values: Tensor, argument: str) -> None:
    """Refuse what no mean and no length can be taken of, with a ValueError."""
    check_tensor(values, argument)
    if not values.is_floating_point():
        raise ValueError(
            f"{argument} of {values.dtype}, expected floats, as torch.float32: write .float()"
        )


def unit(embeddings: Tensor) -> Tensor:
    """Rows of length one; rows of zeros stay, with a bounded gradient."""
    length: Tensor = embeddings.norm(dim=-1, keepdim=True)
    if not unseen(length) and bool(((length > 1e-15) & (length < 1e15)).all()):
        return embeddings / length  # a twentieth of a small batch's loss is saved
    # First by the largest value: float32 holds no square of 1e20 and none of 1e-30.
    largest = embeddings.detach().abs().amax(-1, keepdim=True)
    scaled = embeddings / torch.where(largest > 0, largest, 1)
    length = scaled.norm(dim=-1, keepdim=True)
    return scaled / length.clamp_min(1)


def inner(anchors: Tensor, candidates: Tensor) -> Tensor:
    """Inner products, which of unit vectors are cosines."""
    # torch.compile takes no function with a forward derivative of its own.
    if anchors is candidates and not torch.compiler.is_compiling():
        gram: Tensor = _Gram.apply(anchors)  # type: ignore[no-untyped-call]
        return gram
    return anchors @ candidates.T


class _Gram(torch.autograd.Function):
    """X Xᵀ, whose gradient G needs one matrix product, (G + Gᵀ) X, instead of two."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x @ x.T

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        product: Tensor = (gradient + gradient.T) @ x
        return product

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        half: Tensor = tangent @ x.T
        return half + half.T


def oriented(distance: Any) -> Similarity:
    """A distance object of pytorch-metric-learning as a similarity."""
    if distance.is_inverted:
        return distance  # type: ignore[no-any-return]
    return lambda anchors, candidates: -distance(anchors, candidates)


def pair(
    embeddings: Tensor,
    labels: Labels,
    ref_embeddings: Tensor | None,
    ref_labels: Labels | None,
    *,
    names: tuple[str, ...],
    anchors: Tensor | None = None,
    cosine: bool = True,
    all_ranks: bool = True,
) -> Pairs:
    """Check a loss's inputs, bring them to one precision and device, and join those of all ranks.

    References that are the embeddings themselves, the very same tensor, have each anchor among them, as without any.

    Args:
        embeddings: [N, D].
        labels: Name → integers [N]; −1 is unknown.
        ref_embeddings: What anchors are compared with, [M, D]; None for the embeddings themselves.
        ref_labels: Labels of these.
        names: The labels that the loss asks for.
        anchors: Which items may be anchors, bool [N]; None for all.
        cosine: Whether embeddings are brought to length one, so that inner products are cosines.
        all_ranks: Whether the items of all ranks are one batch.

    Raises:
        ValueError: Shapes do not fit, embeddings are no floats, a label is missing, or a reference has embeddings
            without labels.
    """
    known = _checked("", embeddings, labels, names)
    allowed = None if anchors is None else _mask(anchors, embeddings)
    if ref_embeddings is None and ref_labels is not None:
        raise ValueError("found ref_labels without ref_embeddings")
    if ref_embeddings is not None and ref_labels is None:
        raise ValueError("found ref_embeddings without ref_labels")
    refs = (
        None
        if ref_embeddings is None or ref_labels is None
        else _checked("ref_", ref_embeddings, ref_labels, names, embeddings)
    )
    several = all_ranks and world() > 1
    if ref_embeddings is not None and ref_embeddings is not embeddings:
        kind = torch.promote_types(embeddings.dtype, ref_embeddings.dtype)
        wide = _widened(embeddings.to(kind), cosine)
        candidates = _widened(ref_embeddings.to(kind), cosine)
        if several:
            candidates, refs = gather(candidates), refs and _gathered(refs)
        return Pairs(wide, candidates, known, refs, allowed=allowed)
    wide = _widened(embeddings, cosine)
    if not several:
        return Pairs(wide, wide, known, refs, allowed=allowed, among=True)
    start = sum(sizes_of_ranks(wide)[: torch.distributed.get_rank()])
    everyone = gather(wide)
    own = everyone[start : start + len(wide)]
    return Pairs(
        own, everyone, _gathered(known), refs and _gathered(refs), start, allowed, among=True
    )


def mean_over_anchors(
    pairs: Pairs, rule: Rule, *, similarity: Similarity = inner, all_ranks: bool = True
) -> Tensor:
    """The rule's sums over its counts, and zero (with a zero gradient) where it counts nothing."""
    with torch.autocast(pairs.anchors.device.type, enabled=False):
        total, count = _total(pairs, rule, similarity)
    if all_ranks:
        total, count = over_ranks(total), over_ranks(count)
    return total / count.clamp_min(1).to(total.dtype)


def _total(pairs: Pairs, rule: Rule, similarity: Similarity) -> tuple[Tensor, Tensor]:
    if not len(pairs.anchors) or not len(pairs.candidates):
        return pairs.zero(), torch.zeros((), dtype=torch.int64, device=pairs.anchors.device)
    # A compiler fuses by itself, and the transforms of torch.func cannot see into blocks.
    if transformed():
        return _at_once(pairs.anchors, pairs.candidates, pairs, rule, similarity)
    rows = max(1, BLOCK // len(pairs.candidates))
    if len(pairs.anchors) <= rows:
        return _at_once(pairs.anchors, pairs.candidates, pairs, rule, similarity)
    blockwise: tuple[Tensor, Tensor] = _Blockwise.apply(  # type: ignore[no-untyped-call]
        pairs.anchors, pairs.candidates, pairs, rule, similarity, rows
    )
    return blockwise


def _at_once(
    anchors: Tensor, candidates: Tensor, pairs: Pairs, rule: Rule, similarity: Similarity
) -> tuple[Tensor, Tensor]:
    """Sum and count of all rows, by operations that can be differentiated as often as one likes."""
    return rule(pairs.block(slice(0, len(anchors)), similarity(anchors, candidates)))


class _Blockwise(torch.autograd.Function):
    """Sum and count over blocks; the gradient is found on the way and kept instead of the similarities.

    Where this gradient is to be differentiated in turn, all similarities are taken once more, at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        pairs: Pairs,
        rule: Rule,
        similarity: Similarity,
        rows: int,
    ) -> tuple[Tensor, Tensor]:
        total = anchors.new_zeros((), dtype=torch.float64)
        count = torch.zeros((), dtype=torch.int64, device=anchors.device)
        needed = any(ctx.needs_input_grad[:2])
        left, right = torch.zeros_like(anchors), torch.zeros_like(candidates)
        for part in _slices(len(anchors), rows):
            with torch.set_grad_enabled(needed):
                # Leaves of a small graph of their own.
                x = anchors[part].detach().requires_grad_(needed)
                r = candidates.detach().requires_grad_(needed)
                value, number = rule(pairs.block(part, similarity(x, r)))
            if needed:
                gx, gr = torch.autograd.grad(value, (x, r))
                left[part] = gx
                right += gr
            total += value.detach()
            count = count + number
        ctx.save_for_backward(anchors, candidates, left, right)
        ctx.inputs = pairs, rule, similarity
        ctx.mark_non_differentiable(count)
        return total.to(anchors.dtype), count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Any, ...]:
        anchors, candidates, left, right = ctx.saved_tensors
        if torch.is_grad_enabled():
            # Views, since anchors and candidates may be one tensor, of whose gradient each is to have its part.
            x, r = anchors.view_as(anchors), candidates.view_as(candidates)
            total, _ = _at_once(x, r, *ctx.inputs)
            left, right = torch.autograd.grad(total, (x, r), create_graph=True)
        return gradient * left, gradient * right, None, None, None, None


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(i, min(i + step, length)) for i in range(0, length, step))


def _checked(
    prefix: str,
    embeddings: Tensor,
    labels: Labels,
    names: tuple[str, ...],
    like: Tensor | None = None,
) -> dict[str, Tensor]:
    """Labels on the embeddings' device, once shapes fit."""
    check_floats(embeddings, f"{prefix}embeddings are")
    if embeddings.ndim != 2:
        shape = tuple(embeddings.shape)
        raise ValueError(f"{prefix}embeddings have shape {shape}, expected [items, dimensions]")
    if like is not None and embeddings.shape[1] != like.shape[1]:
        raise ValueError(
            f"{prefix}embeddings have {embeddings.shape[1]} dimensions, embeddings {like.shape[1]}"
        )
    known = integers(names, labels, f"{prefix}labels")
    for name, values in known.items():
        if len(values) != len(embeddings):
            raise ValueError(
                f"{prefix}labels[{name!r}] has {len(values)} items, "
                f"expected one of each of {len(embeddings)} embeddings"
            )
    return {n: torch.as_tensor(v, device=embeddings.device) for n, v in known.items()}


def _mask(anchors: Tensor, embeddings: Tensor) -> Tensor:
    mask = torch.as_tensor(anchors, device=embeddings.device)
    if mask.dtype != torch.bool or mask.shape != embeddings.shape[:1]:
        raise ValueError(
            f"anchors are {mask.dtype} of shape {tuple(mask.shape)}, "
            f"expected bool of shape ({len(embeddings)},)"
        )
    return mask


def _widened(embeddings: Tensor, cosine: bool) -> Tensor:
    """The embeddings in float32 at least: with a temperature of .07, bfloat16 would leave two digits of a logit."""
    half = embeddings.dtype in (torch.float16, torch.bfloat16)
    wide = embeddings.float() if half else embeddings
    return unit(wide) if cosine else wide


def _gathered(labels: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: gather(values) for name, values in labels.items()}
