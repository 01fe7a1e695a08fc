"""How fast pretrained encoders describe a corpus, and how much room their layers take.

    python benchmarks/backbones.py [SPEC …] [--models small distil base] [--threads N] [--quick]

Weights are random: speed does not depend on them. First table: recordings of mixed lengths (log-normal, 0.6 to 12 s)
through `extract_to_store` and through the loop that tutorials show (read, processor, model, stack of hidden states,
mean, save), in turns, with the largest difference of what they give. Times are of the wall and of the processor: where
other work is going on, the second is the one to trust. Second table: bytes of all layers of the corpora named,
in float16.
Third, on a GPU: sound per second, share of the peak that a large bfloat16 product reaches in the same run, and
how the time splits.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from cleser.corpora import load
from cleser.speech import TransformersBackbone, load_audio
from cleser.speech.extraction import extract_to_store
from cleser.speech.pool import StreamingPool

SMALL = {
    "conv_dim": (128,) * 7, "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 4,
    "intermediate_size": 768,
}  # fmt: skip
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096, "do_stable_layer_norm": True, "feat_extract_norm": "layer",
    "conv_bias": True,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "distil": {"num_hidden_layers": 2},
    "base": {},
    "large": LARGE,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*")
    parser.add_argument("--models", nargs="*", default=["small", "distil", "base"], choices=MODELS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="24 recordings, the small model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        recordings = _recordings(root, 24 if arguments.quick else 200)
        print(
            "| model | threads | loop, × real time | store, × real time | ratio, wall | ratio, processor | difference |"
        )
        print("|---|---|---|---|---|---|---|")
        for name in ["small"] if arguments.quick else arguments.models:
            _throughput(name, recordings, root, rounds=1 if arguments.quick else 3)
        if arguments.specs:
            _storage(arguments.specs)
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


def _model(name: str, root: Path) -> Path:
    folder = root / name
    if not folder.exists():
        torch.manual_seed(0)
        Wav2Vec2Model(Wav2Vec2Config(**MODELS[name])).save_pretrained(folder)
        Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def _loop(folder: Path, recordings: pd.DataFrame) -> Callable[[], torch.Tensor]:
    """What tutorials show: a file at a time."""
    model = AutoModel.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)

    @torch.no_grad()
    def run() -> torch.Tensor:
        kept = []
        for path in recordings["path"]:
            sound = load_audio(path).numpy()
            values = extractor(sound, sampling_rate=16000, return_tensors="pt").input_values
            layers = torch.stack(model(values, output_hidden_states=True).hidden_states)[:, 0]
            kept.append(layers.mean(1))
            save_file({"layers": kept[-1]}, f"{path}.safetensors")
        return torch.stack(kept)

    return run


def _store(folder: Path, recordings: pd.DataFrame) -> Callable[[], torch.Tensor]:
    backbone = TransformersBackbone(folder)
    backbone.name  # noqa: B018  (its digest is kept)

    def run() -> torch.Tensor:
        with tempfile.TemporaryDirectory() as out:
            found = extract_to_store(recordings, backbone, out, dtype="float32")
            return torch.stack([found.store[key][0].clone() for key in found.keys if key])

    return run


def _throughput(name: str, recordings: pd.DataFrame, root: Path, *, rounds: int) -> None:
    ways = [way(_model(name, root), recordings) for way in (_loop, _store)]
    wall: list[list[float]] = [[], []]
    processor: list[list[float]] = [[], []]
    outputs = [way() for way in ways]  # warm
    for _ in range(rounds):
        for i, way in enumerate(ways):
            began, worked = time.perf_counter(), time.process_time()
            way()
            wall[i].append(time.perf_counter() - began)
            processor[i].append(time.process_time() - worked)
    sound = recordings["seconds"].sum()
    loop, store = (statistics.median(times) for times in wall)
    ratios = [statistics.median(a) / statistics.median(b) for a, b in (wall, processor)]
    difference = (outputs[0] - outputs[1]).abs().max()
    print(
        f"| {name} | {torch.get_num_threads()} | {sound / loop:.0f} | {sound / store:.0f} | "
        f"{ratios[0]:.2f} | {ratios[1]:.2f} | {difference:.0e} |",
        flush=True,
    )


def _storage(specs: list[str]) -> None:
    print(
        "\n| corpus | model | frames | tokens of 0.1 s | utterances | frames / tokens | frames / utterances |"
    )
    print("|---|---|---|---|---|---|---|")
    for spec in specs:
        manifest = load(spec)
        seconds = np.array([soundfile.info(path).duration for path in manifest["path"]])
        rows = [
            int(np.floor((seconds * 16000 - 400) / 320 + 1).sum()),
            int(np.rint(seconds / 0.1).clip(1).sum()),
            len(seconds),
        ]
        for name, layers, dim in (("base", 13, 768), ("large", 25, 1024)):
            frames, tokens, utterances = (count * layers * dim * 2 for count in rows)
            print(
                f"| {manifest['corpus'].iloc[0]} | {name} | {frames:,} | {tokens:,} | {utterances:,} | "
                f"{frames / tokens:.1f} | {frames / utterances:.0f} |"
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
        _gpu_row(name, _model(name, root), peak)


def _gpu_row(name: str, folder: Path, peak: float) -> None:
    backbone = TransformersBackbone(folder, dtype=torch.bfloat16).cuda()
    lengths = torch.linspace(9.5 * 16000, 10 * 16000, 48).long()
    waveforms = torch.randn(48, int(lengths.max()), device="cuda")
    bounds = [torch.tensor([[0, c]]) for c in backbone.count_frames(lengths).tolist()]

    @torch.inference_mode()
    def encode(receive: Callable[..., object]) -> None:
        backbone.stream(waveforms, lengths, receive)

    def pooled() -> None:
        pool = StreamingPool(bounds, backbone.n_layers)
        encode(pool)
        pool.values()

    alone = _seconds(lambda: encode(lambda *_: None))
    whole = _seconds(pooled)
    with FlopCounterMode(display=False) as counter:
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
