"""Many alignments in little memory: of each no more than what features are made by, the phones and their times."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

from cleser.alignment.phones import Alignment

_NONE, _PHONES, _UNIFORM = range(3)


class PackedAlignments(Sequence[Alignment | None]):
    """A sequence of alignments, each made when it is asked for; 18 bytes a phone, where objects take some 70.

    Stress, tones, lengths and notes are left out.

    Args:
        alignments: One after another; None where there is none.

    Attributes:
        said: What is wrong with those that are missing or were mended, in a sentence; empty where nothing is.

    >>> packed = PackedAlignments([Alignment([0.0, 0.25], [0.25, 0.5], "ha"), None])
    >>> len(packed), packed[1], packed[0].phones, packed[0].ends.tolist()
    (2, None, ('h', 'a'), [0.25, 0.5])
    """

    def __init__(self, alignments: Iterable[Alignment | None] = ()) -> None:
        self._starts, self._ends = array("d"), array("d")
        self._codes, self._kinds = array("H"), array("B")
        self._offsets = array("q", [0])
        self._symbols: dict[str, int] = {}
        self.said = ""
        for alignment in alignments:
            self.append(alignment)

    def append(self, alignment: Alignment | None) -> None:
        """Add the alignment of one more utterance."""
        if alignment is None:
            self._kinds.append(_NONE)
        else:
            self._kinds.append(_UNIFORM if alignment.uniform else _PHONES)
            self._starts.frombytes(alignment.starts.tobytes())
            self._ends.frombytes(alignment.ends.tobytes())
            known = self._symbols
            self._codes.extend(known.setdefault(p, len(known)) for p in alignment.phones)
        self._offsets.append(len(self._codes))

    @property
    def known(self) -> int:
        """Number of utterances that have an alignment."""
        return len(self) - self._kinds.count(_NONE)

    def summary(self) -> str:
        """Of how many utterances phones are known, or in place of phones uniform segments, in words.

        >>> known = Alignment([0.0, 0.25], [0.25, 0.5], "ha")
        >>> PackedAlignments([known, Alignment([0.0], [0.1], "a", uniform=True), None, known]).summary()
        'phones of 2 and uniform segments of 1 of 4 utterances'
        """
        kinds = {"phones": _PHONES, "uniform segments": _UNIFORM}
        counts = {said: self._kinds.count(kind) for said, kind in kinds.items()}
        found = " and ".join(f"{said} of {count}" for said, count in counts.items() if count)
        return f"{found or 'phones of 0'} of {len(self)} utterances"

    def digest(self, utterances: Sequence[str]) -> str:
        """The same where the same utterances have the same phones at the same times, in whatever order they stand.

        Args:
            utterances: Their ids.
        """
        names = sorted(self._symbols)
        ranks = {name: rank for rank, name in enumerate(names)}
        order = np.array([ranks[name] for name in self._symbols], dtype=np.uint16)
        codes = order[np.frombuffer(self._codes, np.uint16)] if names else order
        found = hashlib.sha256("\0".join(names).encode())
        times = [memoryview(self._starts), memoryview(self._ends), codes.data]
        for i in sorted(range(len(self)), key=utterances.__getitem__):
            part = slice(self._offsets[i], self._offsets[i + 1])
            found.update(f"\0{utterances[i]}\0{self._kinds[i]} {part.stop - part.start}\0".encode())
            for values in times:
                found.update(values[part])
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self._kinds)

    @overload
    def __getitem__(self, index: int) -> Alignment | None: ...
    @overload
    def __getitem__(self, index: slice) -> PackedAlignments: ...
    def __getitem__(self, index: int | slice) -> Alignment | PackedAlignments | None:
        if isinstance(index, slice):
            return PackedAlignments(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]
        if self._kinds[index] == _NONE:
            return None
        part = slice(self._offsets[index], self._offsets[index + 1])
        names = list(self._symbols)
        return Alignment(
            np.array(self._starts[part]),
            np.array(self._ends[part]),
            tuple(names[code] for code in self._codes[part]),
            uniform=self._kinds[index] == _UNIFORM,
        )
