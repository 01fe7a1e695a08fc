"""Relations for every loss of pytorch-metric-learning."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor

from cleser.losses.blockwise import inner, oriented, unit
from cleser.losses.mining import SELECTIONS
from cleser.relations import Labels, Relation, checked_relation, integers

MinerMining = Literal["all", "hard", "semihard"]
_MARK = 1 << 62
"""Set in every code, and in no label that anybody has."""


class RelationMiner(BaseMiner):  # type: ignore[misc]
    """Positives and negatives by relations, as an ``indices_tuple`` of pytorch-metric-learning.

    >>> from pytorch_metric_learning.losses import TripletMarginLoss
    >>> from cleser.relations import differ, same
    >>> miner = RelationMiner(same("emotion") & differ("language"), differ("emotion"))
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> labels = {"emotion": [0, 0, 1], "language": [0, 1, 1]}
    >>> TripletMarginLoss()(embeddings, indices_tuple=miner(embeddings, labels)).shape
    torch.Size([])

    Where that library wants one integer an item, as in its ``CrossBatchMemory`` and its distributed wrappers,
    ``miner.encode(labels)`` packs all labels into one, which the miner reads back:

    >>> memory = CrossBatchMemory(TripletMarginLoss(), 2, miner=miner)  # doctest: +SKIP
    >>> memory(embeddings, miner.encode(labels))  # doctest: +SKIP

    Args:
        positive: Who attracts an anchor.
        negative: Who repels it.
        mining: ``"all"`` gives every positive and every negative pair, (a, p, a', n), in O(N²); ``"hard"`` and
            ``"semihard"`` give triplets (a, p, n) as `cleser.losses.mining` defines them.
        distance: A distance object of pytorch-metric-learning that says what is hard; cosine similarity if None.

    Raises:
        ValueError: The mining is unknown, or ``soft``, which weighs triplets and lists none.
    """

    def __init__(
        self,
        positive: Relation,
        negative: Relation,
        mining: MinerMining = "all",
        *,
        distance: Any = None,
    ) -> None:
        super().__init__(distance=distance)
        checked_relation(positive, "positive")
        checked_relation(negative, "negative")
        if mining not in get_args(MinerMining):
            raise ValueError(f"mining is {mining!r}, expected one of {get_args(MinerMining)}")
        self.positive, self.negative, self.mining = positive, negative, mining
        self.similarity = inner if distance is None else oriented(distance)
        self.names = (positive & negative).names

    @property
    def bits(self) -> int:
        """Bits that a label gets in a code."""
        return 62 // len(self.names)

    def encode(self, labels: Labels) -> Tensor:
        """One int64 an item [N] that holds all of its labels, and a mark by which codes are known.

        Raises:
            ValueError: A label needs more bits than its share, or as of `cleser.relations.Relation.mask`.
        """
        found = integers(self.names, labels, "labels")
        devices = [v.device for v in found.values() if isinstance(v, Tensor)] or [
            torch.device("cpu")
        ]
        columns = {n: torch.as_tensor(v, device=devices[0]).long() for n, v in found.items()}
        code: Tensor | int = 0
        for name, values in columns.items():
            top = 2**self.bits - 2
            if len(values) and int(values.max()) > top:
                raise ValueError(
                    f"labels[{name!r}] reaches {int(values.max())}, expected at most {top}"
                )
            code = code << self.bits | values.clamp_min(-1) + 1
        assert isinstance(code, Tensor)
        return code | _MARK

    def decode(self, code: Tensor) -> dict[str, Tensor]:
        """Labels by name, [N] each, of `encode`'s codes [N].

        Raises:
            ValueError: These are no codes.
        """
        if not (code & _MARK).all():
            raise ValueError(
                f"labels are bare integers, expected those of {list(self.names)} by name: write "
                f"miner(embeddings, {{{self.names[0]!r}: ...}}), or miner.encode({{{self.names[0]!r}: ...}}) where "
                "one integer an item is wanted"
            )
        columns, code = {}, code ^ _MARK
        for name in reversed(self.names):
            columns[name] = (code & (2**self.bits - 1)) - 1
            code = code >> self.bits
        return columns

    def forward(
        self,
        embeddings: Tensor,
        labels: Labels | Tensor,
        ref_emb: Tensor | None = None,
        ref_labels: Labels | Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Indices of positives and negatives.

        Args:
            embeddings: [N, D].
            labels: Name → integers [N], or their codes [N].
            ref_emb: Where positives and negatives come from, [M, D]; by default the batch.
            ref_labels: Their labels or codes.

        Raises:
            ValueError: A label is missing or has another length.
        """
        code, ref_code = (
            x if x is None or isinstance(x, Tensor) else self.encode(x).to(embeddings.device)
            for x in (labels, ref_labels)
        )
        found: tuple[Tensor, ...] = super().forward(embeddings, code, ref_emb, ref_code)
        return found

    def mine(
        self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor
    ) -> tuple[Tensor, ...]:
        """Called by pytorch-metric-learning with codes."""
        # That library passes the batch itself where there is no reference.
        refs = None if ref_emb is embeddings else self.decode(ref_labels)
        masks = [r.mask(self.decode(labels), refs) for r in (self.positive, self.negative)]
        if self.mining == "all":
            return tuple(column for mask in masks for column in mask.nonzero(as_tuple=True))
        if self.similarity is inner:
            embeddings, ref_emb = unit(embeddings), unit(ref_emb)
        return SELECTIONS[self.mining](self.similarity(embeddings, ref_emb), *masks).triplets()
