"""How fast recordings become features: reading, describing, pooling and writing, nothing cached.

    python benchmarks/speech.py SPEC … [--quick]

prints seconds of sound per second of work for each corpus, in one process with all its threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import soundfile
import torch

from cleser.corpora import load
from cleser.speech import AcousticBackbone, extract_features, load_audio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="+")
    parser.add_argument("--quick", action="store_true", help="the first 128 recordings of each")
    arguments = parser.parse_args()
    backbone = AcousticBackbone()
    backbone.extract([torch.randn(backbone.rate)])  # load what is loaded once
    print("| corpus | sound, s | reading alone, × real time | all, × real time |")
    print("|---|---|---|---|")
    for spec in arguments.specs:
        manifest = load(spec)
        if arguments.quick:
            manifest = manifest.iloc[:128]
        sound = sum(soundfile.info(path).duration for path in manifest["path"])
        began = time.perf_counter()
        for path in manifest["path"]:
            load_audio(path, backbone.rate)
        read = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            extract_features(manifest, backbone, cache=Path(folder))
            whole = time.perf_counter() - began
        corpus = manifest["corpus"].iloc[0]
        print(f"| {corpus} | {sound:.0f} | {sound / read:.0f} | {sound / whole:.0f} |", flush=True)


if __name__ == "__main__":
    main()
