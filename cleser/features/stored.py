"""Features of a manifest's utterances in a store: gathered when they are asked for, and never all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.alignment import Alignment
from cleser.features.extraction import Announce, extract_to_store, writer_of
from cleser.features.pooled import Features, Record
from cleser.features.store import FORMAT, PooledStore
from cleser.features.store_settings import StoreSettings
from cleser.features.utterance import look_up
from cleser.files import cache_folder, in_cache
from cleser.memory import empty
from cleser.speech.backbones import Backbone

BLOCK = 128  # utterances in memory at a time, where all are gone over


@dataclass(repr=False)
class StoredFeatures:
    """A view of a store: some utterances, in order.

    Attributes:
        store: The store, which holds a :class:`~cleser.features.pooled.Record` of each.
        utterances: Ids of the utterances.
        keys: Names of the utterances in the store.
        rows: Row of each utterance in the manifest that was asked for.
        left_out: Recordings that could not be used: ``{"path": …, "reason": …}``.

    >>> from cleser.corpora import load
    >>> from cleser.features import store_features
    >>> from cleser.speech import AcousticBackbone
    >>> view = store_features(load("synthetic:zh?speakers=2&sentences=1"), AcousticBackbone())
    >>> len(view), view.shape, len(view.take([1, 0]).utterances)
    (8, (2, 80), 2)
    """

    store: PooledStore
    utterances: list[str]
    keys: list[str]
    rows: list[int]
    left_out: list[dict[str, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"StoredFeatures({len(self)} utterances of {self.store.folder})"

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C."""
        return len(self.store.settings.layers), self.store.settings.dim

    def take(self, at: Sequence[int] | Tensor, *, tokens: bool = True) -> Features:
        """Some utterances' features as they were extracted, in float32.

        Args:
            at: Positions of the utterances.
            tokens: Whether tokens are wanted beside the summaries.
        """
        places = torch.as_tensor(at, dtype=torch.long).tolist()
        keys = [self.keys[i] for i in places]
        self.store.prefetch(keys, rows=None if tokens else 1)
        taken = self._tokens(keys) if tokens else self._summaries(keys)
        return replace(taken, utterances=[self.utterances[i] for i in places])

    def _summaries(self, keys: list[str]) -> Features:
        """Summaries alone: an utterance's first row."""
        return Features(
            utterances=[],
            tokens=torch.empty(0, *self.shape),
            offsets=torch.zeros(len(keys) + 1, dtype=torch.long),
            summaries=self.store.read(keys, rows=1).values.float(),
            phones=[],
            sizes=torch.empty(0, dtype=torch.long),
            frames=self.store.frames_of(keys, rows=1).long(),
        )

    def _tokens(self, keys: list[str]) -> Features:
        """Summaries and tokens, which are an utterance's other rows."""
        counts = torch.from_numpy(self.store.rows(keys) - 1)
        offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        summaries = torch.empty(len(keys), *self.shape)
        of_tokens = empty((int(offsets[-1]), *self.shape), torch.float32)
        # One by one, so that nothing is held twice.
        for i, part in enumerate(of_tokens.split(counts.tolist())):
            kept = self.store.read(keys[i : i + 1]).values
            summaries[i] = kept[0]
            part.copy_(kept[1:])
        made_of = self.store.frames_of(keys).long()
        first = offsets[:-1] + torch.arange(len(keys))
        of_token = torch.ones(len(made_of), dtype=torch.bool).index_fill_(0, first, False)
        return Features(
            utterances=[],
            tokens=of_tokens,
            offsets=offsets,
            summaries=summaries,
            phones=[phone for key in keys for phone in self.store.labels(key)[1:]],
            sizes=made_of[of_token],
            frames=made_of[first],
        )

    def pick(self, at: Sequence[int]) -> StoredFeatures:
        """Some utterances, by position."""
        return StoredFeatures(
            self.store,
            [self.utterances[i] for i in at],
            [self.keys[i] for i in at],
            [self.rows[i] for i in at],
            self.left_out,
        )

    @classmethod
    def join(cls, parts: Sequence[StoredFeatures]) -> StoredFeatures:
        """Views of one store, one after another.

        Raises:
            ValueError: They are of several stores.
        """
        folders = {part.store.folder for part in parts}
        if len(folders) > 1:
            raise ValueError(f"found views of {sorted(map(str, folders))}, expected one store")
        shifts = np.cumsum([0, *(len(p) for p in parts[:-1])]).tolist()
        return cls(
            # Each part may have been opened before another was added.
            PooledStore.open(folders.pop()),
            [name for p in parts for name in p.utterances],
            [key for p in parts for key in p.keys],
            [row + shift for p, shift in zip(parts, shifts, strict=True) for row in p.rows],
            [problem for p in parts for problem in p.left_out],
        )

    def blocks(self, *, tokens: bool = True) -> Iterator[tuple[Features, Tensor]]:
        """All utterances, a bounded number at a time, with their positions."""
        for at in torch.arange(len(self)).split(BLOCK):
            yield self.take(at, tokens=tokens), at


