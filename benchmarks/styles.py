"""Whether speaker styles are found: planted ones, those of the synthetic corpus, and what real corpora show.

    python benchmarks/styles.py [planted] [synthetic] [CORPUS ...] [--quick] [--encoder NAME] [--figure FILE]
                                [--drawn] [--trained] [--permutations N]

planted      adjusted Rand index (mean over emotions) over a sweep of noise and seeds 0–9: Leiden alone, refined with
             and without what emotions tell each other, with --trained by training too, and without the removal of
             offsets. Speakers have one style in all emotions, with --drawn one drawn for each. Draws the sweep.
synthetic    the same from sound alone: English and Mandarin by espeak-ng, whose speakers have styles.
CORPUS ...   how languages mix in the communities of real corpora, NAME:FOLDER each, with offsets removed, by
             relation and kept; p-values by finding communities anew for each permutation of the speakers' languages.

All seeds here are others than those (100–119) by which the refiner's settings were chosen.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import chi2_contingency
from sklearn.metrics import adjusted_rand_score

from cleser.corpora import load
from cleser.graphs import CommunityRefiner, StyleCommunities, planted_styles, style_communities
from cleser.speech import embed_speakers, load_speaker_encoder

NOISES = (2.0, 3.0, 4.0, 5.0, 6.0)
VARIANTS: dict[str, dict[str, Any]] = {
    "refined": {},
    "each emotion alone": {"refine": CommunityRefiner(agreement=0.0)},
    "Leiden alone": {"refine": False},
    "across languages only": {"language_offsets": "relation"},
    "language kept": {"language_offsets": "keep"},
    "speaker kept": {"speaker_offsets": "keep"},
}
TRAINED: dict[str, dict[str, Any]] = {
    f"{name}, {objective}": {
        "refine": CommunityRefiner(epochs=50, agreement=agreement, contrast=contrast)
    }
    for name, agreement in (("trained", 1.0), ("trained, each emotion alone", 0.0))
    for objective, contrast in (
        ("modularity", 0.0),
        ("with contrast", 0.5),
        ("mostly contrast", 5.0),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["planted"])
    parser.add_argument("--quick", action="store_true", help="fewer seeds and permutations")
    parser.add_argument("--first", type=int, default=0, help="seed of the planted sweep")
    parser.add_argument("--seeds", type=int, default=10, help="of the planted sweep")
    parser.add_argument("--trained", action="store_true", help="train the refiner's map, too")
    parser.add_argument(
        "--drawn", action="store_true", help="a style for each emotion of a speaker"
    )
    parser.add_argument("--permutations", type=int, default=499, help="of real corpora")
    parser.add_argument("--encoder", default="acoustic")
    parser.add_argument(
        "--map", default="calm=neutral", help="an emotion to rename in real corpora"
    )
    parser.add_argument("--figure", type=Path, help="where the sweep is drawn")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    corpora = [word for word in arguments.what if ":" in word]
    if arguments.trained:
        VARIANTS.update(TRAINED)
    if "planted" in arguments.what:
        count = 2 if arguments.quick else arguments.seeds
        sweep = planted(range(arguments.first, arguments.first + count), kept=not arguments.drawn)
        if arguments.figure:
            draw(sweep, arguments.figure)
    if "synthetic" in arguments.what:
        synthetic(arguments.quick, arguments.encoder)
    if corpora:
        real(corpora, arguments.encoder, arguments.map, arguments.permutations)


def rand_index(found: StyleCommunities, style: dict[Any, Any]) -> float:
    """Mean over emotions of the adjusted Rand index with the planted styles."""
    nodes = found.nodes[found.nodes["community"] >= 0]
    who = zip(nodes["speaker"], nodes["emotion"], strict=True)
    truth = pd.Series([style[node] for node in who], index=nodes.index)
    return float(
        np.mean(
            [
                adjusted_rand_score(truth[own.index], own["community"])
                for _, own in nodes.groupby("emotion")
            ]
        )
    )


def planted(seeds: range, *, kept: bool) -> pd.DataFrame:
    print(f"adjusted Rand index, mean ± sd over {len(seeds)} seeds; a style has length 1\n")
    print(f"a speaker's style is {'that of all emotions' if kept else 'drawn for each emotion'}\n")
    print("| noise | " + " | ".join(VARIANTS) + " | runs refined to higher, lower (by at most) |")
    print("|---" * (len(VARIANTS) + 2) + "|")
    rows = []
    for noise in NOISES:
        found = pd.DataFrame([planted_scores(noise, seed, kept) for seed in seeds])
        cells = [f"{own.mean():.3f} ± {own.std():.3f}" for _, own in found.items()]
        gain = found["refined"] - found["Leiden alone"]
        lower = f"{(gain > 1e-9).sum()}, {(gain < -1e-9).sum()} ({max(-gain.min(), 0.0) + 0.0:.3f})"
        print(f"| {noise:g} | " + " | ".join([*cells, lower]) + " |", flush=True)
        rows.append(found.assign(noise=noise))
    print()
    return pd.concat(rows).melt("noise", var_name="variant", value_name="ari")


def planted_scores(noise: float, seed: int, kept: bool) -> dict[str, float]:
    x = planted_styles(noise=noise, seed=seed, kept=kept)
    who = zip(x.speakers.tolist(), x.emotions.tolist(), strict=True)
    style = dict(zip(who, x.styles.tolist(), strict=True))
    who = {"speakers": x.speakers, "emotions": x.emotions, "languages": x.languages}
    return {
        name: rand_index(style_communities(x.embeddings, **who, **settings), style)
        for name, settings in VARIANTS.items()
    }


def draw(sweep: pd.DataFrame, path: Path) -> None:
    colours = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00")
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, colour in zip(VARIANTS, colours, strict=False):
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


def synthetic(quick: bool, encoder: str) -> None:
    print(
        f"synthetic corpus, {encoder}: adjusted Rand index of two planted styles, mean over emotions\n"
    )
    print("| gap | seed | refined | Leiden alone | two asked for | language entropy | p |")
    print("|---" * 7 + "|")
    for gap in (0.4,) if quick else (0.0, 0.4):
        for seed in range(3):
            specs = [f"synthetic:{name}?seed={seed}&gap={gap:g}" for name in ("en", "zh")]
            rows, values = embedded(specs, encoder)
            who = zip(rows["speaker"], rows["emotion"], strict=True)
            style = dict(zip(who, rows["style"], strict=True))
            found = [
                style_communities(values, **columns(rows), refine=refine)
                for refine in (True, False, CommunityRefiner(n_communities=2))
            ]
            scores = " | ".join(f"{rand_index(each, style):.2f}" for each in found)
            mixing = found[0].mixing(permutations=19 if quick else 99, refit=True).iloc[-1]
            said = f"{mixing['entropy']:.2f} | {mixing['entropy_p']:.2f}"
            print(f"| {gap:g} | {seed} | {scores} | {said} |", flush=True)
    print()


def real(specs: list[str], encoder: str, renamed: str, permutations: int) -> None:
    rows, values = embedded(specs, encoder)
    old, new = renamed.split("=")
    rows["emotion"] = rows["emotion"].replace({old: new})
    for offsets in ("centre", "relation", "keep"):
        found = style_communities(values, **columns(rows), language_offsets=offsets)
        table = found.mixing(permutations=permutations, refit=True)
        print(f"{encoder}, language offsets: {offsets}")
        alone = style_communities(values, **columns(rows), language_offsets=offsets, refine=False)
        told = [f"{a} and {b} {p:.3f}" for a, b, p in dependence(alone)]
        print(f"do communities of two emotions depend on each other? p: {', '.join(told)}\n")
        print(table.round(3).to_string(index=False))
        print(
            pd.crosstab(found.nodes["community"], found.nodes["language"]).to_string(),
            "\n",
            flush=True,
        )


def dependence(found: StyleCommunities) -> Iterator[tuple[str, str, float]]:
    """Pearson's test of each two emotions: whether a speaker's community in one tells that in the other."""
    nodes = found.nodes[found.nodes["community"] >= 0]
    of_speaker = nodes.pivot(index="speaker", columns="emotion", values="community")
    for a, b in combinations(of_speaker.columns, 2):
        both = of_speaker[[a, b]].dropna()
        table = pd.crosstab(both[a], both[b])
        yield a, b, float(chi2_contingency(table, correction=False).pvalue)


def embedded(specs: list[str], encoder: str) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    manifest = pd.concat([load(spec) for spec in specs], ignore_index=True)
    found = embed_speakers(manifest, load_speaker_encoder(encoder))
    rows = manifest.set_index("utterance").loc[found.utterances].reset_index()
    return rows, found.values.numpy()


def columns(rows: pd.DataFrame) -> dict[str, pd.Series]:
    return {f"{name}s": rows[name] for name in ("speaker", "emotion", "language")}


if __name__ == "__main__":
    main()
