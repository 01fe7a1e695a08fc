"""The same people under two corpus names: what ids and voices say."""

import numpy as np
import pandas as pd
import pytest

from cleser.corpora.audit.people import alike_voices, shared_people


def people(corpora, takes=20):
    """A manifest with these speakers of each corpus."""
    rows = [
        {"corpus": corpus, "speaker": f"{corpus}/{name}"}
        for corpus, names in corpora.items()
        for name in names
        for _ in range(takes)
    ]
    return pd.DataFrame(rows)


def embed(manifest, seed=0, offset=0.0, noise=1.0):
    """A voice for each name without its corpus, takes that vary mostly in a few dimensions, and a channel."""
    rng = np.random.default_rng(seed)
    local = manifest["speaker"].str.split("/").str[1]
    voices = {name: rng.standard_normal(30) for name in sorted(set(local))}
    values = np.stack([voices[name] for name in local])
    scale = np.where(np.arange(30) < 5, 20.0, 0.3)  # emotions vary more than speakers
    values += noise * scale * rng.standard_normal(values.shape)
    channel = {corpus: offset * rng.standard_normal(30) for corpus in manifest["corpus"].unique()}
    return values + np.stack([channel[corpus] for corpus in manifest["corpus"]])


def test_ids_are_told_where_they_can_be_no_chance():
    manifest = people(
        {"a": ["01", "0011", "F01", "bartosz", "x123"], "b": ["01", "0011", "F01", "x123"]}
    )
    (note,) = shared_people(manifest)
    assert note == "a and b have speakers of the same name, who may be the same people: x123"
    assert shared_people(people({"a": ["anna"], "b": ["berta"]})) == []


def test_short_ids_count_where_voices_agree():
    manifest = people({"a": ["01", "02"], "b": ["01", "02"]})
    voices = pd.DataFrame({"speaker": ["a/01", "a/02"], "other_speaker": ["b/01", "b/01"]})
    same, alike = shared_people(manifest, voices)
    assert same.endswith("who may be the same people: 01")
    assert (
        alike
        == "2 pairs of speakers of different corpora sound alike: a/01 and b/01, a/02 and b/01"
    )


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_the_same_voices_are_found_through_a_channel(offset):
    names = [f"{i:02d}" for i in range(8)]
    manifest = people({"a": names, "b": names, "c": ["x1", "x2", "x3", "x4"]})
    found = alike_voices(manifest, embed(manifest, offset=offset))
    pairs = set(zip(found["speaker"], found["other_speaker"], strict=True))
    assert pairs == {(f"a/{name}", f"b/{name}") for name in names}
    assert (found["distance"] < 0.8 * found["least"]).all()


def test_other_people_are_seldom_found():
    """Of strangers in one room some two may be near: one pair of fifty at most."""
    manifest = people({"a": ["1", "2", "3", "4", "5"], "b": ["6", "7", "8", "9", "0"]})
    found = [alike_voices(manifest, embed(manifest, seed)) for seed in range(20)]
    assert sum(map(len, found)) <= 10


@pytest.mark.parametrize("speakers", [1, 3, 4])
def test_corpora_of_few_speakers_are_not_compared(speakers):
    """Less their mean, two speakers are each other's opposite, whoever they are."""
    manifest = people({"a": list("1234"), "b": list("1234"[:speakers])})
    assert len(alike_voices(manifest, embed(manifest))) == (4 if speakers == 4 else 0)


def test_distances_are_those_after_whitening():
    """Against plain loops: Mahalanobis distance under the shrunk covariance."""
    manifest = people({"a": list("1234"), "b": list("1234")})
    values = embed(manifest, noise=0.1)
    found = alike_voices(manifest, values).set_index("speaker")
    rest, voices = [], {}
    for name in manifest["speaker"].unique():
        own = values[manifest["speaker"] == name]
        voices[name] = own.mean(axis=0)
        rest += [row - voices[name] for row in own]
    covariance = np.mean([np.outer(row, row) for row in rest], axis=0)
    shrunk = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance))
    centre = {c: np.mean([v for n, v in voices.items() if n[0] == c], axis=0) for c in "ab"}
    between = (voices["a/2"] - centre["a"]) - (voices["b/2"] - centre["b"])
    expected = np.sqrt(between @ np.linalg.solve(shrunk, between))
    assert found.loc["a/2", "distance"] == pytest.approx(expected, rel=1e-9)
