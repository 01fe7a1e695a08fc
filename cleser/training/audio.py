"""Recordings to batches inside the training step, through a backbone that learns.

What a recipe is given is the same :class:`~cleser.models.batch.Batch` from audio and from stored features, so that its
step is the same code. Features are standardised by statistics of the backbone as it was before training, taken per
speaker, corpus or from the source alone as the protocol says: with a frozen backbone both ways give the same numbers,
and what training changes in the backbone is not undone by statistics that follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from cleser.alignment import Alignment
from cleser.anchors.pooling import pool_phones
from cleser.features.moments import Moments
from cleser.features.normalisation import scale
from cleser.features.pooled import TOKEN, Features, token_bounds
from cleser.models.batch import Batch
from cleser.speech.backbones import Backbone, Frames
from cleser.speech.backbones.replicas import ReplicaPool, device_of
from cleser.speech.batching import batches_by_length
from cleser.training.sharding import is_sharded

PADDING: Final = 0.15
"""Largest share of what the backbone hears of a batch that is padding."""
_BUDGET: Final = 60.0  # seconds of padded sound that are encoded at once, without gradients
_SHARE: Final = 15.0  # of which each core encodes at a time: small shares end together


@dataclass
class WaveformBatch:
    """A batch of recordings on their way to become a :class:`~cleser.models.batch.Batch`.

    Attributes:
        waveforms: [B, N], zero beyond each length.
        lengths: Lengths in samples, int64 [B].
        alignments: When each one's phones sound, None where nobody knows.
        content: The rows of `table` that are taken off the frames of each phoneme, recording by recording.
        moments: What each one's tokens and summary are standardised by, [B, L, C].
        labels: The batch's labels.
        weight: The batch's weights of utterances; one each by default.
        encoder: What encodes them where nobody trains it.
        table: What is taken off the frames of phonemes, [P, L, D]; the last row is zero.
    """

    waveforms: Tensor
    lengths: Tensor
    alignments: list[Alignment | None]
    content: list[dict[str, int]]
    moments: Moments
    labels: dict[str, Tensor] = field(default_factory=dict)
    weight: Tensor = field(default_factory=lambda: torch.empty(0))
    encoder: AudioEncoder | None = None
    table: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        if not len(self.weight):
            self.weight = self.waveforms.new_ones(len(self.waveforms))

    def __len__(self) -> int:
        return len(self.waveforms)

    def pick(self, places: list[int]) -> WaveformBatch:
        """Some of the recordings, padded no longer than they need."""
        lengths = self.lengths[places]
        return replace(
            self,
            waveforms=self.waveforms[places, : int(lengths.max())],
            lengths=lengths,
            alignments=[self.alignments[i] for i in places],
            content=[self.content[i] for i in places],
            moments=Moments(*(m[places] for m in self.moments)),
            labels={name: values[places] for name, values in self.labels.items()},
            weight=self.weight[places],
        )

    def to(self, device: torch.device | str) -> WaveformBatch:
        """The same recordings on another device."""
        return replace(
            self,
            waveforms=self.waveforms.to(device),
            lengths=self.lengths.to(device),
            moments=Moments(*(m.to(device) for m in self.moments)),
            labels={name: values.to(device) for name, values in self.labels.items()},
            weight=self.weight.to(device),
            table=self.table.to(device),
        )

    def encoded(self) -> Batch:
        """The batch, as the backbone hears the recordings now; without gradients.

        Raises:
            ValueError: There is no encoder yet.
        """
        if self.encoder is None:
            raise ValueError(
                "recordings have no features before a network is there; this recipe cannot learn from audio"
            )
        return self.encoder.listen(self)


class AudioEncoder(nn.Module):
    """Recordings to a batch: the backbone, pooling of its frames into tokens and a summary, standardisation.

    Args:
        backbone: Tuned for training, see :func:`cleser.speech.backbones.fine_tuning.tune`.
        phonemes: Names behind the phonemes' integers.
        by_utterance: Standardise tokens by their own utterance's statistics.
        precision: Precision of the backbone's arithmetic.
        whole_batch: Train on a batch in one piece. By default recordings of like length are encoded together, in as
            many pieces as keep padding below `PADDING`: which utterances a batch has is the recipe's choice.
    """

    def __init__(
        self,
        backbone: Backbone,
        phonemes: Sequence[str],
        *,
        by_utterance: bool,
        precision: str = "float32",
        whole_batch: bool = False,
    ) -> None:
        super().__init__()
        self.whole_batch = whole_batch
        self.backbone = backbone
        self.phonemes = {name: i for i, name in enumerate(phonemes)}
        self.by_utterance = by_utterance
        self.precision = precision

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU if it has neither weights nor constants."""
        return device_of(self.backbone)

    def train(self, mode: bool = True) -> AudioEncoder:
        """Switch dropout on, in a backbone of which something is trained; never the running statistics."""
        learns = any(p.requires_grad for p in self.backbone.parameters())
        super().train(mode and learns)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()  # statistics of a few padded recordings would be worse than those it came with
        self.training = mode
        return self

    def forward(self, sounds: WaveformBatch) -> Batch:
        """Encode, with gradients where the backbone has any."""
        if self.whole_batch:
            return self.batch(self._features(sounds, self.backbone), sounds)

        def encode(pieces: list[WaveformBatch]) -> list[Features]:
            return [self._features(piece, self.backbone) for piece in pieces]

        return self.batch(self._encoded(sounds, float("inf"), encode), sounds)

    def listen(self, sounds: WaveformBatch) -> Batch:
        """Encode without dropout and gradients, a bounded amount of sound at a time; on a CPU each core by itself."""
        training = self.training
        self.eval()
        # A block whose weights are spread over processes gathers them in all: it encodes one piece after another.
        alone = is_sharded(self.backbone)
        with ReplicaPool(self.backbone, 1 if alone else None) as replicas, torch.no_grad():
            seconds = _BUDGET if replicas.size == 1 else _SHARE
            features = self._encoded(
                sounds, seconds * self.backbone.rate, partial(replicas.map, self._features)
            )
        self.train(training)
        return self.batch(features, sounds)

    def _encoded(
        self,
        sounds: WaveformBatch,
        budget: float,
        encode: Callable[[list[WaveformBatch]], list[Features]],
    ) -> Features:
        """Features of all recordings, those of like length encoded together."""
        pieces = batches_by_length(sounds.lengths.tolist(), budget, padding=PADDING)
        parts = encode([sounds.pick(places).to(self.device) for places in pieces])
        order = torch.tensor([place for places in pieces for place in places])
        return Features.join(parts).pick(order.argsort())

    def batch(self, features: Features, sounds: WaveformBatch) -> Batch:
        """The batch that recordings with these features are."""
        device = features.tokens.device
        return Batch(
            tokens=features.tokens,
            offsets=features.offsets.to(device),
            summaries=features.summaries,
            labels=sounds.labels,
            phonemes=torch.tensor(
                [self.phonemes.get(name, -1) for name in features.phones], device=device
            ),
            weight=sounds.weight,
        )

    def _features(self, sounds: WaveformBatch, backbone: Backbone) -> Features:
        return self.pooled(self.frames(sounds, backbone), sounds)

    def frames(self, sounds: WaveformBatch, backbone: Backbone) -> Frames:
        """What a backbone makes of recordings, in single precision.

        Args:
            sounds: The recordings.
            backbone: The encoder's own, or another thread's with the same weights.
        """
        half = self.precision == "bfloat16"
        with torch.autocast(sounds.waveforms.device.type, torch.bfloat16, enabled=half):
            frames: Frames = backbone(sounds.waveforms, sounds.lengths)
        return frames._replace(hidden_states=frames.hidden_states.float())

    def pooled(self, frames: Frames, sounds: WaveformBatch) -> Features:
        """Tokens and summaries, standardised, on the frames' device; the offsets on the processor."""
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
            heard = _without(heard, within, symbols, sounds.content[i], sounds.table)
            spoken.append(heard.flatten(1))
            bounds.append(within)
            phones += symbols
        whole = [torch.tensor([[0, len(x)]]) for x in spoken]
        counts = torch.tensor([len(b) for b in bounds])
        tokens = self._standard_tokens(self._pool(spoken, bounds), counts, sounds.moments)
        summaries = _standard(self._pool(spoken, whole), *sounds.moments[2:])
        offsets = nn.functional.pad(counts.cumsum(0), (1, 0))
        return Features(
            utterances=[""] * len(sounds),
            tokens=tokens,
            offsets=offsets,
            summaries=summaries,
            phones=phones,
        )

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
        mean, std = (m.repeat_interleave(counts.to(m.device), 0) for m in by[:2])
        return _standard(tokens, mean, std)


def _without(
    frames: Tensor, bounds: Tensor, phones: list[str], rows: dict[str, int], table: Tensor
) -> Tensor:
    """Take off the frames [T, L, D] of each phone what all of its kind have, see :class:`LexicalContent`."""
    if rows.keys().isdisjoint(phones):
        return frames
    found = torch.full((len(frames),), -1)  # the row of zeros
    for (begin, end), phone in zip(bounds.tolist(), phones, strict=True):
        if phone in rows:
            found[begin:end] = rows[phone]
    return frames - table[found.to(table.device)]


def _standard(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return scale(values - mean, std)
