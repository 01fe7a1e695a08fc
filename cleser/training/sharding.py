"""Weights of a backbone spread over processes (FSDP): for models whose weights and optimiser one device cannot hold.

Each process keeps a part of every weight, of its gradient and of the optimiser's state. The weights of a block are
gathered while it computes and then freed, so that a device holds its own parts and one or two whole blocks. The
recipe's own network is small; every process keeps all of it, as without sharding. What a step computes
is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor, nn

from cleser.ranks import world
from cleser.speech.backbones import Backbone

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

# What torch spreads weights by takes half a second to import, and is only imported where several processes train.


def shard(learner: nn.Module, backbone: Backbone, device: torch.device, ranks: int) -> None:
    """Spread a backbone over all processes, a block at a time.

    Args:
        learner: The module that is trained, which contains the backbone. It is marked so that the gradients of sharded
            weights are not averaged a second time.
        backbone: The backbone, as prepared for tuning.
        device: Device of this process.
        ranks: Number of processes.

    Raises:
        ValueError: The backbone has no blocks.
    """
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415
    from torch.distributed.fsdp import fully_shard  # noqa: PLC0415

    blocks = getattr(getattr(backbone, "encoder", None), "blocks", None)
    if blocks is None:
        raise ValueError(
            f"backbone {backbone.name} has no Transformer blocks, expected one that has for sharding"
        )
    for module in backbone.modules():
        # Weights that are brought together anew have no history to recognise a change by: torch's way, without memory.
        if isinstance(module, nn.Conv1d):
            vars(module).pop("forward", None)
    mesh = init_device_mesh(device.type, (ranks,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(backbone, mesh=mesh)
    spread = {id(t) for t in backbone.parameters()}
    # Where DistributedDataParallel looks for what is not its own.
    learner._ddp_params_and_buffers_to_ignore = [  # type: ignore[assignment]
        name for name, t in learner.named_parameters() if id(t) in spread
    ]


def is_sharded(module: nn.Module | None) -> TypeGuard[FSDPModule]:
    """Whether a module's weights are spread over processes."""
    if world() == 1:
        return False
    from torch.distributed.fsdp import FSDPModule  # noqa: PLC0415

    return isinstance(module, FSDPModule)


def set_gradient_sync(backbone: nn.Module | None, enabled: bool) -> None:
    """Let backward passes share gradients where weights are spread, or add up those of this process alone."""
    if is_sharded(backbone):
        backbone.set_requires_gradient_sync(enabled)


def full_tensor(tensor: Tensor) -> Tensor:
    """A whole tensor, put together from all processes: every one of them has to ask."""
    return tensor.full_tensor() if _is_spread(tensor) else tensor


def distribute_like(tensor: Tensor, reference: Tensor) -> Tensor:
    """A whole tensor spread as another one is."""
    if not _is_spread(reference) or tensor.shape != reference.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415

    local = tensor.to(reference.device)
    return distribute_tensor(local, reference.device_mesh, reference.placements)


def _is_spread(tensor: Tensor) -> TypeGuard[DTensor]:
    if world() == 1:
        return False
    from torch.distributed.tensor import DTensor  # noqa: PLC0415

    return isinstance(tensor, DTensor)


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale all gradients so that their norm, over spread weights and others, is at most the largest."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    spread = [g for g in gradients if _is_spread(g)]
    own = [g for g in gradients if not _is_spread(g)]
    norms = [full_tensor(nn.utils.get_total_norm(part)) for part in (spread, own) if part]
    if not norms:
        return
    factor = (largest / (torch.stack(norms).norm() + 1e-6)).clamp(max=1).item()
    if factor != 1:  # mostly it is, and gradients need not be gone over once more
        for gradient in gradients:
            gradient.mul_(factor)
