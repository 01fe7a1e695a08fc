"""SAPA's two spaces: the default relations pair by pair, the weights, the anchors, a bank."""

import pytest
import torch

from cleser.losses import DualSpaceTriplet, RelationalTripletLoss
from cleser.relations import differ, same
from tests.losses.cases import cosine, known_different, known_same, random_batch


def phones_of(seed=1):
    phones, labels = random_batch(40, 8, torch.float64, seed=seed)
    labels["phoneme"] = torch.arange(40) % 3
    return phones, labels


def mean_of_violations(x, labels, positive, negative, anchors):
    n = len(x)
    terms = [
        float(cosine(x[a], x[q]) - cosine(x[a], x[p]) + 0.2)
        for a in range(n) for p in range(n) for q in range(n)
        if anchors[a] and a not in (p, q) and positive(a, p) and negative(a, q)
    ]  # fmt: skip
    violated = [t for t in terms if t > 0]
    return sum(violated) / len(violated)


def test_defaults_are_the_relations_of_sapa():
    utterances, labels = random_batch(24, 8, torch.float64)
    phones, phone_labels = phones_of()
    anchors = labels["language"] == 2
    terms = DualSpaceTriplet().terms(
        utterances, labels, phones, phone_labels, utterance_anchors=anchors
    )

    def the_same(of, names):
        return lambda a, p: all(known_same(of, a, of, p, name) for name in names)

    def other(of, a, p, name):
        return known_different(of, a, of, p, name)

    expected = mean_of_violations(
        utterances, labels,
        lambda a, p: the_same(labels, ["emotion", "community"])(a, p) and other(labels, a, p, "language"),
        lambda a, n: other(labels, a, n, "emotion") and other(labels, a, n, "language"),
        anchors,
    )  # fmt: skip
    assert terms["speaker"].item() == pytest.approx(expected)
    expected = mean_of_violations(
        phones, phone_labels,
        lambda a, p: the_same(phone_labels, ["phoneme", "emotion", "community"])(a, p)
        and other(phone_labels, a, p, "language"),
        lambda a, n: the_same(phone_labels, ["phoneme"])(a, n) and other(phone_labels, a, n, "emotion"),
        torch.ones(40, dtype=torch.bool),
    )  # fmt: skip
    assert terms["phoneme"].item() == pytest.approx(expected)


def test_weights():
    utterances, labels = random_batch(24, 8, torch.float64)
    phones, phone_labels = phones_of()
    inputs = (utterances, labels, phones, phone_labels)
    terms = DualSpaceTriplet().terms(*inputs)
    total = DualSpaceTriplet(speaker_weight=0.5, phoneme_weight=3.0)(*inputs)
    torch.testing.assert_close(total, 0.5 * terms["speaker"] + 3 * terms["phoneme"])
    # What is not weighed is not computed, and its labels are not needed.
    alone = DualSpaceTriplet(phoneme_weight=0.0)
    torch.testing.assert_close(alone(utterances, labels), terms["speaker"])
    nothing = DualSpaceTriplet(speaker_weight=0.0, phoneme_weight=0.0)
    leaf = utterances.clone().requires_grad_()
    nothing(leaf, {}).backward()
    assert leaf.grad.eq(0).all()


def test_a_bank_gives_positives_and_negatives():
    utterances, labels = random_batch(24, 8, torch.float64)
    phones, phone_labels = phones_of()
    bank, bank_labels = phones_of(seed=2)
    loss = DualSpaceTriplet()
    terms = loss.terms(
        utterances, labels, phones, phone_labels, ref_phones=bank, ref_phone_labels=bank_labels
    )
    expected = loss.phoneme(phones, phone_labels, bank, bank_labels)
    torch.testing.assert_close(terms["phoneme"], expected)


def test_own_losses_and_errors():
    utterances, labels = random_batch(24, 8)
    speaker = RelationalTripletLoss(same("emotion"), differ("emotion"), mining="hard")
    loss = DualSpaceTriplet(speaker, phoneme_weight=0)
    torch.testing.assert_close(loss(utterances, labels), speaker(utterances, labels))
    with pytest.raises(ValueError, match="phones are missing"):
        DualSpaceTriplet()(utterances, labels)
    with pytest.raises(ValueError, match="speaker_weight is -1"):
        DualSpaceTriplet(speaker_weight=-1)


def test_the_margin_is_that_of_the_default_losses():
    loss = DualSpaceTriplet(margin=0.5, all_ranks=False)
    assert loss.speaker.margin == loss.phoneme.margin == 0.5
    assert not loss.speaker.all_ranks
    assert DualSpaceTriplet().speaker.margin == 0.2
    assert DualSpaceTriplet().phoneme.all_ranks
    own = RelationalTripletLoss(same("emotion"), differ("emotion"), margin=0.3)
    mixed = DualSpaceTriplet(own, margin=0.5)
    assert (mixed.speaker.margin, mixed.phoneme.margin) == (0.3, 0.5)
    with pytest.raises(ValueError, match="both losses are given"):
        DualSpaceTriplet(own, own, margin=0.5)
    with pytest.raises(ValueError, match="margin is -1"):
        DualSpaceTriplet(margin=-1)
