"""Leakage: what a test must not have seen in training, looked for rather than trusted.

Three things are refused: a tested speaker that was learned from or selected on, a tested recording whose
sound (not its name) was, and target audio or labels that the protocol does not let be seen. What cannot be
checked, and what overlaps without being leakage (sentences, say), is reported.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
import soundfile

from cleser.corpora.protocol import Cast, Normalisation, Parts


class LeakageError(ValueError):
    """The protocol would test on what was seen in training; the message lists every case."""


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        refused: Leakage; empty for a protocol that may run.
        notes: What overlaps without being leakage, and what could not be checked.
        duplicates: Groups of utterances with identical sound: columns ``group, utterance, role, emotion``.
    """

    refused: list[str]
    notes: list[str]
    duplicates: pd.DataFrame = field(repr=False)

    def check(self) -> None:
        """Raise a :class:`LeakageError` if anything was refused."""
        if self.refused:
            raise LeakageError("the protocol leaks:\n" + "\n".join(f"- {r}" for r in self.refused))


def audit(
    cast: Cast,
    *,
    repeats: int = 1,
    content: bool = True,
    alignments: bool = False,
    sealed: bool = False,
    advance: Callable[[], object] | None = None,
) -> Audit:
    """Check a cast for leakage.

    Args:
        cast: The loaded protocol.
        repeats: Training seeds whose divisions into train and dev are checked.
        content: Also compare recordings by their sound, which reads every file once.
        alignments: Whether anybody says when phones sound.
        sealed: Leave the target's recordings closed: what their sound would tell is for another audit, before the test.
        advance: Called after each recording read, for progress.

    Raises:
        LeakageError: Anything was refused.
    """
    everyone = pd.concat([cast.source, cast.auxiliary, cast.heard], ignore_index=True)
    everyone = everyone.drop_duplicates("utterance", ignore_index=True)
    closed = everyone["utterance"].isin(cast.heard["utterance"]) if sealed else False
    opened = everyone[~np.broadcast_to(closed, len(everyone))]
    sounds = fingerprints(opened, advance) if content else pd.Series(dtype=str)
    refused: dict[str, None] = {}
    for repeat in range(repeats):
        parts = cast.parts(repeat)
        for finding in (*_speakers(parts), *_utterances(cast, parts), *_sounds(parts, sounds)):
            refused.setdefault(finding)
        if refused:  # another division of the same cast would only say it again
            break
    duplicates = _duplicates(everyone, cast, sounds)
    notes = [*_unknown(cast), *_texts(cast), *_statistics(cast, alignments), *_repeated(duplicates)]
    result = Audit(list(refused), notes, duplicates)
    result.check()
    return result


def fingerprints(
    manifest: pd.DataFrame, advance: Callable[[], object] | None = None
) -> pd.Series[str]:
    """A hash of each utterance's samples, whatever the container; NA where it cannot be read.

    Args:
        manifest: Utterances with ``path, start, end``.
        advance: Called after each recording.

    Returns:
        Hashes, indexed by utterance.
    """

    def one(path: str, start: float, end: float) -> str | None:
        try:
            found = _hash_samples(path, start, end)
        except (soundfile.LibsndfileError, OSError):
            found = None  # a recording that cannot be read takes no part in training either
        if advance:
            advance()
        return found

    columns = (manifest["path"], manifest["start"], manifest["end"])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = list(pool.map(one, *columns))
    return pd.Series(hashes, index=manifest["utterance"], dtype="str").rename("sound")


def _hash_samples(path: str, start: float, end: float) -> str:
    with soundfile.SoundFile(path) as file:
        file.seek(round(start * file.samplerate))
        frames = -1 if pd.isna(end) else round((end - start) * file.samplerate)
        # Integers, since the same samples in wav and flac are equal there to the last bit.
        samples = file.read(frames, dtype="int32")
        digest = hashlib.blake2b(samples.tobytes(), digest_size=16)
        digest.update(str((file.samplerate, samples.shape)).encode())
    return digest.hexdigest()


def _seen(parts: Parts) -> dict[str, pd.DataFrame]:
    return {"train": parts.train, "dev": parts.dev, "auxiliary": parts.auxiliary}


def _speakers(parts: Parts) -> list[str]:
    roles = {**_seen(parts), "test": parts.test}
    findings = []
    for (one, a), (other, b) in combinations(roles.items(), 2):
        if (one, other) == ("train", "auxiliary"):
            continue
        shared = sorted(set(a["speaker"].dropna()) & set(b["speaker"].dropna()))
        if shared:
            findings.append(f"{len(shared)} speakers stand in {one} and {other}: {_some(shared)}")
    return findings


