r"""Who is positive, negative or neighbour to whom, said once for losses, samplers, graphs and analyses.

A relation is a statement about a pair of items, built from their labels:

>>> positive = same("emotion", "community") & differ("language")
>>> positive
same('emotion', 'community') & differ('language')
>>> labels = {"emotion": [0, 0, 1, -1], "community": [5, 5, 5, 5], "language": [0, 1, 1, 1]}
>>> positive.mask(labels)
array([[False,  True, False, False],
       [ True, False, False, False],
       [False, False, False, False],
       [False, False, False, False]])

A label of −1 is unknown, and unknown is neither the same nor different. Statements therefore take one of three values
and compose as in Kleene's strong logic (S. C. Kleene, *Introduction to Metamathematics*, 1952, §64): a compound
is unknown only where its value depends on the unknown side.

======= ======= ======= ======= ====
a       b       a & b   a \| b  ~a
======= ======= ======= ======= ====
true    true    true    true    false
true    unknown unknown true    false
true    false   false   true    false
unknown unknown unknown unknown unknown
unknown false   false   unknown unknown
false   false   false   false   true
======= ======= ======= ======= ====

A mask holds where the value is *true*; hence ``~same("emotion")`` does not hold for a pair with an unknown emotion.
"""

from __future__ import annotations

import functools
import itertools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cleser.tracing import transformed

Array = npt.NDArray[Any]
Labels = Mapping[str, Any]
"""Name → 1-D integers [N]; −1 is unknown. A dictionary or a DataFrame, whose columns may be lists, arrays, Series or
tensors, of any kind of integers or bools, on any device, and need not be alike."""

_Pair = Callable[[str], tuple[Any, Any]]
"""Name → the labels of the left items as a column and of the right items as a row."""


class Relation(ABC):
    """A statement about a pair of items. Made by `same` and `differ`, composed by ``&``, ``|`` and ``~``.

    Relations are immutable, comparable and hashable, print as the code that makes them, and are all symmetric.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that the relation reads, each once, in order of appearance."""
        return tuple(dict.fromkeys(self._read()))

    @abstractmethod
    def _read(self) -> Iterator[str]:
        """The labels that the relation reads."""

    @abstractmethod
    def _where(self, pair: _Pair, value: bool) -> Any:
        """Where the statement certainly has this value, bool [N, M]."""

    def mask(
        self, labels: Labels, ref_labels: Labels | None = None, *, rows: slice | None = None
    ) -> Any:
        """Where the relation holds, that is, where it is true.

        Args:
            labels: Name → integers [N].
            ref_labels: Name → integers [M] of the items to pair with; by default the same items, none paired
                with itself.
            rows: The items of the N whose rows are wanted, so that large masks can be had block by block.

        Returns:
            bool [N, M], or [N, N] without ``ref_labels``, or fewer rows: an array, or a tensor where any label is a
            tensor, on the device of the first that is.

        Raises:
            ValueError: Labels have no names, a label is missing, is not of integers, is not 1-D, or differs in
                length from the others.

        >>> differ("speaker").mask({"speaker": [1, 2]}, {"speaker": [1, 2, -1]})
        array([[False,  True, False],
               [ True, False, False]])
        """
        pair, start = _pairs(self.names, labels, ref_labels, rows)
        mask = self._where(pair, True)
        if ref_labels is None:
            _clear_diagonal(mask, start)
        return mask

    def truth(self, labels: Labels, ref_labels: Labels | None = None) -> Any:
        """The statement's value for each pair, int8 [N, M]: 1 true, 0 false, −1 unknown, an item with itself included.

        Args:
            labels: Labels [N] by name, −1 where unknown.
            ref_labels: Those of the items to compare with [M]; the same items by default.

        >>> (~same("emotion")).truth({"emotion": [0]}, {"emotion": [0, 1, -1]})
        array([[ 0,  1, -1]], dtype=int8)
        """
        pair, _ = _pairs(self.names, labels, ref_labels, None)
        true, false = self._where(pair, True), self._where(pair, False)
        if isinstance(true, Tensor):
            return true.to(torch.int8) - (~(true | false)).to(torch.int8)
        return true.astype(np.int8) - (~(true | false)).astype(np.int8)

    def can_hold(self) -> bool:
        """Whether any labels at all can make the statement true.

        >>> (same("emotion") & differ("emotion", "speaker")).can_hold()
        False
        """
        if torch.compiler.is_compiling():
            return self._can_hold()  # a compiler sees through no cache, and asks once
        return _can_hold(self)

    def _can_hold(self) -> bool:
        # An item of label 0 meets one of the same, one of another and one of unknown label, in every combination.
        for values in itertools.product((0, 1, -1), repeat=len(self.names)):
            other = dict(zip(self.names, values, strict=True))
            if self._where(lambda name, other=other: (0, other[name]), True):  # type: ignore[misc]
                return True
        return False

    @property
    def shared(self) -> tuple[str, ...]:
        """The labels that must be known and the same for the statement to be true, in order of appearance.

        >>> (same("emotion") & (same("text") | differ("speaker"))).shared
        ('emotion',)
        """
        values = list(itertools.product((0, 1, -1), repeat=len(self.names)))
        true = [dict(zip(self.names, v, strict=True)) for v in values]
        true = [other for other in true if self._where(lambda name, o=other: (0, o[name]), True)]  # type: ignore[misc]
        return tuple(name for name in self.names if all(other[name] == 0 for other in true))

    def __and__(self, other: Relation) -> Relation:
        return And(_parts(And, self, other)) if isinstance(other, Relation) else NotImplemented

    def __or__(self, other: Relation) -> Relation:
        return Or(_parts(Or, self, other)) if isinstance(other, Relation) else NotImplemented

    def __invert__(self) -> Relation:
        return self.part if isinstance(self, Not) else Not(self)

    def __bool__(self) -> bool:
        raise TypeError("a relation has no truth value of its own: compose with &, | and ~")


