"""Standards found and applied in parts, beside what plain loops make of all features at once."""

import pandas as pd
import pytest
import torch

from cleser.alignment import Alignment
from cleser.corpora.registry import load
from cleser.features import LexicalContent, standards, store_features, stored
from cleser.features.normalisation import Shrinkage
from cleser.features.standards import Standards, measure
from cleser.features.stored import StoredFeatures
from cleser.speech import AcousticBackbone
from tests.corpora.trees import write_corpus
from tests.features.loops import moments, standardised, standardised_by


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two corpora, aligned but for some utterances, their features in a store, and all of them in memory."""
    root = tmp_path_factory.mktemp("standards")
    rows = pd.concat(
        [load(write_corpus(root / name, name, seed=i)) for i, name in enumerate("ab")],
        ignore_index=True,
    )
    spoken = [
        Alignment([0.0, 0.06, 0.2], [0.06, 0.2, 0.4], "pai" if i % 2 else "tia") if i % 5 else None
        for i in range(len(rows))
    ]
    found = store_features(rows, AcousticBackbone(), alignments=spoken, cache=root / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "BLOCK", 5)  # groups and phonemes then come in several parts
        yield rows, found, found.take(range(len(rows)))


def everything(found: StoredFeatures, by: Standards):
    at = torch.arange(len(found))
    return by.apply(found.take(at), at)


def close(found, expected):
    # Sums of some tens in float32 of values up to the clamp.
    for name in ("tokens", "summaries"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), atol=2e-3, rtol=1e-3
        )


@pytest.mark.parametrize("lexical", [False, True])
@pytest.mark.parametrize("by", ["speaker", "corpus", "shrunk", "reference", "own", "utterance"])
def test_parts_give_what_all_at_once_gives(by, lexical, corpus):
    rows, found, raw = corpus
    if lexical:
        content = LexicalContent()
        content.add(raw, rows)
        raw = content.remove(raw, rows)
    names = rows["corpus"] if by == "corpus" else rows["speaker"]
    groups = names if by in ("speaker", "corpus", "shrunk") else None
    other = moments(raw.pick(torch.arange(7)))
    reference = other if by in ("reference", "utterance") else None
    shrinkage = Shrinkage(names, rows["corpus"], distrusted=names[:1]) if by == "shrunk" else None
    standards_, typical = measure(
        found, rows, groups, lexical=lexical, per_utterance=by == "utterance", reference=reference,
        shrinkage=shrinkage,
    )  # fmt: skip
    if groups is None:
        shared = reference or moments(raw)
        expected = standardised_by(raw, shared, alone=by == "utterance")
    else:
        corpora = rows["corpus"].tolist() if by == "shrunk" else None
        expected = standardised(raw, groups.tolist(), corpora, distrusted=groups[:1].tolist())
    close(everything(found, standards_), expected)
    for one, two in zip(typical, moments(raw, groups), strict=True):
        torch.testing.assert_close(one.float(), two.float(), atol=1e-3, rtol=1e-3)


def test_summaries_alone_are_those_beside_tokens(corpus):
    rows, found, _ = corpus
    by, _ = measure(found, rows, rows["speaker"], lexical=True)
    at = torch.tensor([3, 0, 17])
    alone = by.apply(found.take(at), at, tokens=False)
    assert torch.equal(alone.summaries, by.apply(found.take(at), at).summaries)
    assert len(alone.tokens) == 0
    assert alone.offsets.tolist() == [0, 0, 0, 0]


def test_joined_standards_are_each_part_s_own(corpus):
    rows, found, _ = corpus
    halves = [torch.arange(10), torch.arange(10, len(found))]
    views = [
        StoredFeatures(
            found.store,
            [found.utterances[i] for i in half],
            [found.keys[i] for i in half],
            half.tolist(),
        )
        for half in halves
    ]
    own = [
        measure(
            view, rows.iloc[half].reset_index(drop=True), rows["speaker"].iloc[half], lexical=True
        )[0]
        for view, half in zip(views, halves, strict=True)
    ]
    both, by = StoredFeatures.join(views), standards.Standards.join(own)
    order = torch.tensor([12, 3, len(found) - 1, 9, 10])
    joined = by.apply(both.take(order), order)
    for place, position in enumerate(order.tolist()):
        part = int(position >= 10)
        at = torch.tensor([position - 10 * part])
        alone = own[part].apply(views[part].take(at), at)
        begin, end = joined.offsets[place : place + 2].tolist()
        assert torch.equal(joined.tokens[begin:end], alone.tokens)
        assert torch.equal(joined.summaries[place], alone.summaries[0])


def test_without_tokens_the_summaries_have_their_statistics(corpus, tmp_path):
    rows, _, _ = corpus
    found = store_features(rows, AcousticBackbone(), record=stored.Record("none"), cache=tmp_path)
    by, typical = measure(found, rows, rows["speaker"], lexical=False)
    for values in everything(found, by).summaries, *typical:
        assert values.isfinite().all()
