"""The bank against a loop over items, on one rank and on two."""

import itertools
import os
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from cleser.anchors import AnchorBank
from cleser.losses import DualSpaceTriplet, RelationalTripletLoss
from cleser.relations import differ, same

SIZES = {"phoneme": 5, "emotion": 3, "community": 2, "language": 2}
SHARES = [(13, 19), (0, 7), (6, 0), (11, 10), (25, 30)]


def batches(seed=0):
    generator = torch.Generator().manual_seed(seed)
    for shares in SHARES:
        n = sum(shares)
        labels = {
            name: torch.randint(-1 if name == "community" else 0, size, (n,), generator=generator)
            for name, size in SIZES.items()
        }
        yield torch.randn(n, 4, generator=generator), labels


def by_loop(momentum):
    """Prototypes and counts by combination of labels."""
    mean, count = {}, defaultdict(int)
    for x, labels in batches():
        rows = defaultdict(list)
        for i, key in enumerate(zip(*(labels[name].tolist() for name in SIZES), strict=True)):
            if -1 not in key:
                rows[key].append((x[i] / x[i].norm()).double().numpy())
        for key, items in rows.items():
            new, n = np.mean(items, axis=0), len(items)
            if not count[key]:
                mean[key] = new
            else:
                rate = max(1 - momentum, n / (count[key] + n))
                mean[key] = (1 - rate) * mean[key] + rate * new
            count[key] += n
    return mean, count


@pytest.mark.parametrize("length", [1e-40, 1e-14, 1e20, 1e30])
def test_embeddings_of_any_length_are_taken_at_unit_length(length):
    bank = AnchorBank(2, {"phoneme": 2})
    bank.update(length * torch.tensor([[3.0, -4.0], [0.0, 0.0]]), {"phoneme": [0, 1]})
    torch.testing.assert_close(bank.prototypes()[0], torch.tensor([[0.6, -0.8], [0.0, 0.0]]))


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.99])
@pytest.mark.parametrize("min_count", [1, 3])
def test_it_is_a_running_mean_of_each_combination(momentum, min_count):
    bank = AnchorBank(4, SIZES, momentum=momentum, min_count=min_count)
    for x, labels in batches():
        bank.update(x, labels)
    mean, count = by_loop(momentum)
    expected = {key: m for key, m in mean.items() if count[key] >= min_count}
    found, labels = bank.prototypes()
    keys = list(zip(*(labels[name].tolist() for name in SIZES), strict=True))
    assert set(keys) == set(expected)
    assert len(keys) == len(expected) > 5
    for key, prototype in zip(keys, found, strict=True):
        np.testing.assert_allclose(prototype, expected[key], atol=1e-6)


def test_before_momentum_takes_over_it_is_the_mean_of_all_items():
    bank = AnchorBank(4, {"emotion": 1}, normalise=False)
    x = torch.randn(90, 4)
    for part in x.split([30, 1, 59]):
        bank.update(part, {"emotion": torch.zeros(len(part), dtype=torch.int64)})
    torch.testing.assert_close(bank.prototypes()[0][0], x.mean(0))


def test_what_is_unknown_or_not_finite_is_skipped():
    bank = AnchorBank(2, {"emotion": 2, "language": 1})
    x = torch.tensor([[1.0, 0.0], [torch.nan, 0.0], [0.0, torch.inf], [0.0, 2.0]])
    bank.update(x, {"emotion": [0, 0, 0, -1], "language": np.zeros(4, dtype=int)})
    found, labels = bank.prototypes()
    assert found.tolist() == [[1.0, 0.0]]
    assert labels["emotion"].tolist() == [0]
    bank.update(x[:0], {"emotion": [], "language": []})
    assert bank.counts.tolist() == [1, 0]
    bank.reset()
    assert bank.prototypes()[0].shape == (0, 2)


