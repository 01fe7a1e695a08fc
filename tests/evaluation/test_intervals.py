"""Intervals and tests against closed forms, scipy, and worlds whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cleser.evaluation import Clusters, accuracy, interval, macro_f1, paired_difference, uar
from cleser.evaluation.intervals import interval_of_sums
from cleser.evaluation.variance import influence, speakers_model

TAKES = 20


def run(recalls, takes=TAKES, **kwargs):
    """A run with two classes in which every speaker has the same recall of both, [S, G]; counts may be fractions."""
    hits = np.atleast_2d(recalls) * takes
    counts = np.zeros((*hits.shape, 2, 2))
    for k in range(2):
        counts[..., k, k], counts[..., k, 1 - k] = hits, takes - hits
    names = [f"speaker {g}" for g in range(hits.shape[1])]
    return Clusters(counts, names, "speakers", 0, **kwargs)


def drawn(seed=0, seeds=3, groups=5, classes=3, most=9):
    """A run with counts at random."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most, (groups, classes))[..., None] * np.ones(classes, dtype=int)
    hits = rng.binomial(counts[..., 0], 0.6, (seeds, groups, classes))
    found = np.zeros((seeds, groups, classes, classes), dtype=int)
    for k in range(classes):
        found[..., k, k] = hits[..., k]
        found[..., k, (k + 1) % classes] = counts[:, k, 0] - hits[..., k]
    return Clusters(found, [str(g) for g in range(groups)], "speakers", 0)


@pytest.mark.parametrize("metric", [uar, accuracy])
@pytest.mark.parametrize("groups", [2, 4, 30])
def test_one_seed_and_like_speakers_are_students_t(metric, groups):
    rng = np.random.default_rng(groups)
    a, b = rng.uniform(0.45, 0.55, (2, groups))
    found = interval(run(a), metric, level=0.9)
    expected = stats.ttest_1samp(a, 0).confidence_interval(0.9)
    assert found.estimate == pytest.approx(a.mean())
    assert (found.low, found.high) == pytest.approx((max(0, expected.low), min(1, expected.high)))
    assert found.covers == "speakers"

    difference = paired_difference(run(a), run(b), metric)
    peer = stats.ttest_rel(b, a)
    assert difference.p == pytest.approx(peer.pvalue)
    ends = peer.confidence_interval()
    expected = (max(-1, ends.low), min(1, ends.high))
    assert (difference.low, difference.high) == pytest.approx(expected)
    assert difference.dof == pytest.approx(groups - 1)


def components(x):
    """Mean squares of the analysis of variance with two random factors, [S, G], by loops."""
    seeds, groups = x.shape
    mean = sum(x.ravel()) / x.size
    of_speakers = sum(seeds * (x[:, g].mean() - mean) ** 2 for g in range(groups)) / (groups - 1)
    of_seeds = sum(groups * (x[s].mean() - mean) ** 2 for s in range(seeds)) / (seeds - 1)
    rest = 0.0
    for s in range(seeds):
        for g in range(groups):
            rest += (x[s, g] - x[s].mean() - x[:, g].mean() + mean) ** 2
    return of_speakers, of_seeds, rest / ((seeds - 1) * (groups - 1))


@pytest.mark.parametrize(
    ("of_speakers", "of_seeds"), [(0.1, 0.05), (0.0, 0.05), (0.1, 0.0), (0.0, 0.0)]
)
def test_the_variance_is_that_of_two_random_factors(of_speakers, of_seeds):
    """MS_speakers + MS_seeds − MS_both over S·G, where no component is negative."""
    rng = np.random.default_rng(4)
    for _ in range(10):
        seeds, groups = 4, 6
        x = 0.5 + of_speakers * rng.standard_normal(groups)
        x = x + of_seeds * rng.standard_normal((seeds, 1))
        x = x + 0.03 * rng.standard_normal((seeds, groups))
        speakers, training, both = components(x)
        expected = both + max(0, speakers - both) + max(0, training - both)
        found = interval(run(x), uar)
        assert found.error == pytest.approx(np.sqrt(expected / (seeds * groups)))
        assert found.covers == "speakers and seeds"
        # Satterthwaite's degrees of freedom, of upper limits of 75 %
        limits = [n / stats.chi2.ppf(0.25, n) for n in (groups - 1, seeds - 1)]
        upper = max(limits[0] * speakers, both), max(0, limits[1] * training - both)
        dof = sum(upper) ** 2 / (upper[0] ** 2 / (groups - 1) + upper[1] ** 2 / (seeds - 1))
        assert found.dof == pytest.approx(dof)
        half = (found.high - found.low) / 2
        assert half == pytest.approx(stats.t.ppf(0.975, dof) * found.error)


