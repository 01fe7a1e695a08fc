"""How far aligners are from phone times that are known, and how long the phones of real corpora become.

    python benchmarks/boundaries.py [--quick] [--ctc] [--seeds 7 8 9] [--corpora SPEC=FOLDER …] [--figure FILE]

Synthetic speech of speakers that no aligner has heard (other variants of espeak-ng, vocal tracts, rates and
pitches) is aligned with its text. ``--ctc`` trains a small phone model first, on other speakers who say the same
sentences: minutes. ``--corpora`` describes the TextGrids that ``cleser align`` wrote, and ``--figure`` draws some.
"""

from __future__ import annotations

import argparse
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import mlab

from cleser.alignment import CTCAligner, SynthesisAligner, load_alignments
from cleser.alignment.aligners.base import spelled
from cleser.alignment.aligners.ctc_training import train_phone_model
from cleser.anchors import is_vowel
from cleser.corpora import load
from cleser.speech import load_audio
from cleser.synthesis.corpus import parse_knobs, say
from cleser.synthesis.prosody import Manner, Voice, speak
from cleser.synthesis.sentences import SENTENCES

DROPPED = 10.01  # ms, two steps of the aligner: what stands for a phone that nobody spoke
VOICES = {"en": "en", "zh": "cmn", "de": "de"}
EMOTIONS = ("anger", "sadness", "happiness", "neutral")
TEACHERS = (None, "m4", "m5", "m8", "linda", "Alicia", "Andrea")  # none is a speaker of the corpus


