"""Layer similarities against loops over pairs, closed forms and other parts of the library."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.anchors import LayerSimilarity, select_layers
from cleser.anchors.layers.moments import LayerMoments
from cleser.anchors.layers.pairs import LayerPairs
from cleser.losses import coral

LANGUAGES, EMOTIONS = ["en", "de", "zh"], ["anger", "sadness"]


def items(n=120, layers=3, dim=5, seed=0):
    """Layers [L, N, D] whose languages differ in mean and shape, and labels with unknowns."""
    generator = torch.Generator().manual_seed(seed)
    labels = {
        "language": torch.randint(-1, 3, (n,), generator=generator),
        "emotion": torch.randint(-1, 2, (n,), generator=generator),
    }
    shape = torch.randn(layers, 4, dim, dim, generator=generator, dtype=torch.float64)
    x = torch.randn(layers, n, 1, dim, generator=generator, dtype=torch.float64)
    x = (x @ shape[:, labels["language"]]).squeeze(2) + labels["language"][:, None]
    return x + 100, labels  # far from the origin, where naive sums lose digits


def studied(x, labels, parts=(120,), **arguments):
    names = {"language": LANGUAGES, "emotion": EMOTIONS}
    similarity = LayerSimilarity(len(x), x.shape[2], names=names, **arguments)
    for at in torch.arange(x.shape[1]).split(list(parts)):
        similarity.update(x[:, at], {n: v[at] for n, v in labels.items()})
    return similarity


def hsic(k, m, debiased):
    """Kornblith et al.'s estimator, or Eq. 5 of Song et al., as printed."""
    n = len(k)
    if not debiased:
        h = np.eye(n) - 1 / n
        return np.trace(k @ h @ m @ h) / (n - 1) ** 2
    k, m, one = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), np.ones(n)
    whole = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + whole - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))


def cka(x, y, debiased):
    k, m = x @ x.T, y @ y.T
    own = hsic(k, k, debiased) * hsic(m, m, debiased)
    return hsic(k, m, debiased) / np.sqrt(own) if own > 0 else np.nan


def selected(x, labels, language, emotion):
    inside = labels["language"] == LANGUAGES.index(language)
    if emotion != "all":
        inside &= labels["emotion"] == EMOTIONS.index(emotion)
    return x[:, inside].numpy()


@pytest.mark.parametrize("parts", [(120,), (1, 50, 69), (40, 0, 40, 40)])
def test_all_pairs_of_layers_are_those_of_a_loop(parts):
    x, labels = items()
    table = studied(x, labels, parts).layer_pairs()
    assert len(table) == 3 * 3 * 9
    for row in table.itertuples():
        # The place of the items does not matter; a plain loop loses digits far from the origin.
        at = selected(x - 100, labels, row.language, row.emotion)
        assert row.n == at.shape[1]
        for debiased, found in ((False, row.cka), (True, row.cka_debiased)):
            expected = cka(at[row.layer], at[row.other], debiased)
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


def test_a_long_stream_is_averaged_over_parts_however_it_comes():
    x, _ = items(n=50)
    tables = []
    for parts in ([50], [1] * 50, [7, 30, 13], [20, 20, 10]):
        pairs = LayerPairs(chunk=20)
        for part in x.split(parts, 1):
            pairs.update(part)
        tables.append(pairs.cka())
        torch.testing.assert_close(tables[-1], tables[0])
    chunks = [part.numpy() for part in x.split(20, 1)]

    def average(i, j):
        return sum(c.shape[1] * hsic(c[i] @ c[i].T, c[j] @ c[j].T, True) for c in chunks)

    expected = average(0, 1) / np.sqrt(average(0, 0) * average(1, 1))
    assert tables[0][0, 1].item() == pytest.approx(expected)


@pytest.mark.parametrize("parts", [(120,), (1, 50, 69)])
def test_languages_are_compared_as_by_their_covariances(parts):
    x, labels = items()
    table = studied(x, labels, parts).compute()
    assert len(table) == 3 * 3 * 3  # pairs of languages, emotions and all, layers
    for row in table.itertuples():
        sides = [selected(x, labels, side, row.emotion) for side in (row.source, row.target)]
        assert [row.n_source, row.n_target] == [side.shape[1] for side in sides]
        a, b = (side[row.layer] for side in sides)
        c, d = np.cov(a.T), np.cov(b.T)
        norm = np.linalg.norm
        assert row.cka == pytest.approx((c * d).sum() / (norm(c) * norm(d)))
        assert row.coral == pytest.approx(coral(torch.tensor(a), torch.tensor(b)).item())
        p, q = a.mean(0), b.mean(0)
        assert row.cosine == pytest.approx(p @ q / (norm(p) * norm(q)))
        own = [hsic(z @ z.T, z @ z.T, True) for z in (a - 100, b - 100)]
        inner = (c * d).sum()
        assert row.cka_debiased == pytest.approx(inner / np.sqrt(own[0] * own[1]), rel=1e-8)
        assert row.coral_debiased == pytest.approx((sum(own) - 2 * inner) / 100, rel=1e-8)


