"""Which weights of a backbone are trained: all, some, or few new ones beside them.

Low-rank updates are LoRA (Hu et al., 2022), by peft; bottleneck adapters are those of Houlsby et al. (2019), one
behind each block, with a gate. The zero-shot paper combines both with one learned weight for each layer; instead of
these weights, networks here project each layer by a matrix of its own (`cleser.models.LayerMix` with "concat").
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cleser.speech.backbones.base import Backbone

Mode = Literal["features", "head", "top", "transformer", "full", "lora"]
_MODES = ("features", "head", "top", "transformer", "full", "lora")
_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class FineTuning:
    """How a backbone is trained with the recipe on top of it.

    Attributes:
        mode: What is trained. features: the recipe's network, on features stored on disk. All other modes train from
            audio. head: the recipe's network alone; top: also the highest blocks of the backbone; transformer:
            everything except the convolutions; full: everything; lora: low-rank updates of the attention's projections.
        top: Number of blocks that the mode top trains.
        rank: Rank of LoRA's updates.
        targets: Names of the linear layers that LoRA updates.
        adapters: Width of a bottleneck adapter behind each block, in any mode except features; 0 for none.
        learning_rate: Peak learning rate of the backbone's weights and of the parts added to it.
        layer_decay: Factor on this learning rate from each block to the one below it.
        crop: Longest part of a recording that is used in a training step, in seconds; tests use all of it.
        accumulate: Number of batches whose gradients make one step.
        checkpointing: Compute each block again for its gradient instead of storing its activations: less memory, a
            third more time.
        shard: Spread the backbone's weights and their optimiser's state over the processes, a block at a time (FSDP),
            for models that one device cannot train. It has no effect with one process.
        precision: Precision of the backbone's computations; the recipe's network and all losses stay in float32.

    Raises:
        ValueError: A value is not allowed.
    """

    mode: Mode = "features"
    top: int = 2
    rank: int = 8
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    adapters: int = 0
    learning_rate: float = 1e-4
    layer_decay: float = 1.0
    crop: float = 6.0
    accumulate: int = 1
    checkpointing: bool = False
    shard: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        for name, allowed in (("mode", _MODES), ("precision", _PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {allowed}")
        for name in ("top", "rank", "accumulate", "crop", "layer_decay", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
        if self.adapters < 0 or (self.adapters and not self.from_audio):
            raise ValueError(
                f"adapters is {self.adapters} in mode {self.mode}, expected 0, or a width and another mode"
            )

    @property
    def from_audio(self) -> bool:
        """Whether training hears recordings rather than reading their features."""
        return self.mode != "features"


class Adapter(nn.Module):
    r"""A bottleneck beside the stream of hidden states, which has no effect before training.

    .. math:: y = x + g \, W_2 \, \mathrm{GELU}(W_1 \, \mathrm{LN}(x))

    with a learned gate g, which starts at one; W₂ starts at zero.

    Args:
        dim: Channels D of a layer.
        width: Width of the bottleneck.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.down = nn.Linear(dim, width)
        self.up = nn.Linear(width, dim)
        self.gate = nn.Parameter(torch.ones(1))  # no scalar: those cannot be spread over processes
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Adapt hidden states [..., D]."""
        change: Tensor = self.up(nn.functional.gelu(self.down(self.norm(x))))
        return x + self.gate * change


def check_crop(backbone: Backbone, tuning: FineTuning) -> None:
    """Refuse parts of recordings that are too short for a backbone.

    Raises:
        ValueError: They are.
    """
    least = backbone.shortest / backbone.rate
    if tuning.from_audio and round(tuning.crop * backbone.rate) < backbone.shortest:
        raise ValueError(
            f"crop is {tuning.crop:g} s, but {backbone.name} hears no less than {backbone.shortest} samples at "
            f"{backbone.rate} Hz: give --tune.crop {math.ceil(1000 * least) / 1000:g} or more"
        )


def tune(backbone: Backbone, tuning: FineTuning) -> Backbone:
    """A copy of a backbone with gradients for what is to be trained, and for nothing else.

    New weights are drawn from torch's generator.

    Args:
        backbone: The backbone as it was pretrained; it stays as it is.
        tuning: What to train.

    Raises:
        ValueError: The backbone has no weights, blocks or layers of the kind that the mode trains.
        ImportError: LoRA is asked for and peft is not installed.
    """
    tuned = copy.deepcopy(backbone)
    # Whisper's positions are sinusoids, no weights, though transformers loads them as such.
    own = [p for n, p in tuned.named_parameters() if p.requires_grad and "embed_positions" not in n]
    tuned.requires_grad_(False)
    if tuning.mode in ("full", "transformer"):
        if not own:
            raise ValueError(
                f"backbone {backbone.name} has no weights to train, expected mode 'head' or 'features'"
            )
        for parameter in own:
            parameter.requires_grad_(True)
        if tuning.mode == "transformer":
            _encoder(tuned).front_end.requires_grad_(False)
    elif tuning.mode == "top":
        blocks = _encoder(tuned).blocks
        if tuning.top > len(blocks):
            raise ValueError(
                f"top is {tuning.top}, expected at most the model's {len(blocks)} blocks"
            )
        blocks[-tuning.top :].requires_grad_(True)
    elif tuning.mode == "lora":
        _add_lora(_encoder(tuned), tuning)
    if tuning.adapters:
        for block in _encoder(tuned).blocks:
            block.bottleneck = Adapter(tuned.dim, tuning.adapters)
            block.register_forward_hook(_through_adapter)
    if tuning.checkpointing:
        model = _encoder(tuned).model
        # Newer transformers name it so, and warn of the older name.
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
    return tuned


def parameter_groups(backbone: Backbone, tuning: FineTuning) -> list[dict[str, Any]]:
    """What is trained of a tuned backbone, with the peak learning rate of each block's depth.

    The highest block has ``learning_rate``, each one below ``layer_decay`` times that of the one above it,
    and what lies before the blocks as if it were one more.
    """
    encoder = getattr(backbone, "encoder", None)
    blocks = list(encoder.blocks) if encoder is not None else []
    depth = {id(p): len(blocks) - 1 - i for i, b in enumerate(blocks) for p in b.parameters()}
    by_depth: dict[int, list[nn.Parameter]] = {}
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            by_depth.setdefault(depth.get(id(parameter), len(blocks)), []).append(parameter)
    return [
        {"params": by_depth[d], "peak": tuning.learning_rate * tuning.layer_decay**d}
        for d in sorted(by_depth)
    ]


def trained_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What training has changed: weights with gradients, and running statistics."""
    frozen = {n for n, p in module.named_parameters(remove_duplicate=False) if not p.requires_grad}
    return ((n, t) for n, t in module.state_dict().items() if n not in frozen)


