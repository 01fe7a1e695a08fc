import json
import multiprocessing
import pickle
import random
import signal
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed

from cleser.anchors import AnchorBatchSampler, HierarchicalBatchSampler
from cleser.anchors.samplers.anchor_batches import Partners
from cleser.relations import differ, same

POSITIVE = same("emotion", "community") & differ("language")
NEGATIVE = differ("emotion", "language")
SPOKEN = same("language")


def corpus(size=600, seed=0, unknown=0.05):
    """Random labels, some unknown."""
    rng = np.random.default_rng(seed)
    labels = {
        "language": rng.choice(4, size, p=[0.5, 0.2, 0.2, 0.1]),
        "emotion": rng.integers(0, 5, size),
        "community": rng.integers(0, 6, size),
    }
    for values in labels.values():
        values[rng.random(size) < unknown] = -1
    return labels


def hierarchical(labels=None, **arguments):
    return HierarchicalBatchSampler(labels or corpus(), **arguments)


def anchored(labels=None, **arguments):
    return AnchorBatchSampler(labels or corpus(), POSITIVE, NEGATIVE, **arguments)


MAKERS = {"hierarchical": hierarchical, "anchors": anchored}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def test_a_hierarchical_batch_is_a_full_grid():
    labels = corpus()
    for batch in hierarchical(labels):
        assert len(set(batch)) == len(batch) == 36
        cells = Counter((labels["language"][i], labels["emotion"][i]) for i in batch)
        assert set(cells.values()) == {3}
        assert len({language for language, _ in cells}) == 3
        assert len({emotion for _, emotion in cells}) == 4
        assert -1 not in {v for cell in cells for v in cell}


def test_values_are_drawn_alike_and_cells_deal_all_before_dealing_any_again():
    labels = corpus(unknown=0)
    sampler = hierarchical(labels, batches=2000)
    batches = list(sampler)
    languages = Counter(v for batch in batches for v in {labels["language"][i] for i in batch})
    # Each of 4 languages is in 3 of 4 batches, whatever its share of the corpus: 1500 ± 4 · 19.4.
    assert all(abs(n - 1500) < 80 for n in languages.values())
    seen = Counter(i for batch in batches for i in batch)
    assert set(seen) == set(range(600))
    for language in range(4):
        for emotion in range(5):
            cell = np.flatnonzero((labels["language"] == language) & (labels["emotion"] == emotion))
            counts = [seen[i] for i in cell]
            # A shuffle leaves out up to two utterances: by chance, and chance evens out.
            assert len(cell) % 3 or max(counts) - min(counts) <= 1
            assert max(counts) - min(counts) < 10 * np.sqrt(max(counts))


def test_a_small_cell_repeats_its_utterances_evenly():
    labels = {"language": [0, 0, 0, 1, 1], "emotion": [0] * 5}
    for batch in hierarchical(labels, groups={"language": 2, "emotion": 1}, samples=5, batches=9):
        counts = Counter(batch)
        assert sorted(counts[i] for i in (0, 1, 2)) == [1, 2, 2]
        assert sorted(counts[i] for i in (3, 4)) == [2, 3]


def test_any_names_make_a_grid():
    labels = corpus() | {"gender": np.arange(600) % 2}
    groups = {"gender": 2, "language": 1, "emotion": 2}
    for batch in hierarchical(labels, groups=groups, samples=1):
        rows = [tuple(int(labels[name][i]) for name in groups) for i in batch]
        assert len(set(rows)) == 4
        assert len({language for _, language, _ in rows}) == 1
        assert len({emotion for _, _, emotion in rows}) == 2


