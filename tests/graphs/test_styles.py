"""Style communities: planted styles are found, whatever voices and languages add, and mixing is told as it is."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from cleser.graphs import planted_styles, speaker_styles, style_communities
from cleser.graphs.styles.nodes import encode, pool


def columns(x):
    return {"speakers": x.speakers, "emotions": x.emotions, "languages": x.languages}


def score(found, x):
    """Mean over emotions of the adjusted Rand index."""
    style = dict(zip(x.speakers.tolist(), x.styles.tolist(), strict=True))
    nodes = found.nodes[found.nodes["community"] >= 0]
    return np.mean(
        [
            adjusted_rand_score([style[s] for s in own["speaker"]], own["community"])
            for _, own in nodes.groupby("emotion")
        ]
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_styles_are_found_across_languages(seed):
    x = planted_styles(seed=seed)
    found = style_communities(x.embeddings, **columns(x))
    assert score(found, x) > 0.9
    assert found.nodes.groupby("community")["language"].nunique().min() == 3


def test_offsets_hide_styles_unless_they_are_removed():
    x = planted_styles(noise=2.0, seed=0)
    plain, across, kept, voiced = (
        score(style_communities(x.embeddings, **columns(x), refine=False, **settings), x)
        for settings in (
            {},
            {"language_offsets": "relation"},
            {"language_offsets": "keep"},
            {"speaker_offsets": "keep"},
        )
    )
    assert plain > 0.97
    assert across > 0.9
    assert kept < 0.6
    assert voiced < plain


def test_embeddings_may_be_shifted_and_scaled_by_dimension():
    x = planted_styles(noise=2.0, speakers=12, seed=1)
    plain = style_communities(x.embeddings, **columns(x))
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.01, 100, 64), 1000 * rng.standard_normal(64)
    other = style_communities(x.embeddings * scale + shift, **columns(x))
    assert plain.nodes["community"].tolist() == other.nodes["community"].tolist()


def test_names_and_numbers_and_tensors_say_the_same():
    x = planted_styles(speakers=6, seed=2)
    plain = style_communities(x.embeddings, **columns(x))
    named = style_communities(
        torch.from_numpy(x.embeddings),
        speakers=pd.Series([f"s{s:02d}" for s in x.speakers]),
        emotions=[("anger", "calm", "fear", "joy")[e] for e in x.emotions],
        languages=torch.from_numpy(x.languages),
    )
    assert plain.nodes["community"].tolist() == named.nodes["community"].tolist()
    asked = named.labels(["s00", "s99", None], ["anger", "anger", "anger"])
    assert asked[0] == plain.labels([0], [0])[0] >= 0
    assert asked[1:].tolist() == [-1, -1]


def test_labels_agree_with_nodes_for_every_utterance():
    x = planted_styles(speakers=6, seed=3)
    found = style_communities(x.embeddings, **columns(x))
    table = found.nodes.set_index(["speaker", "emotion"])["community"]
    labels = found.labels(x.speakers, x.emotions)
    assert labels.dtype == np.int64
    pairs = zip(x.speakers.tolist(), x.emotions.tolist(), strict=True)
    assert labels.tolist() == [table[pair] for pair in pairs]


def test_no_community_and_no_edge_is_of_two_emotions():
    x = planted_styles(speakers=8, seed=4)
    found = style_communities(x.embeddings, **columns(x))
    assert found.nodes.groupby("community")["emotion"].nunique().max() == 1
    emotion = found.nodes["emotion"].to_numpy()
    rows, cols = found.graph.tocoo().coords
    assert len(rows)
    assert (emotion[rows] == emotion[cols]).all()


def test_an_edge_weighs_less_where_nodes_are_less_reliable():
    """Cosine of the styles times the geometric mean of both reliabilities, from the definition."""
    x = planted_styles(seed=2)
    keep = np.random.default_rng(0).random(len(x.speakers)) < np.linspace(0.1, 1, len(x.speakers))
    names = {"speakers": x.speakers, "emotions": x.emotions, "languages": x.languages}
    found = style_communities(
        x.embeddings[keep], **{n: v[keep] for n, v in names.items()}, k=5, refine=False
    )
    reliability = found.nodes["reliability"].to_numpy()
    assert reliability.min() < 0.9 * reliability.max()
    length = np.linalg.norm(found.styles, axis=1, keepdims=True)
    # Nothing may be left of a node, which then has no edges.
    units = found.styles / np.maximum(length, 1e-12)
    edges = found.graph.tocoo()
    for i, j, weight in zip(*edges.coords, edges.data, strict=True):
        expected = units[i] @ units[j] * (reliability[i] * reliability[j]) ** 0.5
        assert weight == pytest.approx(expected, rel=1e-4)


def test_the_relation_joins_only_across_languages():
    x = planted_styles(speakers=8, seed=4)
    found = style_communities(x.embeddings, **columns(x), language_offsets="relation")
    language = found.nodes["language"].to_numpy()
    rows, cols = found.graph.tocoo().coords
    assert (language[rows] != language[cols]).all()


def test_certain_posteriors_are_labels():
    x = planted_styles(speakers=8, seed=5)
    hard = style_communities(x.embeddings, **columns(x))
    soft = style_communities(
        x.embeddings, speakers=x.speakers, emotions=np.eye(4)[x.emotions], languages=x.languages
    )
    assert hard.nodes["community"].tolist() == soft.nodes["community"].tolist()
    asked = soft.labels(x.speakers[:5], np.eye(4)[x.emotions[:5]])
    assert asked.tolist() == hard.labels(x.speakers[:5], x.emotions[:5]).tolist()


def test_posteriors_that_say_nothing_are_of_no_emotion():
    x = planted_styles(speakers=4, seed=5)
    found = style_communities(x.embeddings, **columns(x), refine=False)
    said = np.array([[0, 0, 0, 0], [np.nan] * 4, [0, 0.1, np.nan, 0]])
    assert found.labels([0, 0, 0], said).tolist() == [-1, -1, found.labels([0], [1])[0]]
    assert found.labels([0], torch.eye(4, requires_grad=True)[1:2]) == found.labels([0], [1])
    with pytest.raises(ValueError, match=r"posteriors of 6, communities of \[0, 1, 2, 3\]"):
        found.labels([0], np.eye(6)[5:])
    named = np.array(["a", "b", "c", "d"])[x.emotions]
    named = style_communities(x.embeddings, **{**columns(x), "emotions": named}, refine=False)
    with pytest.raises(ValueError, match="posteriors of 4, communities of"):
        named.labels([0], np.eye(4)[:1])


def test_uncertain_posteriors_of_one_language_still_find_styles():
    x = planted_styles(noise=2.0, seed=6)
    rng = np.random.default_rng(0)
    unlabelled = x.languages == 2
    confused = 0.7 * np.eye(4)[x.emotions] + 0.3 * rng.dirichlet(np.ones(4), len(x.emotions))
    posteriors = np.where(unlabelled[:, None], confused, np.eye(4)[x.emotions])
    found = style_communities(
        x.embeddings, speakers=x.speakers, emotions=posteriors, languages=x.languages
    )
    assert score(found, x) > 0.9


def test_pooling_is_mean_and_noise_by_loops():
    rng = np.random.default_rng(7)
    x, speakers = rng.standard_normal((40, 3)) * [1, 10, 100], rng.integers(-1, 3, 40)
    weights = rng.dirichlet(np.ones(2), 40)
    nodes = pool(x, speakers, sparse.csr_array(weights))
    square, freedom = np.zeros(3), 0.0
    for s, e, mass in zip(nodes.speakers, nodes.emotions, nodes.mass, strict=True):
        share = weights[speakers == s, e]
        inside = x[speakers == s] - (share[:, None] * x[speakers == s]).sum(0) / share.sum()
        square += (share[:, None] * inside**2).sum(0)
        freedom += max(share.sum() - 1, 0)
        assert mass == pytest.approx(share.sum())
    noise = np.sqrt(square / freedom)
    share = weights[speakers == nodes.speakers[0], nodes.emotions[0]]
    mean = (share[:, None] * x[speakers == nodes.speakers[0]]).sum(0) / share.sum()
    np.testing.assert_allclose(nodes.means[0], mean / noise)


def test_more_utterances_are_more_reliable():
    x = planted_styles(seed=8)
    nodes = style_communities(x.embeddings, **columns(x)).nodes.sort_values("utterances")
    assert nodes["reliability"].is_monotonic_increasing
    assert 0 < nodes["reliability"].min() < nodes["reliability"].max() < 1
    assert nodes["utterances"].sum() == len(x.speakers)


def test_a_speaker_of_one_emotion_has_no_style():
    x = planted_styles(speakers=6, seed=9)
    kept = (x.speakers != 0) | (x.emotions == 1)
    found = style_communities(
        x.embeddings[kept], **{name: values[kept] for name, values in columns(x).items()}
    )
    alone = found.nodes[found.nodes["speaker"] == 0]
    assert alone["community"].tolist() == [-1]
    assert found.labels([0], [1]).tolist() == [-1]
    assert (found.nodes[found.nodes["speaker"] != 0]["community"] >= 0).all()


def test_unknown_speakers_and_emotions_take_no_part():
    x = planted_styles(speakers=6, seed=10)
    plain = style_communities(x.embeddings, **columns(x))
    rows = columns(x)
    rng = np.random.default_rng(0)
    more = {
        "speakers": [*rows["speakers"].tolist(), None, 3, float("nan")],
        "emotions": [*rows["emotions"].tolist(), 1, -1, 2],
        "languages": [*rows["languages"].tolist(), 0, 0, 1],
    }
    embeddings = np.concatenate([x.embeddings, 100 * rng.standard_normal((3, 64))])
    other = style_communities(embeddings, **more)
    pd.testing.assert_frame_equal(plain.nodes, other.nodes, check_dtype=False)


def test_one_utterance_a_node_is_enough():
    x = planted_styles(noise=0.5, utterances=1, seed=11)
    found = style_communities(x.embeddings, **columns(x))
    assert score(found, x) > 0.9
    assert (found.nodes["reliability"] == 1).all()


def test_nobody_at_all():
    found = style_communities(np.empty((0, 4)), speakers=[], emotions=[], languages=[])
    assert len(found.nodes) == 0
    assert found.labels(["a"], ["b"]).tolist() == [-1]
    assert found.plot() is not None


@pytest.mark.parametrize("emotions", [[0, 1, 0, 1], np.eye(2)[[0, 1, 0, 1]]])
def test_nobody_known(emotions):
    x = np.random.default_rng(0).standard_normal((4, 3))
    found = style_communities(x, speakers=[-1] * 4, emotions=emotions, languages=[0] * 4)
    assert len(found.nodes) == 0
    assert found.labels([-1, 0], [0, 0]).tolist() == [-1, -1]
    assert found.mixing(permutations=2)["emotion"].tolist() == ["all"]


def test_the_same_seed_gives_the_same():
    x = planted_styles(noise=6.0, seed=12)
    first, second = (style_communities(x.embeddings, **columns(x), seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.nodes, second.nodes)


def test_mixing_sees_styles_that_ignore_language():
    x = planted_styles(noise=2.0, seed=13)
    table = style_communities(x.embeddings, **columns(x)).mixing(permutations=49)
    assert table["emotion"].tolist() == [0, 1, 2, 3, "all"]
    assert (table["languages"] == 3).all()
    assert (table["entropy"] > 0.95).all()
    assert (table["entropy_p"] > 0.2).all()


def test_mixing_sees_languages_that_keep_apart():
    x = planted_styles(noise=2.0, language_offset=3.0, speakers=9, seed=14)
    found = style_communities(x.embeddings, **columns(x), language_offsets="keep")
    for refit in (False, True):
        table = found.mixing(permutations=19, refit=refit)
        assert (table["entropy"] < 0.3).all()
        assert (table["entropy_p"] == 1 / 20).all()
        assert (table["assortativity"] > 0.5).all()
        assert (table["assortativity_p"] == 1 / 20).all()


def without_language(plan, seed, styles=3, dim=16):
    """Utterances that no language changes: for each language its number of speakers and the emotions they show."""
    rng = np.random.default_rng(seed)
    who = [(language, shown) for language, (count, shown) in enumerate(plan) for _ in range(count)]
    rows = [(s, e, t) for s, (t, shown) in enumerate(who) for e in shown for _ in range(2)]
    speakers, emotions, languages = np.array(rows).T
    centres = rng.standard_normal((8, styles, dim))
    x = centres[emotions, rng.integers(0, styles, len(who))[speakers]]
    names = {"speakers": speakers, "emotions": emotions, "languages": languages}
    return x + 0.8 * rng.standard_normal(x.shape), names


KEPT = {"language_offsets": "keep", "speaker_offsets": "keep"}


@pytest.mark.parametrize(
    ("plan", "settings", "refit", "runs"),
    [
        ([(10, (0,)), (10, (0,)), (20, (1, 2, 3, 4))], KEPT, False, 40),
        ([(6, (0, 1)), (6, (0, 1)), (6, (0, 1))], {}, True, 20),
        ([(6, (0, 1)), (6, (0, 1)), (18, (1, 2))], {}, True, 30),
    ],
)
def test_p_values_hold_their_level_whoever_shows_which_emotion(plan, settings, refit, runs):
    p = []
    for seed in range(runs):
        x, names = without_language(plan, seed)
        found = style_communities(x, **names, **settings, refine=False)
        table = found.mixing(permutations=9, seed=seed + 1000, refit=refit).set_index("emotion")
        p.append(
            [table.loc[row, f"{n}_p"] for row in (0, "all") for n in ("entropy", "assortativity")]
        )
    p = np.array(p, dtype=float)
    assert (np.mean(p <= 0.1, axis=0) < 0.1 + 3 * (0.1 * 0.9 / runs) ** 0.5).all()
    assert (np.mean(p, axis=0) > 0.4).all()


def test_languages_are_dealt_among_speakers_who_show_the_same_emotions():
    """The three of the second kind are of one language, whatever is dealt: emotion 2 is theirs alone."""
    x, names = without_language([(3, (0, 1)), (3, (0, 1)), (3, (1, 2))], seed=0)
    found = style_communities(x, **names, refine=False)
    again, dealt = found._again, []
    replace(found, _again=lambda spoken: dealt.append(spoken) or again(spoken)).mixing(
        permutations=9, refit=True
    )
    assert all(spoken[6:].tolist() == [2, 2, 2] for spoken in dealt)
    assert all(sorted(spoken[:6]) == [0, 0, 0, 1, 1, 1] for spoken in dealt)
    assert len({tuple(spoken) for spoken in dealt}) > 1


def test_where_all_show_all_languages_are_dealt_to_anybody():
    """The draws of a seed are those of earlier versions, so that published p-values stay."""
    x = planted_styles(speakers=3, emotions=2, seed=1)
    found = style_communities(x.embeddings, **columns(x), refine=False)
    again, dealt = found._again, []
    replace(found, _again=lambda spoken: dealt.append(spoken) or again(spoken)).mixing(
        permutations=3, seed=7, refit=True
    )
    rng = np.random.default_rng(7)
    assert [d.tolist() for d in dealt] == [rng.permutation(found._spoken).tolist() for _ in dealt]


def test_nobody_to_deal_with_is_said():
    x, names = without_language([(4, (0, 1)), (4, (0, 2))], seed=0)
    table = style_communities(x, **names).mixing(permutations=3).set_index("emotion")
    nobody = "no speakers of two languages show the same emotions"
    assert table["untested"].to_dict() == {
        0: nobody,
        1: "one language",
        2: "one language",
        "all": nobody,
    }
    assert table[["entropy_p", "assortativity_p", "entropy_chance"]].isna().all(axis=None)
    assert 0 <= table.loc[0, "entropy"] <= 1


def test_a_node_in_no_community_is_nobody_to_deal_with():
    """Speakers of one emotion lose all that there is of them with their mean."""
    x, names = without_language([(5, (0, 1, 2)), (5, (0, 1))], seed=0)
    lone = np.full(1, 99), np.full(1, 2), names["languages"][-1:]
    x = np.concatenate([x, x[:1]])
    names = {n: np.concatenate([v, w]) for (n, v), w in zip(names.items(), lone, strict=True)}
    table = style_communities(x, **names).mixing(permutations=3).set_index("emotion")
    assert math.isnan(table.loc[2, "entropy"])
    said = "nothing is left of the speakers of all languages but one"
    assert table.loc[2, "untested"] == said


def test_where_all_show_a_single_emotion_nothing_is_left_of_anybody():
    x = planted_styles(speakers=3, emotions=1, seed=1)
    table = style_communities(x.embeddings, **columns(x)).mixing(permutations=3)
    assert table["untested"].tolist() == ["nothing is left of any speaker"] * 2


def test_means_over_emotions_are_of_those_that_are_known_as_languages_are():
    """Of emotion 0 the only edge joins speakers of one language; dealt at random, it may join two."""
    x = planted_styles(speakers=4, languages=2, emotions=2, seed=3)
    found = style_communities(x.embeddings, **columns(x), refine=False)
    edges = found.graph.tolil()
    own = np.flatnonzero(found.nodes["emotion"] == 0)
    edges[own] = 0
    edges[own[0], own[1]] = 1
    table = replace(found, graph=edges.tocsr()).mixing(permutations=19).set_index("emotion")
    assert math.isnan(table.loc[0, "assortativity"])
    names = ["assortativity", "assortativity_chance", "assortativity_p"]
    assert table.loc["all", names].tolist() == table.loc[1, names].tolist()


def test_mixing_of_one_language_is_unknown():
    x = planted_styles(languages=1, seed=15)
    table = style_communities(x.embeddings, **columns(x)).mixing(permutations=5)
    assert all(math.isnan(value) for value in table["entropy_p"])
    assert (table["untested"] == "one language").all()


def test_a_figure_has_a_panel_an_emotion():
    x = planted_styles(speakers=4, seed=16)
    figure = style_communities(x.embeddings, **columns(x)).plot()
    assert [axes.get_title() for axes in figure.axes] == ["0", "1", "2", "3"]


def test_codes_are_sorted_and_unknown_is_minus_one():
    coded = encode(["b", None, "a", float("nan"), "b"], "speakers", 5)
    assert coded.codes.tolist() == [1, -1, 0, -1, 1]
    assert coded.names == ["a", "b"]
    assert coded.of(["b", "c"]).tolist() == [1, -1]


def wrong(**changes):
    x = planted_styles(speakers=2, seed=0)
    return style_communities(**{"embeddings": x.embeddings, **columns(x), **changes})


def test_bad_input_is_refused():
    n = len(planted_styles(speakers=2, seed=0).speakers)
    with pytest.raises(ValueError, match=r"expected \[N, D\]"):
        wrong(embeddings=np.ones(3))
    with pytest.raises(ValueError, match=r"speakers have shape \(2,\)"):
        wrong(speakers=[0, 1])
    with pytest.raises(ValueError, match=r"languages\[0\] is unknown"):
        wrong(languages=[None] * n)
    with pytest.raises(ValueError, match=r"speaker 0 speaks \[0, 1\]"):
        wrong(languages=np.arange(n) % 2)
    with pytest.raises(ValueError, match="posteriors"):
        wrong(emotions=-np.ones((n, 2)))
    with pytest.raises(ValueError, match="language_offsets is 'drop'"):
        wrong(language_offsets="drop")
    holed = planted_styles(speakers=2, seed=0).embeddings.copy()
    holed[4, 0] = np.inf
    with pytest.raises(ValueError, match=r"embeddings\[4\] is not finite"):
        wrong(embeddings=holed)
    with pytest.raises(ValueError, match="permutations is 0"):
        wrong().mixing(permutations=0)


def test_styles_are_those_that_communities_are_found_among():
    x = planted_styles(speakers=6, seed=2)
    who = {"speakers": x.speakers, "emotions": x.emotions, "languages": x.languages}
    for offsets in ("centre", "keep"):
        found = style_communities(x.embeddings, **who, speaker_offsets=offsets, refine=False)
        nodes, styles = speaker_styles(x.embeddings, **who, speaker_offsets=offsets)
        pd.testing.assert_frame_equal(nodes, found.nodes.drop(columns=["community", "membership"]))
        np.testing.assert_array_equal(styles, found.styles)
