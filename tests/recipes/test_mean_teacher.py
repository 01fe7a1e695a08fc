"""The teacher's weights by the closed form of a moving average, and what the student learns from it."""

import pytest
import torch
from torch import nn

from cleser.recipes.mean_teacher import MeanTeacher, consistency_loss
from tests.losses.cases import leaf


def followed(weights, decay):
    student = nn.Linear(1, 1).double()
    teacher = MeanTeacher(student, decay=decay)
    for w in weights:
        student.weight.data.fill_(w)
        teacher.update()
    return teacher.model.weight.item()


def closed_form(weights, decay):
    """Each step's weight, times what all later steps leave of it."""
    total = 0.0
    for s in range(1, len(weights) + 1):
        share = 1 - min(1 - 1 / s, decay)
        for later in range(s + 1, len(weights) + 1):
            share *= min(1 - 1 / later, decay)
        total += share * weights[s - 1]
    return total


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_the_average_has_its_closed_form(decay, steps):
    weights = torch.randn(steps, generator=torch.Generator().manual_seed(0)).double().tolist()
    assert followed(weights, decay) == pytest.approx(
        closed_form(weights, decay), rel=1e-6, abs=1e-9
    )


def test_it_begins_as_the_plain_mean_and_then_forgets():
    assert followed([1.0, 2.0, 6.0], 0.999) == pytest.approx(3)
    assert followed([1.0, 2.0, 6.0], 0.0) == 6


def test_the_teacher_has_no_gradient_no_dropout_and_the_students_statistics():
    student = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
    teacher = MeanTeacher(student)
    x = torch.randn(16, 3)
    student(x)
    teacher.update()
    assert torch.equal(teacher.model[0].running_mean, student[0].running_mean)
    assert torch.equal(teacher(x), teacher(x))
    assert not teacher(x).requires_grad
    assert not any(p.requires_grad for p in teacher.model.parameters())
    assert student.training
    assert all(p.requires_grad for p in student.parameters())


def test_a_saved_teacher_goes_on():
    student = nn.Linear(2, 2)
    first, second = MeanTeacher(student, decay=0.5), MeanTeacher(student, decay=0.5)
    for _ in range(3):
        student.weight.data.normal_()
        first.update()
    second.load_state_dict(first.state_dict())
    student.weight.data.normal_()
    first.update()
    second.update()
    torch.testing.assert_close(second.model.weight, first.model.weight)


def test_consistency_equals_a_loop_and_teaches_the_student_alone():
    torch.manual_seed(0)
    z, target = leaf(torch.randn(5, 3, dtype=torch.float64)), leaf(torch.randn(5, 3).double())
    found = consistency_loss(z, target)
    expected = 0.0
    for p, q in zip(z.softmax(1).tolist(), target.softmax(1).tolist(), strict=True):
        expected += sum((a - b) ** 2 for a, b in zip(p, q, strict=True))
    assert found.item() == pytest.approx(expected / 15)
    found.backward()
    assert target.grad is None
    assert torch.autograd.gradcheck(lambda x: consistency_loss(x, target.detach()), z)


def test_no_items_and_misfits():
    assert consistency_loss(torch.zeros(0, 3), torch.zeros(0, 3)).item() == 0
    with pytest.raises(ValueError, match=r"student has shape \(2, 3\), teacher \(2,\)"):
        consistency_loss(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        MeanTeacher(nn.Linear(1, 1), decay=1.0)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_are_refused_where_their_average_would_stand_still(kind):
    student = torch.nn.Linear(2, 1).to(kind)
    with pytest.raises(ValueError, match=rf"weight is {kind}, too coarse .* decay 0.999"):
        MeanTeacher(student)
    MeanTeacher(student.float())
    MeanTeacher(student.to(kind), decay=0.0)  # the student itself
