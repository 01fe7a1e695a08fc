"""x-vectors of transformers: WavLM, wav2vec 2.0 and kin with a head for speaker verification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cleser.speech.checkpoints import open_checkpoint
from cleser.speech.digests import weights_digest
from cleser.speech.speakers.base import SpeakerEncoder


class TransformersSpeakerEncoder(SpeakerEncoder):
    """A model with an x-vector head (Snyder et al., 2018), as ``microsoft/wavlm-base-plus-sv``.

    Recordings are encoded one by one: models whose first convolution has a group norm would else give other numbers
    in other batches. A recording too short for the head is repeated until it is long enough. Code that a checkpoint
    brings along is never run.

    Args:
        name_or_path: A name on the hub, or a folder that ``save_pretrained`` wrote.
        revision: The commit, branch or tag on the hub.
        device: Where the network runs.

    Raises:
        ValueError: Nothing can be loaded there, or it has no x-vector head.

    >>> from tempfile import TemporaryDirectory
    >>> from transformers import WavLMConfig, WavLMForXVector
    >>> small = WavLMConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
    ...                     conv_dim=(8,), conv_kernel=(400,), conv_stride=(320,), num_conv_pos_embeddings=8,
    ...                     xvector_output_dim=4)
    >>> with TemporaryDirectory() as folder:  # a random model in place of "microsoft/wavlm-base-plus-sv"
    ...     WavLMForXVector(small).save_pretrained(folder)
    ...     TransformersSpeakerEncoder(folder).embed([torch.randn(16_000)]).shape
    torch.Size([1, 4])
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.source = str(name_or_path)
        self._device = torch.device(device)
        role = "speaker encoder (acoustic, resemblyzer, or a model with an x-vector head)"
        model, extractor = open_checkpoint(
            "AutoModelForAudioXVector", self.source, role, revision=revision,
            unused=("masked_spec_embed", "objective."),
        )  # fmt: skip
        self._model = model.to(self._device)
        self.rate = int(extractor.sampling_rate)
        self._normalise = bool(extractor.do_normalize)
        self.dim = int(self._model.config.xvector_output_dim)
        self._shortest = _shortest(self._model.config)
        self._digest = weights_digest(sorted(self._model.state_dict().items()))[:16]

    @property
    def name(self) -> str:
        """Source, what is done to the sound, and the weights."""
        return f"{Path(self.source).name}-{self.rate}-{self._normalise}-{self._digest}"

    @torch.no_grad()
    def embed_each(self, waveforms: Sequence[Tensor]) -> list[Tensor | None]:
        """Vectors [D] of recordings [T]; None for a constant one."""
        return [self._embed(waveform.to(self._device).float()) for waveform in waveforms]

    def _embed(self, samples: Tensor) -> Tensor | None:
        if not bool((samples != samples[0]).any()):
            return None
        if self._normalise:
            variance = samples.var(correction=0)
            samples = (samples - samples.mean()) / (variance + 1e-7).sqrt()
        if len(samples) < self._shortest:
            samples = samples.repeat(-(-self._shortest // len(samples)))
        vector: Tensor = self._model(samples[None]).embeddings[0]
        return vector.float().cpu()


def _shortest(config: Any) -> int:
    """Samples whose frames just fill the head's time-delay layers."""
    reach = zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
    samples = 2 + sum((kernel - 1) * dilation for kernel, dilation in reach)  # a deviation needs 2
    convolutions = list(zip(config.conv_kernel, config.conv_stride, strict=True))
    for kernel, stride in reversed(convolutions):
        samples = (samples - 1) * stride + kernel
    return int(samples)