def test_a_difference_adds_the_seeds_of_both_runs():
    rng = np.random.default_rng(1)
    speakers = 0.5 + 0.1 * rng.standard_normal(7)
    a = speakers + 0.05 * rng.standard_normal((3, 1)) + 0.02 * rng.standard_normal((3, 7))
    b = speakers + 0.02 * rng.standard_normal((6, 1)) + 0.02 * rng.standard_normal((6, 7))
    expected, both = 0.0, 0.0
    for x in (a, b):
        _, training, rest = components(x)
        both += rest / x.size
        expected += max(0, training - rest) / x.size
    shift = b.mean(0) - a.mean(0)
    expected += both + max(0, shift.var(ddof=1) / 7 - both)
    found = paired_difference(run(a), run(b), uar)
    assert found.error == pytest.approx(np.sqrt(expected))
    assert found.difference == pytest.approx(b.mean() - a.mean())
    assert (found.seeds, found.by_seed, found.covers) == ((3, 6), False, "speakers and seeds")


def test_seeds_alone_are_welchs_t():
    """Speakers who are all alike leave the variance of seeds, and so Welch's test, but for its degrees of freedom."""
    rng = np.random.default_rng(2)
    a, b = (0.5 + 0.05 * rng.standard_normal((n, 1)) * np.ones(9) for n in (4, 7))
    found = paired_difference(run(a), run(b), uar)
    peer = stats.ttest_ind(b[:, 0], a[:, 0], equal_var=False)
    assert found.difference / found.error == pytest.approx(peer.statistic)
    assert 3 <= found.dof <= 9


def test_contributions_equal_a_loop():
    x = drawn(most=4)
    groups = len(x.names)
    share = groups - np.sqrt(groups * (groups - 1))
    for metric in (uar, macro_f1, accuracy):
        found = influence(x.counts, metric)
        for s, g in np.ndindex(*found.shape):
            rest = sum((1 - share * (h == g)) * x.counts[s, h] for h in range(groups))
            change = metric(x.counts[s].sum(0)) - metric(rest)
            assert found[s, g] == pytest.approx(change / share)


def test_speakers_of_different_size_have_fewer_degrees_of_freedom():
    even, uneven = np.full(6, 10), np.array([40, 40, 1, 1, 1, 1])
    x = np.random.default_rng(0).uniform(0.4, 0.6, (1, 6))
    assert interval(run(x, even), uar).dof == pytest.approx(5)
    # the two large ones count, less their mean
    assert interval(run(x, uneven), uar).dof == pytest.approx(1, abs=0.1)


def test_speakers_of_one_class_leave_a_mean_for_each_class():
    counts = np.zeros((1, 12, 3, 3))
    rng = np.random.default_rng(3)
    x = rng.uniform(0.3, 0.7, 12)
    for g in range(12):
        counts[0, g, g % 3, g % 3], counts[0, g, g % 3, (g + 1) % 3] = 10 * x[g], 10 - 10 * x[g]
    found = interval(Clusters(counts, [str(g) for g in range(12)], "speakers", 0), uar)
    assert found.dof == pytest.approx(12 - 3)
    expected = sum(x[k::3].var(ddof=1) / 4 for k in range(3)) / 9
    assert found.error == pytest.approx(np.sqrt(expected), rel=0.01)


