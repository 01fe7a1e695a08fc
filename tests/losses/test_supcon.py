"""Eqs. 7–8 against loops, against pytorch-metric-learning with weight 1, in blocks, and where nothing compares."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.losses import CrossLingualSupCon, blockwise, cross_lingual_supcon
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


def by_loops(x, labels, temperature, weight, refs=None, ref_labels=None):
    """Eq. 8, read aloud."""
    own = refs is None
    refs, ref_labels = (x, labels) if own else (refs, ref_labels)
    losses = []
    for i in range(len(x)):
        others = [j for j in range(len(refs)) if not (own and j == i)]
        positives = [j for j in others if known_same(labels, i, ref_labels, j, "emotion")]
        if not positives or len(positives) == len(others):
            continue
        logits = {j: cosine(x[i], refs[j]) / temperature for j in others}
        log_denominator = torch.stack(list(logits.values())).logsumexp(0)
        total, whole = 0, 0
        for p in positives:
            w = weight if known_different(labels, i, ref_labels, p, "language") else 1.0
            total = total + w * (logits[p] - log_denominator)
            whole += w
        if whole > 0:
            losses.append(-total / whole)
    return sum(losses) / len(losses) if losses else x.sum() * 0


@settings(max_examples=1500, deadline=None)
@given(
    batch=batches(),
    temperature=st.sampled_from([0.07, 0.5]),
    weight=st.sampled_from([0.0, 1.0, 2.5]),
)
def test_value_and_gradient_equal_loops(batch, temperature, weight):
    embeddings, labels = batch
    ours, theirs = leaf(embeddings), leaf(embeddings)
    loss = cross_lingual_supcon(ours, labels, temperature=temperature, cross_lingual_weight=weight)
    expected = by_loops(theirs, labels, temperature, weight)
    torch.testing.assert_close(loss.detach(), expected.detach(), atol=1e-9, rtol=1e-7)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-8, rtol=1e-6)


@settings(max_examples=500, deadline=None)
@given(batch=batches(), reference=batches(min_size=1))
def test_a_reference_set_gives_positives_and_denominator(batch, reference):
    (x, labels), (refs, ref_labels) = batch, reference
    mine, theirs = (leaf(x), leaf(refs)), (leaf(x), leaf(refs))
    loss = cross_lingual_supcon(mine[0], labels, mine[1], ref_labels)
    expected = by_loops(theirs[0], labels, 0.07, 2.5, theirs[1], ref_labels)
    torch.testing.assert_close(loss.detach(), expected.detach(), atol=1e-9, rtol=1e-7)
    if expected.requires_grad:
        loss.backward()
        expected.backward()
        for a, b in zip(mine, theirs, strict=True):
            if b.grad is not None:
                torch.testing.assert_close(a.grad, b.grad, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_weight_one_equals_pytorch_metric_learning(seed):
    from pytorch_metric_learning.losses import SupConLoss

    x, labels = random_batch(64, seed=seed, dtype=torch.float64)
    emotion = labels["emotion"] + 1
    ours, theirs = leaf(x), leaf(x)
    found = CrossLingualSupCon(cross_lingual_weight=1.0)(ours, {"emotion": emotion})
    expected = SupConLoss(temperature=0.07)(theirs, emotion)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_minus_one_is_unknown_and_in_pytorch_metric_learning_a_class():
    from pytorch_metric_learning.losses import SupConLoss

    x = random_batch(6, seed=0, dtype=torch.float64)[0]
    unknown = torch.tensor([0, 0, 1, 1, -1, -1])
    alike, apart = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 2, 3])
    theirs, ours = SupConLoss(temperature=0.07), CrossLingualSupCon(cross_lingual_weight=1.0)
    torch.testing.assert_close(theirs(x, unknown), theirs(x, alike))
    torch.testing.assert_close(ours(x, {"emotion": unknown}), ours(x, {"emotion": apart}))


def test_relations_generalise():
    x, labels = random_batch(32, dtype=torch.float64)
    general = CrossLingualSupCon(
        positive=same("emotion", "community"), boost=differ("language"), temperature=0.2
    )
    merged = {
        "emotion": torch.where(
            (labels["emotion"] >= 0) & (labels["community"] >= 0),
            labels["emotion"] * 10 + labels["community"],
            -1,
        ),
        "language": labels["language"],
    }
    expected = by_loops(x, merged, 0.2, 2.5)
    torch.testing.assert_close(general(x, labels), expected)


def test_blocks_are_the_same_as_the_whole_and_bound_memory(monkeypatch):
    x, labels = random_batch(96, dtype=torch.float64)
    loss = CrossLingualSupCon()
    whole, parts = leaf(x), leaf(x)
    expected = loss(whole, labels)
    expected.backward()
    monkeypatch.setattr(blockwise, "BLOCK", 7 * len(x))
    found = loss(parts, labels)
    (0.5 * found).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(parts.grad, 0.5 * whole.grad)


@pytest.mark.parametrize(
    ("emotion", "language"),
    [([], []), ([0], [0]), ([0, 1, 2], [0, 0, 1]), ([-1, -1], [0, 1])],
    ids=["empty", "one item", "no positives", "all unknown"],
)
def test_nothing_to_compare_is_zero_with_zero_gradient(emotion, language):
    x = torch.randn(len(emotion), 4, requires_grad=True)
    loss = CrossLingualSupCon()(x, {"emotion": emotion, "language": language})
    loss.backward()
    assert loss == 0
    assert x.grad.eq(0).all()


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_all_of_one_class_is_zero_with_zero_gradient_as_in_pytorch_metric_learning(weight):
    from pytorch_metric_learning.losses import SupConLoss

    x, labels = random_batch(9)
    one = torch.zeros(9, dtype=torch.int64)
    x.requires_grad_()
    loss = CrossLingualSupCon(cross_lingual_weight=weight)
    found = loss(x, {"emotion": one, "language": labels["language"]})
    found.backward()
    assert found == 0 == SupConLoss()(x, one)
    assert math.copysign(1, found.item()) == 1
    assert x.grad.eq(0).all()
    # A single item of another class, or of none, is something to contrast with: then all others count.
    for other in (1, -1):
        mixed = {"emotion": [other, *[0] * 8], "language": labels["language"]}
        expected = by_loops(x.detach().double(), mixed, 0.07, weight)
        assert loss(x, mixed).item() == pytest.approx(expected.item(), rel=1e-4)
        assert expected > 1


def test_all_of_one_class_in_one_block_only(monkeypatch):
    x, _ = random_batch(32, dtype=torch.float64)
    labels = {"emotion": [0] * 30 + [1, 1], "language": [0, 1] * 16}
    loss = CrossLingualSupCon()
    whole = loss(x, labels)
    monkeypatch.setattr(blockwise, "BLOCK", 3 * len(x))
    torch.testing.assert_close(loss(x, labels), whole)
    torch.testing.assert_close(whole, by_loops(x, labels, 0.07, 2.5))


@pytest.mark.parametrize("block", [blockwise.BLOCK, 100])
def test_the_batch_as_its_own_reference_pairs_no_item_with_itself(block, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", block)
    x, labels = random_batch(40, dtype=torch.float64)
    a, b = leaf(x), leaf(x)
    loss = CrossLingualSupCon()
    expected, found = loss(a, labels), loss(b, labels, b, labels)
    torch.testing.assert_close(found, expected)
    expected.backward()
    found.backward()
    torch.testing.assert_close(b.grad, a.grad)
    # Labels of the two sides may differ: here only some items are anchors.
    some = {name: torch.where(torch.arange(40) < 9, v, -1) for name, v in labels.items()}
    emotion = [[i, j] for i in range(9) for j in range(40) if i != j]
    assert loss(x, some, x, labels) != loss(x, some, x.clone(), labels)
    logs = []
    for i in range(9):
        others = [j for j in range(40) if [i, j] in emotion]
        picked = {n: v[others] for n, v in labels.items()}
        one = {n: v[i : i + 1] for n, v in labels.items()}
        value = loss(x[i : i + 1], one, x[others], picked)
        if known_any(one, picked):
            logs.append(value)
    torch.testing.assert_close(loss(x, some, x, labels), torch.stack(logs).mean())


def known_any(labels, refs):
    return any(known_same(labels, 0, refs, j, "emotion") for j in range(len(refs["emotion"])))


def test_gradcheck():
    x, labels = random_batch(9, 4, torch.float64)
    assert torch.autograd.gradcheck(lambda x: cross_lingual_supcon(x, labels), leaf(x))


def test_bfloat16_is_close_to_float32():
    x, labels = random_batch(128)
    layer = torch.nn.Linear(16, 16)
    loss = CrossLingualSupCon()
    exact = loss(layer(x), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = loss(layer(x), labels)
    rough.backward()
    assert rough.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0.01)
    # Embeddings that come in bfloat16 are treated in float32 all the way.
    half = x.bfloat16().requires_grad_()
    loss(half, labels).backward()
    assert half.grad.dtype == torch.bfloat16
    assert half.grad.isfinite().all()


def test_nan_is_not_hidden():
    x, labels = random_batch(16)
    x[3] = math.nan
    assert CrossLingualSupCon()(x, labels).isnan()


def test_errors():
    with pytest.raises(ValueError, match="temperature is 0"):
        CrossLingualSupCon(temperature=0)
    with pytest.raises(ValueError, match="cross_lingual_weight is -1"):
        CrossLingualSupCon(cross_lingual_weight=-1)
    for argument in ("positive", "boost"):
        with pytest.raises(ValueError, match=f"{argument} is 'emotion', expected a relation"):
            CrossLingualSupCon(**{argument: "emotion"})
    x, labels = random_batch(4)
    with pytest.raises(ValueError, match="no 'language'"):
        CrossLingualSupCon()(x, {"emotion": labels["emotion"]})
    for wrong in (x.long(), x.to(torch.complex64)):
        with pytest.raises(ValueError, match=f"^embeddings are of {wrong.dtype}, expected floats"):
            CrossLingualSupCon()(wrong, labels)
        with pytest.raises(ValueError, match=f"ref_embeddings are of {wrong.dtype}, expected"):
            CrossLingualSupCon()(x, labels, wrong, labels)
    # Without a boost the language is not needed.
    assert CrossLingualSupCon(cross_lingual_weight=1)(x, {"emotion": labels["emotion"]}).isfinite()


@pytest.mark.native
@needs_compiler
@pytest.mark.slow
def test_compiles_as_one_graph():
    x, labels = random_batch(32)
    loss = CrossLingualSupCon()
    torch._dynamo.reset()
    plain, fused = leaf(x), leaf(x)
    expected = loss(plain, labels)
    expected.backward()
    found = torch.compile(loss, fullgraph=True)(fused, labels)
    found.backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(fused.grad, plain.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.cuda
def test_cuda_equals_cpu():
    x, labels = random_batch(200)
    found = CrossLingualSupCon()(x.cuda(), {n: v.cuda() for n, v in labels.items()})
    torch.testing.assert_close(found.cpu(), CrossLingualSupCon()(x, labels), rtol=1e-4, atol=1e-5)