def test_the_unbiased_norm_is_right_on_average_and_needs_four_items():
    generator = torch.Generator().manual_seed(0)
    root = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5]))
    found = []
    for _ in range(4000):
        moments = LayerMoments(torch.zeros(1, 4))
        moments.update(torch.randn(1, 6, 4, generator=generator) @ root)
        found.append(moments.unbiased_norm().item())
    expected = (root**4).sum().item()
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 4 * error
    few = LayerMoments(torch.zeros(1, 4))
    few.update(torch.randn(1, 3, 4))
    assert few.unbiased_norm().isnan().all()


def test_with_fewer_items_than_dimensions_only_debiased_finds_halves_of_one_set_alike():
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.linspace(1, 0.1, 200)
    x = torch.randn(1, 160, 200, generator=generator) * spectrum
    similarity = LayerSimilarity(1, 200)
    similarity.update(x, {"language": torch.arange(160) % 2})
    (row,) = similarity.compute().itertuples()
    assert row.cka < 0.5
    assert row.cka_debiased == pytest.approx(1, abs=0.15)
    assert abs(row.coral_debiased) < 0.1 * row.coral


def test_closed_forms():
    # Orthogonal directions of spread: CKA 0. The same, three times as wide: CKA 1, CORAL ‖C − 9C‖² / 4D².
    line = torch.tensor([[-1.0], [1.0], [-1.0], [1.0], [0.0], [0.0]]).double()
    x = torch.cat([line * torch.tensor([1.0, 0.0]), line * torch.tensor([0.0, 1.0])])
    language = torch.tensor([0] * 6 + [1] * 6)
    similarity = LayerSimilarity(1, 2)
    similarity.update(torch.stack([x]), {"language": language})
    assert similarity.compute()["cka"].item() == 0
    similarity = LayerSimilarity(1, 2)
    wide = torch.cat([x[:6], 3 * x[:6] + 5])
    similarity.update(torch.stack([wide]), {"language": language})
    row = similarity.compute().iloc[0]
    assert row["cka"] == pytest.approx(1)
    assert row["coral"] == pytest.approx((0.8 - 7.2) ** 2 / 16)
    pairs = LayerPairs()
    rotation = torch.linalg.qr(torch.randn(5, 5)).Q
    z = torch.randn(30, 5)
    pairs.update(torch.stack([z, 4 * z @ rotation - 2]))  # blind to rotation, scale and place
    torch.testing.assert_close(pairs.cka(), torch.ones(2, 2).double())


def test_items_first_other_dtypes_and_other_units():
    x, labels = items()
    table = studied(x, labels).compute()
    similarity = LayerSimilarity(3, 5, dtype=torch.float32)
    similarity.update((x - 100).transpose(0, 1).half(), labels, items_first=True, units="vowel")
    similarity.update(x[:, :30] - 100, {n: v[:30] for n, v in labels.items()})
    other = similarity.compute()
    assert set(other["units"]) == {"vowel", "utterance"}
    vowels = other[other["units"] == "vowel"]
    np.testing.assert_allclose(vowels["cka"], table["cka"], atol=2e-3)
    assert vowels["source"].tolist() == [str(LANGUAGES.index(v)) for v in table["source"]]


def test_unknown_emotions_count_among_all_and_target_labels_change_nothing_there():
    x, labels = items()
    blind = {**labels, "emotion": torch.where(labels["language"] == 1, -1, labels["emotion"])}
    seen, unseen = studied(x, labels).compute(), studied(x, blind).compute()

    def whole(t):
        return t[t["emotion"] == "all"].reset_index(drop=True)

    pd.testing.assert_frame_equal(whole(seen), whole(unseen))
    pairs = set(zip(unseen["source"], unseen["target"], unseen["emotion"], strict=True))
    assert ("en", "zh", "anger") in pairs
    assert not {p for p in pairs if "de" in p and p[2] != "all"}
    for policy, measure in itertools.product(("single", "group"), ("cka", "coral")):
        chosen = [select_layers(t, policy, measure=measure, size=2) for t in (seen, unseen)]
        assert chosen[0] == chosen[1]
    no_emotions = studied(x, {"language": labels["language"]}).compute()
    pd.testing.assert_frame_equal(whole(seen), no_emotions)


