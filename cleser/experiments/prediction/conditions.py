"""What a test on degraded recordings is made of: the conditions, and the recordings that are heard under each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from cleser.speech.degradations import (
    CODECS,
    NOISES,
    Noise,
    Samples,
    add_noise,
    change_speed,
    encode,
    reverberate,
)


@dataclass(frozen=True)
class Condition:
    """One way to make recordings worse.

    Attributes:
        kind: ``"clean"``, ``"noise <kind>"``, ``"reverberation"``, ``"codec"`` or ``"speed"``, as results name it.
        value: SNR in dB, reverberation time in seconds, the codec's name, or the factor of speed.
        degrade: From samples, their rate and a generator to the samples, made worse.
        speed: How many times faster the recording is played; what it says begins and ends as much earlier.
    """

    kind: str
    value: float | str
    degrade: Callable[[Samples, int, np.random.Generator], Samples]
    speed: float = 1.0

    @property
    def name(self) -> str:
        """Name of the file for its results."""
        return f"{self.kind}-{self.value}".replace(" ", "-")


def noise(kind: Noise, snr: float) -> Condition:
    """The condition of :func:`cleser.speech.degradations.add_noise`."""
    return Condition(
        f"noise {kind}", snr, lambda samples, _, rng: add_noise(samples, kind, snr, rng)
    )


def reverberation(rt60: float) -> Condition:
    """The condition of :func:`cleser.speech.degradations.reverberate`."""
    return Condition(
        "reverberation", rt60, lambda samples, rate, rng: reverberate(samples, rate, rt60, rng)
    )


def codec(name: str) -> Condition:
    """The condition of :func:`cleser.speech.degradations.encode`."""
    return Condition("codec", name, lambda samples, rate, _: encode(samples, rate, name))


def speed(factor: float) -> Condition:
    """The condition of :func:`cleser.speech.degradations.change_speed`."""
    return Condition(
        "speed", factor, lambda samples, rate, _: change_speed(samples, rate, factor), speed=factor
    )


CLEAN: Final = Condition("clean", 0, lambda samples, *_: samples)
CONDITIONS: Final = (
    CLEAN,
    *(noise(kind, snr) for kind in NOISES for snr in (20, 15, 10, 5, 0)),
    *map(reverberation, (0.3, 0.6, 1.0)),
    *map(codec, CODECS),
    *map(speed, (0.8, 0.9, 1.1, 1.25)),
)
_NAMED: Final = {condition.name: condition for condition in CONDITIONS}
QUICK: Final = (
    CLEAN,
    *(_NAMED[f"noise-speech-{snr}"] for snr in (20, 10, 0)),
    _NAMED["reverberation-0.6"],
    _NAMED["codec-gsm"],
    _NAMED["speed-1.1"],
)


def draw(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """At most so many utterances, in the table's order: in turn from each speaker, and from each emotion of theirs.

    Args:
        rows: Utterances with ``speaker, emotion``.
        most: Most utterances to draw; 0 for all.
        seed: Seed of the draw.
    """
    if not most or len(rows) <= most:
        return rows.reset_index(drop=True)
    mixed = rows.sample(frac=1, random_state=seed)
    speaker = mixed["speaker"].fillna(mixed["utterance"])
    turn = mixed.groupby([speaker, mixed["emotion"].fillna("")]).cumcount()
    order = pd.DataFrame({"speaker": speaker, "turn": turn})
    place = order.sort_values("turn", kind="stable").groupby("speaker").cumcount()
    chosen = place.sort_values(kind="stable").index[:most]
    return rows.loc[sorted(chosen)].reset_index(drop=True)