def test_what_is_missing_is_named_or_taken():
    labels = {"language": [0, 0, 1, -1], "emotion": [7, 9, 9, 9]}
    with pytest.raises(ValueError, match=r"asks for 3 values of 'language', found 2 \(\[0, 1\]\)"):
        hierarchical(labels)
    grid = {"language": 2, "emotion": 2}
    with pytest.raises(ValueError, match=r"1 of 4 cells .* language 1, emotion 7"):
        hierarchical(labels, groups=grid)
    sampler = hierarchical(labels, samples=2, batches=4, incomplete="take")
    assert all(Counter(batch) == {0: 2, 1: 2, 2: 2} for batch in sampler)
    assert sampler.unserved["language is unknown"].tolist() == [3]
    # Of four cells, one a batch, the empty one is never drawn alone.
    one = hierarchical(
        labels, groups={"language": 1, "emotion": 1}, samples=1, incomplete="take", batches=50
    )
    assert {tuple(batch) for batch in one} == {(0,), (1,), (2,)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": {}}, "groups are {}"),
        ({"groups": {"language": 0}}, "at least 1"),
        ({"samples": 0}, "samples is 0"),
        ({"batches": -1}, "batches is -1"),
        ({"incomplete": "pad"}, "incomplete is 'pad'"),
        ({"rank": 1}, "expected both or neither"),
        ({"rank": 2, "world_size": 2}, "rank is 2"),
        ({"rank": 0, "world_size": 40}, "holds 36 utterances"),
        ({"groups": {"accent": 1}}, "labels has no 'accent'"),
    ],
)
def test_hierarchical_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        hierarchical(corpus(unknown=0), **arguments)


def test_nothing_known_is_refused():
    with pytest.raises(ValueError, match="no utterance has known labels"):
        hierarchical({"language": [-1, 0], "emotion": [0, -1]})
    with pytest.raises(ValueError, match="0 items"):
        hierarchical({"language": [], "emotion": []})


@pytest.mark.parametrize("size", [3, 10, 32])
def test_each_servable_utterance_is_once_an_anchor_with_a_positive_and_a_negative(size):
    labels = corpus(unknown=0.1)
    positive, negative = POSITIVE.mask(labels), NEGATIVE.mask(labels)
    servable = positive.any(1) & negative.any(1)
    sampler = anchored(labels, batch_size=size)
    assert sampler.served.tolist() == np.flatnonzero(servable).tolist()
    served = np.zeros(len(servable), dtype=bool)
    batches = list(sampler)
    for batch in batches:
        assert len(set(batch)) == len(batch)
        served[batch] |= positive[np.ix_(batch, batch)].any(1) & negative[np.ix_(batch, batch)].any(
            1
        )
    assert served.tolist() == servable.tolist()
    # Of 10 and more, few places stay empty: where one partner serves two anchors by chance.
    assert size == 3 or {len(batch) for batch in batches} == {size}


def test_what_cannot_be_served_is_reported_with_its_reason():
    labels = {
        "language": torch.tensor([0, 1, 0, 0, -1, 1]),
        "emotion": torch.tensor([0, 0, 1, 2, 0, 1]),
        "community": torch.tensor([0, 0, 0, 0, 0, -1]),
    }
    sampler = AnchorBatchSampler(labels, POSITIVE, same("language") & differ("emotion"))
    assert sampler.served.tolist() == [0, 1]
    reasons = {reason: items.tolist() for reason, items in sampler.unserved.items()}
    assert reasons == {
        f"no positive: {POSITIVE}": [2, 3],
        f"no positive: {POSITIVE} (unknown: language)": [4],
        f"no positive: {POSITIVE} (unknown: community)": [5],
        "no negative: same('language') & differ('emotion') (unknown: language)": [4],
    }


def test_only_the_given_utterances_are_anchors_and_others_serve():
    labels = corpus(unknown=0)
    target = labels["language"] == 3
    sampler = anchored(labels, anchors=torch.from_numpy(target))
    assert target[sampler.served].all()
    assert len(sampler) < 15
    assert any(not target[batch].all() for batch in sampler)
    with pytest.raises(ValueError, match=r"anchors are int64 of shape \(600,\), expected bool"):
        anchored(labels, anchors=np.zeros(600, dtype=int))


def test_a_mask_without_anchors_is_an_error():
    labels = {"emotion": [0, 0, 1, 1]}
    with pytest.raises(ValueError, match="anchors marks none of 4 utterances, expected one at"):
        AnchorBatchSampler(labels, same("emotion"), differ("emotion"), anchors=[False] * 4)


@pytest.mark.parametrize("kind", [HierarchicalBatchSampler, AnchorBatchSampler])
def test_labels_that_are_not_read_have_the_same_length(kind):
    labels = {"language": torch.tensor([0, 1]), "emotion": [0, 1, 2]}
    rest = ({"language": 1},) if kind is HierarchicalBatchSampler else (SPOKEN, ~SPOKEN)
    with pytest.raises(ValueError, match=r"labels differ in length: \{'language': 2"):
        kind(labels, *rest)


