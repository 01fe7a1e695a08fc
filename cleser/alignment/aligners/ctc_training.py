"""A small CTC phone model from recordings whose phones are known, as synthesised or aligned speech.

A wav2vec 2.0 of a hundred thousand weights and 10 ms frames that transformers loads as any other: no
pretrained weights are needed, and a minute on one core does for a few sentences. Where the times of phones are
known, most of what CTC has to find out is known: the loss is the cross-entropy of the frames' phones, blank in
pauses, with CTC's own added in the second half, so that outputs are both frames' phones and sequences.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cleser.alignment.aligners.ctc_phone_model import CTCPhoneModel
from cleser.alignment.phones import Alignment
from cleser.files import write_text

_KERNELS, _STRIDES, _CHANNELS = (160, 10), (40, 4), (48, 64)
_RATE: Final = 16000
_BATCH: Final = 4
_LEARNING_RATE: Final = 3e-3

Utterance = tuple[Tensor, Alignment]


def train_phone_model(
    utterances: Sequence[Utterance],
    folder: str | Path,
    *,
    steps: int = 400,
    seed: int = 0,
) -> CTCPhoneModel:
    """Train a phone model and save it as transformers does.

    Args:
        utterances: Recordings [T] at 16 kHz with their phones.
        folder: Where to save it.
        steps: Updates, of four utterances each.
        seed: Seed of weights and order.

    Returns:
        The model, loaded from the folder.

    Raises:
        ValueError: There are no phones.
    """
    symbols = sorted({phone for _, alignment in utterances for phone in alignment.phones})
    if not symbols:
        raise ValueError("the utterances have no phones, expected some to learn from")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(len(symbols) + 1)
        _fit(model, [_example(u, symbols) for u in utterances], steps, seed)
    _save(model, symbols, Path(folder))
    return CTCPhoneModel(folder)


def _model(outputs: int) -> Any:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC  # noqa: PLC0415

    settings = Wav2Vec2Config(
        vocab_size=outputs,
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=128,
        conv_dim=_CHANNELS,
        conv_kernel=_KERNELS,
        conv_stride=_STRIDES,
        conv_bias=True,
        feat_extract_norm="layer",
        num_conv_pos_embeddings=15,
        num_conv_pos_embedding_groups=4,
        do_stable_layer_norm=True,
        apply_spec_augment=False,
        layerdrop=0.0,
        hidden_dropout=0.05,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.05,
        final_dropout=0.05,
        pad_token_id=0,
    )
    model: Any = Wav2Vec2ForCTC(settings)
    with torch.no_grad():
        bank = model.wav2vec2.feature_extractor.conv_layers[0].conv
        bank.weight.copy_(_filters())
        bank.requires_grad_(False)
    return model


def _filters() -> Tensor:
    """What the first convolution is: band-pass filters along the mel scale, in pairs 90° apart, [C, 1, K]."""
    pairs, length = _CHANNELS[0] // 2, _KERNELS[0]
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (150, 7000))
    mel = torch.linspace(lowest, highest, pairs)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    angle = 2 * torch.pi * hertz[:, None] * (torch.arange(length) - length / 2) / _RATE
    window = torch.hann_window(length) * (2 / length) ** 0.5
    return torch.cat([angle.cos() * window, angle.sin() * window])[:, None]


def _example(utterance: Utterance, symbols: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised sound [T], the output of each frame [F], and the phones in order [P]."""
    sound, alignment = utterance
    sound = (sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt()
    stride = math.prod(_STRIDES)
    field = 1 + sum((k - 1) * math.prod(_STRIDES[:i]) for i, k in enumerate(_KERNELS))
    count = (len(sound) - field) // stride + 1
    middles = (field / 2 + stride * np.arange(count)) / _RATE
    phones = np.array([symbols.index(phone) + 1 for phone in alignment.phones], np.int64)
    within = np.searchsorted(alignment.starts, middles, side="right") - 1
    # Before the first phone this is -1, the last of these: blank, and over.
    outputs, ends = np.append(phones, 0), np.append(alignment.ends, -np.inf)
    frames = np.where(middles < ends[within], outputs[within], 0)
    return sound, torch.from_numpy(frames), torch.from_numpy(phones)


def _fit(
    model: Any,
    examples: list[tuple[Tensor, Tensor, Tensor]],
    steps: int,
    seed: int,
) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=steps, pct_start=0.1
    )
    random = np.random.default_rng(seed)
    model.train()
    for step in range(steps):
        picked = [examples[i] for i in random.integers(len(examples), size=_BATCH)]
        loss = _loss(model, picked, ctc=step >= steps // 2)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()


def _loss(model: Any, examples: list[tuple[Tensor, Tensor, Tensor]], *, ctc: bool) -> Tensor:
    sounds, frames, phones = zip(*examples, strict=True)
    longest = max(len(sound) for sound in sounds)
    batch = torch.stack([F.pad(sound, (0, longest - len(sound))) for sound in sounds])
    mask = torch.stack([(torch.arange(longest) < len(sound)).long() for sound in sounds])
    logits = model(batch, attention_mask=mask).logits
    truth = torch.stack([F.pad(f, (0, logits.shape[1] - len(f)), value=-100) for f in frames])
    loss = F.cross_entropy(logits.flatten(0, 1), truth.flatten(), label_smoothing=0.05)
    if not ctc:
        return loss
    lengths = torch.tensor([len(f) for f in frames])
    targets = torch.tensor([len(p) for p in phones])
    found = logits.log_softmax(-1).transpose(0, 1)
    return loss + 0.2 * F.ctc_loss(found, torch.cat(phones), lengths, targets, zero_infinity=True)


def _save(model: Any, symbols: list[str], folder: Path) -> None:
    from transformers import Wav2Vec2FeatureExtractor  # noqa: PLC0415

    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    vocabulary = {symbol: number for number, symbol in enumerate(["<pad>", *symbols])}
    write_text(folder / "vocab.json", json.dumps(vocabulary, ensure_ascii=False, indent=1))
