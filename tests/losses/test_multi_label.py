"""Contrast between label sets against loops, supervised contrast where each item has one label, and blocks."""

import pytest
import torch

from cleser.losses import MultiLabelSupCon, blockwise, cross_lingual_supcon, multi_label_supcon
from tests.losses.cases import cosine, leaf


def by_loops(x, labels, temperature):
    """The equation, read aloud."""
    losses = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        logits = {j: cosine(x[i], x[j]) / temperature for j in others}
        for k in range(labels.shape[1]):
            positives = [j for j in others if labels[i, k] == 1 and labels[j, k] == 1]
            if positives and len(positives) < len(others):
                denominator = torch.stack(list(logits.values())).logsumexp(0)
                losses.append(-sum(logits[p] - denominator for p in positives) / len(positives))
    return sum(losses) / len(losses) if losses else x.sum() * 0


def batch(seed, n=9, k=4, lowest=-1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return x, torch.randint(lowest, 2, (n, k), generator=generator)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_value_and_gradient_equal_loops(seed, temperature):
    x, labels = batch(seed, n=2 + seed % 8)
    ours, theirs = leaf(x), leaf(x)
    loss = MultiLabelSupCon(temperature=temperature)(ours, labels)
    expected = by_loops(theirs, labels, temperature)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss.detach(), expected.detach(), atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-8, rtol=1e-6)


def test_of_one_label_an_item_is_supervised_contrast():
    x, _ = batch(0, n=12)
    emotion = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 3, -1, -1, 1])
    labels = {"emotion": emotion, "language": torch.zeros_like(emotion)}
    expected = cross_lingual_supcon(x, labels, cross_lingual_weight=1.0)
    hot = emotion[:, None] == torch.arange(4)
    torch.testing.assert_close(multi_label_supcon(x, hot), expected)
    torch.testing.assert_close(multi_label_supcon(x, hot.numpy().astype(int).tolist()), expected)


def test_blocks_change_nothing(monkeypatch):
    x, labels = batch(1, n=23)
    whole, parts = leaf(x), leaf(x)
    expected = multi_label_supcon(whole, labels)
    expected.backward()
    monkeypatch.setattr(blockwise, "BLOCK", 23 * 4)
    found = multi_label_supcon(parts, labels)
    found.backward()
    torch.testing.assert_close(found.detach(), expected.detach())
    torch.testing.assert_close(parts.grad, whole.grad)


@pytest.mark.parametrize("value", [-1, 0, 1])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_nothing_to_contrast_is_zero_with_a_zero_gradient(n, value):
    x = leaf(torch.randn(n, 3))
    loss = multi_label_supcon(x, torch.full((n, 2), value))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


def test_gradients_are_right():
    x, labels = batch(2)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda y: multi_label_supcon(y, labels, temperature=0.5), x)


def test_what_does_not_fit_is_named():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"labels have shape \(3,\), expected \[3, labels\]"):
        multi_label_supcon(x, [0, 1, 1])
    with pytest.raises(ValueError, match="beyond −1 to 1"):
        multi_label_supcon(x, [[0], [2], [1]])
    with pytest.raises(ValueError, match="expected integers"):
        multi_label_supcon(x, torch.rand(3, 2))
    with pytest.raises(ValueError, match=r"embeddings are of torch\.int64, expected floats"):
        multi_label_supcon(x.long(), [[0], [1], [1]])
    with pytest.raises(ValueError, match="temperature is 0"):
        MultiLabelSupCon(temperature=0)
