"""What only a recording's header tells: how long it is, at which rate, and whether it can be read at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd

from cleser.corpora.manifest import HEADER_COLUMNS, PROBED, Problem, problems, with_problems
from cleser.corpora.recording import RecordingError, read_header
from cleser.progress import each

# Times in tables are often rounded.
TOLERANCE = 0.05


class _Header(NamedTuple):
    samplerate: int = 0
    channels: int = 0
    frames: int = 0
    reason: str | None = None


def probe(manifest: pd.DataFrame, *, progress: bool = False) -> pd.DataFrame:
    """Open the header of every recording, and leave out what cannot be used.

    Args:
        manifest: Utterances, as :func:`cleser.corpora.load` returns them.
        progress: Show a progress bar.

    Returns:
        The manifest with the columns ``duration`` (of the utterance, in seconds), ``samplerate`` (Hz),
        ``channels`` and ``frames`` (of the file). Recordings that are unreadable, are cut off, hold no samples or
        end before their utterance does have moved to its problems. Columns of these names that the manifest had are
        replaced, whoever filled them.

    >>> from cleser.corpora import load
    >>> probed = probe(load("synthetic:zh?speakers=2&sentences=1"))
    >>> probed["samplerate"].unique().tolist(), bool((probed["duration"] > 0.5).all())
    ([16000], True)
    """
    paths = manifest["path"].unique()
    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        headers = pool.map(_header, paths)
        shown = each(headers, "headers", len(paths)) if progress else headers
        table = pd.DataFrame(list(shown), index=paths, columns=_Header._fields)
    known = table.loc[manifest["path"]].set_index(manifest.index)
    length = known["frames"] / known["samplerate"].clip(lower=1)
    end = manifest["end"].fillna(length)
    beyond = np.maximum(end, manifest["start"]) > length + TOLERANCE
    late = "ends before its utterance does (" + length.map("{:.2f} s)".format)
    reasons = known["reason"].where(known["reason"].notna() | ~beyond, late)
    duration = np.minimum(end, length) - manifest["start"]
    good = reasons.isna()
    refused = zip(manifest.loc[~good, "path"], reasons[~good], strict=True)
    probed = manifest.assign(duration=duration, **known[["samplerate", "channels", "frames"]])[good]
    found = [*problems(manifest), *(Problem(path, reason) for path, reason in refused)]
    probed.attrs[PROBED] = True
    return with_problems(probed.reset_index(drop=True), found)


def is_probed(manifest: pd.DataFrame) -> bool:
    """Whether ``duration`` and the other columns of headers are what :func:`probe` read, not a table's own."""
    return bool(manifest.attrs.get(PROBED)) and set(HEADER_COLUMNS) <= set(manifest)


def _header(path: str) -> _Header:
    try:
        return _Header(*read_header(path))
    except RecordingError as error:
        return _Header(reason=str(error))
