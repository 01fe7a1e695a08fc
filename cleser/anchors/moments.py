"""Mean and standard deviation of stretches of rows, in compiled loops that fetch each row from memory once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

_COLUMNS = (
    512  # looked at together: a phone's rows of so many stay in the cache until the second look
)


def _compiled(function: Function) -> Function:
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))


@_compiled
def moments(frames: NDArray[Any], spans: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Write each stretch's mean [S, D], and its deviation beside it where ``out`` is [S, 2D].

    Args:
        frames: [T, D], contiguous.
        spans: First row and the row after the last, [S, 2], within the frames.
        out: [S, D] or [S, 2D], of the frames' dtype.
    """
    D = frames.shape[1]
    for s in range(len(spans)):
        begin, end = spans[s]
        share = frames.dtype.type(1 / max(end - begin, 1))
        for left in range(0, D, _COLUMNS):
            right = min(left + _COLUMNS, D)
            mean = out[s, left:right]
            mean[:] = 0
            fours = begin + (end - begin) // 4 * 4
            for t in range(begin, fours, 4):  # the mean is fetched and put back once for four rows
                first, second = frames[t, left:right], frames[t + 1, left:right]
                third, fourth = frames[t + 2, left:right], frames[t + 3, left:right]
                for c in range(len(mean)):
                    mean[c] += (first[c] + second[c]) + (third[c] + fourth[c])
            for t in range(fours, end):
                row = frames[t, left:right]
                for c in range(len(row)):
                    mean[c] += row[c]
            for c in range(len(mean)):
                mean[c] *= share
            if out.shape[1] == D:
                continue
            # Around the mean, since E[x²] − E[x]² loses all digits where the spread is small.
            spread = out[s, D + left : D + right]
            spread[:] = 0
            for t in range(begin, end):
                row = frames[t, left:right]
                for c in range(len(row)):
                    spread[c] += (row[c] - mean[c]) ** 2
            for c in range(len(spread)):
                spread[c] = np.sqrt(spread[c] * share)