def test_degenerate_items():
    similarity = LayerSimilarity(2, 3)
    assert similarity.compute().empty
    similarity.update(torch.zeros(2, 0, 3), {"language": []})
    similarity.update(torch.ones(2, 1, 3), {"language": [0]})
    assert similarity.compute().empty
    similarity.update(torch.ones(2, 6, 3), {"language": [0, 0, 0, 1, 1, 1]})
    table = similarity.compute()
    assert table["cka"].isna().all()  # no spread, nothing to compare
    assert (table["coral"] == 0).all()
    assert similarity.layer_pairs()["cka"].isna().all()
    with pytest.raises(ValueError, match="cka_debiased of utterances is missing in all layers"):
        select_layers(table, "single")


def test_one_layer_without_spread_leaves_the_others():
    x = torch.randn(1, 20, 4)
    pairs = LayerPairs()
    pairs.update(torch.cat([x, 2 * x, torch.full_like(x, 0.1)]))
    found = pairs.cka()
    assert found[:2, :2].isfinite().all()
    assert found[2].isnan().all()


def test_mistakes_are_named():
    similarity = LayerSimilarity(2, 3, chunk=0)
    one = {"language": [0]}
    for layers, labels, message in [
        (torch.zeros(3, 1, 3), one, r"shape \(3, 1, 3\) \(L, N, D\), expected \(2, N, 3\)"),
        (torch.zeros(2, 1, 3), {}, "labels has no 'language'"),
        (torch.zeros(2, 2, 3), one, "labels are 1, layers 2 items"),
        (torch.full((2, 1, 3), torch.nan), one, "item 0 of layers is not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            similarity.update(layers, labels)
    with pytest.raises(ValueError, match="chunk is 0"):
        similarity.layer_pairs()
    with pytest.raises(ValueError, match="found no items"):
        LayerPairs().cka()


def table(values, **columns):
    rows = {"units": "utterance", "emotion": "all", "layer": range(len(values))} | columns
    return pd.DataFrame(rows | {"cka_debiased": values, "coral": values})


def test_layers_are_chosen_by_policy_and_measure():
    one = table([0.1, 0.8, 0.2, 0.7, 0.75, 0.6])
    assert select_layers(one, "last") == [5]
    assert select_layers(one, "single") == [1]
    assert select_layers(one, "group") == [3, 4, 5]
    assert select_layers(one, "group", size=2) == [3, 4]
    assert select_layers(one, "single", measure="coral") == [0]
    assert select_layers(one, "group", size=6) == [0, 1, 2, 3, 4, 5]
    gap = table([0.9, np.nan, 0.2, 0.1])
    assert select_layers(gap, "single") == [0]
    assert select_layers(gap, "group", size=2) == [2, 3]
    pairs = pd.concat([one, table([1.0, 0.0, 0.0, 0.9, 0.0, 0.0])])
    assert select_layers(pairs, "single") == [3]
    units = pd.concat([one, table([0.0, 0.0, 1.0], units="vowel")])
    assert select_layers(units, "single", "vowel") == [2]
    emotions = pd.concat(
        [
            one,
            table([0, 0, 1, 0, 0, 0.0], emotion="anger"),
            table([0, 0, 0.5, 0, 0.6, 0.0], emotion="fear"),
        ]
    )
    assert select_layers(emotions, "single") == [1]
    assert select_layers(emotions, "single", each_emotion=True) == [2]


def test_a_choice_that_cannot_be_made_is_refused():
    one = table([0.1, 0.2])
    for arguments, message in [
        (("best",), "policy is 'best'"),
        (
            ("single", "phone"),
            r"no rows of all emotions with units 'phone'; there are \['utterance'\]",
        ),
        (("group",), "size is 3, expected 1 to 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            select_layers(one, *arguments)
    with pytest.raises(ValueError, match="measure is 'mse'"):
        select_layers(one, "single", measure="mse")
    with pytest.raises(ValueError, match="no rows of single emotions"):
        select_layers(one, "single", each_emotion=True)


@pytest.mark.cuda
def test_a_gpu_finds_the_similarities_of_the_processor():
    x, labels = items()
    expected, found = (studied(x.to(d), labels, (50, 70), chunk=32) for d in ("cpu", "cuda"))
    pd.testing.assert_frame_equal(found.compute(), expected.compute(), rtol=1e-8)
    pd.testing.assert_frame_equal(found.layer_pairs(), expected.layer_pairs(), rtol=1e-8)


def test_layers_are_chosen_by_their_numbers_not_their_places():
    sparse = pd.DataFrame(
        {
            "units": "utterance",
            "emotion": "all",
            "layer": [3, 6, 9, 12],
            "cka": [0.1, 0.9, 0.2, 0.3],
        }
    )
    picked = [select_layers(sparse, p, measure="cka", size=2) for p in ("last", "single", "group")]
    assert picked == [[12], [6], [6, 9]]
    assert all(type(layer) is int for layers in picked for layer in layers)
