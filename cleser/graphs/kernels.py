"""Selection of neighbours from blocks of approximate similarities, compiled by Numba and cached on disk.

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

Function = TypeVar("Function", bound=Callable[..., Any])

_WORD = 8  # flags looked at in one


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
def _first_byte(_: Any, word: types.Type) -> Any:
    """The lowest byte of a word that is not zero, where bytes are 0 or 1."""

    def count(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.cttz(arguments[0], ir.IntType(1)(1))
        return builder.lshr(bits, ir.IntType(64)(3))

    return types.int64(word), count


@_compiled
def similarity(u: Any, v: Any) -> Any:
    """Float32 of the product of two rows of fixed-point numbers, int32 [D]: whole numbers add up alike in any order."""
    total = np.int64(0)
    for d in range(u.size):
        total += np.int64(u[d]) * np.int64(v[d])
    return np.float32(total) * np.float32(2.0**-60)  # one rounding: the factor is a power of two


@_compiled
def _before(score: Any, item: Any, other_score: Any, other_item: Any) -> Any:
    return score > other_score or (score == other_score and item < other_item)


@_compiled
def _select(scores: Any, items: Any, count: Any, k: Any) -> None:
    """Bring the first k of ``count`` entries to the front (Hoare, 1961), in any order, the last of them last."""
    low, high = 0, count - 1
    while low < high:
        pivot_score, pivot_item = scores[(low + high) // 2], items[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while _before(scores[i], items[i], pivot_score, pivot_item):
                i += 1
            while _before(pivot_score, pivot_item, scores[j], items[j]):
                j -= 1
            if i <= j:
                scores[i], scores[j] = scores[j], scores[i]
                items[i], items[j] = items[j], items[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return


@_compiled
def _make_exact(units: Any, own: Any, scores: Any, items: Any, count: Any) -> None:
    for n in range(count):
        scores[n] = similarity(units[own], units[items[n]])


@_compiled
def _make_room(
    units: Any, own: Any, k: Any, slack: Any, exact: Any, scores: Any, items: Any
) -> Any:
    """Drop what cannot be a neighbour from a full buffer.

    Returns:
        Whether the row is exact now, the entries left and the new threshold.
    """
    count = scores.size
    _select(scores, items, count, k)
    if not exact:
        threshold = scores[k - 1] - 2 * slack
        kept = k
        for n in range(k, count):
            if scores[n] > threshold:
                scores[kept], items[kept] = scores[n], items[n]
                kept += 1
        if 2 * kept <= count + k:
            return False, kept, threshold
        _make_exact(units, own, scores, items, kept)
        _select(scores, items, kept, k)
    return True, k, scores[k - 1] - slack


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
        threshold[r] = _kth(maxima, k) + shift[r] - 2 * slack[r]


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
            threshold[c] = _kth(maxima[:, c], k) + shifts[c] - 2 * slack[c]


@_compiled
def _kth(values: Any, k: Any) -> Any:
    """The k-th largest (Hoare, 1961)."""
    low, high = 0, values.size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while pivot > values[j]:
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
def sift(
    block: Any, row: Any, column: Any, k: Any, units: Any, order: Any, shift: Any, slack: Any,
    threshold: Any, exact: Any, count: Any, scores: Any, items: Any,
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
        scores: Similarities in the buffers, [P, C].
        items: Items in the buffers, [P, C].
    """
    height, width = block.shape
    shifts, thresholds = shift[column : column + width], threshold[column : column + width]
    flags = np.zeros(-(-width // _WORD) * _WORD, np.uint8)
    words = flags.view(np.uint64)
    own, others = slice(row, row + height), slice(column, column + width)
    _prime_rows(block, shift[own], shifts, k, slack[own], threshold[own])
    _prime_columns(block, shift[own], shifts, k, slack[others], thresholds)
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
                value = _widened(block[r, c]) + (shift[i] + shift[j])
                if value > threshold[i]:
                    _offer(
                        i, j, value, k, units, order, slack, threshold, exact, count, scores, items
                    )
                if value > threshold[j]:
                    _offer(
                        j, i, value, k, units, order, slack, threshold, exact, count, scores, items
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
def _offer(
    i: Any, j: Any, value: Any, k: Any, units: Any, order: Any, slack: Any,
    threshold: Any, exact: Any, count: Any, scores: Any, items: Any,
) -> None:  # fmt: skip
    """Put item j into the buffer of row i."""
    if exact[i]:
        value = similarity(units[order[i]], units[order[j]])
        if not _before(value, order[j], scores[i, k - 1], items[i, k - 1]):
            return  # the last `_select` left the k-th there
    n = count[i]
    scores[i, n], items[i, n] = value, order[j]
    count[i] = n + 1
    if n + 1 == scores.shape[1]:
        exact[i], count[i], threshold[i] = _make_room(
            units, order[i], k, slack[i], exact[i], scores[i], items[i]
        )


@_compiled
def finish(
    start: Any, stop: Any, k: Any, units: Any, order: Any, slack: Any,
    exact: Any, count: Any, scores: Any, items: Any, found_scores: Any, found_items: Any,
) -> None:  # fmt: skip
    """Write the neighbours of the positions from ``start`` to ``stop``, best first, into [N, k], by item."""
    for p in range(start, stop):
        own, left = order[p], count[p]
        if left > k and not exact[p]:
            exact[p], left, _ = _make_room(
                units, own, k, slack[p], exact[p], scores[p, :left], items[p, :left]
            )
        if not exact[p]:
            _make_exact(units, own, scores[p], items[p], left)
        _select(scores[p], items[p], left, k)
        for n in range(min(k, left)):
            _insert(scores[p, n], items[p, n], n, found_scores[own], found_items[own])


@_compiled
def settle(
    units: Any, own: Any, candidates: Any, k: Any, found_scores: Any, found_items: Any
) -> None:
    """Write the first k of the candidates [Q, C] of items [Q], best first, into [N, k]; −1 is no candidate."""
    for q in range(own.size):
        i, count = own[q], 0
        for j in candidates[q]:
            if j not in (-1, i):
                _insert(similarity(units[i], units[j]), j, count, found_scores[i], found_items[i])
                count = min(count + 1, k)


@_compiled
def _insert(score: Any, item: Any, count: Any, scores: Any, items: Any) -> None:
    """Put an item in its place among ``count`` in order; where there is no room, the last one goes."""
    at = count
    while at and _before(score, item, scores[at - 1], items[at - 1]):
        if at < scores.size:
            scores[at], items[at] = scores[at - 1], items[at - 1]
        at -= 1
    if at < scores.size:
        scores[at], items[at] = score, item