def _utterances(cast: Cast, parts: Parts) -> list[str]:
    findings = []
    # A corpus may be named as source and target: what is learned of it is then the source's by agreement.
    ours = {*cast.protocol.source, *cast.protocol.auxiliary}
    declared = cast.protocol.split == "official" and ours & set(cast.protocol.target)
    target = set((cast.target if declared else cast.heard)["utterance"])
    for role, frame in _seen(parts).items():
        shared = sorted(target & set(frame["utterance"]))
        if shared and cast.protocol.target_access != "labels":
            findings.append(
                f"{len(shared)} target utterances stand with their labels in {role}, which "
                f"target_access={cast.protocol.target_access!r} forbids: {_some(shared)}"
            )
        tested = sorted(set(parts.test["utterance"]) & set(frame["utterance"]))
        if tested and cast.protocol.target_access == "labels":
            findings.append(f"{len(tested)} tested utterances stand in {role}: {_some(tested)}")
    if len(parts.adapt) and cast.protocol.target_access == "nothing":
        findings.append("target audio would be adapted to, which target_access='nothing' forbids")
    if parts.adapt["emotion"].notna().any():
        findings.append("target utterances to adapt to still carry their labels")
    return findings


def _sounds(parts: Parts, sounds: pd.Series[str]) -> list[str]:
    if sounds.empty:
        return []
    findings = []
    roles = {**_seen(parts), "test": parts.test}
    heard = {role: _by_sound(frame, sounds) for role, frame in roles.items()}
    for (one, a), (other, b) in combinations(heard.items(), 2):
        if (one, other) == ("train", "auxiliary"):
            continue
        shared = [f"{a[s]} = {b[s]}" for s in sorted(a.keys() & b.keys())]
        if shared:
            findings.append(
                f"{len(shared)} recordings with identical sound stand in {one} and {other}: "
                f"{_some(shared)}"
            )
    return findings


def _by_sound(frame: pd.DataFrame, sounds: pd.Series[str]) -> dict[str, str]:
    found = sounds.reindex(frame["utterance"]).dropna()
    return dict(zip(found, found.index, strict=True))


def _duplicates(everyone: pd.DataFrame, cast: Cast, sounds: pd.Series[str]) -> pd.DataFrame:
    columns = ["group", "utterance", "role", "emotion"]
    if sounds.empty:
        return pd.DataFrame(columns=columns)
    sound = sounds.reindex(everyone["utterance"]).to_numpy()
    frame = everyone.assign(sound=sound)
    frame = frame[frame["sound"].notna() & frame["sound"].duplicated(keep=False)]
    target = set(cast.heard["utterance"])
    frame = frame.assign(
        group=frame["sound"].rank(method="dense").astype(int) - 1,
        role=["target" if u in target else "source" for u in frame["utterance"]],
    )
    return frame.sort_values(["group", "utterance"])[columns].reset_index(drop=True)


def _repeated(duplicates: pd.DataFrame) -> list[str]:
    groups = duplicates.groupby("group")["utterance"].agg(" = ".join).tolist()
    if not groups:
        return []
    return [f"identical sound under several names, {len(groups)} times: {_some(groups)}"]


def _unknown(cast: Cast) -> list[str]:
    return [
        f"{role}: {missing} of {len(frame)} utterances have no speaker, so that an overlap of "
        "speakers cannot be excluded"
        for role in ("source", "auxiliary", "target")
        if (missing := int((frame := getattr(cast, role))["speaker"].isna().sum()))
    ]


def _texts(cast: Cast) -> list[str]:
    seen = pd.concat([cast.source, cast.auxiliary])[["language", "text"]].dropna()
    tested = cast.target[["language", "text"]].dropna()
    shared = sorted({*seen.itertuples(index=False)} & {*tested.itertuples(index=False)})
    if not shared:
        return []
    return [f"{len(shared)} texts are spoken in source and target: {_some([s[1] for s in shared])}"]


def _statistics(cast: Cast, alignments: bool) -> list[str]:
    if not cast.protocol.transductive:
        return ["no statistics of the target enter its normalisation"]
    phones = " and of its phones" if alignments and cast.protocol.removes_content else ""
    return [
        f"transductive: unlabelled statistics of {_WHOSE[cast.protocol.normalisation]}{phones} enter its normalisation"
    ]


_WHOSE: dict[Normalisation, str] = {
    "auto": "each target speaker, or of the target corpus,",
    "shrunk": "each target speaker and of the target corpus",
    "speaker": "each target speaker",
    "corpus": "the target corpus",
}


def _some(items: list[str], most: int = 3) -> str:
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
