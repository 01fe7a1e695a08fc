"""What the alignments of a folder were made from: one that was made from something else is made anew.

The folder holds ``made_from.csv`` with a row for each utterance: a digest of its sound, text and language, and which
part of its recording its times are counted from. Files of which it says nothing are somebody else's.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from cleser.files import write_text
from cleser.speech.digests import utterance_keys

MADE_FROM: Final = "made_from.csv"


class Origin(NamedTuple):
    """What an alignment was made from.

    Attributes:
        digest: The same for the same sound, text and language.
        start: Where the utterance begins in its recording, in seconds.
        end: Where it ends; NaN is the recording's end.
    """

    digest: str
    start: float
    end: float


def origins_of(manifest: pd.DataFrame) -> dict[str, Origin]:
    """What alignments of these utterances are made from; each recording is read once.

    Args:
        manifest: Utterances with ``utterance, path, start, end, language, text``.

    Returns:
        An origin for each utterance whose recording can be read.

    >>> from cleser.corpora import load
    >>> manifest = load("synthetic:zh?speakers=1&sentences=1").head(1)
    >>> (before,) = origins_of(manifest).values()
    >>> (after,) = origins_of(manifest.assign(text="你好")).values()
    >>> len(before.digest), before.start, before.digest == after.digest
    (32, 0.0, False)
    """
    columns = (manifest[name] for name in ("utterance", "start", "end", "language", "text"))
    keys = utterance_keys(manifest)
    origins = {}
    for key, utterance, start, end, language, text in zip(keys, *columns, strict=True):
        if key is not None:
            said = text.strip() if isinstance(text, str) else ""
            digest = hashlib.sha256("\0".join((key, language, said)).encode()).hexdigest()[:32]
            origins[utterance] = Origin(digest, start, end)
    return origins


def read_origins(folder: str | Path) -> dict[str, Origin]:
    """What the folder says of its alignments, by utterance; nothing where it says nothing.

    Raises:
        ValueError: The file was changed by hand, so that it is no such table.
    """
    path = Path(folder, MADE_FROM)
    if not path.exists():
        return {}
    names = ["utterance", *Origin._fields]
    try:
        table = pd.read_csv(
            path,
            dtype={"utterance": str, "digest": str},
            keep_default_na=False,
            na_values={"end": [""]},
        )
        table = table[names].astype({"start": float, "end": float})
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: {error}; expected a table of {names}, as cleser align writes it; remove the file, and the "
            "alignments beside it count as somebody else's"
        ) from error
    return {row[0]: Origin(*row[1:]) for row in table.itertuples(index=False, name=None)}


def write_origins(folder: str | Path, origins: dict[str, Origin]) -> None:
    """Write at once what the folder says of its alignments, see :func:`read_origins`."""
    rows = [(utterance, *origin) for utterance, origin in origins.items()]
    table = pd.DataFrame(rows, columns=["utterance", *Origin._fields])
    write_text(Path(folder, MADE_FROM), table.to_csv(index=False))
