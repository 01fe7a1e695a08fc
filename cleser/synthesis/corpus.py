"""The synthetic corpus: espeak-ng speech whose styles, phones and language gap are known.

``synthetic:en`` or ``synthetic:zh?speakers=24&style=0.5&gap=1&seed=3``; the knobs are the fields of
:class:`Knobs`, and :mod:`cleser.synthesis.expression` says what is planted. Speech is made once (needs
``pip install "cleser[espeak]"``), kept in the cache folder, and found there by the knobs' hash.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
import soundfile

from cleser.corpora.attributes import ATTRIBUTES
from cleser.corpora.manifest import Listing
from cleser.corpora.votes import majority
from cleser.files import cache_folder, in_cache, write_bytes
from cleser.progress import each
from cleser.synthesis.espeak import Speech, engine
from cleser.synthesis.expression import (
    EMOTIONS,
    MAX_STYLES,
    affect,
    cues,
    generator,
    heard_as,
    manner,
)
from cleser.synthesis.prosody import Voice, speak
from cleser.synthesis.sentences import SENTENCES

VERSION: Final = 1  # of what this file makes of the knobs: another sound needs another number
VOICES: Final = {"en": "en", "zh": "cmn", "de": "de", "fr": "fr", "es": "es"}
VARIANTS: Final = {
    "female": ("f1", "f2", "f3", "f4", "f5"),
    "male": ("m1", "m2", "m3", "m6", "m7"),
}
_MANIFEST: Final = "manifest.parquet"


@dataclass(frozen=True)
class Knobs:
    """Settings of the synthetic corpus.

    Attributes:
        language: One of :data:`VOICES`.
        speakers: Number of speakers, who take styles in turn. Half are women if it is a multiple of 2 × ``styles``.
        sentences: Sentences that each speaker says in each emotion.
        styles: Number of planted styles, 1 to 4.
        style: How far styles differ: 0 not at all, 1 until the cues in conflict mean nothing by themselves.
        gap: How far languages differ; 0 not at all.
        jitter: Chance in expression; 0 none.
        seed: Seed of all chance. Languages that shall share styles and gap take the same.
        annotators: How many vote for the emotion of each utterance. Its label is then the one with most votes, none
            where there is no such, and ``intended`` says what was expressed. With 0 that is the label.
        blend: How much of another emotion an utterance may express beside its own; 0 none, 1 as much as of its own.
    """

    language: str
    speakers: int = 12
    sentences: int = 8
    styles: int = 2
    style: float = 1.0
    gap: float = 0.4
    jitter: float = 1.0
    seed: int = 0
    annotators: int = 0
    blend: float = 0.0


_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "speakers": (1, 10_000),
    "sentences": (1, min(map(len, SENTENCES.values()))),
    "styles": (1, MAX_STYLES),
    "style": (0, 1),
    "gap": (0, 2),
    "jitter": (0, 3),
    "seed": (0, 2**63),
    "annotators": (0, 1000),
    "blend": (0, 1),
}


def parse_knobs(argument: str) -> Knobs:
    """Knobs from what stands behind ``synthetic:``.

    Raises:
        ValueError: The language, a knob or its value is none that there is.

    >>> parse_knobs("zh?gap=0.25&speakers=4").gap
    0.25
    >>> parse_knobs("en?gaps=1")
    Traceback (most recent call last):
    ValueError: synthetic:en?gaps=1: no knob 'gaps', expected some of ['speakers', 'sentences', ...]
    """
    spec = f"synthetic:{argument}"
    language, _, query = argument.partition("?")
    if language not in VOICES:
        raise ValueError(f"{spec}: no language {language!r}, expected one of {list(VOICES)}")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ValueError(f"{spec}: {query!r} is no query, expected knob=value&...") from error
    values = {name: _value(spec, name, text) for name, text in pairs}
    if len(values) < len(pairs):
        raise ValueError(f"{spec}: a knob is set twice, expected each once")
    return Knobs(language, **values)  # type: ignore[arg-type]  # each has its field's type


def _value(spec: str, name: str, text: str) -> int | float:
    if name not in _LIMITS:
        raise ValueError(f"{spec}: no knob {name!r}, expected some of {list(_LIMITS)}")
    lowest, highest = _LIMITS[name]
    kind = float if _TYPES[name] == "float" else int
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not lowest <= value <= highest:
        expected = f"{kind.__name__} from {lowest:g} to {highest:g}"
        raise ValueError(f"{spec}: {name} is {text!r}, expected {expected}")
    return value


_TYPES: Final = {field.name: field.type for field in fields(Knobs)}


class _Utterance(NamedTuple):
    speaker: int
    emotion: str
    sentence: int

    def name(self, seed: int) -> str:
        return f"seed{seed}-{self.speaker:02d}-{self.emotion}-{self.sentence}"


def read(argument: str) -> Listing:
    """Read the synthetic corpus, and make it first where that is still to be done.

    Args:
        argument: Language and knobs, as ``en`` or ``zh?style=0.5&seed=3``.

    Returns:
        One utterance a row. Beside the usual columns ``style`` (int) and ``phones`` (JSON, one
        ``[symbol, start, end]`` a phone, in seconds) hold what was planted, and so do ``arousal, valence, dominance``,
        from −1 to 1; ``corpus`` is ``synthetic-en``.
    """
    knobs = parse_knobs(argument)
    folder = cache_folder() / "synthetic" / f"{knobs.language}-{_key(knobs)}"
    table = folder / _MANIFEST
    rows = pd.read_parquet(table) if table.exists() else None
    if rows is None or not all((folder / name).exists() for name in rows["path"]):
        with in_cache("synthetic recordings"):
            _make(knobs, folder)
            rows = _table(knobs, folder)
            write_bytes(table, rows.to_parquet(index=False))
    rows = rows.assign(path=[str(folder / name) for name in rows["path"]])
    rows = pd.concat([rows, _affect(knobs)], axis=1)
    return Listing(_annotated(knobs, rows) if knobs.annotators else rows, [])


def _affect(knobs: Knobs) -> pd.DataFrame:
    """Arousal, valence and dominance of every utterance; they follow from the knobs, and are not kept."""
    chance: dict[str, Any] = {"jitter": knobs.jitter, "seed": knobs.seed, "blend": knobs.blend}
    values = [
        affect(u.emotion, knobs.language, u.speaker, u.sentence, **chance)
        for u in _utterances(knobs)
    ]
    return pd.DataFrame(values, columns=list(ATTRIBUTES))


def _annotated(knobs: Knobs, table: pd.DataFrame) -> pd.DataFrame:
    """The table with votes for every emotion, and the one with most of them as the label."""
    felt = table[list(ATTRIBUTES)].to_numpy(np.float64)
    votes = np.array(
        [
            generator(knobs.seed, "votes", knobs.language, *u).multinomial(
                knobs.annotators, heard_as(values)
            )
            for u, values in zip(_utterances(knobs), felt, strict=True)
        ],
        dtype=np.float64,
    )
    columns = {f"votes.{name}": votes[:, k] for k, name in enumerate(EMOTIONS)}
    label = pd.Series(majority(votes, EMOTIONS), table.index, dtype="str")
    return table.assign(intended=table["emotion"], emotion=label, **columns)


def _key(knobs: Knobs) -> str:
    sound = {name: value for name, value in asdict(knobs).items() if name != "annotators"}
    if not knobs.blend:  # as before there were any
        del sound["blend"]
    identity = {**sound, "version": VERSION, "engine": engine()}
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _utterances(knobs: Knobs) -> list[_Utterance]:
    return [
        _Utterance(speaker, emotion, sentence)
        for speaker in range(knobs.speakers)
        for emotion in EMOTIONS
        for sentence in range(knobs.sentences)
    ]


def _make(knobs: Knobs, folder: Path) -> None:
    """Say what is missing. A recording is written last: where one is, its phones are too."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [u for u in _utterances(knobs) if not _path(knobs, folder, u).exists()]

    def make(utterance: _Utterance) -> None:
        said = say(knobs, utterance.speaker, utterance.emotion, utterance.sentence)
        path = _path(knobs, folder, utterance)
        write_bytes(path.with_suffix(".json"), json.dumps(_phones(said)).encode())
        write_bytes(path, _wav(said))

    # espeak-ng speaks alone, behind a lock, and filters run beside it without Python's: threads do.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in each(pool.map(make, missing), f"synthetic:{knobs.language}", len(missing)):
            pass


