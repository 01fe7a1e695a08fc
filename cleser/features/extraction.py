"""A corpus through a backbone into a store: read, encoded, pooled and written all at once.

Several processes share the work by taking every n-th utterance, and what a store already holds is not done again. How
reading, encoding and writing overlap is in `cleser.features.pipeline`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final, Literal

import pandas as pd
import torch

from cleser.alignment import Alignment
from cleser.features.estimate import Estimate
from cleser.features.pipeline import Pipeline
from cleser.features.pooled import Record
from cleser.features.store import PooledStore
from cleser.features.store_settings import StoreSettings
from cleser.features.store_writer import StoreWriter
from cleser.features.utterance import look_up
from cleser.files import write_text
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.replicas import ReplicaPool, moved_to

Announce = Callable[[str], object]
# Seconds of sound from which on size and time are said.
_LONG: Final = 600.0


@dataclass
class Extraction:
    """The result of an extraction.

    Attributes:
        store: The store, with the utterances that could be used.
        keys: Each row's name in the store; None where the recording could not be used.
        left_out: Recordings that could not be used: ``{"path": …, "reason": …}``.
        padding: Share of what was encoded that was padding.
    """

    store: PooledStore
    keys: list[str | None]
    left_out: list[dict[str, str]] = field(default_factory=list)
    padding: float = 0.0


def extract_to_store(
    manifest: pd.DataFrame,
    backbone: Backbone,
    folder: str | os.PathLike[str],
    *,
    record: Record | None = None,
    alignments: Sequence[Alignment | None] | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    seconds: float | None = None,
    device: torch.device | None = None,
    share: tuple[int, int] = (0, 1),
    workers: int | None = None,
    advance: Callable[[int], object] | None = None,
    announce: Announce | None = None,
    announce_from: float = _LONG,
    shortest: float = 0.0,
) -> Extraction:
    """Encode a manifest's utterances and keep them pooled, from all the backbone's layers.

    Args:
        manifest: Rows with ``path, start, end``.
        backbone: What turns sound into frames.
        folder: Folder of the store; one that is there goes on, if it holds the same.
        record: What to keep of an utterance; by default the mean over each utterance.
        alignments: When each utterance's phones sound, one for each row, None where nobody knows.
        dtype: How values are kept.
        seconds: How much sound a batch may hold, padding included; by default 32 on a CPU and 480 on a GPU. A corpus
            that gives the workers no more than a few such batches is cut into smaller ones.
        device: Where the backbone runs meanwhile; by default where it is.
        share: ``(rank, ranks)``: only rows whose number is rank modulo ranks are extracted.
        workers: Number of batches encoded at once, by as many threads, which divide torch's among them; by default one
            for each of torch's threads on a CPU, and one on a GPU.
        advance: Called with the number of utterances finished, for progress.
        announce: Called before the work with a sentence on the disk that it will take and about how long.
        announce_from: Seconds of sound from which on ``announce`` is called.
        shortest: Seconds below which an utterance is left out.

    Raises:
        ValueError: The store holds something else, the alignments are not as many as the rows, or the disk is too
            small.
    """
    record = record or Record("none", std=False)
    known = alignments if alignments is not None else [None] * len(manifest)
    if len(known) != len(manifest):
        raise ValueError(
            f"found {len(known)} alignments, expected one for each of {len(manifest)} rows"
        )
    store = PooledStore.create(folder, StoreSettings.of(backbone, record, dtype))
    items = look_up(manifest, known, record, share=share, shortest=shortest)
    todo = [i for i in items if i.problem is None and i.key not in store]
    if advance:
        advance(len(items) - len(todo))
    padding = 0.0
    if todo:
        estimate = Estimate.of(todo, store, record)
        estimate.check(store.folder)
        with moved_to(backbone, device):
            replicas = ReplicaPool(backbone, workers)
            if announce and estimate.seconds >= announce_from:
                announce(estimate.said(backbone, replicas.size))
            pipeline = Pipeline(replicas, record, seconds or _batch(replicas.device), advance)
            with writer_of(store, share[0]) as writer, replicas:
                pipeline.run(todo, writer)
        padding = pipeline.padding
        store.refresh()
    left_out = [{"path": str(i.path), "reason": i.problem} for i in items if i.problem is not None]
    _note(store.folder / f"left-out-{share[0]}.jsonl", left_out, set(manifest["path"]))
    return Extraction(store, [i.usable_key for i in items], left_out, padding)


def _batch(device: torch.device) -> float:
    """Seconds of sound that a batch holds."""
    return 480.0 if device.type == "cuda" else 32.0


def writer_of(store: PooledStore, rank: int = 0) -> StoreWriter:
    """A writer under a name that nobody else is using: several runs may fill one store."""
    for number in count():
        try:
            return store.writer(f"{rank}-{number}" if number else rank)
        except BlockingIOError:
            continue
    raise AssertionError("there is always another name")


def _note(path: Path, left_out: list[dict[str, str]], seen: set[str]) -> None:
    """Write a line for each recording that could not be used; no file if all could.

    Args:
        path: The file; what it says of recordings of other extractions into this store stays.
        left_out: Recordings that could not be used this time.
        seen: Paths of all recordings that were asked for this time.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    before = [json.loads(line) for line in lines]
    rows = [*(row for row in before if row["path"] not in seen), *left_out]
    if not rows:
        path.unlink(missing_ok=True)
    elif rows != before:  # what has nothing new to say writes nothing
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
