"""A device that is none: its tensors live on the CPU, but code that would fail on a GPU fails on them.

Machines that run the tests seldom have a GPU, and on a CPU nobody notices a tensor that was left there. Within
:class:`Elsewhere`, ``tensor.to(DEVICE)`` gives a tensor that says it lies on another device. An operation that mixes it
with a tensor of the CPU raises, as CUDA's does; numbers, ``item``, ``tolist`` and ``cpu`` work, ``numpy`` does not.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")  # known to torch on every machine, and used by nothing here
_aten = torch.ops.aten
# A GPU takes these with tensors of the CPU: copies, and positions in a tensor.
_COPIES = (_aten.copy_.default, _aten._to_copy.default)
_AT_POSITIONS = (_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default)


class _Away(torch.Tensor):
    """A tensor that says it lies on :data:`DEVICE`."""

    here: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> _Away:
        away: _Away = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(),
            dtype=here.dtype, device=DEVICE,
        )  # fmt: skip
        away.here = here
        return away

    def numpy(self, *, force: bool = False) -> Any:
        """As on a GPU: only if the tensor may be copied first."""
        if not force:
            raise TypeError(
                "can't convert a tensor of another device to numpy, use Tensor.cpu() first"
            )
        return self.detach().cpu().numpy()

    def tolist(self) -> Any:
        """Copies, as a GPU does."""
        return self.detach().cpu().tolist()

    # Numbers, as values or positions, would be put on the real device of this name, where they are lost.
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(_positions(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(value, torch.Tensor):
            value = _THEIRS["tensor"](value, dtype=self.dtype)
        super().__setitem__(_positions(key), value)

    def __repr__(self, **_: Any) -> str:
        return f"Away({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _positions(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(map(_positions, key))
    return _THEIRS["tensor"](key) if isinstance(key, list) else key


_THEIRS = {name: getattr(torch, name) for name in ("autocast", "tensor", "as_tensor")}


def _autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
    """Mixed precision, which is not to be had there; it can be turned off."""
    theirs = _THEIRS["autocast"]
    return nullcontext() if device_type == DEVICE.type else theirs(device_type, *args, **kwargs)


def _made(name: str) -> Any:
    """New tensors of numbers, which are no operation's."""

    def make(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        found = _THEIRS[name](*args, **kwargs)
        return found if device is None else found.to(device)

    return make


class Elsewhere(TorchDispatchMode):
    """Within this context there is :data:`DEVICE`."""

    def __enter__(self) -> Elsewhere:
        ours = {"autocast": _autocast, "tensor": _made("tensor"), "as_tensor": _made("as_tensor")}
        for name, function in ours.items():
            setattr(torch, name, function)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for name, function in _THEIRS.items():
            setattr(torch, name, function)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = _tensors((args, kwargs))
    away = [t for t in tensors if isinstance(t, _Away)]
    if any(t.is_meta for t in tensors if not isinstance(t, _Away)):
        raise RuntimeError(f"{func}: found a tensor that was made without its numbers")
    together = _tensors((args[:1], args[2:])) if func in _AT_POSITIONS else tensors
    near = [t for t in together if not isinstance(t, _Away) and t.ndim]
    if away and near and func not in _COPIES:
        raise RuntimeError(f"{func}: found tensors on two devices, the CPU and another")
    asked = kwargs.get("device")
    goes = bool(away) if asked is None else torch.device(asked) == DEVICE
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner_args, inner_kwargs = tree_map(
        lambda t: t.here if isinstance(t, _Away) else t, (args, kwargs)
    )
    found = func(*inner_args, **inner_kwargs)
    if func is _aten._local_scalar_dense.default or not goes:
        return found
    written = {id(t.here): t for t in away}  # what an operation in place gives back is what it got

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return written[id(value)] if id(value) in written else _Away(value)

    return tree_map(moved, found)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [t for t in tree_flatten(values)[0] if isinstance(t, torch.Tensor)]
