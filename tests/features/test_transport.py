"""Closed forms: Monge maps by the judgement of POT, and covariance within classes."""

import numpy as np
import ot
import pytest
import torch

from cleser.features.transport import align_sources, monge_map
from cleser.features.within_class import within_class_normalisation


def points(seed, count=200, dim=5, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64) @ mixed + shift


def test_the_map_is_that_of_pot():
    source, target = points(0, 150), points(1, 90, shift=3.0)
    found = monge_map(source, target, ridge=1e-6)
    covariances = [np.cov(x.numpy().T, bias=True) + 1e-6 * np.eye(5) for x in (source, target)]
    matrix, bias = ot.gaussian.bures_wasserstein_mapping(
        source.mean(0).numpy(), target.mean(0).numpy(), *covariances
    )
    np.testing.assert_allclose(found.matrix, matrix, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found(source), source.numpy() @ matrix.T + bias, atol=1e-6)


def test_every_source_gets_the_targets_mean_and_covariance():
    sources, target = (points(0), points(1, shift=-2.0)), points(2, shift=5.0)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    together, domain = torch.cat(sources)[order], (torch.arange(400) // 200)[order]
    moved = align_sources(together, domain, target)
    for number, source in enumerate(sources):
        own = moved[domain == number]
        torch.testing.assert_close(own.mean(0), target.mean(0))
        torch.testing.assert_close(
            own.T.cov(correction=0), target.T.cov(correction=0), atol=1e-4, rtol=1e-4
        )
        alone = monge_map(source, target)(together[domain == number])
        torch.testing.assert_close(own, alone)


def test_a_shift_is_undone_and_few_points_in_many_dimensions_have_a_map():
    x = points(3)
    torch.testing.assert_close(monge_map(x, x + 4.0)(x), x + 4.0)
    few = points(4, count=3, dim=40).float()
    moved = monge_map(few, points(5, count=4, dim=40).float())(few)
    assert moved.dtype == torch.float32
    assert moved.isfinite().all()


def test_what_has_no_map_is_said():
    x = points(0)
    with pytest.raises(ValueError, match=r"expected \[N, D\] and \[M, D\]"):
        monge_map(x, x[:, :2])
    with pytest.raises(ValueError, match="found 0 source and 200 target points"):
        monge_map(x[:0], x)
    with pytest.raises(ValueError, match="ridge is 0, expected more than 0"):
        monge_map(x, x, ridge=0)
    with pytest.raises(ValueError, match="expected one for each of 200 points"):
        align_sources(x, torch.zeros(3), x)


def test_classes_become_round():
    """Without smoothing, what is left within classes has unit covariance; unknown points count for nothing."""
    x = points(6, count=300)
    classes = torch.arange(300) % 3
    x = x + 10.0 * classes[:, None]
    stranger = torch.full((1, 5), 1e6, dtype=torch.float64)
    matrix = within_class_normalisation(
        torch.cat([x, stranger]), torch.cat([classes, torch.tensor([-1])]), smoothing=0.0
    )
    z = x @ matrix
    apart = torch.cat([z[classes == c] - z[classes == c].mean(0) for c in range(3)])
    torch.testing.assert_close(apart.T @ apart / 300, torch.eye(5, dtype=torch.float64))
    # Inner products under the inverse covariance, in a loop over the definition.
    within = sum(
        torch.outer(v - x[classes == c].mean(0), v - x[classes == c].mean(0)) / 300
        for c in range(3)
        for v in x[classes == c]
    )
    torch.testing.assert_close(z[:4] @ z[:4].T, x[:4] @ torch.linalg.inv(within) @ x[:4].T)


def test_what_cannot_be_normalised_is_said():
    x = points(0)
    with pytest.raises(ValueError, match="no class has two points that differ"):
        within_class_normalisation(x, torch.arange(200))
    with pytest.raises(ValueError, match="smoothing is 2, expected 0 to 1"):
        within_class_normalisation(x, torch.zeros(200).long(), smoothing=2)
    few = points(1, count=4, dim=6)
    with pytest.raises(ValueError, match="has no inverse, expected a smoothing of more than 0"):
        within_class_normalisation(few * 0 + torch.eye(6)[:4], torch.zeros(4).long(), smoothing=0.0)
