"""The triplet loss against loops over triplets, against pytorch-metric-learning, and where nothing compares."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.losses import RelationalTripletLoss, blockwise, relational_triplet_loss
from cleser.relations import differ, same
from tests.losses.cases import (
    batches,
    cosine,
    known_different,
    known_same,
    leaf,
    needs_compiler,
    random_batch,
)

POSITIVE = same("emotion") & differ("language")
NEGATIVE = differ("emotion")
MARGIN = 0.3
MININGS = ["all", "hard", "semihard", "soft"]


def is_positive(labels, i, refs, j):
    return known_same(labels, i, refs, j, "emotion") and known_different(
        labels, i, refs, j, "language"
    )


def is_negative(labels, i, refs, j):
    return known_different(labels, i, refs, j, "emotion")


def by_loops(x, labels, mining, refs=None, ref_labels=None, anchors=None, sharpness=10.0):
    """The loss as its definition reads, one anchor and one triplet after another."""
    own = refs is None
    refs, ref_labels = (x, labels) if own else (refs, ref_labels)
    terms, soft = [], []
    for a in range(len(x)):
        if anchors is not None and not anchors[a]:
            continue
        others = [j for j in range(len(refs)) if not (own and j == a)]
        s = {j: cosine(x[a], refs[j]) for j in others}
        positives = [j for j in others if is_positive(labels, a, ref_labels, j)]
        negatives = [j for j in others if is_negative(labels, a, ref_labels, j)]
        if not positives or not negatives:
            continue
        if mining == "soft":
            mean = sum(
                torch.exp(sharpness * (s[n] - s[p] + MARGIN)) for p in positives for n in negatives
            ) / (len(positives) * len(negatives))
            soft.append(torch.log1p(mean) / sharpness)
        elif mining == "all":
            terms += [s[n] - s[p] + MARGIN for p in positives for n in negatives]
        elif mining == "hard":
            p = min(positives, key=lambda j: float(s[j]))
            n = max(negatives, key=lambda j: float(s[j]))
            terms.append(s[n] - s[p] + MARGIN)
        else:
            for p in positives:
                below = [n for n in negatives if s[n] < s[p]]
                if below:
                    terms.append(max(s[n] for n in below) - s[p] + MARGIN)
    if mining == "soft":
        return sum(soft) / len(soft) if soft else x.sum() * 0
    violated = [t for t in terms if t > 0]
    return sum(violated) / len(violated) if violated else x.sum() * 0


@pytest.mark.parametrize("mining", MININGS)
@settings(max_examples=400, deadline=None)
@given(batch=batches(), data=st.data())
def test_value_and_gradient_equal_loops(mining, batch, data):
    embeddings, labels = batch
    if mining in ("hard", "semihard"):  # with ties the choice is not unique, nor is the gradient
        embeddings = embeddings + 1e-3 * torch.randn(
            embeddings.shape, generator=torch.Generator().manual_seed(0), dtype=embeddings.dtype
        )
    anchors = data.draw(
        st.none()
        | st.lists(st.booleans(), min_size=len(embeddings), max_size=len(embeddings)).map(
            lambda v: torch.tensor(v, dtype=torch.bool)
        )
    )
    ours, theirs = leaf(embeddings), leaf(embeddings)
    loss = relational_triplet_loss(
        ours, labels, positive=POSITIVE, negative=NEGATIVE, margin=MARGIN, mining=mining,
        anchors=anchors,
    )  # fmt: skip
    expected = by_loops(theirs, labels, mining, anchors=anchors)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("mining", MININGS)
@settings(max_examples=200, deadline=None)
@given(batch=batches(), reference=batches())
def test_a_reference_set_gives_positives_and_negatives(mining, batch, reference):
    (x, labels), (refs, ref_labels) = batch, reference
    noise = torch.Generator().manual_seed(1)
    x = x + 1e-3 * torch.randn(x.shape, generator=noise, dtype=x.dtype)
    refs = refs + 1e-3 * torch.randn(refs.shape, generator=noise, dtype=x.dtype)
    mine, theirs = (leaf(x), leaf(refs)), (leaf(x), leaf(refs))
    loss = relational_triplet_loss(
        mine[0], labels, mine[1], ref_labels,
        positive=POSITIVE, negative=NEGATIVE, margin=MARGIN, mining=mining,
    )  # fmt: skip
    expected = by_loops(theirs[0], labels, mining, theirs[1], ref_labels)
    if not expected.requires_grad or not len(refs):
        assert loss == 0
        return
    torch.testing.assert_close(loss, expected, atol=1e-9, rtol=1e-7)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(mine[0].grad, theirs[0].grad, atol=1e-9, rtol=1e-7)
    if theirs[1].grad is not None:
        torch.testing.assert_close(mine[1].grad, theirs[1].grad, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("mining", MININGS)
def test_block_by_block_is_the_same_as_at_once(mining, monkeypatch):
    x, labels = random_batch(dtype=torch.float64)
    loss = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)
    whole, parts = leaf(x), leaf(x)
    expected = loss(whole, labels)
    expected.backward()
    monkeypatch.setattr(blockwise, "BLOCK", 5 * len(x))
    found = loss(parts, labels)
    (3 * found).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(parts.grad, 3 * whole.grad)
    # A loss that nobody differentiates costs no gradient.
    assert not loss(x, labels).requires_grad


def test_relations_may_overlap():
    """An item that is positive and negative at once makes triplets with itself, as the definition reads."""
    x, labels = random_batch(12, dtype=torch.float64)
    loss = relational_triplet_loss(
        x, labels, positive=same("language"), negative=differ("emotion"), margin=MARGIN
    )
    terms = []
    for a in range(12):
        for p in range(12):
            for n in range(12):
                if a in (p, n):
                    continue
                positive = known_same(labels, a, labels, p, "language")
                if positive and known_different(labels, a, labels, n, "emotion"):
                    terms.append(cosine(x[a], x[n]) - cosine(x[a], x[p]) + MARGIN)
    violated = [float(t) for t in terms if t > 0]
    assert loss.item() == pytest.approx(sum(violated) / len(violated))


@pytest.mark.parametrize("mining", MININGS)
def test_gradcheck(mining):
    x, labels = random_batch(8, 4, torch.float64)

    def loss(x):
        return relational_triplet_loss(
            x, labels, positive=POSITIVE, negative=NEGATIVE, mining=mining, margin=0.4
        )

    assert torch.autograd.gradcheck(loss, leaf(x))


@pytest.mark.parametrize("mining", ["all", "hard", "semihard"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_pytorch_metric_learning(mining, seed):
    from pytorch_metric_learning import losses, miners
    from pytorch_metric_learning.distances import CosineSimilarity

    x, labels = random_batch(48, seed=seed, dtype=torch.float64)
    emotion = labels["emotion"] + 1  # that library has no unknowns
    indices = {
        "all": None,
        "hard": miners.BatchHardMiner(distance=CosineSimilarity()),
        "semihard": None,
    }[mining]
    ours, theirs = leaf(x), leaf(x)
    found = RelationalTripletLoss(same("emotion"), differ("emotion"), mining=mining)(
        ours, {"emotion": emotion}
    )
    if mining == "semihard":
        # Its semihard miner keeps every negative within the margin, another rule: it gets our triplets, by hand.
        s = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(x).T
        a, p, n = by_hand_semihard(s, emotion)
        expected = losses.TripletMarginLoss(margin=0.2, distance=CosineSimilarity())(
            theirs, emotion, (a, p, n)
        )
    else:
        expected = losses.TripletMarginLoss(margin=0.2, distance=CosineSimilarity())(
            theirs, emotion, indices(theirs, emotion) if indices else None
        )
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def by_hand_semihard(s, emotion):
    triplets = []
    for a in range(len(s)):
        for p in range(len(s)):
            if p == a or emotion[p] != emotion[a]:
                continue
            below = [
                n for n in range(len(s)) if emotion[n] != emotion[a] and float(s[a, n]) < s[a, p]
            ]
            if below:
                triplets.append((a, p, max(below, key=lambda n: float(s[a, n]))))
    return torch.tensor(triplets).T


@pytest.mark.parametrize("mining", MININGS)
def test_accepts_distances_of_pytorch_metric_learning(mining):
    from pytorch_metric_learning.distances import CosineSimilarity, LpDistance

    x, labels = random_batch()
    kwargs = {"positive": POSITIVE, "negative": NEGATIVE, "mining": mining}
    plain = relational_triplet_loss(x, labels, **kwargs)
    injected = relational_triplet_loss(x, labels, distance=CosineSimilarity(), **kwargs)
    torch.testing.assert_close(plain, injected)
    euclidean = relational_triplet_loss(
        x, labels, distance=LpDistance(normalize_embeddings=False), **kwargs
    )
    rows = [
        float(relational_triplet_loss(x[i : i + 1], {n: v[i : i + 1] for n, v in labels.items()}, x, labels,
              distance=LpDistance(normalize_embeddings=False), **kwargs))
        for i in range(3)
    ]  # fmt: skip
    assert math.isfinite(euclidean)
    assert all(map(math.isfinite, rows))


def test_euclidean_distance_equals_loops():
    from pytorch_metric_learning.distances import LpDistance

    x, labels = random_batch(20, dtype=torch.float64)
    found = relational_triplet_loss(
        x, labels, positive=POSITIVE, negative=NEGATIVE,
        distance=LpDistance(normalize_embeddings=False), margin=MARGIN,
    )  # fmt: skip
    terms = [
        float((x[a] - x[p]).norm() - (x[a] - x[n]).norm() + MARGIN)
        for a in range(20) for p in range(20) for n in range(20)
        if is_positive(labels, a, labels, p) and is_negative(labels, a, labels, n)
    ]  # fmt: skip
    violated = [t for t in terms if t > 0]
    assert found.item() == pytest.approx(sum(violated) / len(violated))


@pytest.mark.parametrize("mining", MININGS)
def test_accepts_reducers_of_pytorch_metric_learning(mining):
    from pytorch_metric_learning.reducers import (
        AvgNonZeroReducer,
        ClassWeightedReducer,
        MeanReducer,
        SumReducer,
    )

    x, labels = random_batch(24)
    kwargs = {"positive": POSITIVE, "negative": NEGATIVE, "mining": mining}

    def loss(reducer):
        return relational_triplet_loss(x, labels, reducer=reducer, **kwargs)

    plain = loss(None)
    torch.testing.assert_close(loss(AvgNonZeroReducer()), plain)
    mean, total = loss(MeanReducer()), loss(SumReducer())
    assert total >= plain >= mean * (1 - 1e-6) > 0
    weighted = loss(ClassWeightedReducer(torch.full((4,), 2.0)))
    torch.testing.assert_close(weighted, 2 * mean)


DEGENERATE = {
    "empty": ([], []),
    "one item": ([0], [0]),
    "one class": ([0, 0, 0], [0, 1, 2]),
    "one language": ([0, 0, 1], [1, 1, 1]),
    "all unknown": ([-1, -1, -1], [-1, -1, -1]),
}


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("case", DEGENERATE)
def test_nothing_to_compare_is_zero_with_zero_gradient(case, mining):
    emotion, language = DEGENERATE[case]
    x = torch.randn(len(emotion), 4, requires_grad=True)
    loss = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)
    value = loss(x, {"emotion": emotion, "language": language})
    value.backward()
    assert value == 0
    assert x.grad.eq(0).all()


@pytest.mark.parametrize("mining", MININGS)
def test_rows_of_zeros_and_equal_rows_have_finite_gradients(mining):
    x = torch.zeros(6, 4)
    x[3:] = 1.0
    x.requires_grad_()
    labels = {"emotion": [0, 0, 1, 0, 0, 1], "language": [0, 1, 0, 0, 1, 0]}
    loss = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)(x, labels)
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("mining", MININGS)
def test_bfloat16_is_close_to_float32(mining):
    from pytorch_metric_learning.reducers import AvgNonZeroReducer

    class Listing(AvgNonZeroReducer):
        """Not theirs, so that all triplets are listed for it."""

    x, labels = random_batch(128)
    loss = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)
    layer = torch.nn.Linear(16, 16)
    exact = loss(layer(x), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = loss(layer(x), labels)
        listed = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining, reducer=Listing())
        assert listed(layer(x), labels).dtype == torch.float32
    rough.backward()
    assert rough.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    torch.testing.assert_close(rough, exact, rtol=0.03, atol=0.01)


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("emotion", [0, 1])
def test_nan_is_not_hidden(mining, emotion):
    """Neither of a positive nor of a negative; of an item that takes part in no triplet it may be."""
    labels = {"emotion": [0, 0, 1], "language": [0, 1, 1]}
    x = torch.randn(3, 4)
    x[labels["emotion"].index(emotion)] = math.nan
    assert RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)(x, labels).isnan()


def test_errors():
    x, labels = random_batch(4)
    with pytest.raises(ValueError, match="margin is -1"):
        RelationalTripletLoss(POSITIVE, NEGATIVE, margin=-1)
    with pytest.raises(ValueError, match="mining is 'random'"):
        RelationalTripletLoss(POSITIVE, NEGATIVE, mining="random")
    with pytest.raises(ValueError, match="expected a relation"):
        RelationalTripletLoss("emotion", NEGATIVE)
    loss = RelationalTripletLoss(POSITIVE, NEGATIVE)
    with pytest.raises(ValueError, match="no 'language'"):
        loss(x, {"emotion": labels["emotion"]})
    with pytest.raises(ValueError, match="has 4 items, expected one of each of 3"):
        loss(x[:3], labels)
    with pytest.raises(ValueError, match="without ref_labels"):
        loss(x, labels, x)
    with pytest.raises(ValueError, match="without ref_embeddings"):
        loss(x, labels, None, labels)
    with pytest.raises(ValueError, match="have 3 dimensions"):
        loss(x, labels, x[:, :3], labels)
    with pytest.raises(ValueError, match="expected \\[items, dimensions\\]"):
        loss(x[0], labels)
    with pytest.raises(ValueError, match=r"embeddings are of torch\.int64, expected floats"):
        loss(x.long(), labels)
    with pytest.raises(ValueError, match="anchors are"):
        loss(x, labels, anchors=torch.ones(4))


@pytest.mark.native
@needs_compiler
@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.slow
def test_compiles_as_one_graph(mining):
    x, labels = random_batch(32)
    loss = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True)
    plain, fused = leaf(x), leaf(x)
    expected = loss(plain, labels)
    expected.backward()
    found = compiled(fused, labels)
    found.backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(fused.grad, plain.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize("mining", MININGS)
def test_cuda_equals_cpu(mining):
    x, labels = random_batch(200)
    loss = RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining)
    found = loss(x.cuda(), {n: v.cuda() for n, v in labels.items()})
    torch.testing.assert_close(found.cpu(), loss(x, labels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mining", ["all", "hard", "semihard", "soft"])
def test_the_batch_as_its_own_reference_pairs_no_item_with_itself(mining):
    x, labels = random_batch(40, dtype=torch.float64)
    # As a negative, at s = 1, an item itself would violate every triplet, and never be semihard.
    loss = RelationalTripletLoss(differ("emotion"), same("emotion"), mining=mining)
    torch.testing.assert_close(loss(x, labels, x, labels), loss(x, labels))
    assert mining == "semihard" or loss(x, labels, x.clone(), labels) != loss(x, labels)


def test_a_reducer_of_one_s_own_counts_whatever_its_name():
    from pytorch_metric_learning import reducers

    class AvgNonZeroReducer(reducers.BaseReducer):
        def triplet_reduction(self, losses, *_):
            return 3 * losses.max()

    x, labels = random_batch(20, dtype=torch.float64)
    loss = RelationalTripletLoss(same("emotion"), differ("emotion"), reducer=AvgNonZeroReducer())
    listed = RelationalTripletLoss(
        same("emotion"), differ("emotion"), reducer=reducers.DoNothingReducer()
    )(x, labels)["loss"]["losses"]
    torch.testing.assert_close(loss(x, labels), 3 * listed.max())
    theirs = RelationalTripletLoss(
        same("emotion"), differ("emotion"), reducer=reducers.AvgNonZeroReducer()
    )
    torch.testing.assert_close(theirs(x, labels), listed[listed > 0].mean())


def test_whether_relations_can_meet_is_asked_once(monkeypatch):
    from cleser.relations import And

    asked, can_hold = [], And._can_hold
    monkeypatch.setattr(And, "_can_hold", lambda self: asked.append(self) or can_hold(self))
    x, labels = random_batch(8)
    labels["never seen before"] = labels["emotion"]
    loss = RelationalTripletLoss(same("never seen before"), differ("never seen before"))
    for _ in range(3):
        loss(x, labels)
    assert len(asked) == 1