def test_prototypes_carry_no_gradient_and_losses_take_them():
    bank = AnchorBank(4, SIZES)
    for x, labels in itertools.islice(batches(), 1):
        x.requires_grad_()
        bank.update(2 * x, labels)
        prototypes, ref_labels = bank.prototypes()
        assert not prototypes.requires_grad
        loss = RelationalTripletLoss(
            same("phoneme", "emotion") & differ("language"), differ("emotion"), margin=2.0
        )
        loss(x, labels, prototypes, ref_labels).backward()
        assert x.grad.abs().sum() > 0
        dual = DualSpaceTriplet(speaker_weight=0.0)
        alone = dual(x, {}, x, labels)
        banked = dual(x, {}, x, labels, ref_phones=prototypes, ref_phone_labels=ref_labels)
        assert banked > 0
        assert not torch.isclose(alone, banked)
    empty = AnchorBank(4, SIZES).prototypes()
    assert loss(x, labels, *empty) == 0


def test_a_checkpoint_carries_it():
    first, second = AnchorBank(4, SIZES, momentum=0.5), AnchorBank(4, SIZES, momentum=0.5)
    *before, last = batches()
    for x, labels in before:
        first.update(x, labels)
    second.load_state_dict(first.state_dict())
    for bank in (first, second):
        bank.update(*last)
    assert torch.equal(first.means, second.means)
    assert torch.equal(first.counts, second.counts)


def test_half_precision_is_accumulated_in_float32():
    bank = AnchorBank(1, {"emotion": 1}, normalise=False)
    for _ in range(3):
        x = torch.ones(300, 1, dtype=torch.bfloat16)
        bank.update(x, {"emotion": torch.zeros(300, dtype=torch.int32)})
    assert bank.means.dtype == torch.float32
    assert bank.means.item() == 1.0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_bank_in_a_model_of_half_precision_follows_it(kind):
    """Prototypes stood still at their first value, as a step of a hundredth was rounded away."""
    bank, cast = (AnchorBank(2, {"emotion": 1}, normalise=False) for _ in range(2))
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), cast).to(kind)
    labels = {"emotion": torch.zeros(8, dtype=torch.int64)}
    for mean in ([1.0, 0.0], [0.9, 0.3]):
        for _ in range(500):
            x = torch.tensor(mean, dtype=kind).expand(8, 2)
            bank.update(x.float(), labels)
            cast.update(x, labels)
    assert model[0].weight.dtype == kind
    torch.testing.assert_close(cast.prototypes()[0], bank.prototypes()[0])
    torch.testing.assert_close(cast.prototypes()[0], x[:1].float(), rtol=0, atol=5e-3)