def test_the_model_of_speakers_equals_a_loop():
    """Every entry of R, and the traces of R Rᵀ, for seeds that test other speakers who have other classes."""
    rng = np.random.default_rng(9)
    truth = rng.integers(0, 5, (2, 7, 3)) * (rng.random((2, 7, 1)) < 0.8)
    counts = truth[..., None] * np.eye(3, dtype=int)
    r, weight = np.zeros((7, 7)), np.zeros(7)
    for s in range(2):
        count = (truth[s].sum(1) > 0).sum()
        taken = count - np.sqrt(count * (count - 1))
        for k, g in np.ndindex(3, 7):
            share = truth[s, :, k] / truth[s, :, k].sum()
            weight[g] += share[g] / 3 / 2
            for h in range(7):
                r[g, h] += share[g] / (1 - taken * share[g]) * ((g == h) - share[h]) / 3 / 2
    trace = np.trace(r @ r.T)
    expected = (weight**2).sum() / trace, trace**2 / np.trace(r @ r.T @ r @ r.T)
    assert speakers_model(counts) == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [1, 3])
def test_speakers_of_different_size_add_what_the_model_expects(seeds):
    for seed in range(20):
        x = drawn(seed, seeds=seeds, most=30)
        scale, _ = speakers_model(x.counts)
        psi, values = np.sqrt(scale) * influence(x.counts, uar), uar(x.counts.sum(1))
        mean = psi.mean(0)
        expected = sum(p**2 for p in mean)
        if seeds > 1:
            between = values.var(ddof=1) / seeds
            both = sum((psi[s, g] - mean[g]) ** 2 for s, g in np.ndindex(*psi.shape))
            both /= seeds * (seeds - 1)
            expected = both + max(0, expected - both) + max(0, between - both)
        assert interval(x, uar).error == pytest.approx(np.sqrt(expected))


def test_a_class_of_a_single_speaker_varies_as_the_others_do():
    """Of C classes one has a single speaker, of whom nothing is known but what the other classes show."""
    truth = np.full((1, 6, 3), 4)
    truth[0, 1:, 0] = 0
    scale, dof = speakers_model(truth[..., None] * np.eye(3, dtype=int))
    # the mean over classes gives the one speaker a third and a sixth of the rest, the others a sixth of the rest
    rest = 2 / 3 / 6
    assert scale == pytest.approx(((1 / 3 + rest) ** 2 + 5 * rest**2) / (6 * rest**2))
    assert dof == pytest.approx(5)


def test_a_class_of_a_single_speaker_is_no_obstacle():
    x = drawn(seeds=3, groups=6)
    counts = x.counts.copy()
    counts[:, 1:, 0] = 0
    alone = Clusters(counts, x.names, "speakers", 0)
    for metric in (uar, macro_f1, accuracy):
        found = interval(alone, metric)
        assert 0 <= found.low < found.estimate < found.high <= 1


@pytest.mark.parametrize("metric", [uar, macro_f1, accuracy])
def test_seeds_may_test_other_speakers(metric):
    """As an oracle's do: no speaker is tested by all seeds, and a class may be missing in a seed."""
    x = drawn(seeds=4, groups=8)
    counts = x.counts.copy()
    for s in range(4):
        counts[s, [(2 * s + i) % 8 for i in range(4)]] = 0
    counts[0, :, 2] = 0
    halves = Clusters(counts, x.names, "speakers", 0)
    found = interval(halves, metric)
    assert 0 <= found.low < found.estimate < found.high <= 1
    values = [metric(counts[s].sum(0)) for s in range(4)]
    assert found.estimate == pytest.approx(np.mean(values))
    same = paired_difference(halves, halves, metric)
    assert (same.difference, same.low, same.high, same.p, same.by_seed) == (0, 0, 0, 1, True)


