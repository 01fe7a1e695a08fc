"""Speech from text by espeak-ng, with the times of its phones to the sample.

espeak-ng (GPL-3) is an optional part: ``pip install "cleser[espeak]"`` brings its library and data.

The library keeps its state in globals: noise generators, the phase of the last glottal wave, echo. What it
says would depend on what it said before. Each call therefore loads a fresh copy, seeds it, and unloads
it (7 ms), under a lock: the same arguments give the same samples, in any order and any process. Where
other code of the same process holds espeak-ng too, the copy is not fresh, and samples may differ by noise.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Names as in espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2
_INITIALIZE: Final = 0x0001 | 0x0002 | 0x8000  # phoneme events, in IPA; never exit the process
_CHARS_UTF8: Final = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_EVENT_WORD: Final = 1
_EVENT_END: Final = 5
_EVENT_PHONEME: Final = 7
_BOUNDARIES: Final = (_EVENT_WORD, _EVENT_END, _EVENT_PHONEME)

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Speech:
    """What espeak-ng said.

    Attributes:
        samples: float32 [T], full scale at ±1.
        rate: Sampling rate in Hz.
        phones: IPA symbols as espeak-ng writes them, stress marks included; pauses are left out.
        starts: Where each phone begins, in seconds, float64 [P].
        ends: Where each phone ends, float64 [P].
    """

    samples: npt.NDArray[np.float32]
    rate: int
    phones: list[str]
    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]


def synthesise(
    text: str,
    *,
    voice: str = "en",
    variant: str | None = None,
    rate: int = 175,
    pitch: int = 50,
    pitch_range: int = 50,
    volume: int = 100,
) -> Speech:
    """Say a text.

    Args:
        text: What to say.
        voice: A language of espeak-ng, as ``en``, ``cmn``, ``de``.
        variant: Another speaker, as ``m3`` or ``f2``; None is the voice's own.
        rate: Words a minute, 80 to 450.
        pitch: 0 to 99, 50 is the voice's own; a step is about 0.18 semitones.
        pitch_range: 0 (monotone) to 99.
        volume: 0 to 200, 100 is normal; loud speech may clip.

    Raises:
        ImportError: The extra ``espeak`` is not installed.
        ValueError: The voice or variant is unknown, a number is out of its range, or nothing is said.
    """
    settings = {_RATE: rate, _VOLUME: volume, _PITCH: pitch, _RANGE: pitch_range}
    _check("rate", rate, 80, 450)
    _check("pitch", pitch, 0, 99)
    _check("pitch_range", pitch_range, 0, 99)
    _check("volume", volume, 0, 200)
    name = f"{voice}+{_known_variant(variant)}" if variant else voice
    with _LOCK, _library() as (library, hertz):
        samples, events = _say(library, text, name, settings)
    phones, starts, ends = _phones(samples, events)
    if not phones:
        raise ValueError(f"voice {name!r} says nothing to {text!r}, expected some words")
    return Speech(samples, hertz, phones, starts / hertz, ends / hertz)


def engine() -> str:
    """Name and version of the synthesiser, for keys of what is kept on disk."""
    _loader()
    return f"espeakng-loader {version('espeakng-loader')}"


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # whole milliseconds: `sample` is exact
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
# Sample and symbol: empty for a pause and at the end, None where a word begins.
_Events = list[tuple[int, str | None]]


@cache
def _loader() -> ModuleType:
    try:
        import espeakng_loader  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise ImportError(
            'speech synthesis needs espeak-ng, found none: pip install "cleser[espeak]"'
        ) from error
    return espeakng_loader  # type: ignore[no-any-return]


@contextmanager
def _library() -> Iterator[tuple[ctypes.CDLL, int]]:
    library = ctypes.CDLL(_loader().get_library_path())
    try:
        data = str(_loader().get_data_path())
        rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), _INITIALIZE)
        if rate <= 0:
            raise OSError(f"espeak-ng does not start with the data in {data} (code {rate})")
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        yield library, rate
        library.espeak_Terminate()
    finally:
        _unload(library)


def _unload(library: ctypes.CDLL) -> None:
    handle = ctypes.c_void_p(library._handle)
    if sys.platform == "win32":
        ctypes.WinDLL("kernel32").FreeLibrary(handle)
    else:
        ctypes.CDLL(None).dlclose(handle)


def _say(
    library: ctypes.CDLL, text: str, name: str, settings: dict[int, int]
) -> tuple[npt.NDArray[np.float32], _Events]:
    chunks: list[npt.NDArray[np.int16]] = []
    events: _Events = []

    def receive(samples: Any, count: int, event: Any) -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for position in range(1 << 30):  # the library ends its list with an event of type 0
            if not event[position].type:
                break
            if event[position].type in _BOUNDARIES:
                events.append((event[position].sample, _symbol(event[position])))
        return 0

    callback = _CALLBACK(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(name.encode()):
        raise ValueError(f"espeak-ng has no voice {name!r}, expected a language as en, cmn or de")
    for setting, value in settings.items():
        library.espeak_SetParameter(setting, value, 0)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    sound = np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
    return sound.astype(np.float32) / np.float32(32768), events


def _phones(
    samples: npt.NDArray[np.float32], events: _Events
) -> tuple[list[str], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A phone lasts until the next phone or pause, or until a gap before the next word."""
    symbols: dict[int, str] = {}
    for sample, symbol in events:
        # Several events may share a moment: the last phone or pause is the one that sounds.
        if symbol is not None:
            symbols[sample] = symbol
    words = sorted({sample for sample, symbol in events if symbol is None})
    found = []
    for start, end in pairwise(sorted(symbols)):
        if symbols[start]:
            # A word mostly begins with a gap, but where words are linked it falls into a phone.
            gaps = [w for w in words if start < w < end and _fades(samples[start:end], w - start)]
            found.append((symbols[start], start, gaps[0] if gaps else end))
    starts = np.array([start for _, start, _ in found], dtype=np.float64)
    ends = np.array([end for _, _, end in found], dtype=np.float64)
    return [symbol for symbol, _, _ in found], starts, ends


def _fades(samples: npt.NDArray[np.float32], at: int) -> bool:
    """Whether what follows is 20 dB below what comes before: some voices have an echo."""
    before, after = (float(np.square(part).mean()) for part in (samples[:at], samples[at:]))
    return after < 0.01 * before


def _symbol(event: _Event) -> str | None:
    if event.type == _EVENT_WORD:
        return None
    if event.type == _EVENT_END:
        return ""
    # Eight bytes may cut a long symbol within a character.
    return bytes(event.id.string).decode("utf-8", errors="ignore")


def _check(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value}, expected {lowest} to {highest}")


def _known_variant(variant: str) -> str:
    # The library itself falls back in silence to the plain voice.
    known = sorted(p.name for p in (Path(_loader().get_data_path()) / "voices" / "!v").iterdir())
    if variant not in known:
        raise ValueError(f"espeak-ng has no variant {variant!r}, expected one of {known}")
    return variant
