"""The most confident errors of a run, as recordings that are small enough to be played in a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from cleser.corpora.protocol import Protocol
from cleser.corpora.registry import load
from cleser.evaluation.most_probable import most_probable
from cleser.evaluation.results import Run
from cleser.settings import restored
from cleser.speech.audio import AudioError, read_mono

RATE: Final = 16000
LONGEST: Final = 12.0  # seconds of a recording
LARGEST: Final = 6_000_000  # characters of all recordings in a page


@dataclass(frozen=True)
class ConfidentError:
    """A wrongly labelled utterance whose recording is in a page.

    Attributes:
        utterance: Its name.
        speaker: Who speaks, if that is known.
        truth: Its emotion.
        predicted: What it was labelled.
        confidence: Mean probability of that label over seeds.
        text: What is said, if that is known.
        audio: ``data:`` address of OGG/Vorbis; empty where it cannot be played.
        note: Why not, or that it was cut.
    """

    utterance: str
    speaker: str
    truth: str
    predicted: str
    confidence: float
    text: str
    audio: str
    note: str


def confident_errors(run: Run, count: int) -> tuple[list[ConfidentError], str]:
    """The wrongly labelled utterances with the highest probability, averaged over seeds, and their sound.

    Args:
        run: Its corpora have to be where they were.
        count: Most recordings to choose.

    Returns:
        The recordings, and a sentence on what was left out, empty if nothing was.
    """
    classes = run.protocol["classes"]
    if not classes:
        return [], "the run predicts no emotions, so that it errs in none"
    rows = run.predictions
    who = rows.drop_duplicates("utterance").set_index("utterance")[["speaker", "emotion"]]
    table = most_probable(rows, classes).sort_index().join(who)
    wrong = table[table["predicted"] != table["emotion"]].nlargest(count, "confidence")
    try:
        protocol = restored(Protocol, run.settings["protocol"])
        corpora = [load(spec, protocol.map) for spec in protocol.target]
        places = pd.concat(corpora).drop_duplicates("utterance").set_index("utterance")
    except (ValueError, OSError, KeyError) as error:
        return [], f"the recordings cannot be found any more: {error}"
    places = places.reindex(wrong.index)
    heard: list[ConfidentError] = []
    size = 0
    for name, row, place in zip(
        wrong.index, wrong.to_dict("records"), places.to_dict("records"), strict=True
    ):
        audio, note = "", "is not in the corpus any more"
        if _said(place["path"]):
            audio, note = _sound(place)
        size += len(audio)
        if size > LARGEST:
            return heard, f"{len(heard)} of {count}: more would make the page too large"
        heard.append(
            ConfidentError(
                str(name), _said(row["speaker"]), row["emotion"], row["predicted"], row["confidence"],
                _said(place["text"]), audio, note,
            )
        )  # fmt: skip
    return heard, ""


def _sound(place: dict[Any, Any]) -> tuple[str, str]:
    """A recording as a ``data:`` address, and what has to be said of it."""
    import soundfile  # noqa: PLC0415  (reports of features need no recordings)
    import soxr  # noqa: PLC0415

    try:
        samples, rate = read_mono(place["path"], start=place["start"], end=place["end"])
    except AudioError as error:
        return "", str(error)
    note = f"the first {LONGEST:.0f} s" if len(samples) > LONGEST * rate else ""
    samples = samples[: round(LONGEST * rate)]
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="OGG", subtype="VORBIS")
    return f"data:audio/ogg;base64,{base64.b64encode(file.getvalue()).decode()}", note


def _said(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
