"""Priors and pseudo-labels: what they promise, for any logits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.recipes.pseudo_labels import confident_labels, decision_shift, prior_shift


@given(st.integers(0, 10_000), st.integers(2, 5), st.sampled_from([1.0, 10.0, 50.0, 200.0]))
@settings(max_examples=60, deadline=None)
def test_the_mean_prediction_becomes_the_prior(seed, classes, scale):
    """However sure the predictions are."""
    torch.manual_seed(seed)
    logits = scale * (torch.randn(60, classes) + torch.randn(classes)).double()
    prior = torch.rand(classes) + 0.3
    shift = prior_shift(logits, prior)
    found = (logits + shift).softmax(-1).mean(0)
    torch.testing.assert_close(found, (prior / prior.sum()).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(shift.mean(), torch.tensor(0.0).double(), atol=1e-9, rtol=0)


def test_what_matches_is_not_shifted():
    logits = 4 * torch.eye(3).repeat(5, 1)
    torch.testing.assert_close(prior_shift(logits), torch.zeros(3))
    assert prior_shift(torch.zeros(0, 3)).tolist() == [0, 0, 0]


# Smaller shares than a millionth are lost in the sums below.
@given(st.integers(0, 10_000), st.just(0.0) | st.floats(1e-6, 1))
@settings(max_examples=30, deadline=None)
def test_each_class_keeps_its_most_confident(seed, share):
    torch.manual_seed(seed)
    p = torch.randn(40, 3).softmax(-1)
    found = confident_labels(p, share)
    for k in range(3):
        inside = p.argmax(-1) == k
        kept = (found == k) & inside
        # As few as make the share, but for the rounding of their product.
        assert int(kept.sum()) >= share * int(inside.sum()) - 1e-6
        assert int(kept.sum()) < share * int(inside.sum()) + 1
        left = inside & ~kept
        if kept.any() and left.any():
            assert p[kept, k].min() >= p[left, k].max()
    assert ((found == -1) | (found == p.argmax(-1))).all()


@pytest.mark.parametrize(
    ("share", "kept"), [(0.0, 0), (0.07, 7), (0.071, 8), (0.29, 29), (1.0, 100)]
)
def test_a_share_is_rounded_up_but_its_own_rounding_is_not(share, kept):
    p = torch.rand(100, 1)
    assert (confident_labels(p, share) >= 0).sum() == kept


def test_a_class_that_is_never_predicted_stays_so():
    """As of a probe whose source lacks it; the others share its part of the prior."""
    torch.manual_seed(0)
    logits = torch.randn(50, 3)
    logits[:, 1] = -1e4
    for found in (prior_shift(logits), decision_shift(logits, torch.tensor([0.25, 0.5, 0.25]))):
        shares = (logits + found).softmax(-1).mean(0)
        torch.testing.assert_close(shares, torch.tensor([0.5, 0.0, 0.5]), atol=1e-4, rtol=0)


def test_a_share_is_a_share():
    with pytest.raises(ValueError, match=r"share is 1\.5, expected 0 to 1"):
        confident_labels(torch.zeros(2, 2), 1.5)


def test_a_class_that_cannot_occur_is_never_predicted():
    torch.manual_seed(0)
    logits = torch.randn(50, 3)
    prior = torch.tensor([0.7, 0.0, 0.3])
    for found in (prior_shift(logits, prior), decision_shift(logits, prior)):
        assert not ((logits + found).argmax(-1) == 1).any()
        assert found.isfinite().all()
        assert found[[0, 2]].mean().abs() < 1e-5
    matched = (logits + prior_shift(logits, prior)).softmax(-1).mean(0)
    torch.testing.assert_close(matched, prior, atol=1e-3, rtol=0)


def test_a_known_prior_is_matched_without_giving_up_the_rare_class():
    """Gaussian scores with a bias: with the true shares the boundary comes back to where both recalls are alike."""
    torch.manual_seed(0)
    truth = (torch.rand(4000) < 0.1).long()
    evidence = 2.0 * (2 * truth - 1) + 2.0 * torch.randn(4000)  # log-odds of a balanced classifier
    # The bias: too much of the second class is recognised.
    logits = torch.stack([torch.zeros(4000), evidence + 1.5], 1)
    shares = torch.tensor([0.9, 0.1])

    def recalls(shift):
        right = (logits + shift).argmax(-1) == truth
        return [float(right[truth == k].float().mean()) for k in (0, 1)]

    first, second = recalls(decision_shift(logits, shares))
    assert abs(first - second) < 0.08
    assert recalls(prior_shift(logits, shares))[1] < second - 0.1
