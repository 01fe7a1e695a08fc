"""Labels as people hold them mean the same to relations, losses, samplers, graphs, adversaries and banks."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.anchors import AnchorBank, AnchorBatchSampler, HierarchicalBatchSampler
from cleser.graphs import cosine_knn
from cleser.losses import (
    CrossLingualSupCon,
    DualSpaceTriplet,
    RelationalTripletLoss,
    RelationMiner,
    SpeakerAdversary,
)
from cleser.relations import differ, same

EMOTION = [0, 0, 1, 1, 0, 1, 2, 2]
LANGUAGE = [0, 1, 0, 1, 0, 1, 0, 1]
POSITIVE, NEGATIVE = same("emotion") & differ("language"), differ("emotion")
X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))

BOTH = {"emotion": EMOTION, "language": LANGUAGE}
KINDS = {
    "lists": BOTH,
    "tuples": {name: tuple(v) for name, v in BOTH.items()},
    "lists of tensors": {name: [torch.tensor(i) for i in v] for name, v in BOTH.items()},
    **{
        str(dtype): {name: torch.tensor(v, dtype=dtype) for name, v in BOTH.items()}
        for dtype in (torch.uint8, torch.int8, torch.int32, torch.int64, torch.uint16)
    },
    **{
        f"numpy {dtype}": {name: np.array(v, dtype=dtype) for name, v in BOTH.items()}
        for dtype in ("uint8", "int16", "int32", "uint64", ">i4")
    },
    "bool": {"emotion": EMOTION, "language": torch.tensor(LANGUAGE).bool()},
    "numpy bool": {"emotion": EMOTION, "language": np.array(LANGUAGE, dtype=bool)},
    "columns": {name: pd.Series(v, index=range(10, 18)) for name, v in BOTH.items()},
    "nullable columns": {name: pd.Series(v, dtype="Int64") for name, v in BOTH.items()},
    "codes of a category": {
        "emotion": pd.Categorical(np.array(["a", "b", "c"])[EMOTION]).codes,
        "language": LANGUAGE,
    },
    "frame": pd.DataFrame(BOTH | {"path": "x.wav"}),
    "mixed": {"emotion": torch.tensor(EMOTION, dtype=torch.int32), "language": pd.Series(LANGUAGE)},
    "mixed the other way": {"emotion": np.array(EMOTION), "language": torch.tensor(LANGUAGE)},
    "read-only": {name: np.broadcast_to(np.array(v), (1, 8))[0] for name, v in BOTH.items()},
}


def adversary():
    torch.manual_seed(0)
    return SpeakerAdversary(4, 3, dropout=0.0)


def bank(labels):
    found = AnchorBank(4, {"emotion": 3, "language": 2})
    found.update(X, labels)
    return found.prototypes()[0]


USES = {
    "mask": POSITIVE.mask,
    "mask beside references": lambda labels: POSITIVE.mask(labels, BOTH),
    "references": lambda labels: POSITIVE.mask(BOTH, labels),
    "truth": (~POSITIVE).truth,
    "supcon": lambda labels: CrossLingualSupCon()(X, labels),
    "supcon, references": lambda labels: CrossLingualSupCon()(X, BOTH, X + 1, labels),
    "triplet": lambda labels: RelationalTripletLoss(POSITIVE, NEGATIVE)(X, labels),
    "dual space": lambda labels: DualSpaceTriplet(
        RelationalTripletLoss(POSITIVE, NEGATIVE), phoneme_weight=0
    )(X, labels),
    "miner": lambda labels: torch.stack(RelationMiner(POSITIVE, NEGATIVE, "hard")(X, labels)),
    "adversary": lambda labels: adversary()(X, labels["emotion"]),
    "bank": bank,
    "graph": lambda labels: cosine_knn(X, 2, where=POSITIVE, labels=labels).toarray(),
    "hierarchical": lambda labels: list(
        HierarchicalBatchSampler(labels, {"language": 2, "emotion": 2}, 1)
    ),
    "anchors": lambda labels: list(
        AnchorBatchSampler(labels, POSITIVE, NEGATIVE, batch_size=4, anchors=None)
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_integers_means_the_same(kind, use):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = USES[use](KINDS[kind])
    expected = USES[use]({name: torch.tensor(v) for name, v in BOTH.items()})
    np.testing.assert_array_equal(plain(found), plain(expected))


def plain(found):
    return found.detach().cpu().numpy() if isinstance(found, torch.Tensor) else np.array(found)


WRONG = {
    "floats": ([0.0, 1.0] * 4, r"is of float64, expected integers: write values.astype\(int\)"),
    "floats of torch": (
        torch.zeros(8),
        r"is of torch.float32, expected integers: write values.long",
    ),
    "missing": ([0, None] * 4, r"expected integers: write series.fillna\(-1\).astype\(int\)"),
    "missing in a column": (pd.Series([0, None] * 4, dtype="Int64"), r"fillna\(-1\)|astype\(int\)"),
    "strings": (["anger", "fear"] * 4, r"expected integers: pandas.factorize\(values\)\[0\]"),
    "a column of strings": (pd.Series(["anger", None] * 4), r"pandas.factorize\(values\)\[0\]"),
    "a category": (pd.Series(["anger", "fear"] * 4, dtype="category"), r"pandas.factorize"),
    "two dimensions": (np.zeros((8, 1), dtype=int), r"has shape \(8, 1\), expected one dimension"),
    "huge": (np.full(8, 2**63, dtype=np.uint64), "2⁶³ and more"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_integer_is_refused_with_the_remedy(kind, use):
    values, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        USES[use]({"emotion": values, "language": LANGUAGE})


def test_the_remedies_work():
    assert same("e").mask({"e": pd.factorize(pd.Series(["a", None, "a"]))[0]}).sum() == 2
    missing = pd.Series([0, None, 0], dtype="Int64")
    assert same("e").mask({"e": missing.fillna(-1).astype(int)}).sum() == 2


@pytest.mark.parametrize("use", set(USES) - {"adversary"})
@pytest.mark.parametrize(
    "bare", [torch.tensor(EMOTION), np.array(EMOTION), EMOTION, pd.Series(EMOTION)], ids=type
)
def test_bare_labels_are_refused_with_what_to_write(use, bare):
    with pytest.raises(
        ValueError, match=r"write .*{'emotion': \.\.\.}|write .*{'language': \.\.\.}"
    ):
        USES[use](bare)


def test_an_adversary_wants_one_label_and_says_so():
    with pytest.raises(
        ValueError, match=r"labels has the names \['emotion', 'language'\].*write labels\["
    ):
        adversary()(X, BOTH)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("use", USES)
def test_labels_may_be_on_another_device(use):
    labels = {"emotion": torch.tensor(EMOTION, device="cuda"), "language": LANGUAGE}
    found, expected = USES[use](labels), USES[use](BOTH)
    np.testing.assert_array_equal(plain(found), plain(expected))