def say(knobs: Knobs, speaker: int, emotion: str, sentence: int) -> Speech:
    """One utterance of the corpus."""
    u = cues(
        emotion,
        knobs.language,
        speaker,
        sentence,
        style=style_of(knobs, speaker),
        strength=knobs.style,
        gap=knobs.gap,
        jitter=knobs.jitter,
        seed=knobs.seed,
        blend=knobs.blend,
    )
    noise = generator(knobs.seed, "breath", knobs.language, speaker, emotion, sentence)
    text = SENTENCES[knobs.language][sentence]
    return speak(text, voice_of(knobs, speaker), manner(u), seed=int(noise.integers(2**32)))


def style_of(knobs: Knobs, speaker: int) -> int:
    """Styles in turn, so that they are balanced in each language."""
    return speaker % knobs.styles


def gender_of(knobs: Knobs, speaker: int) -> str:
    """Gender of a speaker, which changes after each round of the styles, so that no style is one gender's."""
    return ("female", "male")[speaker // knobs.styles % 2]


def voice_of(knobs: Knobs, speaker: int) -> Voice:
    """A speaker's own voice, whatever the emotion."""
    random = generator(knobs.seed, "voice", knobs.language, speaker)
    return Voice(
        language=VOICES[knobs.language],
        variant=str(random.choice(VARIANTS[gender_of(knobs, speaker)])),
        tract=float(2 ** random.uniform(-0.12, 0.12)),
        rate=float(165 * 2 ** random.uniform(-0.15, 0.15)),
        pitch=float(random.uniform(-1.0, 2.0)),
        brightness=float(random.uniform(-1.5, 1.5)),
    )


def _path(knobs: Knobs, folder: Path, utterance: _Utterance) -> Path:
    return folder / f"{utterance.name(knobs.seed)}.wav"


def _phones(said: Speech) -> list[tuple[str, float, float]]:
    times = zip(said.phones, said.starts.tolist(), said.ends.tolist(), strict=True)
    return [(phone, round(start, 6), round(end, 6)) for phone, start, end in times]


def _wav(said: Speech) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, said.samples, said.rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _table(knobs: Knobs, folder: Path) -> pd.DataFrame:
    return pd.DataFrame([_row(knobs, folder, u) for u in _utterances(knobs)])


def _row(knobs: Knobs, folder: Path, utterance: _Utterance) -> dict[str, str | int | float]:
    path = _path(knobs, folder, utterance)
    return {
        "utterance": path.stem,
        "path": path.name,
        "start": 0.0,
        "end": np.nan,
        "corpus": f"synthetic-{knobs.language}",
        "language": knobs.language,
        "speaker": f"seed{knobs.seed}-{utterance.speaker:02d}",
        "gender": gender_of(knobs, utterance.speaker),
        "emotion": utterance.emotion,
        "text": SENTENCES[knobs.language][utterance.sentence],
        "style": style_of(knobs, utterance.speaker),
        "phones": path.with_suffix(".json").read_text(encoding="utf-8"),
    }
