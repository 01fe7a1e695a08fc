"""Where each phone of an utterance begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

_TOLERANCE = 1e-6  # seconds; sums of decimal times miss each other by less


class Phone(NamedTuple):
    """One segment of speech.

    Attributes:
        start: Where it begins, in seconds.
        end: Where it ends, in seconds.
        phone: IPA, without stress, tone and length.

    >>> phone = Phone(0.25, 0.5, "ʃ")
    >>> phone.end - phone.start, phone.phone
    (0.25, 'ʃ')
    """

    start: float
    end: float
    phone: str


@dataclass(frozen=True, eq=False)
class Alignment(Sequence[Phone]):
    """The phones of an utterance in time; what lies between them is silence.

    Attributes:
        starts: Where each phone begins, in seconds from the utterance's beginning, float64 [P].
        ends: Where each phone ends, in seconds, float64 [P].
        phones: IPA symbols [P], without stress, tone and length.
        stress: 1 primary, 2 secondary, 0 none, int64 [P]; None where the source does not say.
        tones: Tone letters as ``"˧˥"``, [P], empty for none; None where the source does not say.
        lengths: ``"ː"``, ``"ˑ"``, ``"̆"`` or empty, [P]; None where the source does not say.
        quality: How far to trust the times, 0 to 1; None where nobody said.
        uniform: Whether the segments are equal stretches of time in place of phones, for want of a text.
        notes: What had to be mended to read it from a file, as a phone of no length that was left out.

    Raises:
        ValueError: The parts differ in length, a time is negative or not finite, a phone has no name or does
            not end after it starts, or phones overlap.

    >>> alignment = Alignment([0.1, 0.2], [0.2, 0.35], ("h", "a"), stress=[0, 1])
    >>> alignment[1], len(alignment)
    (Phone(start=0.2, end=0.35, phone='a'), 2)
    >>> alignment.bounds(100).tolist()
    [[10, 20], [20, 35]]
    """

    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]
    phones: tuple[str, ...]
    stress: npt.NDArray[np.int64] | None = None
    tones: tuple[str, ...] | None = None
    lengths: tuple[str, ...] | None = None
    quality: float | None = None
    uniform: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "starts", _frozen(self.starts, np.float64))
        set_(self, "ends", _frozen(self.ends, np.float64))
        set_(self, "phones", tuple(self.phones))
        if self.stress is not None:
            set_(self, "stress", _frozen(self.stress, np.int64))
        for name in ("tones", "lengths"):
            if getattr(self, name) is not None:
                set_(self, name, tuple(getattr(self, name)))
        self._check_sizes()
        self._check_times()

    @classmethod
    def checked(
        cls,
        times: npt.NDArray[np.float64],
        phones: tuple[str, ...],
        *,
        stress: npt.NDArray[np.int64] | None = None,
        tones: tuple[str, ...] | None = None,
        lengths: tuple[str, ...] | None = None,
        quality: float | None = None,
        notes: tuple[str, ...] = (),
    ) -> Alignment:
        """An alignment whose rules were checked already: readers of files do it with the line at hand.

        Args:
            times: Starts and ends, [2, P]; they and the stress are frozen, not copied.
            phones: See :class:`Alignment`, as the others.
            stress: Stress of each phone.
            tones: Tone of each phone.
            lengths: Length of each phone.
            quality: How far to trust the times.
            notes: What had to be mended.
        """
        times.setflags(write=False)
        if stress is not None:
            stress.setflags(write=False)
        alignment = object.__new__(cls)
        alignment.__dict__.update(
            starts=times[0],
            ends=times[1],
            phones=phones,
            stress=stress,
            tones=tones,
            lengths=lengths,
            quality=quality,
            uniform=False,
            notes=notes,
        )
        return alignment

    def _check_sizes(self) -> None:
        count = len(self.phones)
        for name in ("starts", "ends", "stress", "tones", "lengths"):
            part = getattr(self, name)
            if part is not None and np.shape(part) != (count,):
                raise ValueError(
                    f"{name} has the shape {np.shape(part)}, expected ({count},) as there are {count} phones"
                )
        if "" in self.phones:
            raise ValueError(
                f"phone {self.phones.index('')} has no symbol: leave silences out of an alignment"
            )
        if self.quality is not None and not 0 <= self.quality <= 1:
            raise ValueError(f"quality is {self.quality}, expected 0 to 1 or None")

    def _check_times(self) -> None:
        starts, ends = self.starts, self.ends
        finite = np.isfinite(starts) & np.isfinite(ends) & (starts >= 0)
        self._refuse(~finite, "expected finite times from 0 on")
        self._refuse(ends <= starts, "expected an end after the start")
        early = np.zeros(len(starts), bool)
        early[1:] = starts[1:] < ends[:-1] - _TOLERANCE
        self._refuse(early, "expected to start after the phone before it has ended")

    def _refuse(self, wrong: npt.NDArray[np.bool_], expected: str) -> None:
        if wrong.any():
            i = int(wrong.argmax())
            before = f" (the one before ends at {self.ends[i - 1]:g} s)" if i else ""
            raise ValueError(
                f"phone {i} {self.phones[i]!r} lasts from {self.starts[i]:g} to {self.ends[i]:g} s{before}, {expected}"
            )

    def __len__(self) -> int:
        return len(self.phones)

    @overload
    def __getitem__(self, index: int) -> Phone: ...
    @overload
    def __getitem__(self, index: slice) -> Alignment: ...
    def __getitem__(self, index: int | slice) -> Phone | Alignment:
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        return Phone(float(self.starts[index]), float(self.ends[index]), self.phones[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Alignment):
            return NotImplemented
        return (
            np.array_equal(self.starts, other.starts)
            and np.array_equal(self.ends, other.ends)
            and _same(self.stress, other.stress)
            and (self.phones, self.tones, self.lengths, self.quality, self.uniform)
            == (other.phones, other.tones, other.lengths, other.quality, other.uniform)
        )

    def __hash__(self) -> int:
        return hash((self.phones, self.starts.tobytes(), self.ends.tobytes()))

    def select(self, which: npt.ArrayLike) -> Alignment:
        """The alignment of some of the phones.

        Args:
            which: Their indices in order, or a mask over all phones.
        """
        index = np.arange(len(self))[np.asarray(which)]

        def pick(part: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if part is None else tuple(part[i] for i in index)

        return replace(
            self,
            starts=self.starts[index],
            ends=self.ends[index],
            phones=tuple(self.phones[i] for i in index),
            stress=None if self.stress is None else self.stress[index],
            tones=pick(self.tones),
            lengths=pick(self.lengths),
        )

    def cut(self, start: float, end: float | None = None) -> Alignment:
        """The phones that lie mostly between two times, and their times counted from ``start``.

        >>> Alignment([0.1, 0.2], [0.2, 0.35], "ha").cut(0.2).starts.tolist()
        [0.0]
        """
        stop = np.inf if end is None else end
        middle = (self.starts + self.ends) / 2
        kept = self.select((middle >= start) & (middle < stop))
        return replace(
            kept,
            starts=np.maximum(kept.starts, start) - start,
            ends=np.minimum(kept.ends, stop) - start,
        )

    def bounds(self, frame_rate: float, frames: int | None = None) -> npt.NDArray[np.int64]:
        """First frame of each phone, and the frame after its last.

        Args:
            frame_rate: Frames a second.
            frames: How many there are: phones are cut where they end.

        Returns:
            int64 [P, 2]. A phone has one frame at least, unless it begins after the last.
        """
        first = np.rint(self.starts * frame_rate).astype(np.int64)
        last = np.maximum(np.rint(self.ends * frame_rate).astype(np.int64), first + 1)
        pairs = np.stack([first, last], 1)
        return pairs if frames is None else np.minimum(pairs, frames)


def _frozen(values: npt.ArrayLike, dtype: type[np.generic]) -> npt.NDArray[Any]:
    array = np.array(values, dtype=dtype)
    array.flags.writeable = False
    return array


def _same(a: npt.NDArray[np.int64] | None, b: npt.NDArray[np.int64] | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)
