"""Phone models trained with CTC (Graves et al. 2006): recordings in, log-probabilities of phones out.

Any model of transformers with a convolutional front end on raw sound and a head for CTC will do: wav2vec 2.0,
HuBERT, WavLM and their kin, whose vocabulary is phones. Its vocabulary is read as it is, so that no phonemizer
is needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from cleser.speech.checkpoints import not_loaded, open_checkpoint

_SPECIAL: Final = frozenset(("<s>", "</s>", "<unk>", "[UNK]", "<pad>", "[PAD]", "|", " ", ""))


class CTCPhoneModel:
    """A CTC model of phones.

    Args:
        name_or_path: A folder that ``save_pretrained`` wrote, or a name on the hub. It holds weights and
            ``vocab.json``, and says in ``preprocessor_config.json`` what sound it was trained on.
        revision: The commit, branch or tag on the hub.
        window: Longer recordings are heard in windows of so many seconds.
        overlap: How far windows overlap, in seconds; half of it is thrown away on either side.
        device: Where to compute.

    Attributes:
        rate: Sampling rate expected, in Hz.
        frame_rate: Frames a second.
        first_frame: Middle of the first frame, in seconds.
        symbols: What each output stands for, empty for what is no phone, [V].
        blank: The output that is CTC's blank.

    Raises:
        ValueError: Nothing can be loaded there, or it is no such model.
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        window: float = 30.0,
        overlap: float = 2.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 0 <= overlap < window:
            raise ValueError(f"overlap is {overlap}, expected 0 to less than the window, {window}")
        self.source = str(name_or_path)
        self.device = torch.device(device)
        model, processor, vocabulary = _load(self.source, revision)
        self.model = model.to(self.device)
        self.rate = int(processor.sampling_rate)
        self.normalise = bool(processor.do_normalize)
        self.stride, self.receptive_field = _geometry(model.config, self.source)
        self.frame_rate = self.rate / self.stride
        self.first_frame = self.receptive_field / 2 / self.rate
        self.blank = int(model.config.pad_token_id)
        self.symbols = _symbols(vocabulary, model.config.vocab_size, self.blank)
        self._window = max(int(window * self.frame_rate), 1)
        self._margin = int(overlap * self.frame_rate) // 2

    @torch.no_grad()
    def emissions(self, waveform: Tensor) -> Tensor:
        """Log-probabilities of all outputs.

        Args:
            waveform: Samples [T] at ``rate``.

        Returns:
            float32 [F, V], on the CPU; frame i lies around ``first_frame + i / frame_rate`` seconds.

        Raises:
            ValueError: The waveform is too short for one frame.
        """
        count = (len(waveform) - self.receptive_field) // self.stride + 1
        if count < 1:
            raise ValueError(
                f"the waveform has {len(waveform)} samples, expected {self.receptive_field} at least"
            )
        sound = waveform.to(self.device, torch.float32)
        if self.normalise:
            sound = (sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt()
        parts = [self._part(sound, begin, count) for begin in range(0, count, self._step)]
        return torch.cat(parts)

    @property
    def _step(self) -> int:
        return max(self._window - 2 * self._margin, 1)

    def _part(self, sound: Tensor, begin: int, count: int) -> Tensor:
        """Frames ``begin`` to ``begin + step``, heard with a margin on either side."""
        end = min(begin + self._step, count)
        first, last = max(begin - self._margin, 0), min(end + self._margin, count)
        samples = sound[first * self.stride : (last - 1) * self.stride + self.receptive_field]
        logits: Tensor = self.model(samples[None]).logits[0, begin - first : end - first]
        return logits.float().log_softmax(-1).cpu()


def _load(source: str, revision: str | None) -> tuple[Any, Any, dict[str, int]]:
    from transformers.utils.hub import cached_file  # noqa: PLC0415  (seconds to import)

    role = "CTC phone model"
    unused = ("masked_spec_embed",)
    model, processor = open_checkpoint(
        "AutoModelForCTC", source, role, revision=revision, unused=unused
    )
    try:
        vocabulary = Path(str(cached_file(source, "vocab.json", revision=revision)))
    except OSError as error:
        raise not_loaded(source, role, error) from error
    return model, processor, json.loads(vocabulary.read_text(encoding="utf-8"))


def _geometry(config: Any, source: str) -> tuple[int, int]:
    """Samples from frame to frame, and samples that a frame sees before the Transformer."""
    kernels, strides = getattr(config, "conv_kernel", None), getattr(config, "conv_stride", None)
    if not kernels or not strides:
        raise ValueError(
            f"{source}: is a {config.model_type!r} model, expected one with convolutions on raw "
            "sound, as wav2vec2, hubert or wavlm"
        )
    stride, field = 1, 1
    for kernel, step in zip(kernels, strides, strict=True):
        field += (kernel - 1) * stride
        stride *= step
    return stride, field


def _symbols(vocabulary: dict[str, int], size: int, blank: int) -> tuple[str, ...]:
    symbols = [""] * size
    for symbol, number in vocabulary.items():
        if symbol not in _SPECIAL and number != blank and number < size:
            symbols[number] = symbol
    return tuple(symbols)
