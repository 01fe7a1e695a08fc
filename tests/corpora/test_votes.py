"""Votes of annotators: from tables to shares, agreement, and what is learned from them."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cleser.corpora import Protocol, describe, load
from cleser.corpora.votes import describe_votes, fleiss_kappa, krippendorff_alpha, votes_of
from cleser.evaluation.soft_labels import (
    agreement_with_votes,
    kl_divergence,
    soft_accuracy,
    vote_sums,
)
from cleser.losses import soft_cross_entropy
from cleser.recipes.several_emotions import vote_shares
from tests.corpora.trees import write_corpus

COUNTS = st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=6).map(
    np.array
)


def slow_alpha(counts):
    """From all pairs of votes, within utterances and over all."""
    units = [[k for k, n in enumerate(row) for _ in range(n)] for row in counts]
    units = [votes for votes in units if len(votes) >= 2]
    everybody = [vote for votes in units for vote in votes]
    within = sum(
        sum(a != b for a, b in permutations(votes, 2)) / (len(votes) - 1) for votes in units
    ) / max(1, len(everybody))
    pairs = list(permutations(everybody, 2))
    between = sum(a != b for a, b in pairs) / max(1, len(pairs))
    return 1 - within / between if between else float("nan")


@given(COUNTS)
def test_alpha_by_all_pairs_of_votes(counts):
    assert krippendorff_alpha(counts) == pytest.approx(slow_alpha(counts), abs=1e-12, nan_ok=True)


@given(st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=2, max_size=6))
def test_kappa_by_all_pairs_of_annotators(choices):
    counts = np.array([[row.count(k) for k in range(3)] for row in choices])
    agreed = np.mean([np.mean([a == b for a, b in permutations(row, 2)]) for row in choices])
    chance = sum((counts[:, k].sum() / counts.sum()) ** 2 for k in range(3))
    expected = (agreed - chance) / (1 - chance) if chance < 1 else float("nan")
    assert fleiss_kappa(counts) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_description_has_kappa_where_all_utterances_have_as_many_votes():
    """The example by which Fleiss' kappa is usually explained: 14 raters, ten subjects and five classes, 0.210."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    manifest = pd.DataFrame(table, columns=[f"votes.{name}" for name in "abcde"])
    assert describe_votes(manifest)["Fleiss' kappa"] == "0.210"
    manifest.iloc[-1, -1] += 1
    assert "Fleiss' kappa" not in describe_votes(manifest)


def test_agreement_refuses_what_it_cannot_count():
    with pytest.raises(ValueError, match="shares do not say how many"):
        krippendorff_alpha([[0.5, 0.5]])
    with pytest.raises(ValueError, match="expected as many of each"):
        fleiss_kappa([[2, 1], [1, 1]])
    assert np.isnan(krippendorff_alpha([[1, 0], [0, 1]]))


def test_a_manifest_holds_votes_by_any_name_of_an_emotion(tmp_path):
    write_corpus(tmp_path, "mine", speakers=1)
    rows = pd.read_csv(tmp_path / "manifest.csv")
    rows = rows.assign(
        **{"votes.angry": [3, 0, 1, None], "votes.calm": 1, "votes.neutral": [0, 1, 1, 0]}
    )
    rows.to_csv(tmp_path / "votes.csv", index=False)
    spec = f"manifest:{tmp_path / 'votes.csv'}"
    found = votes_of(load(spec, {"calm": "neutral"}), ["anger", "neutral", "fear"])
    assert found.tolist() == [[3, 1, 0], [0, 2, 0], [1, 2, 0], [0, 1, 0]]
    facts = describe(load(spec), probe=False).facts
    assert facts["Votes"] == "4 utterances, 2.5 votes each"
    assert "Krippendorff's alpha" in facts
    rows.assign(**{"votes.angry": [-1, 0, 0, 0]}).to_csv(tmp_path / "votes.csv", index=False)
    with pytest.raises(ValueError, match=r"row 0 .*votes.angry is .-1.*expected a number of votes"):
        load(spec)


def test_without_a_column_of_emotions_the_most_voted_counts(tmp_path):
    write_corpus(tmp_path, "mine", speakers=1)
    rows = pd.read_csv(tmp_path / "manifest.csv")
    rows = rows.assign(**{"votes.sad": [3, 0, 2, None], "votes.Fear": [1, 4, 2, 0]})
    spec = f"manifest:{tmp_path / 'votes.csv'}"
    rows.to_csv(tmp_path / "votes.csv", index=False)
    assert load(spec)["emotion"].tolist() == rows["emotion"].tolist()  # what is said counts
    rows["emotion"] = ["joy", None, None, None]  # and so does that no emotion is
    rows.to_csv(tmp_path / "votes.csv", index=False)
    assert load(spec)["emotion"].fillna("").tolist() == ["happiness", "", "", ""]
    rows.drop(columns="emotion").to_csv(tmp_path / "votes.csv", index=False)
    assert load(spec)["emotion"].fillna("").tolist() == ["sadness", "fear", "", ""]
    assert load(spec, {"fear": "other"})["emotion"].fillna("").tolist() == [
        "sadness",
        "other",
        "",
        "",
    ]
    assert load(spec, labels=False)["emotion"].isna().all()
    cast = Protocol(
        (spec,), (spec,), labels=("sadness", "other"), map={"Fear": "other"}, split="speakers"
    ).load()
    assert cast.target["emotion"].tolist() == ["sadness", "other"]
    assert not [note for note in cast.notes if note.startswith("map")]


