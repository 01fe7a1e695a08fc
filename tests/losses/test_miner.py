"""Relations in pytorch-metric-learning's losses, memory and wrappers."""

import pytest
import torch
from hypothesis import given, settings

pytest.importorskip("pytorch_metric_learning")
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance

from cleser.losses import RelationalTripletLoss, RelationMiner
from cleser.relations import differ, same
from tests.losses.cases import batches, known_different, known_same, leaf, random_batch

POSITIVE = same("emotion") & differ("language")
NEGATIVE = differ("emotion")


def triplet_margin():
    return losses.TripletMarginLoss(margin=0.2, distance=CosineSimilarity())


@settings(max_examples=300, deadline=None)
@given(batches())
def test_all_gives_every_pair(batch):
    embeddings, labels = batch
    a, p, b, n = RelationMiner(POSITIVE, NEGATIVE)(embeddings, labels)
    size = range(len(embeddings))
    assert set(zip(a.tolist(), p.tolist(), strict=True)) == {
        (i, j)
        for i in size
        for j in size
        if i != j
        and known_same(labels, i, labels, j, "emotion")
        and known_different(labels, i, labels, j, "language")
    }
    assert set(zip(b.tolist(), n.tolist(), strict=True)) == {
        (i, j) for i in size for j in size if known_different(labels, i, labels, j, "emotion")
    }


@pytest.mark.parametrize("mining", ["all", "hard", "semihard"])
def test_their_triplet_loss_over_our_indices_is_our_loss(mining):
    x, labels = random_batch(40, dtype=torch.float64)
    ours, theirs = leaf(x), leaf(x)
    found = triplet_margin()(
        theirs, indices_tuple=RelationMiner(POSITIVE, NEGATIVE, mining)(theirs, labels)
    )
    expected = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)(ours, labels)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    "loss",
    [
        losses.ContrastiveLoss(),
        losses.CircleLoss(),
        losses.MultiSimilarityLoss(),
        losses.SupConLoss(),
        losses.NTXentLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_any_pair_loss_takes_the_indices(loss):
    x, labels = random_batch(40)
    x.requires_grad_()
    value = loss(x, indices_tuple=RelationMiner(POSITIVE, NEGATIVE)(x, labels))
    value.backward()
    assert value > 0
    assert x.grad.isfinite().all()
    unknown = labels["emotion"] < 0
    assert x.grad[unknown].eq(0).all()


def test_hardness_by_another_distance():
    x, labels = random_batch(30)
    x = x * torch.linspace(0.1, 10, 30)[:, None]
    cosine = RelationMiner(POSITIVE, NEGATIVE, "hard")(x, labels)
    euclidean = RelationMiner(
        POSITIVE, NEGATIVE, "hard", distance=LpDistance(normalize_embeddings=False)
    )(x, labels)
    assert not torch.equal(cosine[2], euclidean[2])
    for a, p, n in zip(*(c.tolist() for c in euclidean), strict=True):
        assert p == max(
            (j for j in range(30) if POSITIVE.mask(labels)[a, j]),
            key=lambda j: (x[a] - x[j]).norm(),
        )
        assert n == min(
            (j for j in range(30) if NEGATIVE.mask(labels)[a, j]),
            key=lambda j: (x[a] - x[j]).norm(),
        )


def test_codes_hold_all_labels():
    _, labels = random_batch(40)
    miner = RelationMiner(same("emotion", "community") & differ("language"), NEGATIVE)
    code = miner.encode(labels)
    assert code.dtype == torch.int64
    decoded = miner.decode(code)
    assert {n: v.tolist() for n, v in decoded.items()} == {
        n: labels[n].tolist() for n in miner.names
    }
    top = {n: [2**20 - 2] for n in miner.names}
    assert {n: v.tolist() for n, v in miner.decode(miner.encode(top)).items()} == top
    with pytest.raises(ValueError, match="reaches 1048575, expected at most 1048574"):
        miner.encode({n: [2**20 - 1] for n in miner.names})


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_bare_labels_are_no_codes(dtype):
    """A tensor of labels 0, 1, … read as codes would lose class 0 and shift the others."""
    x, labels = random_batch(8)
    emotion = labels["emotion"].clamp_min(0).to(dtype)
    miner = RelationMiner(same("emotion"), NEGATIVE)
    with pytest.raises(ValueError, match=r"write miner\(embeddings, {'emotion': ...}\)"):
        miner(x, emotion)
    with pytest.raises(ValueError, match="bare integers"):
        miner(x, {"emotion": emotion}, x.clone(), emotion)
    code = miner.encode({"emotion": emotion})
    for found, expected in zip(miner(x, code), miner(x, {"emotion": emotion}), strict=True):
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("argument", ["positive", "negative"])
def test_relations_are_checked_when_built(argument):
    relations = {"positive": POSITIVE, "negative": NEGATIVE} | {argument: "emotion"}
    with pytest.raises(ValueError, match=f"{argument} is 'emotion', expected a relation"):
        RelationMiner(**relations)


def test_cross_batch_memory_equals_our_reference_set():
    """Their queue with our miner, batch after batch, is our loss against the queue's content."""
    miner = RelationMiner(POSITIVE, NEGATIVE)
    memory = losses.CrossBatchMemory(triplet_margin(), 16, memory_size=96, miner=miner)
    ours = RelationalTripletLoss(POSITIVE, NEGATIVE)
    seen = []
    for step in range(4):
        x, labels = random_batch(32, 16, seed=step)
        seen = [*seen, (x, labels)][-3:]
        a, b = leaf(x), leaf(x)
        found = memory(a, miner.encode(labels))
        found.backward()
        refs = torch.cat([past for past, _ in seen])
        ref_labels = {n: torch.cat([known[n] for _, known in seen]) for n in labels}
        # That queue holds the batch itself too, and drops an item's pair with itself; no relation here pairs equals.
        expected = ours(b, labels, refs, ref_labels)
        expected.backward()
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(a.grad, b.grad)


def test_errors():
    x, labels = random_batch(4)
    with pytest.raises(ValueError, match="mining is 'soft'"):
        RelationMiner(POSITIVE, NEGATIVE, "soft")
    with pytest.raises(ValueError, match="no 'language'"):
        RelationMiner(POSITIVE, NEGATIVE)(x, {"emotion": labels["emotion"]})


@pytest.mark.cuda
@pytest.mark.parametrize("mining", ["all", "hard", "semihard"])
def test_a_gpu_finds_the_pairs_and_triplets_of_the_processor(mining):
    x, labels = random_batch(40, dtype=torch.float64)
    miner = RelationMiner(POSITIVE, NEGATIVE, mining)
    expected, found = miner(x, labels), miner(x.cuda(), labels)
    assert [column.tolist() for column in found] == [column.tolist() for column in expected]
