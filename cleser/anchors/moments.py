"""Mean and standard deviation of stretches of rows, in compiled loops that fetch each row from memory once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

# Columns looked at together: so much of a phone's rows stays in the cache until the second look.
COLUMNS = 256


# Nothing is allocated here: without ``_nrt`` (which Numba sets for loops of its own) threads do not count, and wait for
# each other to count, who else refers to the arrays.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def _compiled(function: Function) -> Function:
    return cast(Function, njit(**_OPTIONS)(function))


@intrinsic
def _float_of(typing: Any, bits: Any) -> Any:
    """The float32 that 32 bits stand for."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), build


def _number(x: Any) -> Any:
    """A value as it is summed: that of bfloat16 from its bits, the upper half of a float32's."""
    return np.uint32(int(x) << 16).view(np.float32) if isinstance(x, np.uint16) else x


@overload(_number, inline="always", strict=False)
def _number_compiled(x: Any) -> Any:
    if isinstance(x, types.Integer):
        return lambda x: _float_of(np.uint32(np.uint32(x) << np.uint32(16)))  # type: ignore[call-arg]
    return lambda x: x


@_compiled
def moments(frames: NDArray[Any], spans: NDArray[np.int64], out: NDArray[Any]) -> bool:
    """Write each stretch's mean [S, D], and its deviation beside it where ``out`` is [S, 2D].

    Args:
        frames: [T, D], contiguous; uint16 are the bits of bfloat16.
        spans: First row and the row after the last, [S, 2].
        out: [S, D] or [S, 2D], of the frames' dtype; float32 for bfloat16.

    Returns:
        Whether all spans lie within the frames; what follows the first that does not is not written.
    """
    D = frames.shape[1]
    for s in range(len(spans)):
        begin, end = spans[s]
        if not 0 <= begin <= end <= len(frames):
            return False
        count = out.dtype.type(max(end - begin, 1))
        for left in range(0, D, COLUMNS):
            right = min(left + COLUMNS, D)
            mean = out[s, left:right]
            _add_rows(frames, begin, end, left, mean)
            for c in range(len(mean)):
                mean[c] /= count  # of rows that are all alike one of them
            if out.shape[1] > D:
                # Around the mean, since E[x²] − E[x]² loses all digits where the spread is small.
                spread = out[s, D + left : D + right]
                _add_squares(frames, begin, end, left, mean, spread)
                for c in range(len(spread)):
                    spread[c] = np.sqrt(spread[c] / count)
    return True


# Four rows at a time, so that the sum is fetched and put back once for all four.


@_compiled
def _add_rows(frames: NDArray[Any], begin: int, end: int, left: int, total: NDArray[Any]) -> None:
    total[:] = 0
    right, fours = left + len(total), begin + (end - begin) // 4 * 4
    for t in range(begin, fours, 4):
        first, second = frames[t, left:right], frames[t + 1, left:right]
        third, fourth = frames[t + 2, left:right], frames[t + 3, left:right]
        for c in range(len(total)):
            half = _number(first[c]) + _number(second[c])
            total[c] += half + (_number(third[c]) + _number(fourth[c]))
    for t in range(fours, end):
        row = frames[t, left:right]
        for c in range(len(total)):
            total[c] += _number(row[c])


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
            half = (_number(first[c]) - m) ** 2 + (_number(second[c]) - m) ** 2
            total[c] += half + ((_number(third[c]) - m) ** 2 + (_number(fourth[c]) - m) ** 2)
    for t in range(fours, end):
        row = frames[t, left:right]
        for c in range(len(total)):
            total[c] += (_number(row[c]) - mean[c]) ** 2
