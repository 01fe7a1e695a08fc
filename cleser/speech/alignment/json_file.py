"""Alignments in JSON: Montreal Forced Aligner's, and a plain list of phones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cleser.speech.alignment.phones import Alignment
from cleser.speech.alignment.tiers import (
    AlignmentError,
    Tier,
    UnclearTierError,
    choose_tier,
    most_marked,
    to_alignment,
)

_EXPECTED = 'expected {"tiers": {"phones": {"entries": [[start, end, symbol], …]}}} or [[symbol, start, end], …]'


def read_json(path: Path, tier: str | int | None) -> Tier:
    """The tier of phones.

    Raises:
        AlignmentError: The file is no JSON or has another layout, or does not say which tier holds phones.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 1)
        raise AlignmentError(f"{path}, line {line}: {error}, expected JSON") from error
    if isinstance(content, list):
        return _from_entries("phones", [_turned(entry) for entry in content], path)
    entries = _tiers(content)
    if not entries:
        raise AlignmentError(f"{path}, line 1: found {_shown(content)}, {_EXPECTED}")
    tiers = [_from_entries(name, found, path) for name, found in entries.items()]
    try:
        at = choose_tier(tuple(entries), tier)
        return tiers[at] if at is not None else most_marked(tiers)
    except UnclearTierError as error:
        raise AlignmentError(f"{path}: {error}") from None


def from_entries(entries: list[Any], path: str | Path, alphabet: str | None) -> Alignment:
    """The alignment of a list ``[[symbol, start, end], …]``.

    Args:
        entries: The list.
        path: Where it stands, for errors.
        alphabet: See :func:`read_alignment`.
    """
    rows = _rows("phones", [_turned(entry) for entry in entries], path)
    starts, ends, marks = zip(*rows, strict=True) if rows else ((), (), ())
    return to_alignment(Tier("phones", starts, ends, marks, lambda i: i + 1), path, alphabet)


def _tiers(content: Any) -> dict[str, list[Any]]:
    tiers = content.get("tiers") if isinstance(content, dict) else None
    if isinstance(tiers, list):
        tiers = {str(t.get("name")): t for t in tiers if isinstance(t, dict)}
    if not isinstance(tiers, dict):
        return {}
    return {
        name: found["entries"]
        for name, found in tiers.items()
        if isinstance(found, dict) and isinstance(found.get("entries"), list)
    }


def _turned(entry: Any) -> Any:
    return [*entry[1:], entry[0]] if isinstance(entry, list) and len(entry) == 3 else entry


def _from_entries(name: str, entries: list[Any], path: Path) -> Tier:
    rows = _rows(name, entries, path)
    starts, ends, marks = zip(*rows, strict=True) if rows else ((), (), ())
    return Tier(name, starts, ends, marks, lambda i: _line(path, entries[i]))


def _rows(name: str, entries: list[Any], path: str | Path) -> list[tuple[float, float, str]]:
    try:
        return [(float(start), float(end), str(mark)) for start, end, mark in entries]
    except (TypeError, ValueError) as error:
        raise AlignmentError(
            f"{path}, line 1: tier {name!r} holds {_shown(entries)}, {_EXPECTED}"
        ) from error


def _line(path: Path, entry: Any) -> int:
    """Where an entry's last number stands: MFA breaks lines within entries, others do not."""
    text = path.read_text(encoding="utf-8-sig")
    number = next((json.dumps(value) for value in entry if isinstance(value, float)), "")
    return text.count("\n", 0, max(text.find(number), 0)) + 1


def _shown(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) <= 80 else text[:80] + "…"
