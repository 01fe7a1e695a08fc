"""Alignments in JSON: by Montreal Forced Aligner, gentle, WhisperX and emuR, and as a plain list of phones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from cleser.alignment.files.tiers import (
    AlignmentError,
    Tier,
    UnclearTierError,
    choose_tier,
    most_marked,
    to_alignment,
)
from cleser.alignment.phones import Alignment

_EXPECTED: Final = (
    'expected {"tiers": {"phones": {"entries": [[start, end, symbol], …]}}} as Montreal Forced Aligner writes it, '
    'gentle\'s {"words": …}, emuR\'s {"levels": …} or [[symbol, start, end], …]'
)
_LETTERS: Final = "chars"
_LAYOUT = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


def read_json(path: Path, tier: str | int | None) -> Tier:
    """Read the tier of phones from a JSON file.

    Raises:
        AlignmentError: The file is no JSON or has another layout, or does not say which tier holds phones.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 1)
        raise AlignmentError(path, f"{error}, expected JSON", f"line {line}") from error
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of too many digits
        raise AlignmentError(path, f"{error}, expected JSON of phones") from error
    if isinstance(content, list):
        return _tier("phones", [_turned(entry) for entry in content], path, text)
    found = _tiers(content, path)
    if not found:
        raise AlignmentError(path, f"found {_shown(content)}, {_EXPECTED}", "line 1")
    try:
        if tier is None and _LETTERS in found:
            raise UnclearTierError(
                "found words and letters (WhisperX), and no phones: ask for tier='chars' to take letters for phones"
            )
        names = tuple(found)
        at = choose_tier(names, tier)
        tiers = [
            _tier(name, entries, path, text)
            for i, (name, entries) in enumerate(found.items())
            if at in (None, i)
        ]
        return most_marked(tiers) if at is None else tiers[0]
    except UnclearTierError as error:
        raise AlignmentError(path, str(error)) from None


def from_entries(entries: list[Any], path: str | Path, alphabet: str | None) -> Alignment:
    """The alignment of a list ``[[symbol, start, end], …]``.

    Args:
        entries: The list.
        path: Where it stands, for errors.
        alphabet: See :func:`read_alignment`.
    """
    rows = _rows("phones", [_turned(entry) for entry in entries], path)
    starts, ends, marks = zip(*rows, strict=True) if rows else ((), (), ())
    tier = Tier("phones", starts, ends, marks, lambda i: f"phone {i + 1}")
    return to_alignment(tier, path, alphabet)


def _tiers(content: Any, path: Path) -> dict[str, list[Any]]:
    """Entries ``[start, end, symbol]`` of each tier; none where the layout is unknown."""
    if not isinstance(content, dict):
        return {}
    layouts = {
        "tiers": _of_mfa,
        "levels": _of_emur,
        "segments": _of_whisperx,
        "words": _of_gentle,
    }
    for name, read in layouts.items():
        if name in content:
            try:
                return read(content)
            except _LAYOUT as error:
                said = f"{name!r} holds {_shown(content[name])} ({error}), {_EXPECTED}"
                raise AlignmentError(path, said) from error
    return {}


def _of_mfa(content: dict[str, Any]) -> dict[str, list[Any]]:
    """Tiers by name, or in a list, as praatio has them; those of one speaker among several in a further one."""
    tiers = content["tiers"]
    if isinstance(tiers, list):
        tiers = {str(t.get("name")): t for t in tiers if isinstance(t, dict)}
    if not isinstance(tiers, dict):
        return {}
    flat: dict[str, Any] = {}
    for name, tier in tiers.items():
        if isinstance(tier, dict) and "entries" not in tier:
            flat.update({f"{name} - {below}": found for below, found in tier.items()})
        else:
            flat[name] = tier
    return {
        name: found["entries"]
        for name, found in flat.items()
        if isinstance(found, dict) and isinstance(found.get("entries"), list)
    }


def _of_emur(content: dict[str, Any]) -> dict[str, list[Any]]:
    """``_annot.json``: levels of segments, in samples."""
    rate = content["sampleRate"]
    return {
        level["name"]: [
            [
                item["sampleStart"] / rate,
                (item["sampleStart"] + item["sampleDur"]) / rate,
                item["labels"][0]["value"],
            ]
            for item in level["items"]
        ]
        for level in content["levels"]
        if level["type"] == "SEGMENT"
    }


def _of_gentle(content: dict[str, Any]) -> dict[str, list[Any]]:
    """Words that were found, each with its start and the durations of its phones."""
    phones = []
    for word in content["words"]:
        now = word.get("start")
        for phone in word.get("phones", ()):
            end = round(now + phone["duration"], 6)
            phones.append([now, end, phone["phone"]])
            now = end
    return {"phones": phones}


def _of_whisperx(content: dict[str, Any]) -> dict[str, list[Any]]:
    """Words, and letters where they were asked for; some have no times."""
    found: dict[str, list[Any]] = {"words": [], _LETTERS: []}
    for segment in content["segments"]:
        for name, key in (("words", "word"), (_LETTERS, "char")):
            found[name] += [
                [part["start"], part["end"], part[key]]
                for part in segment.get(name) or ()
                if "start" in part and "end" in part
            ]
    return found


def _turned(entry: Any) -> Any:
    return [*entry[1:], entry[0]] if isinstance(entry, list) and len(entry) == 3 else entry


def _tier(name: str, entries: list[Any], path: Path, text: str) -> Tier:
    rows = _rows(name, entries, path)
    starts, ends, marks = zip(*rows, strict=True) if rows else ((), (), ())
    return Tier(name, starts, ends, marks, lambda i: f"line {_line(text, entries[i])}")


def _rows(name: str, entries: list[Any], path: str | Path) -> list[tuple[float, float, str]]:
    rows = []
    for entry in entries:
        try:
            # Further fields, as a confidence, may stand behind.
            rows.append((float(entry[0]), float(entry[1]), str(entry[2])))
        except (*_LAYOUT, RecursionError) as error:
            said = f"tier {name!r} holds {_shown(entry)}, {_EXPECTED}"
            raise AlignmentError(path, said, "line 1") from error
    return rows


def _line(text: str, entry: Any) -> int:
    """Where an entry's last number stands: MFA breaks lines within entries, others do not."""
    number = next((json.dumps(value) for value in entry if isinstance(value, float)), "")
    return text.count("\n", 0, max(text.find(number), 0)) + 1


def _shown(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) <= 80 else text[:80] + "…"
