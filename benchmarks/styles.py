"""Whether speaker styles are found: planted ones, those of the synthetic corpus, and what real corpora show.

    python benchmarks/styles.py [planted] [synthetic] [CORPUS ...] [--quick] [--encoder NAME] [--figure FILE]

planted      adjusted Rand index (mean over emotions) over a sweep of noise and seeds 0–9: Leiden alone, refined,
             refined with training, and without the removal of offsets. Draws the sweep.
synthetic    the same from sound alone: English, German and Mandarin by espeak-ng, whose speakers have styles.
CORPUS ...   how languages mix in the communities of real corpora, NAME:FOLDER each, with offsets removed, by
             relation and kept; p-values by finding communities anew for each permutation of the speakers' languages.

All seeds here are others than those (100–119) by which the refiner's settings were chosen.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score

from cleser.corpora import load
from cleser.graphs import CommunityRefiner, StyleCommunities, planted_styles, style_communities
from cleser.speech import embed_speakers, load_speaker_encoder

NOISES = (2.0, 3.0, 4.0, 5.0, 6.0)
VARIANTS: dict[str, dict[str, Any]] = {
    "refined": {},
    "Leiden alone": {"refine": False},
    "refined, trained": {"refine": CommunityRefiner(epochs=150)},
    "across languages only": {"language_offsets": "relation"},
    "language kept": {"language_offsets": "keep"},
    "speaker kept": {"speaker_offsets": "keep"},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["planted"])
    parser.add_argument("--quick", action="store_true", help="fewer seeds and permutations")
    parser.add_argument("--encoder", default="acoustic")
    parser.add_argument(
        "--map", default="calm=neutral", help="an emotion to rename in real corpora"
    )
    parser.add_argument("--figure", type=Path, help="where the sweep is drawn")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    corpora = [word for word in arguments.what if ":" in word]
    if "planted" in arguments.what:
        sweep = planted(range(2 if arguments.quick else 10))
        if arguments.figure:
            draw(sweep, arguments.figure)
    if "synthetic" in arguments.what:
        synthetic(range(1 if arguments.quick else 3), arguments.encoder)
    if corpora:
        real(corpora, arguments.encoder, arguments.map, 19 if arguments.quick else 499)


def rand_index(found: StyleCommunities, style: dict[Any, Any]) -> float:
    """Mean over emotions of the adjusted Rand index with the planted styles."""
    nodes = found.nodes[found.nodes["community"] >= 0]
    truth = nodes["speaker"].map(style)
    return float(
        np.mean(
            [
                adjusted_rand_score(truth[own.index], own["community"])
                for _, own in nodes.groupby("emotion")
            ]
        )
    )


def planted(seeds: range) -> pd.DataFrame:
    began, rows = time.perf_counter(), []
    for noise in NOISES:
        for seed in seeds:
            x = planted_styles(noise=noise, seed=seed)
            style = dict(zip(x.speakers.tolist(), x.styles.tolist(), strict=True))
            who = {"speakers": x.speakers, "emotions": x.emotions, "languages": x.languages}
            for name, settings in VARIANTS.items():
                found = style_communities(x.embeddings, **who, **settings)
                rows.append((noise, seed, name, rand_index(found, style)))
    sweep = pd.DataFrame(rows, columns=["noise", "seed", "variant", "ari"])
    table = sweep.pivot_table(
        index="variant", columns="noise", values="ari", aggfunc=["mean", "std"]
    )
    print(
        "adjusted Rand index, mean ± sd over seeds, by the noise of an utterance (a style has length 1)\n"
    )
    print(
        "| | "
        + " | ".join(f"{noise:g}" for noise in NOISES)
        + " |\n|---"
        + "|---" * len(NOISES)
        + "|"
    )
    for name in VARIANTS:
        cells = [
            f"{table['mean'].loc[name, noise]:.3f} ± {table['std'].loc[name, noise]:.3f}"
            for noise in NOISES
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    wide = sweep.pivot_table(index=["noise", "seed"], columns="variant", values="ari")
    change = wide["refined"] - wide["Leiden alone"]
    for noise, own in change.groupby(level=0):
        lower, higher = (own < -1e-9).sum(), (own > 1e-9).sum()
        print(
            f"noise {noise:g}: refined higher in {higher}, lower in {lower} of {len(own)}, least {own.min():+.3f}"
        )
    print(f"\n{time.perf_counter() - began:.0f} s\n", flush=True)
    return sweep


def draw(sweep: pd.DataFrame, path: Path) -> None:
    colours = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#555555")
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, colour in zip(VARIANTS, colours, strict=True):
        own = sweep[sweep["variant"] == name].groupby("noise")["ari"]
        mean, low, high = own.mean(), own.min(), own.max()
        axes.fill_between(mean.index, low, high, color=colour, alpha=0.12, lw=0)
        axes.plot(mean.index, mean, color=colour, marker="o", ms=3.5, label=name)
    axes.axhline(0.9, color="#999999", ls=":", lw=1)
    axes.set(xlabel="noise of an utterance (style = language offset = 1, speaker offset = 2)")
    axes.set(ylabel="adjusted Rand index", ylim=(0, 1.02), xticks=NOISES)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def synthetic(seeds: range, encoder: str) -> None:
    print(
        f"synthetic corpus, {encoder}: adjusted Rand index of two planted styles, mean over emotions\n"
    )
    print(
        "| seed | gap | refined | Leiden alone | two asked for | language entropy | p |\n|---"
        + "|---" * 6
        + "|"
    )
    for gap in (0.0, 0.4):
        for seed in seeds:
            specs = [f"synthetic:{name}?seed={seed}&gap={gap:g}" for name in ("en", "de", "zh")]
            rows, values = embedded(specs, encoder)
            style = dict(zip(rows["speaker"], rows["style"], strict=True))
            found = [
                style_communities(values, **columns(rows), **{"refine": refine})
                for refine in (True, False, CommunityRefiner(n_communities=2))
            ]
            scores = [rand_index(each, style) for each in found]
            mixing = found[0].mixing(permutations=99, refit=True).iloc[-1]
            cells = " | ".join(f"{score:.2f}" for score in scores)
            print(
                f"| {seed} | {gap} | {cells} | {mixing['entropy']:.2f} | {mixing['entropy_p']:.2f} |",
                flush=True,
            )
    print()


def real(specs: list[str], encoder: str, renamed: str, permutations: int) -> None:
    rows, values = embedded(specs, encoder)
    old, new = renamed.split("=")
    rows["emotion"] = rows["emotion"].replace({old: new})
    for offsets in ("centre", "relation", "keep"):
        found = style_communities(values, **columns(rows), language_offsets=offsets)
        table = found.mixing(permutations=permutations, refit=True)
        print(f"{encoder}, language offsets: {offsets}\n")
        print(table.round(3).to_string(index=False))
        print(
            pd.crosstab(found.nodes["community"], found.nodes["language"]).to_string(),
            "\n",
            flush=True,
        )


def embedded(specs: list[str], encoder: str) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    manifest = pd.concat([load(spec) for spec in specs], ignore_index=True)
    found = embed_speakers(manifest, load_speaker_encoder(encoder))
    rows = manifest.set_index("utterance").loc[found.utterances].reset_index()
    return rows, found.values.numpy()


def columns(rows: pd.DataFrame) -> dict[str, pd.Series]:
    return {f"{name}s": rows[name] for name in ("speaker", "emotion", "language")}


if __name__ == "__main__":
    main()
