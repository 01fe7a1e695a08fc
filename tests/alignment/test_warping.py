"""Warping finds the cheapest of all paths: every path is tried here by plain recursion."""

from functools import cache

import numpy as np
import pytest

from cleser.alignment.aligners.warping import warp

COSTS = (0.5, 0.0, 0.3, 0.8)


def cost_of(states, recording, reference, first, gaps, pause):
    """What a path costs by the equation; infinite where it is none."""
    owner = np.repeat(np.arange(len(first)), np.diff(first, append=len(reference)))
    starts = [*first.tolist(), len(reference)]
    total, before = 0.0, None
    for i, state in enumerate(states):
        silent, j = state < 0, -1 - state if state < 0 else state
        total += pause[i] if silent else np.linalg.norm(recording[i] - reference[j])
        if before is not None:
            was_silent, k = before < 0, -1 - before if before < 0 else before
            if silent and not was_silent:
                total += 0.0 if j == len(reference) else 0.5 if gaps[starts.index(j)] else 3.0
            elif not silent and not was_silent:
                if owner[j] - owner[k] > 1:
                    return np.inf
                total += COSTS[j - k]
        before = state
    return total


def all_paths(count, reference, first):
    starts = [*first.tolist(), len(reference)]

    @cache
    def paths(i, state):
        """Paths of the frames up to i that end in a state."""
        silent, j = state < 0, -1 - state if state < 0 else state
        if i == 0:
            return [(state,)] if j == 0 else []
        if silent:
            sources = [state] + ([j - 1] if j else [])
        else:
            sources = [j - step for step in range(4) if j >= step]
            sources += [-1 - j] if j in starts else []
        return [(*path, state) for source in sources for path in paths(i - 1, source)]

    return paths(count - 1, len(reference) - 1) + paths(count - 1, -1 - len(reference))


@pytest.mark.parametrize("seed", range(12))
def test_no_path_is_cheaper(seed):
    random = np.random.default_rng(seed)
    counts = random.integers(1, 4, 3)
    first = np.cumsum(counts) - counts
    reference = random.normal(size=(counts.sum(), 2)).astype(np.float32)
    recording = random.normal(size=(7, 2)).astype(np.float32)
    pause = random.uniform(0, 2, 7).astype(np.float32)
    gaps = random.random(3) < 0.5
    costs = {
        path: cost_of(path, recording, reference, first, gaps, pause)
        for path in all_paths(7, reference, first)
    }
    best = min(costs, key=costs.__getitem__)
    assert costs[best] < np.inf
    owner = np.repeat(np.arange(3), counts)
    expected = [-1 if state < 0 else owner[state] for state in best]
    assert warp(recording, reference, first, gaps, pause).tolist() == expected


def stretched(seed, phones):
    """A reference, and a recording that says it slower, with pauses and noise, and whose phones are known."""
    random = np.random.default_rng(seed)
    counts = random.integers(6, 20, phones)
    first = np.cumsum(counts) - counts
    steps = random.normal(size=(phones, 13)) * 2
    reference = np.repeat(steps, counts, 0) + random.normal(0, 0.2, (counts.sum(), 13))
    recording, truth, pause = [], [], []
    for phone in range(phones):
        if phone % 9 == 0:
            recording.append(random.normal(0, 0.1, (30, 13)) + 9)
            truth += [-1] * 30
            pause += [0.3] * 30
        length = int(counts[phone] * random.uniform(0.8, 1.6)) + 1
        recording.append(steps[phone] + random.normal(0, 0.2, (length, 13)))
        truth += [phone] * length
        pause += [9.0] * length
    arrays = [np.concatenate(recording), reference, first, np.arange(phones) % 9 == 0, pause]
    kinds = [np.float32, np.float32, np.int64, bool, np.float32]
    return [np.asarray(a, k) for a, k in zip(arrays, kinds, strict=True)], np.array(truth)


def test_the_corridor_finds_what_the_whole_search_finds():
    arguments, truth = stretched(0, 260)
    whole = warp(*arguments)
    assert np.array_equal(warp(*arguments, full=0), whole)
    assert (whole == truth).mean() > 0.98


def test_every_phone_is_found_in_order_even_in_noise():
    random = np.random.default_rng(0)
    (_, reference, first, gaps, _), _ = stretched(1, 30)
    recording = random.normal(size=(400, 13)).astype(np.float32)
    path = warp(recording, reference, first, gaps, np.full(400, 0.1, np.float32))
    spoken = path[path >= 0]
    assert (np.diff(spoken) >= 0).all()
    assert np.array_equal(np.unique(spoken), np.arange(30))


def test_too_few_frames_are_refused():
    (recording, reference, first, gaps, pause), _ = stretched(2, 30)
    with pytest.raises(ValueError, match="has 20 frames, expected one at least for each of 30"):
        warp(recording[:20], reference, first, gaps, pause[:20])
    with pytest.raises(ValueError, match="has 35 frames, too few for 30 phones"):
        warp(recording[:35], reference, first, gaps, pause[:35])