@dataclass(frozen=True, repr=False)
class Same(Relation):
    """The pair has the same label of each name."""

    of: tuple[str, ...]

    def _read(self) -> Iterator[str]:
        return iter(self.of)

    def _where(self, pair: _Pair, value: bool) -> Any:
        if value:
            return _all(_equal(*pair(name)) for name in self.of)
        return _any(_unequal(*pair(name)) for name in self.of)

    def __repr__(self) -> str:
        return f"same({', '.join(map(repr, self.of))})"


@dataclass(frozen=True, repr=False)
class Differ(Relation):
    """The pair has different labels of each name."""

    of: tuple[str, ...]

    def _read(self) -> Iterator[str]:
        return iter(self.of)

    def _where(self, pair: _Pair, value: bool) -> Any:
        if value:
            return _all(_unequal(*pair(name)) for name in self.of)
        return _any(_equal(*pair(name)) for name in self.of)

    def __repr__(self) -> str:
        return f"differ({', '.join(map(repr, self.of))})"


@dataclass(frozen=True, repr=False)
class And(Relation):
    """Every part holds."""

    parts: tuple[Relation, ...]

    def _read(self) -> Iterator[str]:
        return (name for part in self.parts for name in part._read())

    def _where(self, pair: _Pair, value: bool) -> Any:
        values = (part._where(pair, value) for part in self.parts)
        return _all(values) if value else _any(values)

    def __repr__(self) -> str:
        return " & ".join(f"({p})" if isinstance(p, Or) else repr(p) for p in self.parts)


@dataclass(frozen=True, repr=False)
class Or(Relation):
    """At least one part holds."""

    parts: tuple[Relation, ...]

    def _read(self) -> Iterator[str]:
        return (name for part in self.parts for name in part._read())

    def _where(self, pair: _Pair, value: bool) -> Any:
        values = (part._where(pair, value) for part in self.parts)
        return _any(values) if value else _all(values)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts))


@dataclass(frozen=True, repr=False)
class Not(Relation):
    """The part is false."""

    part: Relation

    def _read(self) -> Iterator[str]:
        return self.part._read()

    def _where(self, pair: _Pair, value: bool) -> Any:
        return self.part._where(pair, not value)

    def __repr__(self) -> str:
        return f"~({self.part})" if isinstance(self.part, And | Or) else f"~{self.part}"


@functools.lru_cache(maxsize=1024)
def _can_hold(relation: Relation) -> bool:
    """Whether the relation can hold at all; remembered, since losses ask at every step."""
    return relation._can_hold()


def same(*names: str) -> Relation:
    """The pair has the same label of each name; false as soon as one is known to differ.

    Args:
        names: Names of labels, such as ``"emotion"``.

    Raises:
        ValueError: No name is given, or something else than names.

    >>> same("emotion").mask({"emotion": [0, 0, 1]}).astype(int)  # no item with itself
    array([[0, 1, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """
    return Same(_checked(names, "same"))


def differ(*names: str) -> Relation:
    """The pair has different labels of each name; false as soon as one is known to be the same.

    ``differ("a", "b")`` is therefore stronger than ``~same("a", "b")``, which holds as soon as one of them differs.

    Args:
        names: Names of labels, such as ``"language"``.

    Raises:
        ValueError: No name is given, or something else than names.

    >>> differ("language").mask({"language": [0, 1, -1]}).astype(int)  # −1 is unknown
    array([[0, 1, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """
    return Differ(_checked(names, "differ"))


def _checked(names: tuple[str, ...], function: str) -> tuple[str, ...]:
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{function} expects names of labels, found {names}")
    return tuple(dict.fromkeys(names))


def _parts(kind: type[And] | type[Or], *relations: Relation) -> tuple[Relation, ...]:
    """Chains of one operator are flat, since both are associative: a & (b & c) is a & b & c."""
    return tuple(part for r in relations for part in (r.parts if isinstance(r, kind) else (r,)))


def _equal(left: Any, right: Any) -> Any:
    return (left == right) & (right >= 0)  # what equals a known label is known


