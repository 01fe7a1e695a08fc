"""Descriptions of utterances, projected where they would be large."""

import torch

from cleser.features.projection import PROJECTED, described_by, projected


def test_similarities_survive_the_projection():
    """Of vectors at known angles: within five standard errors, which are (1 − cos²) / √D for random signs at most."""
    torch.manual_seed(0)
    channels = 7 * 1024
    basis = torch.linalg.qr(torch.randn(channels, 2))[0].T
    angles = torch.linspace(0, torch.pi, 9)
    vectors = torch.stack([angles.cos(), angles.sin()], 1) @ basis
    found = torch.nn.functional.normalize(projected(vectors), dim=-1)
    error = found @ found.T - torch.cos(angles[:, None] - angles)
    assert error.abs().max() < 5 * (2 / PROJECTED) ** 0.5
    assert error.abs().max() > 1e-3
    assert found.shape == (9, described_by(channels)) == (9, PROJECTED)
    assert abs(projected(torch.eye(channels)[:64]).norm(dim=-1) - 1).max() < 1e-5


def test_small_descriptions_stay_as_they_are():
    x = torch.randn(3, PROJECTED)
    assert projected(x) is x
    assert described_by(160) == 160


def test_the_directions_are_the_same_everywhere():
    """The first signs, and that columns do not repeat."""
    signs = (projected(torch.eye(PROJECTED + 64)) * PROJECTED**0.5).round()
    assert set(signs.flatten().tolist()) == {-1.0, 1.0}
    assert signs.mean().abs() < 5 / signs.numel() ** 0.5
    gram = signs.T @ signs / len(signs)
    assert (gram - torch.eye(PROJECTED)).abs().max() < 6 / len(signs) ** 0.5
    assert [int(s > 0) for s in signs[0, :16]] == FIRST


FIRST = [1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0]
