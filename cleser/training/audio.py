"""The road from audio: recordings become batches inside the training step, through a backbone that learns.

What a recipe is given is the same :class:`~cleser.models.batch.Batch` on both roads, so that its step is the same
code. Features are standardised by statistics of the backbone as it was before training, taken per speaker,
corpus or from the source alone as the protocol says: with a frozen backbone both roads give the same numbers,
and what training changes in the backbone is not undone by statistics that follow it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from cleser.alignment import Alignment
from cleser.anchors.pooling import pool_phones
from cleser.corpora.protocol import Protocol
from cleser.features.normalisation import Moments, scale
from cleser.features.pooled import TOKEN, Record, token_bounds
from cleser.models.batch import Batch
from cleser.speech.audio import load_audio
from cleser.speech.backbones import Backbone, Frames
from cleser.training.dataset import (
    Dataset,
    Source,
    Vocabulary,
    balance,
    picked,
    standards_of,
    stored_features,
)

_BUDGET = 60.0  # seconds of padded sound that are encoded at once where no gradients are kept


@dataclass
class Sounds:
    """A batch of recordings on their way to become a :class:`~cleser.models.batch.Batch`.

    Attributes:
        waveforms: [B, N], zero beyond each length.
        lengths: In samples, int64 [B].
        alignments: When each one's phones sound, None where nobody knows.
        content: What is taken off the frames of each phoneme, [L, D], for each recording.
        moments: What each one's tokens and summary are standardised by, [B, L, C].
        labels: As in the batch.
        weight: As in the batch.
    """

    waveforms: Tensor
    lengths: Tensor
    alignments: list[Alignment | None]
    content: list[dict[str, Tensor]]
    moments: Moments
    labels: dict[str, Tensor]
    weight: Tensor

    def __len__(self) -> int:
        return len(self.waveforms)

    def pick(self, places: list[int]) -> Sounds:
        """Some of them, no longer than they have to be."""
        lengths = self.lengths[places]
        return Sounds(
            self.waveforms[places, : int(lengths.max())],
            lengths,
            [self.alignments[i] for i in places],
            [self.content[i] for i in places],
            Moments(*(m[places] for m in self.moments)),
            {name: values[places] for name, values in self.labels.items()},
            self.weight[places],
        )

    def to(self, device: torch.device | str) -> Sounds:
        """The same on another device."""
        return Sounds(
            self.waveforms.to(device),
            self.lengths.to(device),
            self.alignments,
            self.content,
            Moments(*(m.to(device) for m in self.moments)),
            {name: values.to(device) for name, values in self.labels.items()},
            self.weight.to(device),
        )


class AudioEncoder(nn.Module):
    """Recordings to a batch: the backbone, pooling of its frames into tokens and a summary, standardisation.

    Args:
        backbone: Tuned for training, see :func:`cleser.speech.backbones.fine_tuning.tune`.
        phonemes: Names behind the phonemes' integers.
        by_utterance: Standardise tokens by their own utterance's statistics.
        precision: Of the backbone's arithmetic.
    """

    def __init__(
        self,
        backbone: Backbone,
        phonemes: Sequence[str],
        *,
        by_utterance: bool,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.phonemes = {name: i for i, name in enumerate(phonemes)}
        self.by_utterance = by_utterance
        self.precision = precision

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU if it has neither weights nor constants."""
        held = next(chain(self.backbone.parameters(), self.backbone.buffers()), None)
        return torch.device("cpu") if held is None else held.device

    def train(self, mode: bool = True) -> AudioEncoder:
        """Switch dropout on, in a backbone of which something is trained; never the running statistics."""
        learns = any(p.requires_grad for p in self.backbone.parameters())
        super().train(mode and learns)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()  # statistics of a few padded recordings would be worse than those it came with
        self.training = mode
        return self

    def forward(self, sounds: Sounds) -> Batch:
        """Encode, with gradients where the backbone has any."""
        frames = self._frames(sounds)
        counted = frames.mask.cpu()  # all at once: each question makes a GPU wait
        rows = frames.hidden_states.unbind(1)  # by slices, each gradient would be as large as all
        spoken, bounds, phones = [], [], []
        length = round(TOKEN * self.backbone.frame_rate)
        for i, count in enumerate(frames.lengths.tolist()):
            mask, heard = counted[i, :count], rows[i][:, :count]
            if not mask.any():  # a crop may fall into silence
                mask = torch.ones_like(mask)
            within, symbols = token_bounds(
                mask, sounds.alignments[i], self.backbone.frame_rate, length
            )
            if not mask.all():
                heard = heard[:, mask.nonzero()[:, 0].to(heard.device)]
            heard = heard.transpose(0, 1)
            spoken.append(_without(heard, within, symbols, sounds.content[i]).flatten(1))
            bounds.append(within)
            phones += symbols
        whole = [torch.tensor([[0, len(x)]]) for x in spoken]
        counts = torch.tensor([len(b) for b in bounds], device=sounds.lengths.device)
        tokens = self._pool(spoken, bounds)
        return Batch(
            tokens=self._standard_tokens(tokens, counts, sounds.moments),
            offsets=nn.functional.pad(counts.cumsum(0), (1, 0)),
            summaries=_standard(self._pool(spoken, whole), *sounds.moments[2:]),
            labels=sounds.labels,
            phonemes=torch.tensor(
                [self.phonemes.get(name, -1) for name in phones], device=tokens.device
            ),
            weight=sounds.weight,
        )

    def _frames(self, sounds: Sounds) -> Frames:
        half = self.precision == "bfloat16"
        with torch.autocast(sounds.waveforms.device.type, torch.bfloat16, enabled=half):
            frames: Frames = self.backbone(sounds.waveforms, sounds.lengths)
        return frames._replace(hidden_states=frames.hidden_states.float())

    def _pool(self, frames: list[Tensor], bounds: list[Tensor]) -> Tensor:
        """Mean and standard deviation [S, L, 2D] of stretches of frames [T_i, L·D]."""
        shape = (self.backbone.n_layers, self.backbone.dim)
        mean, std = pool_phones(frames, bounds, std=True).chunk(2, -1)
        return torch.cat([mean.unflatten(-1, shape), std.unflatten(-1, shape)], -1)

    def _standard_tokens(self, tokens: Tensor, counts: Tensor, by: Moments) -> Tensor:
        if self.by_utterance:
            wide = tokens.double().split(counts.tolist())  # pitch varies little around much
            own = [
                _standard(x, x.mean(0), x.var(0, correction=0).clamp_min(1e-20).sqrt())
                for x in wide
            ]
            return torch.cat(own).to(tokens.dtype)
        mean, std = (m.repeat_interleave(counts, 0) for m in by[:2])
        return _standard(tokens, mean, std)