def _unequal(left: Any, right: Any) -> Any:
    mask, known = (left != right) & (right >= 0), left >= 0
    if isinstance(mask, Tensor) and not transformed():
        # Run eagerly, PyTorch vectorises "and" with a column for bytes, not for bools: 20 times faster.
        mask, known = mask.view(torch.uint8), known.view(torch.uint8)
        return (mask & known).view(torch.bool)
    return mask & known


def _all(masks: Iterator[Any]) -> Any:
    return functools.reduce(operator.and_ if transformed() else operator.iand, masks)


def _any(masks: Iterator[Any]) -> Any:
    return functools.reduce(operator.or_ if transformed() else operator.ior, masks)


def _pairs(
    names: tuple[str, ...], labels: Labels, ref_labels: Labels | None, rows: slice | None
) -> tuple[_Pair, int]:
    """Access to the labels of each pair, and the first row's number."""
    left = integers(names, labels, "labels")
    right = left if ref_labels is None else integers(names, ref_labels, "ref_labels")
    tensors = [v for side in (left, right) for v in side.values() if isinstance(v, Tensor)]
    if tensors:
        device = tensors[0].device
        left, right = (
            {name: torch.as_tensor(v, device=device) for name, v in side.items()}
            for side in (left, right)
        )
    start = 0
    if rows is not None:
        size = len(left[names[0]])
        start, stop = rows.start or 0, size if rows.stop is None else rows.stop
        if rows.step not in (None, 1) or not 0 <= start <= stop <= size:
            raise ValueError(f"rows is {rows}, expected a slice of step 1 within {size} items")
        left = {name: values[start:stop] for name, values in left.items()}
    return lambda name: (left[name][:, None], right[name][None, :]), start


def integers(names: tuple[str, ...], labels: Labels, argument: str) -> dict[str, Any]:
    """The named labels as tensors or arrays of signed integers, after checks.

    Raises:
        ValueError: What `Relation.mask` refuses.
    """
    if not isinstance(labels, Mapping) and not hasattr(labels, "columns"):
        raise ValueError(
            f"{argument} is a {type(labels).__name__} without names, expected one for each of {list(names)}: "
            f"write {argument}={{{names[0]!r}: ...}}"
        )
    result: dict[str, Any] = {}
    for name in names:
        if name not in labels:
            raise ValueError(f"{argument} has no {name!r}; there are {sorted(map(str, labels))}")
        result[name] = integer_column(labels[name], f"{argument}[{name!r}]")
    first = len(result[names[0]])
    if any(len(values) != first for values in result.values()):
        lengths = {name: len(values) for name, values in result.items()}
        raise ValueError(f"{argument} differ in length: {lengths}")
    return result


def integer_column(values: Any, argument: str) -> Any:
    """One label of each item [N] as a tensor or an array of signed integers.

    Raises:
        ValueError: It is not 1-D, or not of integers; the message says how to make it so.
    """
    if isinstance(values, Mapping):
        raise ValueError(
            f"{argument} has the names {sorted(map(str, values))}, expected the integers of one: "
            "write labels['speaker'], or whichever it is"
        )
    if not isinstance(values, Tensor):
        values = np.asarray(values)
    if values.ndim != 1:
        shape = tuple(values.shape)
        raise ValueError(f"{argument} has shape {shape}, expected one dimension")
    if isinstance(values, Tensor):
        if values.is_floating_point() or values.is_complex():
            raise ValueError(
                f"{argument} is of {values.dtype}, expected integers: write values.long(), with −1 for NaN"
            )
        if values.dtype in _SIGNED:
            return values
        signed, wraps = values.long(), values.dtype == torch.uint64
    else:
        if values.dtype.kind not in "iub" and len(values):
            raise ValueError(
                f"{argument} is of {values.dtype}, expected integers: {_remedy(values)}"
            )
        # A copy where memory is read-only, as of a Series, for PyTorch warns of it.
        # And no tensor is of an array that runs backwards.
        copied = values.dtype.kind != "i" or not values.flags.writeable
        signed = values.astype(np.int64, order="C", copy=copied)
        wraps = values.dtype == np.uint64
    if wraps and (signed < 0).any():
        raise ValueError(f"{argument} has values of 2⁶³ and more, expected int64")
    return signed


_SIGNED = (torch.int64, torch.int32, torch.int16, torch.int8)


def _remedy(values: Array) -> str:
    """How to make integers of an array."""
    if values.dtype.kind == "f":
        return "write values.astype(int), with −1 for NaN"
    if not any(isinstance(v, str) for v in values.tolist()):
        return "write series.fillna(-1).astype(int)"
    return "pandas.factorize(values)[0] numbers them, with −1 for what is missing"


def checked_relation(relation: Any, argument: str) -> None:
    """Refuse what is not a relation, with a ValueError."""
    if not isinstance(relation, Relation):
        raise ValueError(f"{argument} is {relation!r}, expected a relation such as same('emotion')")


def _clear_diagonal(mask: Any, start: int) -> None:
    if isinstance(mask, Tensor):
        mask.diagonal(start).fill_(False)
    else:
        items = np.arange(len(mask))
        mask[items, start + items] = False