def test_no_utterance_to_serve_is_an_error():
    labels = {"language": [0, 0], "emotion": [0, 0], "community": [0, 0]}
    with pytest.raises(ValueError, match=r"no utterance has a positive and a negative: .*: 2"):
        anchored(labels)
    with pytest.raises(ValueError, match="batch_size is 2"):
        anchored(batch_size=2)


RELATIONS = [
    POSITIVE,
    NEGATIVE,
    same("emotion"),
    differ("community"),
    same("emotion") | differ("language"),
    ~same("emotion", "language"),
    ~(same("emotion") & differ("language")) | same("community"),
    same("emotion") & differ("emotion"),
]


@given(
    st.integers(1, 30), st.integers(0, 10**6), st.sampled_from(RELATIONS), st.sampled_from([1, 999])
)
@settings(max_examples=150, deadline=None)
def test_partners_are_those_of_the_mask(size, seed, relation, spread):
    rng = np.random.default_rng(seed)
    labels = {name: rng.integers(-1, 3, size) for name in ("emotion", "language", "community")}
    # Labels far apart are numbered anew by sorting, near ones by a table.
    labels = {name: np.where(v > 0, v * spread, v) for name, v in labels.items()}
    mask = relation.mask(labels)
    partners = Partners(labels, relation)
    assert partners.number().tolist() == mask.sum(1).tolist()
    for item in np.flatnonzero(mask.any(1)):
        drawn = {partners.draw(item, rng) for _ in range(5)}
        assert mask[item, list(drawn)].all()


def test_every_partner_is_as_likely():
    labels = {"emotion": np.array([0, 0, 0, 0, 0, 1, 1, -1])}
    rng = np.random.default_rng(0)
    for relation in (same("emotion"), differ("emotion"), same("emotion") | differ("emotion")):
        partners = Partners(labels, relation)
        expected = np.flatnonzero(relation.mask(labels)[2])
        drawn = Counter(partners.draw(2, rng) for _ in range(4000))
        assert set(drawn) == set(expected)
        mean = 4000 / len(expected)
        assert all(abs(n - mean) < 4.5 * np.sqrt(mean) for n in drawn.values())


def test_seeds_and_epochs_differ_and_repeat(make):
    first = list(make())
    sampler = make()
    assert list(sampler) == first
    assert sampler.epoch == 1
    second = list(sampler)
    assert second != first
    assert list(make(seed=1)) != first
    sampler.set_epoch(0)
    assert list(sampler) == first
    again = make()
    again.set_epoch(1)
    assert list(again) == second
    assert len(make()) == len(first)


@pytest.mark.parametrize("world_size", [2, 5])
def test_ranks_share_the_batches_of_one_rank(make, world_size):
    ranks = [list(make(rank=r, world_size=world_size)) for r in range(world_size)]
    for whole, *parts in zip(make(), *ranks, strict=True):
        assert [i for r in range(world_size) for i in whole[r::world_size]] == list(chain(*parts))


