"""Whether copies of recordings are found, and only they: ``python benchmarks/fingerprints.py --corpora FOLDER``.

Recordings of EMO-DB, RAVDESS, nEMO and TurEV-DB in the folder are re-encoded, resampled, scaled and cut, and compared
with their originals. False alarms are pairs of different recordings that count as the same, within and across all
four. ``--quick`` takes fewer of them. With ``--voices ENCODER`` the speakers of each corpus are put into two pretended
corpora, and sought by their voices.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cleser.corpora import load
from cleser.corpora.audit.copies import ALIKE, SAME, alike, excerpt, find_copies, similarity
from cleser.corpora.audit.fingerprints import Fingerprint, fingerprint
from cleser.corpora.audit.people import alike_voices

CORPORA = ("emodb", "ravdess", "nemo", "turev-db")
Sound = NDArray[np.float64]
Change = Callable[[Sound, int, Path], Path]


def encoded(
    ending: str,
    *,
    rate: int | None = None,
    change: Callable[[Sound, int], Sound] | None = None,
    **kind: object,
) -> Change:
    """Change the samples, resample them, and write them in a format."""

    def write(sound: Sound, native: int, path: Path) -> Path:
        changed = sound if change is None else change(sound, native)
        resampled = changed if rate is None else soxr.resample(changed, native, rate)
        file = path.with_suffix(f".{ending}")
        soundfile.write(file, resampled, rate or native, **kind)
        return file

    return write


def noise(sound: Sound, decibels: float) -> Sound:
    power = np.mean(sound**2) * 10 ** (-decibels / 10)
    return sound + np.sqrt(power) * np.random.default_rng(0).standard_normal(len(sound))


def without_silence(sound: Sound) -> Sound:
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    return sound[loud[0] : loud[-1] + 1]


CHANGES: dict[str, Change] = {
    "WAV, float": encoded("wav", subtype="FLOAT"),
    "WAV, 24 bits, 44.1 kHz": encoded("wav", rate=44100, subtype="PCM_24"),
    "Ogg Vorbis": encoded("ogg", subtype="VORBIS"),
    "Ogg Vorbis, smallest": encoded("ogg", subtype="VORBIS", compression_level=0.95),
    "Opus, 48 kHz": encoded("opus", rate=48000, format="OGG", subtype="OPUS"),
    "MP3": encoded("mp3", subtype="MPEG_LAYER_III"),
    "MP3, smallest": encoded("mp3", subtype="MPEG_LAYER_III", compression_level=0.95),
    "8 kHz": encoded("wav", rate=8000),
    "11.025 kHz": encoded("wav", rate=11025),
    "8 kHz, µ-law": encoded("wav", rate=8000, subtype="ULAW"),
    "IMA ADPCM": encoded("wav", subtype="IMA_ADPCM"),
    "stereo": encoded("wav", change=lambda x, _: np.stack([x, x], axis=1)),
    "stereo, one channel silent": encoded("wav", change=lambda x, _: np.stack([x, 0 * x], axis=1)),
    "20 dB quieter": encoded("wav", change=lambda x, _: 0.1 * x),
    "louder, to full scale": encoded("wav", change=lambda x, _: x / np.abs(x).max()),
    "inverted": encoded("wav", change=lambda x, _: -x),
    "a sample less": encoded("wav", change=lambda x, _: x[1:]),
    "5 ms less at both ends": encoded("wav", change=lambda x, r: x[r // 200 : -(r // 200)]),
    "silence cut off at −40 dB": encoded("wav", change=lambda x, _: without_silence(x)),
    "0.3 s of silence before": encoded("wav", change=lambda x, r: np.pad(x, (3 * r // 10, 0))),
    "offset of 0.05": encoded("wav", change=lambda x, _: x + 0.05),
    "noise at 20 dB": encoded("wav", change=lambda x, _: noise(x, 20)),
    "noise at 10 dB": encoded("wav", change=lambda x, _: noise(x, 10)),
    "8 bits": encoded("wav", subtype="PCM_U8"),
    "three times louder, clipped": encoded("wav", change=lambda x, _: np.clip(3 * x, -1, 1)),
    "Opus, smallest": encoded(
        "opus", rate=16000, format="OGG", subtype="OPUS", compression_level=0.98
    ),
    "8 kHz, GSM 06.10": encoded("wav", rate=8000, subtype="GSM610"),
    "a tenth cut off": encoded("wav", change=lambda x, _: x[len(x) // 10 :]),
}


def changed(paths: list[str]) -> Table:
    table = Table(title=f"Copies found, of {len(paths)} recordings", title_justify="left")
    for name in ("change", "found", "alike", "similarity: least", "median"):
        table.add_column(name, justify="left" if name == "change" else "right")
    originals = {path: fingerprint(path) for path in paths}
    with tempfile.TemporaryDirectory() as folder:
        for name, change in CHANGES.items():
            found = np.array([compared(p, originals[p], change, Path(folder)) for p in paths])
            cosine, how = found.T
            both = (cosine >= ALIKE) & (how >= SAME)
            table.add_row(
                name,
                f"{both.mean():.1%}",
                f"{(cosine >= ALIKE).mean():.1%}",
                f"{how.min():.2f}",
                f"{np.median(how):.2f}",
            )
    return table


def compared(path: str, original: Fingerprint, change: Change, folder: Path) -> tuple[float, float]:
    """Cosine of the pictures of a recording and of its changed copy, and the similarity of their samples."""
    copy = str(change(*soundfile.read(path), folder / "copy"))
    found = fingerprint(copy)
    cosine = float(original.picture.astype(np.float32) @ found.picture.astype(np.float32))
    one, _ = excerpt(path, middle=original.middle)
    other, _ = excerpt(copy, middle=found.middle)
    return cosine, similarity(one, other)[0]


def false_alarms(manifests: dict[str, pd.DataFrame]) -> Table:
    table = Table(title="Different recordings", title_justify="left")
    for name in (
        "corpora",
        "pairs",
        "alike, so compared",
        "counted as the same",
        "greatest similarity",
    ):
        table.add_column(name, justify="left" if name == "corpora" else "right")
    for name, manifest in {**manifests, "all four": pd.concat(manifests.values())}.items():
        found = {path: fingerprint(path) for path in manifest["path"]}
        names = {print_.sound: path for path, print_ in found.items()}  # one of each exact copy
        paths = list(names.values())
        pictures = np.stack([found[path].picture for path in paths])
        how = [
            similarity(*(excerpt(paths[i], middle=found[paths[i]].middle)[0] for i in pair))[0]
            for pair in alike(pictures)
        ]
        pairs = len(paths) * (len(paths) - 1) // 2
        false = sum(value >= SAME for value in how)
        table.add_row(
            name, f"{pairs:,}", f"{len(how):,}", f"{false:,}", f"{max(how, default=0.0):.2f}"
        )
    return table


def cost(manifests: dict[str, pd.DataFrame], rows: int) -> Table:
    table = Table(title="Processor seconds for a thousand recordings", title_justify="left")
    for name in ("corpus", "read", "read, hash and picture", "ratio", "copies sought too"):
        table.add_column(name, justify="left" if name == "corpus" else "right")
    for name, manifest in manifests.items():
        paths = manifest["path"].head(rows)

        def timed(step: Callable[[], object], count: int = len(paths)) -> float:
            began = time.process_time()
            step()
            return 1000 * (time.process_time() - began) / count

        reading = timed(lambda p=paths: [soundfile.read(path, dtype="float32") for path in p])
        both = timed(lambda p=paths: [fingerprint(path) for path in p])
        head = manifest.head(rows)
        whole = timed(lambda m=head: find_copies(m))
        table.add_row(
            name, f"{reading:.2f}", f"{both:.2f}", f"{both / reading:.1f}", f"{whole:.2f}"
        )
    return table


def search_cost(counts: tuple[int, ...]) -> Table:
    table = Table(title="Pictures compared, all with all", title_justify="left")
    for name in ("utterances", "pictures (MB)", "processor seconds"):
        table.add_column(name, justify="right")
    for count in counts:
        rng = np.random.default_rng(0)
        pictures = rng.standard_normal((count, 192), dtype=np.float32)
        pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
        kept = pictures.astype(np.float16)
        began = time.process_time()
        sum(1 for _ in alike(kept))
        took = time.process_time() - began
        table.add_row(f"{count:,}", f"{kept.nbytes / 1e6:.1f}", f"{took:.1f}")
    return table


def voices(manifests: dict[str, pd.DataFrame], name: str, draws: int = 5) -> Table:
    """Each corpus in two: how many of the speakers in both are found, and how many others are taken for them."""
    from cleser.speech.speakers import embed_speakers, load_speaker_encoder  # noqa: PLC0415

    encoder = load_speaker_encoder(name)
    table = Table(
        title=f"Speakers in two pretended corpora, by {encoder.name}", title_justify="left"
    )
    for column in ("corpus", "in both", "shared", "found", "pairs of strangers", "alike"):
        table.add_column(column, justify="left" if column in ("corpus", "in both") else "right")
    known, values = {}, {}
    for corpus, manifest in manifests.items():
        found = embed_speakers(manifest, encoder)
        known[corpus] = manifest.set_index("utterance").loc[found.utterances].reset_index()
        values[corpus] = found.values.numpy()
        for how in ("everyone", "everyone, other emotions", "a third", "nobody"):
            counts = np.sum(
                [pretended(known[corpus], values[corpus], how, seed) for seed in range(draws)],
                axis=0,
            )
            table.add_row(corpus, how, *(f"{count:,}" for count in counts))
    together = pd.concat(known.values(), ignore_index=True)
    alike_ = alike_voices(together, np.concatenate(list(values.values())))
    sizes = together.groupby("corpus")["speaker"].nunique()
    strangers = (sizes.sum() ** 2 - (sizes**2).sum()) // 2
    table.add_row("all four", "nobody", "0", "0", f"{strangers:,}", f"{len(alike_):,}")
    return table


def pretended(
    manifest: pd.DataFrame, values: NDArray[np.float32], how: str, seed: int
) -> tuple[int, int, int, int]:
    rng = np.random.default_rng(seed)
    speaker = manifest["speaker"].to_numpy()
    names = rng.permutation(np.unique(speaker))
    third = max(len(names) // 3, 1)
    only = {"a third": third, "nobody": len(names) // 2}.get(how, 0)
    first = rng.random(len(manifest)) < 0.5
    if "emotions" in how:
        first = manifest["emotion"].isin(["anger", "happiness"]).to_numpy()
    if how == "nobody":
        first = np.isin(speaker, names[:only])
    else:
        in_one, in_other = names[: len(names) - only], names[only:]
        first = np.where(first, 1, 2)
        first[(first == 1) & ~np.isin(speaker, in_one)] = 0
        first[(first == 2) & ~np.isin(speaker, in_other)] = 0
        kept = first > 0
        manifest, values, speaker, first = (
            manifest[kept],
            values[kept],
            speaker[kept],
            first[kept] == 1,
        )
    corpus = np.where(first, "one", "other")
    renamed = [f"{c}/{s}" for c, s in zip(corpus, speaker, strict=True)]
    found = alike_voices(pd.DataFrame({"corpus": corpus, "speaker": renamed}), values)
    local = found[["speaker", "other_speaker"]].map(lambda name: name.split("/", 1)[1])
    right = int((local["speaker"] == local["other_speaker"]).sum())
    sides = set(speaker[first]), set(speaker[~first])
    shared = len(sides[0] & sides[1])
    return shared, right, len(sides[0]) * len(sides[1]) - shared, len(found) - right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the four corpora")
    parser.add_argument("--quick", action="store_true", help="fewer recordings")
    parser.add_argument("--voices", help="also seek speakers, by acoustic or another encoder")
    options = parser.parse_args()
    console = Console()
    manifests = {name: load(f"{name}:{options.corpora / name}") for name in CORPORA}
    rng = np.random.default_rng(0)
    each = 5 if options.quick else 25
    drawn = [m["path"].iloc[rng.choice(len(m), each, replace=False)] for m in manifests.values()]
    console.print(changed([path for paths in drawn for path in paths]))
    few = {name: m.head(100) for name, m in manifests.items()} if options.quick else manifests
    console.print(false_alarms(few))
    console.print(cost(manifests, 50 if options.quick else 300))
    console.print(search_cost((1_000, 10_000) if options.quick else (10_000, 30_000)))
    if options.voices:
        console.print(voices(manifests, options.voices))


if __name__ == "__main__":
    main()