@pytest.mark.parametrize("bank_kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_a_bank_and_embeddings_may_be_of_different_kinds(bank_kind, kind):
    (x, labels), *_ = batches()
    x = x.bfloat16().double()  # the same values in every kind
    exact, bank = (AnchorBank(4, SIZES).to(k) for k in (torch.float64, bank_kind))
    for each in (exact, bank):
        each.update(x, labels)
    dual, values = DualSpaceTriplet(), []
    for of, items in ((exact, x), (bank, x.to(kind).requires_grad_())):
        refs, ref_labels = of.prototypes()
        values.append(
            dual(items, labels, items, labels, ref_phones=refs, ref_phone_labels=ref_labels)
        )
    values[1].backward()
    assert items.grad.dtype == kind
    assert items.grad.abs().sum() > 0
    double = torch.float64 in (bank_kind, kind)
    assert values[1].dtype == (torch.float64 if double else torch.float32)
    torch.testing.assert_close(values[1].double(), values[0], rtol=1e-4, atol=1e-5)


def test_double_precision_is_accumulated_in_it():
    bank = AnchorBank(1, {"emotion": 1}, momentum=0.9, normalise=False).double()
    values = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    for value in values:
        bank.update(value[None, None], {"emotion": [0]})
    assert bank.means.item() == pytest.approx(3, rel=1e-15)


def test_mistakes_are_named():
    for arguments, message in [
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"min_count": 0}, "min_count is 0"),
        ({"sizes": {}}, "sizes are {}"),
        ({"sizes": {"emotion": 0}}, "at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            AnchorBank(**({"dim": 2, "sizes": SIZES} | arguments))
    bank = AnchorBank(2, {"emotion": 3})
    x = torch.zeros(2, 2)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \[items, 2\]"):
        bank.update(torch.zeros(2, 3), {"emotion": [0, 0]})
    with pytest.raises(ValueError, match="has 3, expected below 3"):
        bank.update(x, {"emotion": [0, 3]})
    with pytest.raises(ValueError, match="are 3, expected 2"):
        bank.update(x, {"emotion": [0, 1, 2]})
    with pytest.raises(ValueError, match="labels has no 'emotion'"):
        bank.update(x, {"language": [0, 1]})
    assert "momentum=0.99" in repr(bank)


def work(rank, folder):
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet"
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    bank = AnchorBank(4, SIZES, momentum=0.7)
    for (x, labels), shares in zip(batches(), SHARES, strict=True):
        mine = slice(rank * shares[0], shares[0] + rank * shares[1])
        bank.update(x[mine], {name: v[mine] for name, v in labels.items()})
    torch.save(bank.state_dict(), f"{folder}/{rank}.pt")
    distributed.barrier()
    # All is written; at a usual exit a thread of gloo's may keep a forked process for ever.
    os._exit(0)


def test_two_ranks_are_one_process(tmp_path):
    multiprocessing.start_processes(work, (str(tmp_path),), nprocs=2, start_method="fork")
    alone = AnchorBank(4, SIZES, momentum=0.7)
    for x, labels in batches():
        alone.update(x, labels)
    for rank in range(2):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in alone.state_dict().items():
            assert torch.equal(state[name], value)


@pytest.mark.cuda
@pytest.mark.parametrize("labels_on", ["cuda", "cpu"])
def test_a_gpu_keeps_the_prototypes_of_the_processor(labels_on):
    banks = {device: AnchorBank(4, SIZES, momentum=0.6).to(device) for device in ("cpu", "cuda")}
    for x, labels in batches():
        banks["cpu"].update(x, labels)
        banks["cuda"].update(x.cuda(), {n: values.to(labels_on) for n, values in labels.items()})
    (expected, of), (found, found_of) = (banks[d].prototypes() for d in ("cpu", "cuda"))
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected)
    assert {n: values.tolist() for n, values in found_of.items()} == {
        n: values.tolist() for n, values in of.items()
    }


def test_a_state_of_other_sizes_or_another_order_is_refused():
    """Of equal products the shapes fit, and phoneme 2 of emotion 0 was read as phoneme 0 of emotion 2."""
    bank = AnchorBank(2, {"phoneme": 3, "emotion": 4})
    bank.update(torch.ones(1, 2), {"phoneme": [2], "emotion": [0]})
    same_order = AnchorBank(2, {"phoneme": 3, "emotion": 4})
    same_order.load_state_dict(bank.state_dict())
    assert same_order.prototypes()[1]["phoneme"].tolist() == [2]
    for sizes in ({"emotion": 4, "phoneme": 3}, {"phoneme": 4, "emotion": 3}, {"a": 3, "b": 4}):
        other = AnchorBank(2, sizes)
        model = torch.nn.ModuleDict({"bank": other})
        for target, state in (
            (other, bank.state_dict()),
            (model, torch.nn.ModuleDict({"bank": bank}).state_dict()),
        ):
            with pytest.raises(ValueError, match="the state is of a bank of sizes"):
                target.load_state_dict(state)
        assert not other.counts.any()  # nothing of it was taken over
        assert not other.means.any()
    assert all(isinstance(v, torch.Tensor) for v in bank.state_dict().values())
