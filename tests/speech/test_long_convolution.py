"""Convolutions by the transform against torch's own."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from cleser.speech.backbones import long_convolution
from cleser.speech.backbones.long_convolution import convolve_by_spectrum


def pair(kernel=33, padding=16, groups=4, bias=True):
    """A convolution, and the same by the transform."""
    torch.manual_seed(0)
    plain = nn.Conv1d(8, 12, kernel, padding=padding, groups=groups, bias=bias)
    quick = copy.deepcopy(plain)
    convolve_by_spectrum(quick)
    assert "forward" in vars(quick)
    return plain, quick


@settings(max_examples=30, deadline=None)
@given(
    frames=st.integers(1, 300),
    kernel=st.integers(32, 40),
    padding=st.integers(0, 40),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    batch=st.integers(1, 3),
)
def test_it_gives_what_torch_gives(frames, kernel, padding, groups, bias, batch):
    if frames + 2 * padding < kernel:
        return
    plain, quick = pair(kernel, padding, groups, bias)
    x = torch.randn(batch, 8, frames)
    with torch.inference_mode():
        torch.testing.assert_close(quick(x), plain(x), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_short_recordings_window_is_shorter_with_the_same_numbers():
    plain, quick = pair()
    # At and around the lengths that windows of 49, 66 and 99 hold.
    for frames in (1, 17, 18, 34, 35, 67, 68, 400):
        x = torch.randn(1, 8, frames)
        torch.testing.assert_close(quick(x), plain(x), atol=1e-5, rtol=1e-5)
    assert set(long_convolution._SPECTRA[quick.bias][1]) == {49, 66, 99}


def test_gradients_are_torchs():
    plain, quick = pair()
    x = torch.randn(2, 8, 70, requires_grad=True)
    found = torch.autograd.grad(quick(x).square().sum(), [x, *quick.parameters()])
    expected = torch.autograd.grad(plain(x).square().sum(), [x, *plain.parameters()])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_the_kernels_transform_follows_its_weights():
    plain, quick = (weight_norm(conv, dim=2) for conv in pair())
    x = torch.randn(1, 8, 50)
    for change in (1.0, 3.0):
        for conv in (plain, quick):
            conv.parametrizations.weight.original0.mul_(change)
        torch.testing.assert_close(quick(x), plain(x), atol=1e-5, rtol=1e-5)
    trained = copy.deepcopy(quick)
    trained.parametrizations.weight.original1.mul_(-1)
    torch.testing.assert_close(
        trained(x) - trained.bias[:, None], quick.bias[:, None] - quick(x), atol=1e-5, rtol=1e-5
    )


def test_the_kernel_is_transformed_once(monkeypatch):
    _, quick = pair()
    calls = []
    transform = long_convolution._transform
    monkeypatch.setattr(long_convolution, "_transform", lambda *a: calls.append(a) or transform(*a))
    with torch.inference_mode():
        quick(torch.randn(1, 8, 50))
        quick(torch.randn(2, 8, 40))
    assert len(calls) == 1
    with torch.no_grad():  # what inference mode made can be used outside it
        quick(torch.randn(1, 8, 50))
    assert len(calls) == 1
    quick.requires_grad_(False)
    x = torch.randn(1, 8, 50, requires_grad=True)
    quick(x).sum().backward()
    assert len(calls) == 1 and x.grad is not None


@pytest.mark.parametrize("kernel", [8, 31])
def test_short_ones_stay_as_they_are(kernel):
    conv = nn.Conv1d(4, 4, kernel)
    convolve_by_spectrum(conv)
    assert "forward" not in vars(conv)


def test_half_precision_takes_torchs_way():
    plain, quick = pair()
    x = torch.randn(1, 8, 50)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quick(x), plain(x))
