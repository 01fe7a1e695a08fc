"""Mel filters and the cosine basis, against torchaudio and SciPy."""

import numpy as np
import pytest
import scipy.fft
import torch

from cleser.speech.spectral_bases import cosine_basis, mel_filters

TABLES = [
    (257, 60.0, 7600.0, 40, 16000),
    (257, 80.0, 7200.0, 26, 16000),
    (129, 0.0, 4000.0, 8, 8000),
]


@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize("table", TABLES)
def test_filters_are_those_of_torchaudio(table, norm):
    peer = pytest.importorskip("torchaudio").functional.melscale_fbanks(*table, norm=norm)
    torch.testing.assert_close(mel_filters(*table, norm=norm), peer, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("coefficients", "bands"), [(14, 40), (13, 26), (1, 1), (8, 8)])
def test_the_basis_is_that_of_scipy(coefficients, bands):
    expected = scipy.fft.dct(np.eye(bands), norm="ortho")[:, :coefficients]
    found = cosine_basis(coefficients, bands).double().numpy()
    # Arguments of the cosine reach π · coefficients, each rounded to single precision.
    np.testing.assert_allclose(found, expected, atol=np.pi * coefficients * 2**-23)


@pytest.mark.parametrize("table", TABLES)
def test_neighbouring_filters_add_up_to_one_between_their_peaks(table):
    """The corners are shared, so that between the first and last peak every frequency has the weight 1 in all."""
    bins, lowest, highest, bands, rate = table
    filters = mel_filters(*table)
    mel = lambda f: 2595 * np.log10(1 + np.asarray(f) / 700)  # noqa: E731
    mels = mel(np.linspace(0, rate / 2, bins))
    step = (mel(highest) - mel(lowest)) / (bands + 1)
    inside = (mels > mel(lowest) + step) & (mels < mel(highest) - step)
    np.testing.assert_allclose(filters.sum(1)[inside], 1, atol=1e-5)
    assert (filters >= 0).all()
    assert (filters[(mels < mel(lowest)) | (mels > mel(highest))] == 0).all()
