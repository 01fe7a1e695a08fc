"""Selection of neighbours from blocks of approximate similarities, compiled by Numba and cached on disk.

A neighbour is one whole number, which orders by similarity and then by item (`cleser.graphs.neighbours.packing`).

A row keeps candidates in a buffer of a few times k entries. Similarities s̃ of a block are known up to the row's
slack ε, |s̃ − s| ≤ ε. Where τ̃ is the k-th largest s̃ so far, an item with s̃ < τ̃ − 2ε has k items before it for
certain: the row's threshold is therefore τ̃ − 2ε, and a block row is first scanned for anything above it, many
items an instruction. When the buffer is full, what lies below the new threshold is dropped. Where that
leaves little room (duplicates, or similarities closer than ε), the row turns exact: its entries, and
all that come later, get their exact similarities, of which exactly k need to be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from cleser.graphs.neighbours.packing import LAST

Function = TypeVar("Function", bound=Callable[..., Any])

_WORD = 8  # flags looked at in one
_SAMPLED = 16  # of as many values, one is in a sample
_LOWEST = float(np.finfo(np.float64).min)


def _compiled(function: Function) -> Function:
    return cast(Function, njit(cache=True, nogil=True)(function))


def _instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    return cast(Callable[..., Any], intrinsic(function))


@_instruction
def _widened(_: Any, value: types.Type) -> Any:
    """Float32 of a float32, or of a bfloat16's 16 bits."""

    def widen(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if signature.args[0] == types.float32:
            return arguments[0]
        bits = builder.shl(builder.zext(arguments[0], ir.IntType(32)), ir.IntType(32)(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), widen


@_instruction
def _bits(_: Any, value: types.Type) -> Any:
    """The bits of a float32 as int32."""

    def cast_bits(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(value), cast_bits


@_instruction
def _of_bits(_: Any, value: types.Type) -> Any:
    """The float32 of the bits in an int32."""

    def cast_back(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(value), cast_back


@_instruction
def _first_byte(_: Any, word: types.Type) -> Any:
    """The lowest byte of a word that is not zero, where bytes are 0 or 1."""

    def count(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.cttz(arguments[0], ir.IntType(1)(1))
        return builder.lshr(bits, ir.IntType(64)(3))

    return types.int64(word), count


@_compiled
def _pack(score: Any, item: Any) -> Any:
    bits = np.int64(_bits(np.float32(score)))
    if bits < 0:
        bits ^= LAST
    return (bits << 32) | np.int64(LAST - item)


@_compiled
def _score(key: Any) -> Any:
    bits = key >> 32
    if bits < 0:
        bits ^= LAST
    return _of_bits(np.int32(bits))


@_compiled
def _item(key: Any) -> Any:
    return LAST - (key & 0xFFFFFFFF)


@_compiled
def similarity(u: Any, v: Any) -> Any:
    """Float32 of the product of two rows in fixed point, int32 [D]: whole numbers add up alike in any order."""
    total = np.int64(0)
    for d in range(u.size):
        total += np.int64(u[d]) * np.int64(v[d])
    return np.float32(total) * np.float32(2.0**-60)  # one rounding: the factor is a power of two


@_compiled
def _kth_largest(values: Any, k: Any) -> Any:
    """The k-th largest, to which the k largest are brought before it (Hoare's FIND, 1961)."""
    low, high = 0, values.size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    return values[k - 1]


@_compiled
def _make_exact(units: Any, own: Any, buffer: Any) -> None:
    for n in range(buffer.size):
        item = _item(buffer[n])
        buffer[n] = _pack(similarity(units[own], units[item]), item)


@_compiled
def _make_room(units: Any, own: Any, k: Any, slack: Any, exact: Any, buffer: Any) -> Any:
    """Drop what cannot be a neighbour from a full buffer.

    Returns:
        Whether the row is exact now, the entries left and the new threshold.
    """
    kth = _kth_largest(buffer, k)
    if not exact:
        threshold, kept = _score(kth) - 2 * slack, k
        for n in range(k, buffer.size):
            if _score(buffer[n]) > threshold:
                buffer[kept] = buffer[n]
                kept += 1
        if 2 * kept <= buffer.size + k:
            return False, kept, threshold
        _make_exact(units, own, buffer[:kept])
        kth = _kth_largest(buffer[:kept], k)
    return True, k, _score(kth) - slack


@_compiled
def forbid(
    block: Any, nothing: Any, allowed: Any, row_runs: Any, column_runs: Any, diagonal: Any
) -> None:
    """Put −∞, which is ``nothing`` in the block's type, where pairs are not admissible.

    Args:
        block: Similarities, [A, B].
        nothing: −∞ in its type.
        allowed: Which runs of equal labels are admissible to each other, bool [P, Q].
        row_runs: Where the rows' runs begin and end, [P + 1].
        column_runs: Likewise of the columns, [Q + 1].
        diagonal: Whether rows and columns are the same items.
    """
    for p in range(allowed.shape[0]):
        for q in range(allowed.shape[1]):
            if not allowed[p, q]:
                for r in range(row_runs[p], row_runs[p + 1]):
                    block[r, column_runs[q] : column_runs[q + 1]] = nothing
    if diagonal:
        for r in range(block.shape[0]):
            block[r, r] = nothing


@_compiled
def _prime_rows(block: Any, shift: Any, shifts: Any, k: Any, slack: Any, threshold: Any) -> None:
    """Give rows that have no threshold one that k values reach: the k-th largest of the maxima of many stretches."""
    height, width = block.shape
    count = max(64, 4 * k)
    if width < 4 * count:
        return
    maxima = np.empty(count, np.float32)
    for r in range(height):
        if threshold[r] > -np.inf:
            continue
        maxima[:] = -np.inf
        for start in range(0, width - count + 1, count):
            values, shifted = block[r, start : start + count], shifts[start : start + count]
            for n in range(count):
                value = _widened(values[n]) + shifted[n]
                maxima[n] = value if value > maxima[n] else maxima[n]
        threshold[r] = _kth_largest(maxima, k) + shift[r] - 2 * slack[r]


@_compiled
def _prime_columns(block: Any, shift: Any, shifts: Any, k: Any, slack: Any, threshold: Any) -> None:
    """As `_prime_rows`, for columns."""
    height, width = block.shape
    count = max(64, 4 * k)
    if height < 4 * count or not np.any(threshold == -np.inf):
        return
    maxima = np.full((count, width), -np.inf, np.float32)
    for r in range(height):
        largest, values = maxima[r % count], block[r]
        for c in range(width):
            value = _widened(values[c]) + shift[r]
            largest[c] = value if value > largest[c] else largest[c]
    for c in range(width):
        if threshold[c] == -np.inf:
            threshold[c] = _kth_largest(maxima[:, c].copy(), k) + shifts[c] - 2 * slack[c]


@_compiled
def sift(
    block: Any, row: Any, column: Any, k: Any, units: Any, order: Any, shift: Any, slack: Any,
    threshold: Any, exact: Any, count: Any, buffer: Any,
) -> None:  # fmt: skip
    """Offer a block's pairs to the buffers of both items.

    Args:
        block: Approximate similarities of centred items, float32 or the bits of bfloat16, [A, B].
        row: Position of the first row; where it equals ``column``, only pairs above the diagonal are offered.
        column: Position of the first column.
        k: Neighbours wanted.
        units: Unit rows of the items in fixed point, int32 [N, D].
        order: Item at each position, [P]; what follows is by position.
        shift: What centring took from a pair's similarity is the sum of its two, [P].
        slack: Bound of the error of a row's similarities, [P].
        threshold: What a row's candidate has to exceed, [P].
        exact: Whether a row's buffer holds exact similarities, [P].
        count: Entries in a row's buffer, [P].
        buffer: Candidates, in any order, int64 [P, C].
    """
    height, width = block.shape
    own, others = slice(row, row + height), slice(column, column + width)
    shifts, thresholds = shift[others], threshold[others]
    _prime_rows(block, shift[own], shifts, k, slack[own], threshold[own])
    _prime_columns(block, shift[own], shifts, k, slack[others], thresholds)
    flags = np.zeros(-(-width // _WORD) * _WORD, np.uint8)
    words = flags.view(np.uint64)
    for r in range(height):
        i = row + r
        _flag(block[r], shifts, shift[i], thresholds, threshold[i], flags)
        if row == column:
            flags[: r + 1] = 0
        for w in range(words.size):
            word = words[w]
            while word:
                c = w * _WORD + _first_byte(word)
                word &= word - np.uint64(1)
                j = column + c
                value = _widened(block[r, c]) + (shift[i] + shifts[c])
                for a, b in ((i, j), (j, i)):
                    if value <= threshold[a]:
                        continue
                    key = _pack(value, order[b])
                    if exact[a]:
                        key = _pack(similarity(units[order[a]], units[order[b]]), order[b])
                        if key < buffer[a, k - 1]:  # where `_make_room` left the k-th
                            continue
                    buffer[a, count[a]] = key
                    count[a] += 1
                    if count[a] == buffer.shape[1]:
                        exact[a], count[a], threshold[a] = _make_room(
                            units, order[a], k, slack[a], exact[a], buffer[a]
                        )


@_compiled
def _flag(
    values: Any, shifts: Any, shift: Any, thresholds: Any, threshold: Any, flags: Any
) -> None:
    """Which pairs of an item exceed its own threshold or that of the other, many an instruction."""
    for c in range(values.size):
        value = _widened(values[c]) + (shift + shifts[c])
        flags[c] = (value > threshold) | (value > thresholds[c])


@_compiled
def finish(
    start: Any, stop: Any, k: Any, units: Any, order: Any, slack: Any,
    exact: Any, count: Any, buffer: Any, found: Any,
) -> None:  # fmt: skip
    """Write the neighbours of the positions from ``start`` to ``stop``, in any order, into int64 [N, k], by item."""
    for p in range(start, stop):
        own, left = order[p], count[p]
        if left > k and not exact[p]:
            exact[p], left, _ = _make_room(units, own, k, slack[p], exact[p], buffer[p, :left])
        if not exact[p]:
            _make_exact(units, own, buffer[p, :left])
        if left > k:
            _kth_largest(buffer[p, :left], k)
        found[own, : min(k, left)] = buffer[p, : min(k, left)]


@_compiled
def select(
    block: Any, row: Any, column: Any, k: Any, units: Any, order: Any, error: Any, found: Any
) -> None:
    """Write the neighbours of a block's rows, in any order, into int64 [N, k], by item.

    Args:
        block: Similarities in float64, [A, B]; the columns are all items that are admissible to any of the rows.
        row: Position of the first row.
        column: Position of the first column.
        k: Neighbours wanted.
        units: Unit rows of the items in fixed point, int32 [N, D].
        order: Item at each position, [P].
        error: Bound of the error of a similarity.
        found: The neighbours, as `cleser.graphs.neighbours.packing` has them.
    """
    height, width = block.shape
    kept, buffer = np.empty(width, np.int64), np.empty(width, np.int64)
    for r in range(height):
        own, values = order[row + r], block[r]
        if 0 <= row + r - column < width:
            values[row + r - column] = -np.inf
        kth = _kth_of(values, k, kept)
        apart = 2 * error + abs(kth) * 2.0**-23  # at most, of two that float32 may round to one
        count = _collect(values, kth - apart, kept)
        for n in range(count):
            item, value = order[column + kept[n]], values[kept[n]]
            score, other = np.float32(value - error), np.float32(value + error)
            if score != other:  # whole numbers tell which of the two it is rounded to
                score = similarity(units[own], units[item])
            buffer[n] = _pack(score, item)
        if count > k:
            _kth_largest(buffer[:count], k)
        found[own, : min(k, count)] = buffer[: min(k, count)]


@_compiled
def _collect(values: Any, threshold: Any, kept: Any) -> Any:
    """Write where values reach a threshold, −∞ never does, and say how many do."""
    least = max(threshold, _LOWEST)
    count = 0
    # Without a branch, which would be guessed wrong as often as many are kept.
    for c in range(values.size):
        kept[count] = c
        count += values[c] >= least
    return count


@_compiled
def _kth_of(values: Any, k: Any, kept: Any) -> Any:
    """The k-th largest of many values, −∞ where there are fewer than k.

    Looked for among those that reach a value which, by a sample of every 16th, more than k should reach.
    """
    sample = values[::_SAMPLED].copy()
    expected = k / _SAMPLED
    rank = int(expected + 4 * np.sqrt(expected)) + 2
    if rank < sample.size:
        count = _collect(values, _kth_largest(sample, rank), kept)
        if count >= k:
            return _kth_largest(values[kept[:count]], k)
    return _kth_largest(values.copy(), k) if k <= values.size else -np.inf


@_compiled
def settle(units: Any, own: Any, candidates: Any, found: Any) -> None:
    """Write the first k of the candidates [Q, C] of items [Q], nearest first, into int64 [N, k]; −1 is no candidate."""
    for q in range(own.size):
        count = 0
        for j in candidates[q]:
            if j not in (-1, own[q]):
                key = _pack(similarity(units[own[q]], units[j]), j)
                _insert(key, count, found[own[q]])
                count = min(count + 1, found.shape[1])


@_compiled
def _insert(key: Any, count: Any, keys: Any) -> None:
    """Put a key in its place among ``count`` in descending order; where there is no room, the last one goes."""
    at = count
    while at and key > keys[at - 1]:
        if at < keys.size:
            keys[at] = keys[at - 1]
        at -= 1
    if at < keys.size:
        keys[at] = key