def test_disjoint_seeds_are_independent_corpora():
    """Seeds that share no speaker: the variance between them holds all there is, or that within if it is larger."""
    rng = np.random.default_rng(5)
    for shift in (0.0, 0.2):
        x = 0.5 + 0.05 * rng.standard_normal((2, 8)) + shift * np.array([[-1], [1]])
        counts = run(x).counts
        counts[0, 4:], counts[1, :4] = 0, 0
        found = interval(Clusters(counts, [str(g) for g in range(8)], "speakers", 0), uar)
        one, two = x[0, :4], x[1, 4:]
        within = (one.var(ddof=1) + two.var(ddof=1)) / 4 / 4
        between = (one.mean() - two.mean()) ** 2 / 4
        assert found.error == pytest.approx(np.sqrt(max(within, between)))


def test_seeds_that_test_other_speakers_are_compared_one_by_one():
    rng = np.random.default_rng(6)
    kept = np.array([rng.permutation(8) < 4 for _ in range(5)])
    a = 0.5 + 0.1 * rng.standard_normal((5, 8))
    b = a + 0.02 + 0.01 * rng.standard_normal((5, 8))
    one, two = (run(x).counts * kept[:, :, None, None] for x in (a, b))
    names = [str(g) for g in range(8)]
    first = Clusters(one, names, "speakers", 0)
    second = Clusters(two[:3], names, "speakers", 0)
    shifts = [(b - a)[s, kept[s]].mean() for s in range(5)]
    assert paired_difference(
        first, Clusters(two, names, "speakers", 0), uar
    ).difference == pytest.approx(np.mean(shifts))
    fewer = paired_difference(first, second.only([0, 1, 2]), uar)
    assert fewer.difference == pytest.approx(np.mean(shifts[:3]))
    assert (fewer.seeds, fewer.by_seed) == ((3, 3), True)
    assert fewer.p < 0.05  # what speakers have in common has cancelled


def test_runs_that_tested_others_are_refused():
    x = drawn(groups=4)
    with pytest.raises(ValueError, match="tested different speakers"):
        paired_difference(x, drawn(groups=5), uar)
    other = x.counts.copy()
    other[1, 2, 0] += 1
    with pytest.raises(ValueError, match="seed 1 of the runs tested different utterances of 2"):
        paired_difference(x, Clusters(other, x.names, "speakers", 0), uar)
    later = Clusters(other, x.names, "speakers", 0, seeds=[7, 8, 9])
    with pytest.raises(ValueError, match=r"no seed in common: found \[0, 1, 2\] and \[7, 8, 9\]"):
        paired_difference(x, later, uar)


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_speaker_gives_no_interval(seeds):
    x = drawn(seeds=seeds, groups=1)
    found = interval(x, uar)
    assert np.isnan([found.low, found.high]).all()
    assert 0 < found.estimate < 1
    assert np.isnan(paired_difference(x, drawn(seeds=seeds, groups=1), uar).p)


def test_classes_of_one_speaker_each_give_no_interval():
    counts = np.zeros((1, 3, 3, 3), dtype=int)
    for k in range(3):
        counts[0, k, k] = [3, 3, 3]
    found = interval(Clusters(counts, ["a", "b", "c"], "speakers", 0), uar)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("score", [0.7, 1.0])
@pytest.mark.parametrize("seeds", [[0], [0, 0], [0, -0.1, 0.05]], ids=str)
@pytest.mark.parametrize("groups", [2, 5, 6, 30])
def test_few_speakers_who_do_not_differ_give_no_interval(groups, seeds, score):
    """Two with one score say nothing of a third; six do, who are seldom all on one side of the median."""
    scores = np.full((1, groups), score) - np.abs(seeds)[:, None]
    found = interval(run(scores), uar)
    if groups < 6:
        assert np.isnan([found.low, found.high, found.error]).all()
    elif any(seeds):
        assert found.low < found.estimate < found.high
    else:
        assert (found.low, found.high) == pytest.approx((score, score))
    assert found.estimate == pytest.approx(scores.mean())


