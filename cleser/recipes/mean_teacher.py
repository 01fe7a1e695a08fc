r"""A teacher whose weights are the running average of its student's; the student learns to agree with it.

A. Tarvainen, H. Valpola, *Mean Teachers Are Better Role Models: Weight-Averaged Consistency Targets Improve
Semi-Supervised Deep Learning Results*, NeurIPS 2017.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_SHORT = 0.01  # share of a weight by which rounding may keep its average from it


class MeanTeacher:
    r"""The exponential moving average of a network's weights.

    .. math:: \theta'_t = \alpha_t \theta'_{t-1} + (1 - \alpha_t) \theta_t, \qquad
              \alpha_t = \min\left(1 - \frac{1}{t}, \alpha\right)

    so that θ' is the plain mean of the weights during the first 1 / (1 − α) steps, and a decaying average afterwards.
    (In the authors' code, CuriousAI/mean-teacher, :math:`\alpha_t = \min(1 - 1 / (t + 1), \alpha)`: there the initial
    weights count as one more step.) Buffers, such as the statistics of batch normalisation, are those of the student.
    The teacher is always in evaluation mode and has no gradient. Call `update` after each step of the optimiser.

    Args:
        student: The network that is trained.
        decay: α, from 0 to 1, 1 excluded.

    Raises:
        ValueError: ``decay`` is not from 0 to 1; or the student's weights have too few digits for it, as those of half
            precision do, in which small steps are rounded away and the average stands still.

    >>> student = torch.nn.Linear(1, 1)
    >>> teacher = MeanTeacher(student, decay=0.9)
    >>> for weight in (1.0, 2.0, 6.0):
    ...     _ = student.weight.data.fill_(weight)
    ...     teacher.update()
    >>> round(teacher.model.weight.item(), 4)  # the mean, while 1/3 > 1 − 0.9
    3.0
    """

    def __init__(self, student: nn.Module, *, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, expected at least 0 and less than 1")
        for name, weight in student.named_parameters():
            if torch.finfo(weight.dtype).eps > 2 * _SHORT * (1 - decay):
                raise ValueError(
                    f"{name} is {weight.dtype}, too coarse for an average with decay {decay}: keep the student in "
                    "float32, and let it compute under torch.autocast"
                )

        def average(teacher: Tensor, own: Tensor, updates: Tensor | int) -> Tensor:
            return teacher.lerp(own, max(1 / (int(updates) + 1), 1 - decay))

        self.student = student
        self._average = AveragedModel(student, avg_fn=average)
        self._average.requires_grad_(False).eval()

    @property
    def model(self) -> nn.Module:
        """The teacher."""
        return self._average.module

    def update(self) -> None:
        """Take the student's weights into the average."""
        self._average.update_parameters(self.student)

    @torch.no_grad()
    def __call__(self, *inputs: Any) -> Any:
        """What the teacher makes of a batch, without gradient."""
        return self.model(*inputs)

    def state_dict(self) -> dict[str, Any]:
        """Weights and the number of updates, to go on from."""
        return self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._average.load_state_dict(state)


def consistency_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""How far a student's probabilities are from its teacher's.

    .. math:: J = \frac{1}{N K} \sum_{i, k} \left( \mathrm{softmax}(z_i)_k - \mathrm{softmax}(z'_i)_k \right)^2

    Needs no label. The gradient goes to the student alone.

    Args:
        student: z [N, K], of one view of the utterances, say with dropout.
        teacher: z' [N, K], the teacher's, of the same utterances.

    Returns:
        []; zero where there are no items.

    Raises:
        ValueError: Shapes do not fit.

    >>> consistency_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[100.0, 0.0]])).item()
    0.25
    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(
            f"student has shape {tuple(student.shape)}, teacher {tuple(teacher.shape)}: "
            "expected [items, classes] of both"
        )
    with torch.autocast(student.device.type, enabled=False):
        kind = torch.promote_types(student.dtype, torch.float32)
        apart = student.to(kind).softmax(1) - teacher.detach().to(kind).softmax(1)
        return apart.square().sum() / max(apart.numel(), 1)
