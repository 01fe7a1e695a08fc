"""Pretrained speech models of ``transformers`` as backbones: wav2vec 2.0, HuBERT, WavLM, XLS-R, Whisper and kin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from cleser.speech.backbones.base import Backbone, Frames, ReceiveLayer
from cleser.speech.backbones.spec import PARTS
from cleser.speech.backbones.wave_encoder import WaveEncoder
from cleser.speech.backbones.whisper_encoder import WhisperEncoder
from cleser.speech.checkpoints import not_loaded, open_checkpoint
from cleser.speech.digests import weights_digest

# Version of the numbers: raised whenever they change, so that stored features are not misread.
VERSION: Final = 1
WAVE_FAMILIES: Final = (
    "data2vec-audio",
    "hubert",
    "unispeech",
    "unispeech-sat",
    "wav2vec2",
    "wavlm",
)
FAMILIES: Final = (*WAVE_FAMILIES, "whisper")
# Weights that a checkpoint may lack: none of them changes a hidden state.
_UNUSED: Final = (
    "masked_spec_embed",
    "decoder.",
    "adapter.",
    "quantizer.",
    "project_",
    "num_batches_tracked",
)


class TransformersBackbone(Backbone):
    """A pretrained speech encoder, with the same numbers for a recording alone and in any batch.

    Sampling rate and normalisation are those of the model's own processor; a folder without one gets its
    family's defaults (16 kHz; zero mean and unit variance, or Whisper's spectrogram). SpecAugment and layer
    drop are switched off, so that what is random in training is dropout alone. Code that a checkpoint brings
    along is never run.

    Layer 0 is the Transformer's input, layer i the output of its i-th block, and the last one the encoder's
    output with its final layer normalisation, where it has one (``last_hidden_state`` of transformers).

    Args:
        name_or_path: A folder that ``save_pretrained`` wrote, or a name on the hub.
        layers: ``"all"``; the numbers of the layers wanted (negative ones count from the end); or half of them,
            ``"lower"``, ``"middle"`` or ``"upper"``. Blocks above the highest are neither kept nor run.
        revision: The commit, branch or tag on the hub.
        dtype: Type of weights and hidden states.

    Attributes:
        source: The folder or name.
        family: Kind of encoder as transformers calls it, ``"wav2vec2"`` or ``"whisper"``.
        revision: The commit on the hub that it came from, as far as that is known.

    Raises:
        ValueError: Nothing can be loaded there, the family is not known, weights are missing, or a layer is
            not there.

    >>> from tempfile import TemporaryDirectory
    >>> from transformers import WavLMConfig, WavLMModel
    >>> small = WavLMConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
    ...                     conv_dim=(8,), conv_kernel=(400,), conv_stride=(320,), num_conv_pos_embeddings=8)
    >>> with TemporaryDirectory() as folder:  # a random model in place of "microsoft/wavlm-base-plus"
    ...     WavLMModel(small).save_pretrained(folder)
    ...     backbone = TransformersBackbone(folder)
    ...     backbone.extract([torch.randn(16_000)])[0].shape  # layers, frames, channels
    torch.Size([3, 49, 16])
    """

    content_layer = -1

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        layers: Literal["all", "lower", "middle", "upper"] | Sequence[int] = "all",
        revision: str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.source = str(name_or_path)
        model, extractor = _load(self.source, revision, dtype)
        self.family = family = str(model.config.model_type)
        self.revision: str | None = getattr(model.config, "_commit_hash", None) or revision
        self._n_states = 1 + int(model.config.num_hidden_layers)
        self.layers = _resolve(layers, self._n_states, self.source)
        self.rate = int(extractor.sampling_rate)
        self.encoder: WaveEncoder | WhisperEncoder
        if family == "whisper":
            self.encoder = WhisperEncoder(model.encoder, extractor)
        else:
            self.encoder = WaveEncoder(model, normalise=bool(extractor.do_normalize))
        self.frame_rate = self.rate / self.encoder.stride
        self.first_frame = self.encoder.first_centre / self.rate
        self.receptive_field = self.encoder.receptive_field / self.rate
        self.n_layers = len(self.layers)
        self.dim = self.encoder.dim
        self._settings = {
            "family": family,
            "revision": self.revision,
            "rate": self.rate,
            "normalise": getattr(self.encoder, "normalise", None),
        }
        if unusual := _unusual(model.config, extractor):
            self._settings["unusual"] = unusual
        self._used: tuple[tuple[int, ...], str] | None = None
        self._loaded: tuple[str, str] | None = None
        if max(self.layers) < self._n_states - 1:
            self._drop_blocks()
        self.eval()

    def _drop_blocks(self) -> None:
        """Keep no block above the highest layer, but remember whose blocks they were: see `fingerprint`."""
        whole = self._digest()
        self.encoder.keep(max(self.layers))
        self._loaded = self._digest(), whole

    @property
    def name(self) -> str:
        """Identity of what is computed, for stores: version, source, revision, layers, type, settings and weights."""
        return self._name_with(self.layers)

    @property
    def whole(self) -> tuple[str, tuple[int, ...]]:
        """Name and layers of the same encoder with all its layers."""
        layers = tuple(range(self._n_states))
        return self._name_with(layers), layers

    def _name_with(self, numbers: Sequence[int]) -> str:
        layers = "+".join(str(i) for i in numbers)
        dtype = str(next(self.parameters()).dtype).removeprefix("torch.")
        settings = json.dumps(self._settings, sort_keys=True)
        named = f"{VERSION} {settings} {self.fingerprint}"
        digest = hashlib.sha256(named.encode()).hexdigest()[:16]
        return f"{Path(self.source).name}-layers{layers}-{dtype}-{digest}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all weights that were loaded; of those that are used, once one has been written to.

        Some of the layers are thus known to be of the same encoder as all of them.
        """
        used = self._digest()
        return self._loaded[1] if self._loaded and self._loaded[0] == used else used

    def _digest(self) -> str:
        """SHA-256 of all weights that are used, computed anew when one has been written to."""
        tensors = self.encoder.state_dict(keep_vars=True)
        written = tuple(t._version for t in tensors.values())
        if self._used is None or self._used[0] != written:
            self._used = (written, weights_digest(tensors.items()))
        return self._used[1]

    def count_frames(self, samples: Tensor) -> Tensor:
        """Frames that waveforms of these lengths have, int64 [B]."""
        return self.encoder.count(samples)

    @property
    def shortest(self) -> int:
        """Samples that make one frame; a waveform needs as many."""
        return 1 if isinstance(self.encoder, WhisperEncoder) else self.encoder.receptive_field

    @property
    def longest(self) -> int | None:
        """Samples that a waveform may have; None where there is no limit."""
        return self.encoder.longest if isinstance(self.encoder, WhisperEncoder) else None

    def stream(self, waveforms: Tensor, lengths: Tensor, receive: ReceiveLayer) -> None:
        """Encode a padded batch and hand out each layer as soon as it is known, keeping none.

        Args:
            waveforms: Samples [B, N] at ``rate``, zero beyond each length.
            lengths: Samples in each waveform, int64 [B].
            receive: Called with a layer's place in ``layers``, its hidden states [B, T, D] and the mask [B, T].

        Raises:
            ValueError: A waveform is too short for a frame, or longer than the model reaches.
        """
        self._check(lengths)
        places = {layer: place for place, layer in enumerate(self.layers)}

        def pick(state: int, hidden: Tensor, mask: Tensor) -> None:
            if state in places:
                receive(places[state], hidden, mask)

        self.encoder(waveforms, lengths, pick)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Frames:
        """Encode a padded batch, differentiably.

        Args:
            waveforms: Samples [B, N] at ``rate``, zero beyond each length.
            lengths: Samples in each waveform, int64 [B].

        Returns:
            Hidden states [L, B, T, D], in the order of ``layers``.

        Raises:
            ValueError: A waveform is too short for a frame, or longer than the model reaches.
        """
        states: dict[int, tuple[Tensor, Tensor]] = {}
        self.stream(waveforms, lengths, lambda place, *state: states.__setitem__(place, state))
        hidden = torch.stack([states[place][0] for place in range(self.n_layers)])
        mask = states[0][1]
        return Frames(hidden, mask.sum(-1), mask)

    @torch.no_grad()
    def extract(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Encode recordings of any lengths, without gradients, keeping only true frames: [L, T_i, D] for each."""
        return super().extract(waveforms)

    def _check(self, lengths: Tensor) -> None:
        shortest, longest = self.shortest, self.longest
        for i, length in enumerate(lengths.tolist()):
            if length < shortest or (longest is not None and length > longest):
                bounds = f"at least {shortest}" + (f" and at most {longest}" if longest else "")
                raise ValueError(
                    f"waveforms[{i}] has {length} samples, expected {bounds} at {self.rate} Hz"
                )


def _load(source: str, revision: str | None, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model and its feature extractor."""
    from transformers import AutoConfig  # noqa: PLC0415  (seconds to import)

    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise not_loaded(source, "backbone", error) from error
    if config.model_type not in FAMILIES:
        expected = ", ".join(FAMILIES)
        raise ValueError(
            f"backbone {source!r} is of type {config.model_type!r}, expected one of {expected}"
        )
    config.apply_spec_augment = False
    config.layerdrop = config.encoder_layerdrop = 0.0
    model, extractor = open_checkpoint(
        "AutoModel",
        source,
        "backbone",
        revision=revision,
        unused=_UNUSED,
        config=config,
        dtype=dtype,
    )
    if config.model_type == "whisper":
        _check_bands(source, config.num_mel_bins, extractor.feature_size)
    return model, extractor


def _check_bands(source: str, heard: int, given: int) -> None:
    if given != heard:
        raise ValueError(
            f"{source}: the model hears {heard} mel bands (num_mel_bins in config.json), and its extractor gives "
            f"{given} (feature_size in preprocessor_config.json), expected as many: fetch both files of one model anew"
        )


def _unusual(config: Any, extractor: Any) -> dict[str, Any]:
    """Settings that change the numbers and not the weights, as far as they are not those of published models.

    They are part of the name. That of a model with the usual settings needs none of them, and stays as it was before
    they were: stores of features go by it.
    """
    published: dict[str, Any]
    if config.model_type == "whisper":
        published = {
            "encoder_attention_heads": config.d_model // 64,
            "activation_function": "gelu",
            "hop_length": 160,
            "n_fft": 400,
        }
    else:
        width = config.hidden_size
        published = {
            "num_attention_heads": 16 if width >= 1024 else width // 64,
            "hidden_act": "gelu",
            "feat_extract_activation": "gelu",
            "layer_norm_eps": 1e-5,
            "conv_stride": [5, 2, 2, 2, 2, 2, 2],
            "do_stable_layer_norm": getattr(config, "feat_extract_norm", None) == "layer",
            "max_bucket_distance": 800,
        }
    own = {
        name: getattr(config, name, getattr(extractor, name, usual))
        for name, usual in published.items()
    }
    own = {name: list(v) if isinstance(v, tuple) else v for name, v in own.items()}
    return {name: value for name, value in own.items() if value != published[name]}


def _resolve(layers: str | Sequence[int], n_states: int, source: str) -> tuple[int, ...]:
    if isinstance(layers, str):
        return _half(layers, n_states)
    numbers = tuple(i + n_states if i < 0 else i for i in layers)
    if (
        not numbers
        or len(set(numbers)) < len(numbers)
        or not all(0 <= i < n_states for i in numbers)
    ):
        raise ValueError(
            f"layers is {list(layers)}, expected different numbers from 0 to {n_states - 1}, "
            f"the layers that {source!r} has"
        )
    return numbers


def _half(layers: str, n_states: int) -> tuple[int, ...]:
    """The layers of a part, or all.

    >>> _half("middle", 7), _half("upper", 13)
    ((2, 3, 4), (6, 7, 8, 9, 10, 11, 12))
    """
    if layers != "all" and layers not in PARTS:
        raise ValueError(
            f"layers is {layers!r}, expected 'all', {', '.join(map(repr, PARTS))} or numbers"
        )
    begin, end = PARTS.get(layers, (0.0, 1.0))
    top = n_states - 1
    return tuple(i for i in range(n_states) if begin * top <= i <= end * top)