def test_what_is_few_depends_on_the_level():
    alike = run(np.full((1, 5), 0.7))
    assert interval(alike, uar, level=0.9).low == pytest.approx(0.7)
    assert np.isnan(interval(alike, uar, level=0.95).low)


@pytest.mark.parametrize("groups", [2, 6])
def test_a_change_of_nothing_is_known(groups):
    """Two results of one run differ by zero with every speaker, which is no estimate; any other change is one."""
    sizes = np.full((1, groups), 4)

    def change(sums):
        before, after, count = np.moveaxis(sums[..., 0, :], -1, 0)
        return (after - before) / count

    def changed(by):
        sums = np.tile([2.0, 2.0 + by, 4.0], (1, groups, 1, 1))
        return interval_of_sums(sums, sizes, change, "speakers", bounds=(-1, 1))

    assert (changed(0).low, changed(0).high) == (0, 0)
    assert np.isnan(changed(1).low) == (groups < 6)


def test_seeds_are_not_covered_where_either_run_has_one():
    many, single = drawn(seeds=4), drawn(seeds=1)
    found = paired_difference(many, single, uar)
    assert (found.covers, found.seeds) == ("speakers", (4, 1))
    assert paired_difference(many, many, uar).covers == "speakers and seeds"
    unknown = Clusters(single.counts, single.names, "utterances", 5)
    assert interval(unknown, uar).covers == "utterances"


