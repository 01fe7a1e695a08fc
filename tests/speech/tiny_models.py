"""Small randomly initialised models of every family, saved to disk as their publishers save them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

CONVOLUTIONS = {
    "conv_dim": (12, 12, 16),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 4, 2),
    "num_feat_extract_layers": 3,
}
BLOCKS = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 8,
}
GROUP = {"feat_extract_norm": "group", "num_conv_pos_embeddings": 8, **CONVOLUTIONS, **BLOCKS}
# The positional convolution is longer here, and odd.
STABLE = {
    **GROUP, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True,
    "num_conv_pos_embeddings": 33,
}  # fmt: skip
DATA2VEC = {**CONVOLUTIONS, **BLOCKS, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}
SPECTRUM = {"num_mel_bins": 20, "max_source_positions": 100}
WHISPER = {
    **SPECTRUM, "d_model": 24, "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 16,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip

# name: (class of transformers, settings, whether its processor normalises)
FAMILIES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "wav2vec2": ("Wav2Vec2", GROUP, True),
    "xls-r": ("Wav2Vec2", STABLE, True),
    "hubert": ("Hubert", GROUP, False),
    "hubert-large": ("Hubert", STABLE, True),
    "hubert-batch-norm": ("Hubert", {**GROUP, "conv_pos_batch_norm": True}, True),
    "wavlm": ("WavLM", GROUP, False),
    "wavlm-large": ("WavLM", STABLE, True),
    "data2vec-audio": ("Data2VecAudio", DATA2VEC, True),
    "unispeech": ("UniSpeech", STABLE, True),
    "unispeech-sat": ("UniSpeechSat", GROUP, False),
    "whisper": ("Whisper", WHISPER, False),
}


def save_tiny(
    family: str, folder: Path, *, processor: bool = True, seed: int = 0, **changes: Any
) -> Path:
    """Write a small model of a family, its weights drawn widely enough for every part to matter."""
    import transformers

    kind, settings, normalise = FAMILIES[family]
    config = getattr(transformers, f"{kind}Config")(**{**settings, **changes})
    torch.manual_seed(seed)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if (
                tensor.is_floating_point()
                and "embed_positions" not in name
                and "running_var" not in name
            ):
                tensor.add_(0.1 * torch.randn_like(tensor))
    model.save_pretrained(folder)
    if processor and kind == "Whisper":
        seconds = config.max_source_positions // 50
        extractor = partial(transformers.WhisperFeatureExtractor, chunk_length=seconds)
        extractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    elif processor:
        transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
    return folder
