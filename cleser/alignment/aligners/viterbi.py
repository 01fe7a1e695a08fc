"""The search of :mod:`cleser.alignment.aligners.warping`, compiled by Numba at its first call and kept on disk."""

# mypy: disable-error-code="untyped-decorator,no-any-return"
from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
_HUGE = np.float32(1e30)
_PAUSED = 4  # where a state came from: 0–3 frames further back, or a pause
_UPPER = 16  # a cell holds two such numbers: of speech in its lower four bits, of the pause before it in the upper


@njit(cache=True, nogil=True)
def cheapest_path(
    recording: Floats,
    reference: Floats,
    steps: Integers,
    before: Integers,
    enter: Floats,
    pause: Floats,
    low: Integers,
    width: int,
    costs: Floats,
) -> tuple[Integers, np.float32]:
    """The states of the recording's frames on the cheapest path, and what it costs.

    Args:
        recording: Frames [N, D].
        reference: Frames [M, D].
        steps: Most frames of the reference by which the path may go on to reach each of its frames, [M].
        before: Number of the pause before each of them and behind the last, -1 for none, [M + 1].
        enter: Cost of entering each pause, [P + 1].
        pause: Cost of each frame of the recording in a pause, [N].
        low: First frame of the reference that is tried for each frame of the recording, ascending, [N].
        width: Number of frames of the reference that are tried for each.
        costs: Costs of going on by 0, 1, 2 or 3 frames, [4].

    Returns:
        States [N], j ≥ 0 for frame j of the reference, -1 - j for a pause before it; and the cost, 1e30 or more
        where there is no path.
    """
    count, size = len(recording), len(reference)
    speech, speech_next = np.full(size, _HUGE), np.full(size, _HUGE)
    silence, silence_next = np.full(len(enter), _HUGE), np.full(len(enter), _HUGE)
    back = np.zeros((count, width + 1), np.uint8)
    for i in range(count):
        begin = low[i]
        speech_next[max(begin - 3, 0) : begin] = _HUGE
        silence_next[:] = _HUGE
        for j in range(begin, begin + width + 1):
            gap = before[j]
            if j < size:
                cost, came = _into_speech(i, j, speech, silence, steps, gap, costs)
                speech_next[j] = cost + _distance(recording[i], reference[j])
                back[i, j - begin] = came
            if gap >= 0:
                cost, came = _into_pause(i, j, speech, silence[gap], enter[gap])
                silence_next[gap] = cost + pause[i]
                back[i, j - begin] += _UPPER * came
        speech, speech_next = speech_next, speech
        silence, silence_next = silence_next, silence
    silent = silence[-1] < speech[-1]
    return _trace(back, low, size, silent), min(silence[-1], speech[-1])


@njit(cache=True, nogil=True, fastmath=True)  # lets the sum be taken in any order, eight at a time
def _distance(x: Floats, y: Floats) -> np.float32:
    square = np.float32(0)
    for k in range(len(x)):
        difference = x[k] - y[k]
        square += difference * difference
    return np.sqrt(square)


@njit(cache=True, nogil=True)
def _into_speech(
    i: int, j: int, speech: Floats, silence: Floats, steps: Integers, gap: int, costs: Floats
) -> tuple[np.float32, int]:
    if i == 0:
        return (np.float32(0) if j == 0 else _HUGE), 0
    best, came = _HUGE, 0
    for step in range(steps[j] + 1):
        cost = speech[j - step] + costs[step]
        if cost < best:
            best, came = cost, step
    if gap >= 0 and silence[gap] < best:
        best, came = silence[gap], _PAUSED
    return best, came


@njit(cache=True, nogil=True)
def _into_pause(
    i: int, j: int, speech: Floats, stay: np.float32, enter: np.float32
) -> tuple[np.float32, int]:
    if i == 0:
        return (np.float32(0) if j == 0 else _HUGE), 0
    if j > 0 and speech[j - 1] + enter < stay:
        return speech[j - 1] + enter, 1
    return stay, 0


@njit(cache=True, nogil=True)
def _trace(back: npt.NDArray[np.uint8], low: Integers, size: int, silent: bool) -> Integers:
    states = np.empty(len(back), np.int64)
    j = np.int64(size if silent else size - 1)
    for i in range(len(back) - 1, -1, -1):
        states[i] = -1 - j if silent else j
        came = back[i, j - low[i]]
        if silent:
            silent = came < _UPPER
            j -= np.int64(came // _UPPER)
        elif came % _UPPER == _PAUSED:
            silent = True
        else:
            j -= np.int64(came % _UPPER)
    return states