def load_trained(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put what :func:`trained_tensors` gave back into a module tuned in the same way.

    Raises:
        ValueError: They belong to another model or another way of tuning.
    """
    expected = {name: tensor.shape for name, tensor in trained_tensors(module)}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if expected != found:
        wrong = sorted(n for n in expected | found if expected.get(n) != found.get(n))
        raise ValueError(
            f"{len(wrong)} trained weights do not fit the backbone, the first being {wrong[0]!r}: found "
            f"{found.get(wrong[0])}, expected {expected.get(wrong[0])}"
        )
    module.load_state_dict(tensors, strict=False)


def _encoder(backbone: Backbone) -> Any:
    """What holds the blocks, as the backbones of transformers have it."""
    encoder = getattr(backbone, "encoder", None)
    if encoder is None or not hasattr(encoder, "blocks"):
        raise ValueError(
            f"backbone {backbone.name} has no Transformer blocks, expected mode 'head', 'full' or "
            "'features' without adapters"
        )
    return encoder


def _through_adapter(block: nn.Module, inputs: Any, output: Any) -> Any:
    """A block's hidden states, which some families give in a tuple, through its adapter."""
    adapter: Adapter = block.bottleneck  # type: ignore[assignment]
    if isinstance(output, tuple):
        return (adapter(output[0]), *output[1:])
    return adapter(output)


def _add_lora(encoder: Any, tuning: FineTuning) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415
        from peft.tuners.lora import Linear  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("LoRA needs peft; pip install 'cleser[peft]'") from error

    layers = encoder.blocks
    names = [
        n
        for n, m in layers.named_modules()
        if isinstance(m, nn.Linear) and n.rsplit(".", 1)[-1] in tuning.targets
    ]
    if not names:
        found = sorted(
            {n.rsplit(".", 1)[-1] for n, m in layers.named_modules() if isinstance(m, nn.Linear)}
        )
        raise ValueError(
            f"targets {list(tuning.targets)} name no linear layer, expected some of {found}"
        )
    config = LoraConfig(r=tuning.rank, lora_alpha=2 * tuning.rank, target_modules=names)
    inject_adapter_in_model(config, layers)
    # WavLM's attention reads its projections' weights and never calls them: the update has to be in them.
    effective = type("EffectiveLinear", (Linear,), {"weight": property(_effective_weight)})
    for module in layers.modules():
        if isinstance(module, Linear):
            module.__class__ = effective


def _effective_weight(layer: Any) -> Tensor:
    weight: Tensor = layer.base_layer.weight + layer.get_delta_weight("default")
    return weight
