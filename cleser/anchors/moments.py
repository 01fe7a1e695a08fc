"""Mean and standard deviation of stretches of rows, in compiled loops that fetch each row from memory once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

# Columns looked at together: so much of a phone's rows stays in the cache until the second look.
COLUMNS = 256


# Nothing is allocated here: without ``_nrt`` (which Numba sets for loops of its own) threads do not count, and wait for
# each other to count, who else refers to the arrays.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def _compiled(function: Function) -> Function:
    return cast(Function, njit(**_OPTIONS)(function))


@_compiled
def moments(frames: NDArray[Any], spans: NDArray[np.int64], out: NDArray[Any]) -> bool:
    """Write each stretch's mean [S, D], and its deviation beside it where ``out`` is [S, 2D].

    Args:
        frames: [T, D], contiguous.
        spans: First row and the row after the last, [S, 2].
        out: [S, D] or [S, 2D], of the frames' dtype.

    Returns:
        Whether all spans lie within the frames; what follows the first that does not is not written.
    """
    for s in range(len(spans)):
        begin, end = spans[s]
        if not 0 <= begin <= end <= len(frames):
            return False
        for left in range(0, frames.shape[1], COLUMNS):
            _moments_of(frames, begin, end, left, left, frames.shape[1], out[s])
    return True


@_compiled
def moments_of_bfloat16(
    bits: NDArray[np.uint16],
    spans: NDArray[np.int64],
    words: NDArray[np.uint32],
    rows: NDArray[np.float32],
    out: NDArray[np.float32],
) -> bool:
    """The same for bfloat16, the upper halves of float32.

    Args:
        bits: [T, D], contiguous.
        spans: First row and the row after the last, [S, 2].
        words: Room for the longest span, [T, COLUMNS].
        rows: The same memory as numbers.
        out: [S, D] or [S, 2D].

    Returns:
        Whether all spans lie within the frames; what follows the first that does not is not written.
    """
    D = bits.shape[1]
    for s in range(len(spans)):
        begin, end = spans[s]
        if not 0 <= begin <= end <= len(bits):
            return False
        for left in range(0, D, COLUMNS):
            right = min(left + COLUMNS, D)
            for t in range(begin, end):
                half, whole = bits[t, left:right], words[t - begin]
                for c in range(len(half)):
                    whole[c] = np.uint32(half[c]) << np.uint32(16)
            _moments_of(rows, 0, end - begin, 0, left, D, out[s])
    return True


@_compiled
def _moments_of(
    rows: NDArray[Any], begin: int, end: int, column: int, left: int, D: int, out: NDArray[Any]
) -> None:
    """Moments of some rows' columns from ``column`` on, which are those from ``left`` on of the D that are written."""
    right = min(left + COLUMNS, D)
    count = rows.dtype.type(max(end - begin, 1))
    mean = out[left:right]
    _add_rows(rows, begin, end, column, mean)
    for c in range(len(mean)):
        mean[c] /= count  # of rows that are all alike one of them
    if len(out) > D:
        # Around the mean, since E[x²] − E[x]² loses all digits where the spread is small.
        spread = out[D + left : D + right]
        _add_squares(rows, begin, end, column, mean, spread)
        for c in range(len(spread)):
            spread[c] = np.sqrt(spread[c] / count)


# Four rows at a time, so that the sum is fetched and put back once for all four.


@_compiled
def _add_rows(frames: NDArray[Any], begin: int, end: int, left: int, total: NDArray[Any]) -> None:
    total[:] = 0
    right, fours = left + len(total), begin + (end - begin) // 4 * 4
    for t in range(begin, fours, 4):
        first, second = frames[t, left:right], frames[t + 1, left:right]
        third, fourth = frames[t + 2, left:right], frames[t + 3, left:right]
        for c in range(len(total)):
            total[c] += (first[c] + second[c]) + (third[c] + fourth[c])
    for t in range(fours, end):
        row = frames[t, left:right]
        for c in range(len(total)):
            total[c] += row[c]


@_compiled
def _add_squares(
    frames: NDArray[Any], begin: int, end: int, left: int, mean: NDArray[Any], total: NDArray[Any]
) -> None:
    total[:] = 0
    right, fours = left + len(total), begin + (end - begin) // 4 * 4
    for t in range(begin, fours, 4):
        first, second = frames[t, left:right], frames[t + 1, left:right]
        third, fourth = frames[t + 2, left:right], frames[t + 3, left:right]
        for c in range(len(total)):
            m = mean[c]
            one, other = (first[c] - m) ** 2, (second[c] - m) ** 2
            total[c] += (one + other) + ((third[c] - m) ** 2 + (fourth[c] - m) ** 2)
    for t in range(fours, end):
        row = frames[t, left:right]
        for c in range(len(total)):
            total[c] += (row[c] - mean[c]) ** 2
