r"""Gradient reversal: identity forward, a negative multiple of the gradient back.

From Y. Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17(59), 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def gradient_reversal(x: Tensor, scale: float | Tensor = 1.0) -> Tensor:
    r"""Pass x on, and −scale times its gradient back.

    .. math:: R(x) = x, \qquad \frac{\partial R}{\partial x} = -\lambda I

    (Ganin et al., Eqs. 16 and 17.)

    Args:
        x: Any shape.
        scale: λ, a number or a scalar tensor.

    >>> x = torch.ones(2, requires_grad=True)
    >>> gradient_reversal(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """
    return x.detach() - scale * _zero(x)


def _zero(x: Tensor) -> Tensor:
    """Zero, whose derivative is one: x − x.detach(), but also where x is infinite."""
    # torch.compile takes no function with a forward derivative of its own.
    kind = _Zero if torch.compiler.is_compiling() else _ZeroOfTransforms
    zero: Tensor = kind.apply(x)  # type: ignore[no-untyped-call]
    return zero


class _Zero(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _ZeroOfTransforms(_Zero):
    """The same for `torch.func`, which also wants rules for ``vmap`` and ``jvp``."""

    generate_vmap_rule = True

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent


Schedule = Callable[[Tensor], float | Tensor]
"""Number of the step, a scalar tensor → scale, a number or a scalar tensor."""


@dataclass(frozen=True)
class Warmup:
    r"""Ganin et al.'s schedule: from 0 to ``peak`` along a sigmoid, over ``steps`` steps.

    .. math:: \lambda(t) = \lambda_{\max} \left( \frac{2}{1 + e^{-\gamma \min(t / T, 1)}} - 1 \right)

    Args:
        steps: Number of steps T after which λ is at its peak.
        peak: The largest λ, :math:`\lambda_{\max}`.
        gamma: γ, 10 in the paper.

    Raises:
        ValueError: ``steps`` is below 1.

    >>> Warmup(100)(50).item()
    0.986...
    """

    steps: int
    peak: float = 1.0
    gamma: float = 10.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected at least 1")

    def __call__(self, step: int | Tensor) -> Tensor:
        """λ at a step, a number or a scalar tensor."""
        progress = (torch.as_tensor(step) / self.steps).clamp(max=1)
        return self.peak * (2 / (1 + torch.exp(-self.gamma * progress)) - 1)


class GradientReversal(nn.Module):
    """`gradient_reversal` with a scale that may change while training.

    The number of training passes is a buffer, so that a checkpoint carries the schedule on where it was.

    Args:
        schedule: The scale, or a function of the number of passes in training mode so far, such as `Warmup`.

    >>> x = torch.ones(2, requires_grad=True)
    >>> GradientReversal(0.5)(x).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """

    step: Tensor

    def __init__(self, schedule: float | Schedule = 1.0) -> None:
        super().__init__()
        self.schedule = schedule
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def scale(self) -> Tensor:
        """λ now."""
        if callable(self.schedule):
            return torch.as_tensor(self.schedule(self.step), device=self.step.device)
        return torch.as_tensor(self.schedule, device=self.step.device)

    def forward(self, x: Tensor) -> Tensor:
        """Reverse the gradient of x, of any shape; in training mode the schedule advances."""
        # A number as it is, since a tensor of it would round it to float32.
        scale = self.scale if callable(self.schedule) else self.schedule
        reversed_ = gradient_reversal(x, scale)
        if self.training:
            # Not in place: a compiled backward may compute the scale again.
            self.step = self.step + 1
        return reversed_

    def extra_repr(self) -> str:
        """The schedule."""
        return f"schedule={self.schedule}"
