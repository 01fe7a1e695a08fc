r"""Dynamic time warping of a recording on the phones of a reference, with pauses where they are.

A path gives every frame :math:`x_i` of the recording a frame :math:`r_j` of the reference or a pause before
one of its phones, and costs

.. math:: \sum_i \lVert x_i - r_{j(i)} \rVert + c(j(i) - j(i-1)), \qquad j(i) - j(i-1) \in \{0, 1, 2, 3\},

where moving on by one frame is free, standing still or skipping costs :math:`c`, no phone is skipped as a
whole, and a frame in a pause costs the more the louder it is. Every frame of the recording counts once
(Sakoe and Chiba's asymmetric form, 1978), so costs of different references may be compared.

Long recordings are warped at a quarter of the frame rate first, and then only near that path.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_COSTS: Final = (0.5, 0.0, 0.3, 0.8)  # of moving on by 0, 1, 2 or 3 frames
_PAUSE: Final = 3.0  # of a pause where the reference has none
_GAP: Final = 0.5  # of one where it has
_COARSE: Final = 4
_FULL: Final = 16_000_000  # cells, some twenty seconds of speech: up to here all are tried
_BAND: Final = 800  # frames of the reference around the coarse path

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def warp(
    recording: Floats,
    reference: Floats,
    first: Integers,
    gaps: npt.NDArray[np.bool_],
    pause: Floats,
    *,
    full: int = _FULL,
) -> Integers:
    """Find the phones of a reference in a recording.

    Args:
        recording: Frames [N, D].
        reference: Frames [M, D] of its phones, one after another, without pauses.
        first: Where each phone begins in the reference, ascending from 0, [P].
        gaps: Whether a pause lies before each phone of the reference, [P].
        pause: Cost of each frame of the recording as part of a pause, [N].
        full: Cells N · M up to which the search is exhaustive.

    Returns:
        The phone of each frame, [N]; -1 in a pause. Every phone has a frame at least.

    Raises:
        ValueError: The recording has too few frames for the phones.
    """
    counts = np.diff(first, append=len(reference))
    owner = np.repeat(np.arange(len(first)), counts)
    enter = np.where(gaps, _GAP, _PAUSE).astype(np.float32)
    low = np.zeros(len(recording), np.int64)
    width = len(reference)
    if len(recording) * len(reference) > full:
        low, width = _corridor(recording, reference, first, enter, pause)
    states = _search(recording, reference, owner, first, enter, pause, low, width)
    return np.where(states < 0, -1, owner[np.maximum(states, 0)])


def _corridor(
    recording: Floats, reference: Floats, first: Integers, enter: Floats, pause: Floats
) -> tuple[Integers, int]:
    """The reference's first frame that is tried for each frame of the recording, and how many."""
    counts = np.diff(first, append=len(reference))
    kept = np.concatenate(
        [np.arange(f, f + n, _COARSE) for f, n in zip(first, counts, strict=True)]
    )
    rough = -(-counts // _COARSE)
    whole = len(recording) // _COARSE
    frames = recording[: whole * _COARSE].reshape(whole, _COARSE, -1).mean(1)
    rest = pause[: whole * _COARSE].reshape(whole, _COARSE).mean(1)
    path = _search(
        frames,
        np.ascontiguousarray(reference[kept]),
        np.repeat(np.arange(len(first)), rough),
        np.cumsum(rough) - rough,
        enter,
        rest,
        np.zeros(whole, np.int64),
        len(kept),
    )
    middle = kept[np.minimum(np.where(path < 0, -1 - path, path), len(kept) - 1)]
    middle = np.repeat(middle, _COARSE)[np.minimum(np.arange(len(recording)), whole * _COARSE - 1)]
    width = min(_BAND, len(reference))
    return (middle - width // 2).clip(0, len(reference) - width), width


def _search(
    recording: Floats,
    reference: Floats,
    owner: Integers,
    first: Integers,
    enter: Floats,
    pause: Floats,
    low: Integers,
    width: int,
) -> Integers:
    if len(recording) < len(first):
        raise ValueError(
            f"the recording has {len(recording)} frames, expected one at least for each of {len(first)} phones"
        )
    steps = np.minimum(np.arange(len(owner)), 3)
    for step in (3, 2):  # a longer step would pass over a whole phone
        far = np.flatnonzero(steps == step)
        steps[far[owner[far] - owner[far - step] > 1]] = step - 1
    before = np.full(len(owner) + 1, -1, np.int64)
    before[np.append(first, len(owner))] = np.arange(len(first) + 1)
    from cleser.alignment.aligners.viterbi import cheapest_path  # noqa: PLC0415  (needs numba)

    states, cost = cheapest_path(
        np.ascontiguousarray(recording, np.float32),
        np.ascontiguousarray(reference, np.float32),
        steps,
        before,
        np.append(enter, np.float32(0)),
        pause.astype(np.float32),
        low,
        width,
        np.array(_COSTS, np.float32),
    )
    if not cost < 1e29:
        raise ValueError(
            f"the recording has {len(recording)} frames, too few for {len(first)} phones"
        )
    return np.asarray(states)