def store_features(
    manifest: pd.DataFrame,
    backbone: Backbone,
    *,
    alignments: Sequence[Alignment | None] | None = None,
    record: Record | None = None,
    cache: Path | None = None,
    device: torch.device | None = None,
    advance: Callable[[int], object] | None = None,
    announce: Announce | None = None,
    shortest: float = 0.0,
) -> StoredFeatures:
    """Extract what the cache's store does not hold yet, and give a view of all usable utterances.

    Args:
        manifest: Utterances with ``utterance, path, start, end``.
        backbone: What turns sound into frames.
        alignments: When each phone sounds, one for each row, None where nobody knows.
        record: What is kept of an utterance.
        cache: Folder of the stores, one for each backbone and record; by default :func:`cleser.files.cache_folder`.
        device: Where the backbone runs while it extracts; by default where it is.
        advance: Called with the number of utterances finished, for progress.
        announce: Called before longer work with a sentence on what it will take.
        shortest: Seconds below which an utterance is left out.

    Raises:
        ValueError: The manifest is empty, or the alignments are not as many as its rows.
        OSError: The cache cannot be written.

    >>> from cleser.corpora import load
    >>> from cleser.speech import AcousticBackbone
    >>> stored = store_features(load("synthetic:zh?speakers=2&sentences=1"), AcousticBackbone())
    >>> len(stored), stored.take([0]).summaries.shape
    (8, torch.Size([1, 2, 80]))
    """
    if manifest.empty:
        raise ValueError("the manifest is empty, expected at least one utterance")
    record = record or Record()
    folder = store_folder(backbone, record, cache)
    with in_cache("features", cache):
        _take_over(manifest, backbone, alignments, record, cache)
        extraction = extract_to_store(
            manifest,
            backbone,
            folder,
            record=record,
            alignments=alignments,
            dtype=backbone.kept,
            device=device,
            advance=advance,
            announce=announce,
            shortest=shortest,
        )
    used = [i for i, key in enumerate(extraction.keys) if key is not None]
    return StoredFeatures(
        extraction.store,
        manifest["utterance"].iloc[used].tolist(),
        [str(extraction.keys[i]) for i in used],
        used,
        extraction.left_out,
    )


def _take_over(
    manifest: pd.DataFrame,
    backbone: Backbone,
    alignments: Sequence[Alignment | None] | None,
    record: Record,
    cache: Path | None,
) -> None:
    """Copy from stores that hold more, other layers or tokens beside the summaries: nothing is computed twice."""
    own = StoreSettings.of(backbone, record)
    name, layers = backbone.whole
    phones = alignments if alignments is not None else [None] * len(manifest)
    kinds = [record, replace(record, tokens="phone")] if record.tokens == "none" else [record]
    for kind in kinds:
        richer = replace(StoreSettings.of(backbone, kind), backbone=name, layers=layers)
        folder = _folder(richer, cache)
        if richer != own and (folder / "settings.json").exists():
            both = (look_up(manifest, phones, of) for of in (record, kind))
            keys = [(a.usable_key, b.usable_key) for a, b in zip(*both, strict=True)]
            _copy(PooledStore.open(folder), PooledStore.create(_folder(own, cache), own), keys)


def _copy(
    whole: PooledStore, own: PooledStore, keys: Iterable[tuple[str | None, str | None]]
) -> None:
    """Put into a store what another has of some utterances, as far as it keeps that.

    Args:
        whole: The store that has more layers, or tokens beside summaries.
        own: The store that keeps less.
        keys: Names of each utterance in ``own`` and in ``whole``.
    """
    missing = {key: there for key, there in keys if there in whole and key not in own}
    if not missing:
        return
    layers = [whole.settings.layers.index(layer) for layer in own.settings.layers]
    rows = slice(None) if whole.settings.pooling == own.settings.pooling else slice(1)
    with writer_of(own) as writer:
        for key, there in missing.items():
            writer.add(
                str(key),
                whole[str(there)][rows, layers],
                times=whole.times(str(there))[rows].numpy(),
                frames=whole.frames(str(there))[rows].numpy(),
                labels=whole.labels(str(there))[rows],
            )


def store_folder(backbone: Backbone, record: Record, cache: Path | None = None) -> Path:
    """Folder in which recipes look for features: another one for whatever changes the numbers.

    Args:
        backbone: What turned sound into frames.
        record: What is kept of an utterance.
        cache: Folder of the stores; by default :func:`cleser.files.cache_folder`.

    >>> from cleser.features import Record
    >>> from cleser.speech import AcousticBackbone
    >>> backbone = AcousticBackbone()
    >>> store_folder(backbone, Record()) == store_folder(backbone, Record(tokens="none"))
    False
    """
    return _folder(StoreSettings.of(backbone, record), cache)


def _folder(settings: StoreSettings, cache: Path | None) -> Path:
    return (cache or cache_folder()) / "stores" / f"{FORMAT}-{settings.identity}"


def extract_features(
    manifest: pd.DataFrame,
    backbone: Backbone,
    *,
    alignments: Sequence[Alignment | None] | None = None,
    cache: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> Features:
    """Describe every utterance of a manifest, from the store where it is known; all of it in memory.

    Args:
        manifest: Utterances with ``utterance, path, start, end``.
        backbone: What turns sound into frames.
        alignments: When each phone sounds, one for each row, None where nobody knows; a phone of which every
            frame is silent is no token.
        cache: Folder to keep results in; by default :func:`cleser.files.cache_folder`.
        advance: Called with the number of utterances finished, for progress.

    Returns:
        Features of the readable utterances in the manifest's order; the others are in ``left_out``.

    Raises:
        ValueError: The manifest is empty, or the alignments are not as many as its rows.

    >>> from cleser.corpora import load
    >>> from cleser.speech import AcousticBackbone
    >>> features = extract_features(load("synthetic:zh?speakers=2&sentences=1"), AcousticBackbone())
    >>> len(features), features.summaries.shape
    (8, torch.Size([8, 2, 80]))
    """
    found = store_features(manifest, backbone, alignments=alignments, cache=cache, advance=advance)
    features = found.take(range(len(found)))
    features.left_out.extend(found.left_out)
    return features
