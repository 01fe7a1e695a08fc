"""Shares of classes by transport: by the judgement of POT, and on planted shares."""

import ot
import pytest
import torch

from cleser.recipes.transported_prior import transported_prior


def drawn(shares, seed, size=80, offset=0.0):
    """Three classes, each around a corner of its own."""
    generator = torch.Generator().manual_seed(seed)
    counts = [round(share * size) for share in shares]
    y = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    x = 3 * torch.eye(3, dtype=torch.float64)[y]
    return x + 0.7 * torch.randn(len(y), 3, generator=generator, dtype=torch.float64) + offset, y


@pytest.mark.parametrize("number", [2, 3])  # POT takes no single source
def test_the_shares_are_those_of_pot(number):
    drawings = [drawn((0.5, 0.3, 0.2), 0), drawn((0.2, 0.2, 0.6), 1, size=50, offset=0.2)]
    drawings = [*drawings, drawn((0.4, 0.4, 0.2), 3)][:number]
    sources, labels = [x for x, _ in drawings], [y for _, y in drawings]
    target, _ = drawn((0.1, 0.3, 0.6), 2)
    mean = sum(float((torch.cdist(x, target) ** 2).mean()) for x in sources) / number
    expected = ot.bregman.jcpot_barycenter(
        [x.numpy() for x in sources], [y.numpy().copy() for y in labels], target.numpy(),
        0.2 * mean, numItermax=300, stopThr=1e-10,
    )  # fmt: skip
    found = transported_prior(
        sources, labels, target, classes=3, regularisation=0.2, steps=300, tolerance=1e-10
    )
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shares", [(0.1, 0.3, 0.6), (0.8, 0.1, 0.1)])
@pytest.mark.parametrize("regularisation", [0.2, 0.01])
def test_planted_shares_are_found(shares, regularisation):
    (a, ya), (b, yb) = drawn((0.5, 0.3, 0.2), 0), drawn((0.2, 0.2, 0.6), 1)
    target, _ = drawn(shares, 2)
    found = transported_prior([a, b], [ya, yb], target, classes=3, regularisation=regularisation)
    assert found.sum().item() == pytest.approx(1)
    torch.testing.assert_close(found, torch.tensor(shares, dtype=found.dtype), atol=0.04, rtol=0)


def test_units_and_unknown_labels_do_not_matter_and_small_regularisation_does_not_underflow():
    a, ya = drawn((0.5, 0.3, 0.2), 0)
    target, _ = drawn((0.1, 0.3, 0.6), 2)
    expected = transported_prior([a], [ya], target, classes=3)
    torch.testing.assert_close(
        transported_prior([1000 * a], [ya], 1000 * target, classes=3), expected
    )
    more, y = torch.cat([a, a + 50]), torch.cat([ya, torch.full_like(ya, -1)])
    torch.testing.assert_close(transported_prior([more], [y], target, classes=3), expected)
    tiny = transported_prior([a], [ya], target, classes=3, regularisation=1e-5)
    assert tiny.isfinite().all()


def test_where_all_points_are_one_there_is_a_finite_answer():
    found = transported_prior(
        [torch.zeros(4, 2)], [torch.tensor([0, 0, 0, 1])], torch.zeros(3, 2), classes=2
    )
    assert found.isfinite().all()
    assert found.sum().item() == pytest.approx(1)


def test_what_does_not_fit_is_named():
    x, y = torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"sources\[0\] has \[1, 1, 0\] items of the 3 classes"):
        transported_prior([x], [y], x, classes=3)
    with pytest.raises(ValueError, match="none beyond"):
        transported_prior([x], [y], x, classes=1)
    with pytest.raises(ValueError, match="regularisation is 0"):
        transported_prior([x], [y], x, classes=2, regularisation=0)
    with pytest.raises(ValueError, match="found 1 sources and labels of 2"):
        transported_prior([x], [y, y], x, classes=2)
    with pytest.raises(ValueError, match=r"expected \[items, 3\] and \[items\]"):
        transported_prior([x[:, :2]], [y], x, classes=2)
    with pytest.raises(ValueError, match=r"target has shape \(0, 3\)"):
        transported_prior([x], [y], x[:0], classes=2)