def _without(
    frames: Tensor, bounds: Tensor, phones: list[str], content: dict[str, Tensor]
) -> Tensor:
    """Take off the frames [T, L, D] of each phone what all of its kind have, see :class:`LexicalContent`."""
    known = [
        (begin, end, content[phone])
        for (begin, end), phone in zip(bounds.tolist(), phones, strict=True)
        if phone in content
    ]
    if not known:
        return frames
    shift = torch.zeros_like(frames)
    for begin, end, offset in known:
        shift[begin:end] = offset
    return frames - shift


def _standard(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return scale(values - mean, std)


@dataclass(repr=False, kw_only=True)
class AudioDataset(Dataset):
    """Utterances whose recordings are read as they are needed; otherwise as the datasets of features.

    Attributes:
        alignments: Phones in time, one for each row.
        content: What is taken off each phoneme, one for each row, see :class:`~cleser.speech.LexicalContent`.
        moments: Statistics of G groups, [G, L, C].
        group: Each utterance's group, int64 [N].
        rate: Sampling rate of the backbone, in Hz.
        encoder: What turns recordings into batches, for all but the recordings themselves.
    """

    # Recordings come from files, and the encoder knows the phonemes.
    source: Source = field(init=False)
    phonemes: Mapping[str, int] = field(init=False)

    alignments: list[Alignment | None]
    content: list[dict[str, Tensor]]
    moments: Moments
    group: Tensor
    rate: int
    encoder: AudioEncoder | None = None

    def __repr__(self) -> str:
        return f"AudioDataset({len(self)} utterances)"

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C of the features."""
        _, layers, channels = self.moments.summary_mean.shape
        return layers, channels

    def encoded_by(self, encoder: AudioEncoder) -> AudioDataset:
        """The same utterances, encoded by this."""
        return replace(self, encoder=encoder)

    def subset(self, manifest: pd.DataFrame) -> AudioDataset:
        """The utterances that also stand in another manifest, with its emotions (which may be blank)."""
        rows, index, labels = picked(self, manifest)
        return replace(
            self,
            manifest=rows,
            labels=labels,
            weight=balance(rows),
            at=torch.arange(len(rows)),
            alignments=[self.alignments[i] for i in index.tolist()],
            content=[self.content[i] for i in index.tolist()],
            group=self.group[index],
        )

    @classmethod
    def join(cls, datasets: Sequence[Dataset]) -> AudioDataset:
        """Several datasets as one; corpora and emotions are balanced over all of it."""
        parts = [cast(AudioDataset, d) for d in datasets]
        sizes = [len(d.moments.token_mean) for d in parts]
        shifts = np.cumsum([0, *sizes[:-1]]).tolist()
        rows = pd.concat([d.manifest for d in parts], ignore_index=True)
        return cls(
            manifest=rows,
            labels={n: torch.cat([d.labels[n] for d in parts]) for n in parts[0].labels},
            weight=balance(rows),
            left_out=[problem for d in parts for problem in d.left_out],
            alignments=[a for d in parts for a in d.alignments],
            content=[c for d in parts for c in d.content],
            moments=Moments(*map(torch.cat, zip(*(d.moments for d in parts), strict=True))),
            group=torch.cat([d.group + s for d, s in zip(parts, shifts, strict=True)]),
            rate=parts[0].rate,
            encoder=parts[0].encoder,
        )

    def sounds(
        self, index: Sequence[int] | Tensor, *, crop: float | None = None, seeds: Sequence[int] = ()
    ) -> Sounds:
        """The recordings at these positions.

        Args:
            index: Positions.
            crop: Longest stretch to take of each, in seconds.
            seeds: Decide, with the position, where in the recording it lies.

        Raises:
            AudioError: A recording can no longer be read.
        """
        at = torch.as_tensor(index, dtype=torch.long)
        rows = self.manifest.iloc[at.numpy()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waves = list(pool.map(self._read, rows["path"], rows["start"], rows["end"]))
        alignments = [self.alignments[i] for i in at.tolist()]
        if crop is not None:
            for i, position in enumerate(at.tolist()):
                waves[i], alignments[i] = _crop(
                    waves[i], alignments[i], self.rate, crop, (*seeds, position)
                )
        return Sounds(
            pad_sequence(waves, batch_first=True),
            torch.tensor([len(w) for w in waves]),
            alignments,
            [self.content[i] for i in at.tolist()],
            Moments(*(m[self.group[at]] for m in self.moments)),
            {name: values[at] for name, values in self.labels.items()},
            self.weight[at],
        )

    def _read(self, path: str, start: float, end: float) -> Tensor:
        return load_audio(path, self.rate, start=start, end=end)

    def batch(self, index: Sequence[int] | Tensor, *, tokens: bool = True) -> Batch:
        """The utterances at these positions, whole, as the backbone hears them now; without gradients."""
        encoder = self._encoder()
        at = torch.as_tensor(index, dtype=torch.long)
        training = encoder.training
        encoder.eval()
        sounds = self.sounds(at)
        found: dict[int, Batch] = {}
        with torch.no_grad():
            for places in _like_lengths(sounds.lengths, self.rate):
                encoded = encoder(sounds.pick(places).to(encoder.device))
                found |= zip(places, _singles(encoded), strict=True)
        encoder.train(training)
        return _together([found[i] for i in range(len(at))])

    def _encoder(self) -> AudioEncoder:
        if self.encoder is None:
            raise ValueError(
                "recordings have no features before a network is there; this recipe cannot learn from audio"
            )
        return self.encoder


def load_audio_dataset(
    manifest: pd.DataFrame,
    protocol: Protocol,
    vocabulary: Vocabulary,
    backbone: Backbone,
    *,
    title: str,
    alignments: Sequence[Alignment | None] | None = None,
    reference: Moments | None = None,
    distrusted: Collection[str] = (),
    record: Record | None = None,
    tokens: bool = True,
) -> tuple[AudioDataset, Moments]:
    """As :func:`cleser.training.dataset.load_dataset`, for recordings that are encoded while training.

    The backbone goes over all recordings once, or reads what it made of them before, for the statistics that
    features are standardised by and to find out which recordings can be used. Batches hold tokens in any case.
    """
    phones = list(alignments) if alignments is not None else [None] * len(manifest)
    stored = stored_features(manifest, backbone, phones, title=title)
    rows = manifest.iloc[stored.rows].reset_index(drop=True)
    standards, typical = standards_of(stored, rows, protocol, reference, distrusted)
    said = standards.content
    content = [{name: said.table[i] for name, i in of.items()} for of in said.rows]
    dataset = AudioDataset(
        manifest=rows,
        labels=vocabulary.encode(rows),
        weight=balance(rows),
        left_out=stored.left_out,
        alignments=[phones[i] for i in stored.rows],
        content=[content[corpus] for corpus in said.corpus.tolist()],
        moments=standards.moments,
        group=standards.group,
        rate=backbone.rate,
    )
    return dataset, typical


def _crop(
    wave: Tensor, alignment: Alignment | None, rate: int, longest: float, seeds: tuple[int, ...]
) -> tuple[Tensor, Alignment | None]:
    """A stretch of a recording, and the phones that sound in it."""
    length = round(longest * rate)
    if len(wave) <= length:
        return wave, alignment
    first = int(np.random.default_rng(seeds).integers(len(wave) - length + 1))
    cut = wave[first : first + length]
    if alignment is None or alignment.uniform:
        return cut, alignment
    starts = np.clip(alignment.starts - first / rate, 0, longest)
    ends = np.clip(alignment.ends - first / rate, 0, longest)
    heard = ends - starts > 0
    phones = [name for name, h in zip(alignment.phones, heard, strict=True) if h]
    return cut, Alignment(starts[heard], ends[heard], tuple(phones))


def _like_lengths(lengths: Tensor, rate: int) -> Iterator[list[int]]:
    """Places of recordings of like length together, a bounded amount of padded sound at a time."""
    together: list[int] = []
    for place in lengths.argsort(stable=True).tolist():
        if together and (len(together) + 1) * int(lengths[place]) > _BUDGET * rate:
            yield together
            together = []
        together.append(place)
    if together:
        yield together


def _singles(batch: Batch) -> Iterator[Batch]:
    """Each utterance of a batch by itself."""
    for i, (begin, end) in enumerate(
        zip(batch.offsets.tolist()[:-1], batch.offsets.tolist()[1:], strict=True)
    ):
        yield Batch(
            tokens=batch.tokens[begin:end],
            offsets=batch.offsets[i : i + 2] - begin,
            summaries=batch.summaries[i : i + 1],
            labels={name: values[i : i + 1] for name, values in batch.labels.items()},
            phonemes=batch.phonemes[begin:end],
            weight=batch.weight[i : i + 1],
        )


def _together(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    counts = torch.cat([b.offsets.diff() for b in batches])
    labels = {n: torch.cat([b.labels[n] for b in batches]) for n in batches[0].labels}
    joined = {
        f.name: torch.cat([getattr(b, f.name) for b in batches])
        for f in fields(Batch)
        if f.name not in ("labels", "offsets")
    }
    return Batch(**joined, labels=labels, offsets=nn.functional.pad(counts.cumsum(0), (1, 0)))
