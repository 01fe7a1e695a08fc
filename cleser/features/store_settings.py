"""What the numbers of a store of features are: of which backbone and layers, pooled how, and kept how."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from cleser.features.pooled import Record
from cleser.speech.backbones import Backbone

DTYPES = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class StoreSettings:
    """What the numbers of a store are; two stores with the same settings may be joined.

    Attributes:
        backbone: Identity of what computed the frames, with its revision: :attr:`Backbone.name`.
        layers: The backbone's layers that are kept, in this order.
        dim: Channels C of a layer.
        pooling: What a row is and how frames became it, e.g. ``"phones mean"`` or ``"0.1 s mean+std"``.
        dtype: How values are kept.

    Raises:
        ValueError: A field has a value that no store can have.

    >>> settings = StoreSettings("acoustic", layers=(0,), dim=2, pooling="phones mean")
    >>> len(settings.identity), settings.dtype
    (32, 'float16')
    """

    backbone: str
    layers: tuple[int, ...]
    dim: int
    pooling: str
    dtype: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(int(layer) for layer in self.layers))
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers is {self.layers}, expected one or more, each once")
        if self.dim < 1:
            raise ValueError(f"dim is {self.dim}, expected at least 1")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}, expected one of {list(DTYPES)}")

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        record: Record,
        dtype: Literal["float16", "float32"] | None = None,
    ) -> StoreSettings:
        """Those of a store that holds this record of what the backbone encodes.

        Args:
            backbone: What turns sound into frames.
            record: What is kept of an utterance.
            dtype: How values are kept; by default as recipes read the backbone's.
        """
        layers = tuple(getattr(backbone, "layers", range(backbone.n_layers)))
        dim = backbone.dim * (1 + record.std)
        return cls(
            backbone.name, layers, dim, str(record), backbone.kept if dtype is None else dtype
        )

    @property
    def identity(self) -> str:
        """32 hexadecimal digits that change whenever a field does, as a name for the store's folder."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]
