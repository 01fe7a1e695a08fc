"""Random batches with unknown labels, and what a relation says of two of their items, pair by pair."""

import shutil

import pytest
import torch
from hypothesis import strategies as st

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")

NAMES = ("emotion", "community", "language")


@st.composite
def batches(draw, min_size=0, max_size=9, dim=3):
    """Embeddings (float64) and labels, a third of them unknown now and then."""
    size = draw(st.integers(min_size, max_size))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    embeddings = torch.randn(size, dim, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):  # ties
        embeddings = embeddings.sign()
    lowest = draw(st.sampled_from([-1, 0]))
    labels = {n: torch.randint(lowest, 3, (size,), generator=generator) for n in NAMES}
    return embeddings, labels


def known_same(labels, i, ref_labels, j, name):
    a, b = int(labels[name][i]), int(ref_labels[name][j])
    return a >= 0 and a == b


def known_different(labels, i, ref_labels, j, name):
    a, b = int(labels[name][i]), int(ref_labels[name][j])
    return a >= 0 and b >= 0 and a != b


def leaf(x):
    return x.clone().detach().requires_grad_()


def cosine(a, b):
    """Cosine similarity; of rows of zeros it is zero."""
    na, nb = a.norm(), b.norm()
    return (a / (na if na > 0 else 1)) @ (b / (nb if nb > 0 else 1))


def random_batch(n=64, d=16, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=dtype)
    labels = {
        "emotion": torch.randint(-1, 4, (n,), generator=generator),
        "language": torch.randint(0, 3, (n,), generator=generator),
        "community": torch.randint(0, 3, (n,), generator=generator),
    }
    return x, labels
