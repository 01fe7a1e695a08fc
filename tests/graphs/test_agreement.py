"""What emotions tell each other about a speaker: against loops, and silence where there is nothing to tell."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import chi2_contingency
from sklearn.metrics import adjusted_rand_score

from cleser.graphs import CommunityRefiner, Part, planted_styles, style_communities
from cleser.graphs.communities.agreement import Agreement, depends, lifts
from tests.graphs.test_styles import columns


def memberships(rng, n, k):
    q = rng.random((n, k)) ** 3
    return torch.from_numpy(q / q.sum(1, keepdims=True))


def test_evidence_is_bayes_rule_by_loops():
    rng = np.random.default_rng(0)
    styles = rng.integers(0, 3, 80)
    who = [rng.permutation(80)[:60], rng.permutation(80)[:50], rng.permutation(80)[:40]]
    starts = [torch.from_numpy(styles[w]) for w in who]
    q = [memberships(rng, len(w), 3) for w in who]
    found = Agreement(starts, who, 0.7).evidence(q, 0)
    expected = np.zeros((60, 3))
    for other in (1, 2):
        pairs = [(i, list(who[other]).index(s)) for i, s in enumerate(who[0]) if s in who[other]]
        table = sum(np.outer(q[0][i].numpy(), q[other][j].numpy()) for i, j in pairs)
        by_chance = np.outer(table.sum(1), table.sum(0)) / table.sum()
        mean = len(pairs) / 9
        lift = (mean * table / by_chance + 1) / (mean + 1)
        for i, j in pairs:
            for c in range(3):
                expected[i, c] += 0.7 * np.log(
                    sum(lift[c, d] * float(q[other][j, d]) for d in range(3))
                )
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_dependence_is_pearsons_test(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 3, 70)
    second = np.where(rng.random(70) < 0.06 * seed, first, rng.integers(0, 4, 70))
    table = np.zeros((3, 5))  # the last community has none of these speakers
    np.add.at(table, (first, second), 1)
    p = chi2_contingency(table[:, :4], correction=False).pvalue
    assert depends(torch.from_numpy(table)) == (p < 1e-3)


def test_one_community_tells_nothing():
    assert not depends(torch.tensor([[5.0], [9.0]]).double())
    assert lifts(torch.tensor([[5.0], [9.0]])).tolist() == [[1.0], [1.0]]


def test_strangers_and_parts_of_nobody_are_refined_alone():
    rng = np.random.default_rng(1)
    graph, x = sparse.csr_array((40, 40)), rng.standard_normal((40, 3))
    start, refiner = rng.integers(0, 3, 40), CommunityRefiner(caution=0.0)
    alone = refiner.fit(graph, x, start)
    for speakers in ((None, None), (np.arange(40), np.arange(40, 80)), (np.arange(40), None)):
        found = refiner.fit_together([Part(graph, x, start, who) for who in speakers])
        for each in found:
            assert np.array_equal(each.labels, alone.labels)
            assert np.array_equal(each.membership, alone.membership)


def test_a_node_that_says_nothing_itself_goes_with_its_speaker():
    style = np.arange(60) % 3
    x = np.eye(3)[style] + 0.01
    vague = x.copy()
    vague[0] = 1.0
    start = np.where(np.arange(60) == 0, 1, style)
    parts = [
        Part(sparse.csr_array((60, 60)), values, labels, np.arange(60))
        for values, labels in ((x, style), (vague, start))
    ]
    labels = CommunityRefiner().fit_together(parts)[1].labels
    assert labels[0] == labels[3]
    alone = CommunityRefiner(agreement=0.0).fit_together(parts)[1].labels
    assert alone[0] == alone[1]


def rand_index(found, x):
    style = {(s, e): k for s, e, k in zip(x.speakers, x.emotions, x.styles, strict=True)}
    nodes = found.nodes
    truth = np.array([style[s, e] for s, e in zip(nodes["speaker"], nodes["emotion"], strict=True)])
    each = [adjusted_rand_score(truth[own], nodes["community"].to_numpy()[own])
            for own in nodes.groupby("emotion").indices.values()]  # fmt: skip
    return np.mean(each)


@pytest.mark.parametrize("noise", [3.0, 5.0])
def test_styles_that_speakers_keep_are_found_better(noise):
    x = planted_styles(noise=noise, seed=0)
    refined, plain = (
        rand_index(style_communities(x.embeddings, **columns(x), refine=r), x)
        for r in (True, False)
    )
    assert refined > plain
    assert refined > 0.95


def test_styles_of_one_emotion_each_are_left_alone():
    x = planted_styles(noise=3.0, seed=0, kept=False)
    together, alone = (
        style_communities(x.embeddings, **columns(x), refine=CommunityRefiner(agreement=a))
        for a in (1.0, 0.0)
    )
    assert together.nodes.equals(alone.nodes)
    assert rand_index(together, x) > 0.9


@pytest.mark.parametrize(
    ("speakers", "said"),
    [([0, 0, 1], "speaker 0 has 2 nodes in part 0"), ([0, 1], r"shape \(2,\), expected \(3,\)")],
)
def test_bad_speakers_are_refused(speakers, said):
    part = Part(sparse.csr_array((3, 3)), np.ones((3, 2)), [0, 1, 1], speakers)
    with pytest.raises(ValueError, match=said):
        CommunityRefiner().fit_together([part, part])