@pytest.mark.parametrize(("groups", "least"), [(1, 1), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_the_least_p_of_swaps(groups, least):
    """Where one run is better with every speaker, only all swaps and none are as extreme as what was seen."""
    a, b = np.full((1, groups), 0.4), np.linspace(0.5, 0.6, groups)[None]
    found = paired_difference(run(a), run(b), uar)
    signs = 1 - 2 * ((np.arange(2**groups)[:, None] >> np.arange(groups)) & 1)
    sums = np.abs(signs @ (b - a)[0])
    assert found.least_p == least == np.mean(sums >= sums[0] - 1e-12)
    assert found.too_few == (groups < 6)
    if 1 < groups < 6:  # every speaker is better, and no such test could say so
        assert found.p == least
        assert found.low == 0 < found.difference < found.high
    if groups == 6:
        assert found.low > 0
        assert found.p < 0.01


def test_a_run_does_not_differ_from_itself():
    x = drawn()
    found = paired_difference(x, x, uar)
    assert (found.difference, found.p) == (0, 1)
    assert found.low < 0 < found.high  # two trainings of it might
    once = paired_difference(x.only([0]), x.only([0]), uar)
    assert (once.difference, once.low, once.high, once.p) == (0, 0, 0, 1)


@pytest.mark.parametrize("groups", [4, 6, 9])
def test_the_same_difference_with_every_speaker_is_not_certain(groups):
    runs = [
        Clusters(
            np.array([[[[n, 4 - n], [4 - n, n]]] * groups]), [*"abcdefghi"[:groups]], "speakers", 0
        )
        for n in (2, 3)
    ]
    found = paired_difference(*runs, uar)
    assert (found.difference, found.error, found.p) == (0.25, 0, found.least_p)


def test_a_better_run_is_found():
    rng = np.random.default_rng(0)
    speakers = 0.1 * rng.standard_normal(14)
    worse, better = (
        m + speakers + 0.02 * rng.standard_normal((5, 1)) + 0.03 * rng.standard_normal((5, 14))
        for m in (0.4, 0.5)
    )
    found = paired_difference(run(worse), run(better), uar)
    assert 0 < found.low < 0.1 < found.high
    assert found.p < 0.001


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_invariances(seed, first, second, groups):
    """Order and names of speakers and seeds change nothing; B − A is −(A − B); p and interval agree."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 9, (groups, 3))
    counts = []
    for seeds in (first, second):
        rows = np.zeros((seeds, groups, 3, 3), dtype=int)
        for s, g, k in np.ndindex(seeds, groups, 3):
            rows[s, g, k] = rng.multinomial(truth[g, k], rng.dirichlet(np.ones(3)))
        counts.append(rows)
    names = [str(g) for g in range(groups)]
    a, b = (Clusters(c, names, "speakers", 0) for c in counts)
    order = rng.permutation(groups)
    shuffled = [
        Clusters(c[rng.permutation(len(c))][:, order], [f"other {g}" for g in order], "speakers", 0)
        for c in counts
    ]
    for metric in (uar, macro_f1):
        one, two = interval(a, metric), interval(shuffled[0], metric)
        assert (two.estimate, two.low, two.high) == pytest.approx(
            (one.estimate, one.low, one.high), nan_ok=True
        )
        forth, back = paired_difference(a, b, metric), paired_difference(b, a, metric)
        assert (back.difference, back.low, back.high, back.p) == pytest.approx(
            (-forth.difference, -forth.high, -forth.low, forth.p)
        )
        again = paired_difference(*shuffled, metric)
        assert (again.difference, again.low, again.high, again.p) == pytest.approx(
            (forth.difference, forth.low, forth.high, forth.p)
        )
        assert (forth.p < 0.05) == (not forth.low <= 0 <= forth.high)


def world(rng, seeds, speakers, of_speakers=0.1, of_seeds=0.025, both=0.04):
    """Recalls of runs on the same speakers, of one method: 2.5 points of UAR from seed to seed, and 4 for a speaker."""
    common = 0.5 + of_speakers * rng.standard_normal(speakers)
    return [
        common + of_seeds * rng.standard_normal((s, 1)) + both * rng.standard_normal((s, speakers))
        for s in seeds
    ]


@pytest.mark.parametrize("seeds", [(3, 3), (5, 5), (2, 5)])
@pytest.mark.parametrize("groups", [4, 10, 24])
def test_a_method_seldom_differs_from_itself(seeds, groups):
    """At most 6 % (and three standard errors of 400 trials); speakers alone would reject several times as often."""
    rng = np.random.default_rng([groups, *seeds])
    rejected, alone = 0, 0
    for _ in range(400):
        a, b = world(rng, seeds, groups)
        rejected += paired_difference(run(a), run(b), uar).p < 0.05
        alone += stats.ttest_rel(a.mean(0), b.mean(0)).pvalue < 0.05
    assert rejected / 400 <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / 400)
    assert groups < 10 or alone > 2 * rejected


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("groups", [4, 10, 24])
def test_intervals_hold_the_truth(seeds, groups):
    """At least 93 %, less three standard errors of 400 trials."""
    rng = np.random.default_rng([groups, seeds])
    held = 0
    for _ in range(400):
        (x,) = world(rng, (seeds,), groups)
        found = interval(run(x), uar)
        held += found.low <= 0.5 <= found.high
    assert held / 400 >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / 400)


def test_oracles_seldom_differ_from_themselves():
    """Each seed tests half of ten speakers, the same half in both runs."""
    rng = np.random.default_rng(8)
    names = [str(g) for g in range(10)]
    rejected = held = 0
    for _ in range(400):
        kept = np.array([rng.permutation(10) < 5 for _ in range(4)])
        a, b = (
            Clusters(run(x).counts * kept[:, :, None, None], names, "speakers", 0).only(
                [0, 1, 2, 3]
            )
            for x in world(rng, (4, 4), 10)
        )
        rejected += paired_difference(a, b, uar).p < 0.05
        found = interval(a, uar)
        held += found.low <= 0.5 <= found.high
    assert rejected / 400 <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / 400)
    assert held / 400 >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / 400)


def test_a_lone_speaker_tested_by_several_seeds_has_no_degrees_of_freedom():
    """Of counts that leave something beside zero when they are rounded, too."""
    rng = np.random.default_rng(0)
    for size in range(1, 40):
        counts = np.zeros((2, 1, 4, 4))
        counts[:, 0] = rng.multinomial(size, np.full(16, 1 / 16), 2).reshape(2, 4, 4)
        with np.errstate(all="raise"):
            assert np.isnan(speakers_model(counts)).all()