def test_the_hash_of_a_protocol_covers_the_votes_for_its_classes(tmp_path):
    write_corpus(tmp_path, "mine", speakers=4)
    rows = pd.read_csv(tmp_path / "manifest.csv")
    source = write_corpus(tmp_path / "source", "source")

    def hashed(**votes):
        votes = {f"votes.{name}": count for name, count in votes.items()}
        rows.assign(**votes).to_csv(tmp_path / "votes.csv", index=False)
        return Protocol((source,), (f"manifest:{tmp_path / 'votes.csv'}",)).load().hash

    bare, first = hashed(), hashed(anger=1, sadness=2)
    assert first not in (bare, hashed(anger=2, sadness=1))
    assert hashed(sadness=2, anger=1, fear=3) == first  # fear is no class
    assert hashed(fear=3) == hashed(anger=0) == hashed(anger=None) == bare


@pytest.mark.parametrize("column", ["EmoClass_Major", "EmoDetail"])
def test_msp_podcast_counts_its_annotators(write, column):
    root = write("Audios/MSP-PODCAST_0001_0008.wav", "Audios/MSP-PODCAST_0001_0009.wav")
    (root / "Labels").mkdir()
    (root / "Labels" / "labels_consensus.csv").write_text(
        "FileName,EmoClass\nMSP-PODCAST_0001_0008.wav,N\nMSP-PODCAST_0001_0009.wav,A\n"
    )
    chosen = ["Neutral", "Neutral", "Happy", "Other-annoyed"]
    cells = [
        f"WORKER0{i}; {c}; {c}; A:2.0" if column == "EmoDetail" else c for i, c in enumerate(chosen)
    ]
    lines = "".join(f"MSP-PODCAST_0001_0008.wav,{cell}\n" for cell in cells)
    (root / "Labels" / "labels_detailed.csv").write_text(f"FileName,{column}\n{lines}")
    manifest = load(f"msp-podcast:{root}")
    found = votes_of(manifest, ["neutral", "happiness", "other", "anger"])
    assert found.tolist() == [[2, 1, 1, 0], [0, 0, 0, 0]]


def test_kl_and_soft_accuracy_by_a_loop():
    rng = np.random.default_rng(0)
    votes = rng.integers(0, 4, (12, 3)).astype(float)
    votes[3] = 0
    p = rng.dirichlet(np.ones(3), 12)
    table = pd.DataFrame({"seed": 0, "utterance": range(12), "speaker": list("abc") * 4})
    for k, name in enumerate("xyz"):
        table[f"p_{name}"], table[f"votes.{name}"] = p[:, k], votes[:, k]
    sums = vote_sums(table, list("xyz")).counts.sum(1)
    kl, overlap = [], []
    for v, row in zip(votes, p, strict=True):
        if v.sum():
            q = v / v.sum()
            kl.append(sum(a * np.log(a / b) for a, b in zip(q, row, strict=True) if a))
            overlap.append(1 - 0.5 * np.abs(q - row).sum())
    assert kl_divergence(sums) == pytest.approx(np.mean(kl))
    assert soft_accuracy(sums) == pytest.approx(np.mean(overlap))
    assert vote_sums(table.drop(columns=[f"votes.{c}" for c in "xyz"]), list("xyz")) is None


def test_soft_labels_beat_hard_ones_in_kl_on_simulated_annotators():
    """Five annotators each choose by the same probabilities, a softmax of a linear map; both learn such a map."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    truth = torch.tensor(rng.standard_normal((4, 6)))
    x = torch.tensor(rng.standard_normal((1200, 6)))
    shares = (x @ truth.T).softmax(1).numpy()
    votes = torch.tensor(
        rng.multinomial(5, shares / shares.sum(1, keepdims=True)), dtype=torch.float64
    )
    majority = torch.nn.functional.one_hot(votes.argmax(1), 4).double()
    found = {}
    for name, targets in (("soft", votes), ("hard", majority)):
        weight = torch.zeros(4, 6, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight], max_iter=200)

        def closure(targets=targets, weight=weight, optimiser=optimiser):
            optimiser.zero_grad()
            loss = soft_cross_entropy(x[:600] @ weight.T, targets[:600])
            loss.backward()
            return loss

        optimiser.step(closure)
        p = (x[600:] @ weight.detach().T).softmax(1).numpy()
        found[name] = agreement_with_votes(votes[600:].numpy(), p)[:, 0].mean()
    assert found["soft"] < found["hard"]


def test_shares_stand_in_for_the_emotion_where_nobody_voted():
    votes = torch.tensor([[3.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    found = vote_shares(votes, torch.tensor([0, 1, -1]))
    assert found.tolist() == [[0.75, 0.25], [0, 1], [0, 0]]
