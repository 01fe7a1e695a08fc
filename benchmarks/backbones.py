"""How fast pretrained encoders describe a corpus, and how much room their layers take.

    python benchmarks/backbones.py [SPEC …] [--alignments FOLDER …] [--models NAME …] [--threads N] [--quick]

Weights are random: speed does not depend on them. First table: recordings of mixed lengths (log-normal, 0.6 to 12 s)
through `extract_to_store` and through the loop that tutorials show (read, processor, model, stack of hidden states,
mean over time, save), in turns, with the largest difference of what they give; and through `extract_to_store` for one
layer in the middle, which leaves the blocks above it out. Ratios are medians over the turns (and the wall's smallest
and largest); where other work is going on, the processor's are the ones to trust. Second table: bytes of all layers of
the corpora named, in float16; with alignments, a folder for each corpus, by phones too, and counted in a real store
of a narrow model beside. Third, on a GPU: sound per second, share of the peak that a large bfloat16 product reaches in
the same run, and how the time splits.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch
import transformers
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoFeatureExtractor, AutoModel, Wav2Vec2FeatureExtractor

from cleser.alignment import load_alignments
from cleser.anchors.streaming import StreamingPool
from cleser.corpora import load
from cleser.features.extraction import extract_to_store
from cleser.features.pooled import Record
from cleser.features.utterance import read_file
from cleser.speech import TransformersBackbone, load_audio

SMALL = {
    "conv_dim": (128,) * 7, "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 4,
    "intermediate_size": 768,
}  # fmt: skip
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096, **STABLE,
}  # fmt: skip
WHISPER_TINY = {
    "d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536,
    "decoder_layers": 1, "decoder_attention_heads": 6, "decoder_ffn_dim": 1536, "vocab_size": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
NARROW = {
    "conv_dim": (8,) * 7, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
# Family of transformers and settings, the published ones where none are given. The small ones have 3 million weights.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2-small": ("Wav2Vec2", SMALL),
    "wav2vec2-layer-norm-small": ("Wav2Vec2", {**SMALL, **STABLE}),
    "hubert-small": ("Hubert", SMALL),
    "wavlm-small": ("WavLM", SMALL),
    "whisper-tiny": ("Whisper", WHISPER_TINY),
    "distilhubert": ("Hubert", {"num_hidden_layers": 2}),
    "base": ("Wav2Vec2", {}),
    "large": ("Wav2Vec2", LARGE),
    "narrow": ("Wav2Vec2", NARROW),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*")
    parser.add_argument("--alignments", nargs="*", default=[], help="a folder for each corpus")
    parser.add_argument("--models", nargs="*", default=list(MODELS)[:6], choices=MODELS)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="24 recordings, a small model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        recordings = _recordings(root, 24 if arguments.quick else arguments.recordings)
        chosen = arguments.models[:1] if arguments.quick else arguments.models
        print(
            f"{len(recordings)} recordings, {recordings['seconds'].sum():.0f} s; {torch.get_num_threads()} threads\n"
        )
        if chosen:
            print("| model | kept | loop, × real time | store, × real time | ratio, wall (turns) "
                  "| ratio, processor | difference | padding |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
        for name in chosen:
            _throughput(name, recordings, root, rounds=1 if arguments.quick else 3)
        if arguments.specs:
            _storage(arguments.specs, arguments.alignments, root)
        if torch.cuda.is_available():
            _gpu(root)
        else:
            print("\nno GPU here: its rows are left out")


def _recordings(root: Path, count: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for i in range(count):
        samples = int(np.clip(generator.lognormal(1.0, 0.6), 0.6, 12.0) * 16000)
        path = root / f"{i}.wav"
        soundfile.write(path, 0.1 * generator.standard_normal(samples), 16000)
        rows.append({"path": str(path), "start": 0.0, "end": np.nan, "seconds": samples / 16000})
    return pd.DataFrame(rows)


def save_model(name: str, root: Path) -> Path:
    """Write a model with random weights and its family's processor, as `save_pretrained` does."""
    folder = root / name
    if not folder.exists():
        family, settings = MODELS[name]
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(**settings)
        getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
        whisper = family == "Whisper"
        extractor = (
            transformers.WhisperFeatureExtractor() if whisper else Wav2Vec2FeatureExtractor()
        )
        extractor.save_pretrained(folder)
    return folder