def test_the_rank_is_that_of_the_time_of_iterating(make):
    """Built before the ranks know of each other; a group of two of which the other is only said to be there."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    sampler, whole = make(), list(make())
    distributed.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        assert list(sampler) == [batch[1::2] for batch in whole]
    finally:
        distributed.destroy_process_group()
    sampler.set_epoch(0)
    assert list(sampler) == whole


def test_it_goes_on_from_its_state_with_any_number_of_ranks(make):
    sampler = make()
    whole = [*sampler, *sampler]
    for stop in range(0, len(whole) + 1, 3):
        first, second = make(), make(rank=1, world_size=2)
        seen = []
        while len(seen) < stop:
            for batch in first:
                seen.append(batch)
                if len(seen) == stop:
                    break
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        second.set_epoch(second.epoch)
        rest = []
        while second.epoch < 2:
            rest += list(second)
        assert rest == [batch[1::2] for batch in whole[stop:]]


def test_what_is_no_state_is_refused(make):
    sampler = make()
    with pytest.raises(ValueError, match=r"state has \['a'\] and lacks \['epoch', .* state_dict"):
        sampler.load_state_dict({"a": 1})
    with pytest.raises(ValueError, match=r"state has \['epoch'\] and lacks \['batches_done'\]"):
        iter(sampler).load_state_dict({"epoch": 1})
    state = sampler.state_dict()
    for name, value in (("batches_done", -3), ("batches_done", 10**6), ("epoch", -1)):
        for walk in (sampler, iter(sampler)):
            with pytest.raises(ValueError, match=rf"state\['{name}'\] is {value}, expected"):
                walk.load_state_dict(state | {name: value})
    count = len(sampler)
    assert sampler.state_dict() == state
    sampler.load_state_dict(state | {"batches_done": count})  # all of them
    assert (sampler.epoch, sampler.batches_done) == (1, 0)


def test_a_copy_within_an_epoch_goes_on_by_its_state_or_its_iteration(make):
    sampler = make()
    walk = iter(sampler)
    next(walk)
    copy, same_walk = (pickle.loads(pickle.dumps(x)) for x in (sampler, walk))
    state, rest = copy.state_dict(), list(walk)
    assert state["batches_done"] == 1
    assert list(same_walk) == rest
    following, later = list(sampler), list(copy)
    assert later == following
    copy.load_state_dict(state)
    assert list(copy) == rest


def test_no_seed_and_no_epoch_is_below_zero(make):
    with pytest.raises(ValueError, match="seed is -1, expected a whole number from 0 on"):
        make(seed=-1)
    sampler = make()
    with pytest.raises(ValueError, match="epoch is -1, expected a whole number from 0 on"):
        sampler.set_epoch(-1)
    with pytest.raises(ValueError, match="batches_done is -1, expected a whole number from 0 on"):
        sampler.state_dict(batches_done=-1)


def test_a_state_of_other_labels_is_refused(make):
    state = make().state_dict()
    for other in (make(corpus(seed=1)), make(seed=1)):
        with pytest.raises(ValueError, match="other labels, settings or another seed"):
            other.load_state_dict(state)


def walk(make, folder, goal, noted=lambda: None):
    """Train: note each batch, then say that it is done, as a checkpoint would."""
    sampler, state = make(), folder / "state.json"
    lines = []
    if state.exists():
        saved = json.loads(state.read_text())
        sampler.load_state_dict(saved["sampler"])
        lines = saved["lines"]
    while len(lines) < goal:
        for batch in sampler:
            lines.append(batch)
            part = folder / "state.part"
            part.write_text(json.dumps({"sampler": sampler.state_dict(), "lines": lines}))
            part.replace(state)
            noted()
            if len(lines) == goal:
                break


def walk_until_killed(make, folder, goal, delay):
    """Walk; the kernel ends the process at a moment after its first batch, as SIGKILL would, on any machine."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    batches = 0

    def noted():
        nonlocal batches
        batches += 1
        if batches == 1:
            signal.setitimer(signal.ITIMER_REAL, delay)
        elif batches == 5:
            signal.pause()  # so that something is left for all kills

    walk(make, folder, goal, noted)


def test_killed_and_resumed_twenty_times_it_gives_the_same_batches(make, tmp_path: Path):
    goal, rng = 120, random.Random(0)
    whole, sampler = [], make()
    while len(whole) < goal:
        whole += list(sampler)
    fork = multiprocessing.get_context("fork")
    for _ in range(20):
        delay = rng.uniform(1e-5, 0.003)
        process = fork.Process(target=walk_until_killed, args=(make, tmp_path, goal, delay))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGALRM
    killed = json.loads((tmp_path / "state.json").read_text())["lines"]
    # Some went on beyond their first batch, some could not do all five.
    assert 20 <= len(killed) < 100
    assert killed == whole[: len(killed)]
    walk(make, tmp_path, goal)
    assert json.loads((tmp_path / "state.json").read_text())["lines"] == whole[:goal]


def test_anchors_are_shuffled_anew_each_epoch_and_by_the_seed():
    """Neighbours in the data could serve each other here, so that nothing but the shuffle makes batches differ."""
    labels = {"emotion": np.arange(64) % 2}

    def epochs(seed):
        sampler = AnchorBatchSampler(
            labels, same("emotion"), differ("emotion"), batch_size=8, seed=seed
        )
        return [{frozenset(batch) for batch in sampler} for _ in range(2)]

    one, other = epochs(0)
    assert one != other
    assert epochs(0) == [one, other]
    assert epochs(1)[0] != one
    for epoch in (one, other):
        assert frozenset().union(*epoch) == set(range(64))