def errors(aligner, language: str, seed: int, count: int) -> np.ndarray:
    knobs = parse_knobs(f"{language}?seed={seed}")
    found = []
    for i in range(count):
        said = say(knobs, i % 12, EMOTIONS[i // 12 % 4], i % 10)
        alignment = aligner.align(torch.from_numpy(said.samples), SENTENCES[language][i % 10])
        found += [alignment.starts - said.starts, alignment.ends - said.ends]
    return np.abs(np.concatenate(found))


def taught(languages: list[str], count: int) -> list:
    """Speech of known phones by speakers whose voice, rate, pitch and manner are drawn anew each time."""
    random = np.random.default_rng(0)
    utterances = []
    for language in languages:
        for i in range(count):
            tract, rate = 2 ** random.uniform(-0.15, 0.15), 165 * 2 ** random.uniform(-0.4, 0.4)
            pitch, tilt = random.uniform(-3, 4), random.uniform(-3, 3)
            teacher = TEACHERS[i % len(TEACHERS)]
            voice = Voice(VOICES[language], teacher, tract, rate, pitch, tilt)
            manner = Manner(range=random.uniform(-0.5, 0.5), breath=random.uniform(-6, 12))
            said = speak(SENTENCES[language][i % 10], voice, manner, seed=i)
            alignment = spelled(said.phones, np.stack([said.starts, said.ends], 1), None)
            utterances.append((torch.from_numpy(said.samples), alignment))
    return utterances


def table(name: str, aligners: dict, seeds: list[int], count: int) -> None:
    for language, aligner in aligners.items():
        runs = [1000 * errors(aligner, language, seed, count) for seed in seeds]
        medians = [np.median(run) for run in runs]
        every = np.concatenate(runs)
        low, high = min(medians), max(medians)
        print(
            f"| {name} | {language} | {np.median(every):.1f} ({low:.1f}–{high:.1f}) "
            f"| {np.quantile(every, 0.9):.0f} | {100 * (every <= 60).mean():.1f} |",
            flush=True,
        )


def durations(spec: str, folder: str) -> None:
    """Mean, and median with quartiles, of vowels by stress, of schwas by themselves, and of consonants.

    A phone that the text has and the speaker drops is squeezed to next to nothing; it has no duration, and is counted.
    """
    groups: dict[str, list[float]] = {}
    spoken, phones, quality = 0.0, 0, []
    for alignment in load_alignments(load(spec), folder):
        if alignment is None or alignment.uniform:
            continue
        lengths = 1000 * (alignment.ends - alignment.starts)
        stress = np.zeros(len(alignment)) if alignment.stress is None else alignment.stress
        for phone, length, stressed in zip(alignment.phones, lengths, stress, strict=True):
            name = "consonants"
            if is_vowel(phone):
                name = "stressed vowels" if stressed else "other vowels"
                name = "schwas" if phone == "ə" else name
            groups.setdefault(name, []).append(float(length))
        spoken, phones = spoken + lengths.sum() / 1000, phones + len(alignment)
        quality.append(alignment.quality)
    corpus = spec.partition(":")[0]
    for name in ("stressed vowels", "other vowels", "schwas", "consonants"):
        if name not in groups:
            continue
        every = np.array(groups[name])
        x = every[every > DROPPED]
        low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
        print(
            f"| {corpus} | {name} | {len(every)} | {100 - 100 * len(x) / len(every):.0f} "
            f"| {np.mean(x):.0f} | {middle:.0f} ({low:.0f}–{high:.0f}) |"
        )
    speed = f"{phones / spoken:.1f} phones a second, quality {np.median(quality):.2f}"
    print(f"| {corpus} | {speed} | | | | |")


def draw(pairs: list[list[str]], file: str, count: int = 2) -> None:
    """Spectrograms of some recordings of each corpus with their phones; dotted lines end one before a pause."""
    figure, axes = plt.subplots(
        len(pairs) * count, 1, figsize=(12, 2.3 * len(pairs) * count), layout="constrained"
    )
    chosen = [
        (row, load_alignments(manifest.loc[[row.Index]], folder)[0])
        for spec, folder in pairs
        for manifest in [load(spec)]
        for row in manifest.sample(count, random_state=1).itertuples()
    ]
    for axis, (row, alignment) in zip(axes, chosen, strict=True):
        sound = load_audio(row.path, start=row.start, end=row.end).numpy()
        first, last = max(alignment.starts[0] - 0.1, 0), alignment.ends[-1] + 0.1
        shown = np.diff(sound, prepend=0) + 1e-6 * np.random.default_rng(0).normal(size=len(sound))
        power, frequencies, times = mlab.specgram(shown, NFFT=320, Fs=16000, noverlap=240)
        level = 10 * np.log10(power[frequencies <= 6000])
        axis.pcolormesh(
            times, frequencies[frequencies <= 6000], level, cmap="Greys", rasterized=True,
            vmin=level.max() - 55, vmax=level.max(),
        )  # fmt: skip
        for i, (start, end, phone) in enumerate(alignment):
            axis.axvline(start, color="tab:red", lw=0.8)
            if i + 1 == len(alignment) or alignment.starts[i + 1] > end:
                axis.axvline(end, color="tab:blue", lw=0.9, ls=":")
            height = 6100 + 500 * (i % 2)  # neighbours at two heights
            axis.text((start + end) / 2, height, phone, color="tab:red", ha="center", fontsize=11)
        axis.set(
            ylim=(0, 6000), xlim=(first, last), yticks=[0, 2000, 4000, 6000], yticklabels="0246"
        )
        axis.set_ylabel("kHz")
        title = f"{row.utterance}: {row.text} (quality {alignment.quality:.2f})"
        axis.set_title(title, fontsize=10, pad=26)
    axes[-1].set_xlabel("s")
    figure.savefig(file, dpi=75)


def known_times(arguments: argparse.Namespace) -> None:
    """Print the table of synthetic speech."""
    seeds, count = (arguments.seeds[:1], 8) if arguments.quick else (arguments.seeds, 48)
    print("| aligner | language | median error, ms | 90 % within, ms | within 60 ms, % |")
    print("|---|---|---|---|---|")
    table("synthesis", {k: SynthesisAligner(v) for k, v in VOICES.items()}, seeds, count)
    if arguments.ctc:
        with tempfile.TemporaryDirectory() as folder:
            model = train_phone_model(taught(list(VOICES), 100), folder, steps=arguments.steps)
            table("ctc", {k: CTCAligner(model, v) for k, v in VOICES.items()}, seeds, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, eight utterances each")
    parser.add_argument("--ctc", action="store_true", help="train and measure a phone model too")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument(
        "--seeds", type=int, nargs="*", default=[7, 8, 9], help="none: real corpora alone"
    )
    parser.add_argument("--corpora", nargs="*", default=[], help="SPEC=FOLDER of TextGrids")
    parser.add_argument("--figure", help="draw two recordings of each of the corpora")
    arguments = parser.parse_args()
    if arguments.seeds:
        known_times(arguments)
    pairs = [pair.rsplit("=", 1) for pair in arguments.corpora]
    if pairs:
        print("\n| corpus | phones | number | dropped, % | mean, ms | median and quartiles, ms |")
        print("|---|---|---|---|---|---|")
    for spec, folder in pairs:
        durations(spec, folder)
    if arguments.figure:
        draw(pairs, arguments.figure)


if __name__ == "__main__":
    main()