def _loop(folder: Path, recordings: pd.DataFrame) -> Callable[[], torch.Tensor]:
    """What tutorials show: a file at a time. Whisper's frames of padding are left out of the mean."""
    model = AutoModel.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    whisper = model.config.model_type == "whisper"
    encoder = model.encoder if whisper else model

    @torch.no_grad()
    def run() -> torch.Tensor:
        kept = []
        for path in recordings["path"]:
            sound = load_audio(path).numpy()
            values = extractor(sound, sampling_rate=16000, return_tensors="pt")
            values = values.input_features if whisper else values.input_values
            output = encoder(values, output_hidden_states=True)
            # The last hidden state lacks the final normalisation in some families.
            layers = torch.stack([*output.hidden_states[:-1], output.last_hidden_state])[:, 0]
            frames = -(-len(sound) // 320) if whisper else layers.shape[1]
            kept.append(layers[:, :frames].mean(1))
            save_file({"layers": kept[-1]}, f"{path}.safetensors")
        return torch.stack(kept)

    return run


class _Store:
    """The same by `extract_to_store`, which does not run blocks above the layers that are kept."""

    def __init__(self, folder: Path, recordings: pd.DataFrame, layers: Any = "all") -> None:
        self.backbone = TransformersBackbone(folder, layers=layers)
        self.backbone.name  # noqa: B018  (its digest is kept)
        self.recordings = recordings
        self.padding = 0.0

    def __call__(self) -> torch.Tensor:
        read_file.cache_clear()  # else files are hashed in the first turn alone
        with tempfile.TemporaryDirectory() as out:
            found = extract_to_store(self.recordings, self.backbone, out, dtype="float32")
            self.padding = found.padding
            return torch.stack([found.store[key][0].clone() for key in found.keys if key])


def _throughput(name: str, recordings: pd.DataFrame, root: Path, *, rounds: int) -> None:
    folder = save_model(name, root)
    store = _Store(folder, recordings)
    middle = store.backbone.n_layers // 2
    ways = (_loop(folder, recordings), store, _Store(folder, recordings, [middle]))
    outputs = [way() for way in ways]  # warm
    times = np.array([[_timed(way) for way in ways] for _ in range(rounds)])
    sound = recordings["seconds"].sum()
    kept = ("all layers", f"layer {middle} alone")
    references = (outputs[0], outputs[0][:, [middle]])
    for i, (what, reference) in enumerate(zip(kept, references, strict=True), 1):
        ratios = times[:, 0] / times[:, i]  # [rounds, (wall, processor)]
        wall, processor = np.median(ratios, 0)
        loop, fast = sound / np.median(times[:, [0, i], 0], 0)
        difference = (reference - outputs[i]).abs().max()
        print(
            f"| {name} | {what} | {loop:.0f} | {fast:.0f} | {wall:.2f} "
            f"({ratios[:, 0].min():.2f}–{ratios[:, 0].max():.2f}) | {processor:.2f} | {difference:.0e} "
            f"| {ways[i].padding:.1%} |",
            flush=True,
        )


def _timed(way: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the wall and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - began, time.process_time() - worked


def _storage(specs: list[str], folders: list[str], root: Path) -> None:
    """Bytes of all layers in float16, for models as large as published ones."""
    print("\n| corpus | model | frames | phones | utterances | frames / phones | frames / utterances |"
          "\n|---|---|---|---|---|---|---|")  # fmt: skip
    checks = []
    for spec, folder in itertools.zip_longest(specs, folders):
        manifest = load(spec)
        seconds = np.array([soundfile.info(path).duration for path in manifest["path"]])
        rows = [int(np.floor((seconds * 16000 - 400) / 320 + 1).sum()), 0, len(seconds)]
        if folder:
            alignments = load_alignments(manifest, folder)
            rows[1] = sum(len(a) for a in alignments if a is not None and not a.uniform)
            checks.append(_in_a_store(manifest, alignments, rows[1], root))
        for name, layers, dim in (("base", 13, 768), ("large", 25, 1024)):
            frames, phones, utterances = (count * layers * dim * 2 for count in rows)
            ratio = f"{frames / phones:.1f}" if phones else "–"
            print(
                f"| {manifest['corpus'].iloc[0]} | {name} | {frames:,} | {phones:,} | {utterances:,} | "
                f"{ratio} | {frames / utterances:.0f} |"
            )
    print("", *checks, sep="\n")


def _in_a_store(manifest: pd.DataFrame, alignments: Any, expected: int, root: Path) -> str:
    """Whether a narrow model's store has the rows that were counted, and what it holds beside their values."""
    corpus = manifest["corpus"].iloc[0]
    backbone = TransformersBackbone(save_model("narrow", root))
    found = extract_to_store(
        manifest,
        backbone,
        root / f"phones-{corpus}",
        record=Record(std=False),
        alignments=alignments,
    )
    rows = sum(len(found.store[key]) for key in found.store)
    files = sum(path.stat().st_size for path in (root / f"phones-{corpus}").iterdir())
    beside = files - rows * backbone.n_layers * backbone.dim * 2
    twice = len(manifest) - len(found.left_out) - len(found.store)
    return (
        f"{corpus}: {rows:,} rows of {len(found.store)} utterances in a store by phones, {expected:,} of "
        f"{len(manifest)} counted; {len(found.left_out)} left out, {twice} the same recording as another; "
        f"{beside / rows:.1f} bytes a row beside the values"
    )


def _gpu(root: Path) -> None:
    """Base and large in bfloat16 on batches of 480 s, pooled over utterances."""
    square = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    peak = 2 * 8192**3 / _seconds(lambda: square @ square)
    print(
        "\n| model | sound, s/s | TFLOP/s | share of a large product's | backbone, ms | pooling, ms |"
    )
    print("|---|---|---|---|---|---|")
    for name in ("base", "large"):
        _gpu_row(name, save_model(name, root), peak)


def _gpu_row(name: str, folder: Path, peak: float) -> None:
    backbone = TransformersBackbone(folder, dtype=torch.bfloat16).cuda()
    lengths = torch.linspace(9.5 * 16000, 10 * 16000, 48).long()
    waveforms = torch.randn(48, int(lengths.max()), device="cuda")
    bounds = [torch.tensor([[0, c]]) for c in backbone.count_frames(lengths).tolist()]

    def encode(receive: Callable[..., object]) -> None:
        backbone.stream(waveforms, lengths, receive)

    def pooled() -> None:
        pool = StreamingPool(bounds, backbone.n_layers)
        encode(pool)
        pool.values()

    with torch.inference_mode():
        alone = _seconds(lambda: encode(lambda *_: None))
        whole = _seconds(pooled)
    # Operations of weight-normalised convolutions cannot be counted in inference mode.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encode(lambda *_: None)
    rate = counter.get_total_flops() / whole
    sound = float(lengths.sum()) / 16000
    print(
        f"| {name} | {sound / whole:,.0f} | {rate / 1e12:.0f} | {rate / peak:.0%} | "
        f"{alone * 1e3:.1f} | {(whole - alone) * 1e3:.1f} |",
        flush=True,
    )


def _seconds(work: Callable[[], object], rounds: int = 10) -> float:
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(rounds):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / rounds


if __name__ == "__main__":
    main()
