"""Relations against a three-valued interpreter written out pair by pair."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.relations import And, Differ, Not, Or, Same, differ, same

NAMES = ("emotion", "language", "speaker")
TRUE, FALSE, UNKNOWN = 1, 0, -1


def conjunction(values):
    return FALSE if FALSE in values else UNKNOWN if UNKNOWN in values else TRUE


def negation(value):
    return {TRUE: FALSE, FALSE: TRUE, UNKNOWN: UNKNOWN}[value]


def disjunction(values):
    return negation(conjunction([negation(v) for v in values]))


def value_of(relation, left, right):
    """Kleene's value of a relation for one pair, from the definition."""

    def equal(name):
        a, b = left[name], right[name]
        return UNKNOWN if a < 0 or b < 0 else int(a == b)

    match relation:
        case Same(names):
            return conjunction([equal(n) for n in names])
        case Differ(names):
            return conjunction([negation(equal(n)) for n in names])
        case And(parts):
            return conjunction([value_of(p, left, right) for p in parts])
        case Or(parts):
            return disjunction([value_of(p, left, right) for p in parts])
        case Not(part):
            return negation(value_of(part, left, right))


def item(labels, i):
    return {name: int(values[i]) for name, values in labels.items()}


atoms = st.builds(
    lambda make, names: make(*names),
    st.sampled_from([same, differ]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
)
relations = st.recursive(
    atoms,
    lambda inner: (
        st.tuples(inner, inner).map(lambda ab: ab[0] & ab[1])
        | st.tuples(inner, inner).map(lambda ab: ab[0] | ab[1])
        | inner.map(lambda a: ~a)
    ),
    max_leaves=6,
)


@st.composite
def label_sets(draw, max_size=6):
    size = draw(st.integers(0, max_size))
    column = st.lists(st.integers(-1, 2), min_size=size, max_size=size)
    return {name: np.array(draw(column), dtype=np.int64) for name in NAMES}


@settings(max_examples=1500, deadline=None)
@given(relations, label_sets(), label_sets())
def test_masks_and_truth_equal_the_interpreter(relation, labels, ref_labels):
    expected = np.array(
        [
            [value_of(relation, item(labels, i), item(ref_labels, j)) for j in range(len(ref_labels["emotion"]))]
            for i in range(len(labels["emotion"]))
        ]
    ).reshape(len(labels["emotion"]), len(ref_labels["emotion"]))  # fmt: skip
    np.testing.assert_array_equal(relation.truth(labels, ref_labels), expected)
    np.testing.assert_array_equal(relation.mask(labels, ref_labels), expected == TRUE)

    tensors = [{n: torch.from_numpy(v) for n, v in side.items()} for side in (labels, ref_labels)]
    assert relation.truth(*tensors).tolist() == expected.tolist()
    assert relation.mask(*tensors).tolist() == (expected == TRUE).tolist()


@settings(max_examples=500, deadline=None)
@given(relations, label_sets(), st.data())
def test_no_item_is_paired_with_itself_and_blocks_make_up_the_whole(relation, labels, data):
    size = len(labels["emotion"])
    whole = relation.mask(labels)
    paired = relation.mask(labels, labels)
    np.fill_diagonal(paired, False)
    np.testing.assert_array_equal(whole, paired)
    np.testing.assert_array_equal(whole, whole.T)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    np.testing.assert_array_equal(relation.mask(labels, rows=slice(start, stop)), whole[start:stop])


@settings(max_examples=500, deadline=None)
@given(relations)
def test_repr_is_the_code(relation):
    assert eval(repr(relation)) == relation
    assert hash(eval(repr(relation))) == hash(relation)


def test_repr_has_no_needless_parentheses():
    a, b, c = same("a"), differ("b"), same("c", "d")
    assert repr((a & b) & c) == "same('a') & differ('b') & same('c', 'd')"
    assert repr(a | (b & c)) == "same('a') | differ('b') & same('c', 'd')"
    assert repr((a | b) & ~c) == "(same('a') | differ('b')) & ~same('c', 'd')"
    assert repr(~(a & b)) == "~(same('a') & differ('b'))"
    assert ~~a is a


# The tables as written in the module, in full.
KLEENE_AND = {
    (TRUE, TRUE): TRUE, (TRUE, UNKNOWN): UNKNOWN, (TRUE, FALSE): FALSE,
    (UNKNOWN, TRUE): UNKNOWN, (UNKNOWN, UNKNOWN): UNKNOWN, (UNKNOWN, FALSE): FALSE,
    (FALSE, TRUE): FALSE, (FALSE, UNKNOWN): FALSE, (FALSE, FALSE): FALSE,
}  # fmt: skip
LABEL = {TRUE: 0, FALSE: 1, UNKNOWN: -1}  # what makes same() of it and 0 take this value


@pytest.mark.parametrize(("a", "b"), [*KLEENE_AND])
def test_truth_tables(a, b):
    left, right = {"a": [0], "b": [0]}, {"a": [LABEL[a]], "b": [LABEL[b]]}
    x, y = same("a"), same("b")

    def truth(relation):
        return int(relation.truth(left, right)[0, 0])

    assert truth(x) == a
    assert truth(~x) == negation(a)
    assert truth(x & y) == truth(same("a", "b")) == KLEENE_AND[a, b]
    assert truth(x | y) == negation(KLEENE_AND[negation(a), negation(b)])
    assert truth(~(x & y)) == truth(~x | ~y)
    assert truth(differ("a", "b")) == truth(~x & ~y)


@settings(max_examples=300, deadline=None)
@given(relations)
def test_can_hold_tries_all_there_is(relation):
    sides = [dict(zip(NAMES, v, strict=True)) for v in itertools.product((0, 1, -1), repeat=3)]
    zero = dict.fromkeys(NAMES, 0)
    assert relation.can_hold() == any(value_of(relation, zero, side) == TRUE for side in sides)


def test_names_in_order_of_appearance():
    assert (same("b", "a") & ~differ("c", "a")).names == ("b", "a", "c")
    assert same("a", "a") == same("a")


def test_errors_name_what_was_found_and_what_was_expected():
    with pytest.raises(ValueError, match=r"labels has no 'emotion'; there are \['language'\]"):
        same("emotion").mask({"language": [0]})
    with pytest.raises(ValueError, match=r"ref_labels has no 'emotion'"):
        same("emotion").mask({"emotion": [0]}, {})
    with pytest.raises(ValueError, match=r"differ in length: {'a': 1, 'b': 2}"):
        same("a", "b").mask({"a": [0], "b": [0, 1]})
    with pytest.raises(ValueError, match=r"shape \(1, 1\), expected one dimension"):
        same("a").mask({"a": [[0]]})
    with pytest.raises(ValueError, match="float32, expected integers"):
        same("a").mask({"a": torch.zeros(2)})
    with pytest.raises(ValueError, match="same expects names"):
        same()
    with pytest.raises(TypeError, match="compose with &"):
        assert same("a") and same("b")
    with pytest.raises(TypeError):
        same("a") & True


def test_arrays_beside_tensors_give_tensors():
    mask = same("a").mask({"a": np.array([0, 1])}, {"a": torch.tensor([1])})
    assert isinstance(mask, torch.Tensor)
    assert mask.tolist() == [[False], [True]]


@pytest.mark.cuda
def test_masks_stay_on_their_device():
    assert same("a").mask({"a": torch.tensor([0, 0], device="cuda")}).device.type == "cuda"
