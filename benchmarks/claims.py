"""What the papers claim, asked of real speech through a backbone, with permutation tests.

    python benchmarks/claims.py --backbone MODEL emodb:DIR ravdess:DIR nemo:DIR turev-db:DIR --map calm=neutral

1. *Do speakers of different languages cluster under one emotion?* (SAPA.) Style communities of utterance statistics,
   without what each language and speaker adds, and how languages mix in them against chance: languages dealt to
   speakers at random, communities found anew for each.
2. *Are some layers more alike across languages, and do those transfer better?* (Layer anchoring.) For each layer the
   similarity of two languages (debiased linear CKA, CORAL distance, cosine of means), and the UAR of a linear probe on
   that layer alone from the one to the other. Spearman's correlation over layers, the mean over pairs of languages;
   its p by dealing the layers of every pair at random.

``--quick`` takes synthetic corpora and descriptors.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor

from cleser.anchors import LayerSimilarity
from cleser.corpora import load
from cleser.evaluation import uar
from cleser.features import Record
from cleser.features.normalisation import StandardisedSummaries
from cleser.features.projection import projected
from cleser.features.sentences import remove_sentences, sentences_of
from cleser.graphs import style_communities
from cleser.recipes.probe import Probe, ProbeConfig
from cleser.speech import load_backbone
from cleser.training.dataset import Dataset, balance
from cleser.training.from_manifest import summaries_of
from cleser.training.sources import MemorySource

EMOTIONS = ("anger", "happiness", "neutral", "sadness")
MEASURES = {"cka_debiased": 1, "coral_debiased": -1, "cosine": 1}  # whether greater is more alike


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="*")
    parser.add_argument("--backbone", default="acoustic")
    parser.add_argument("--map", nargs="*", default=[], help="emotions to rename, as calm=neutral")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    specs = options.corpora or [f"synthetic:{code}?speakers=4" for code in ("en", "zh", "de")]
    permutations = 19 if options.quick else options.permutations
    renamed = dict(pair.split("=") for pair in options.map)
    raw, rows = described(specs, options.backbone, renamed)
    speakers(raw, rows, permutations)
    layers(raw, rows, permutations)


def described(
    specs: list[str], backbone: str, renamed: dict[str, str]
) -> tuple[Tensor, pd.DataFrame]:
    """Utterance statistics [N, L, C] of the emotions that all corpora know, and their rows."""
    rows = pd.concat([load(spec, renamed) for spec in specs], ignore_index=True)
    rows = rows[rows["emotion"].isin(EMOTIONS)].reset_index(drop=True)
    blocks, rows = summaries_of(
        rows, load_backbone(backbone), [None] * len(rows), title="corpora", record=Record("none")
    )
    return torch.cat(list(blocks)), rows


def speakers(raw: Tensor, rows: pd.DataFrame, permutations: int) -> None:
    """Print how languages mix in the communities of each emotion."""
    flat = next(iter(StandardisedSummaries([raw], rows["corpus"]))).flatten(1)
    found = style_communities(
        projected(flat), speakers=rows["speaker"], emotions=rows["emotion"],
        languages=rows["language"], seed=0,
    )  # fmt: skip
    table = found.mixing(permutations=permutations, refit=True, seed=0)
    columns = ["emotion", "nodes", "communities", "entropy", "entropy_chance", "entropy_p",
               "assortativity", "assortativity_chance", "assortativity_p"]  # fmt: skip
    print("1. Style communities; entropy 1 is mixed, 0 apart; p of languages keeping apart")
    print(table[columns].round(3).to_string(index=False))


def layers(raw: Tensor, rows: pd.DataFrame, permutations: int) -> None:
    """Print similarity and transfer of each layer, and how they go together."""
    alike = similarities(raw, rows)
    transfer = transfers(raw, rows)
    print("\n2. Transfer UAR % of a probe on one layer, rows from → to")
    print(transfer.round(1).to_string())
    print("\nSpearman's correlation over layers of likeness and transfer, mean over pairs")
    for measure, sign in MEASURES.items():
        likeness = sign * alike[measure]
        value, p = correlated(likeness, transfer, permutations)
        print(f"{measure:15s} {value:+.2f}  p {p:.3f}")


def similarities(raw: Tensor, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By measure a table: a row a pair of languages, a column a layer; of features standardised over all corpora."""
    languages = sorted(rows["language"].unique())
    x = (raw - raw.mean(0)) / raw.std(0).clamp_min(1e-6)
    codes = torch.from_numpy(pd.Index(languages).get_indexer(rows["language"]).astype(np.int64))
    measured = LayerSimilarity(*raw.shape[1:], names={"language": languages})
    measured.update(x, {"language": codes}, units="utterance", items_first=True)
    table = measured.compute()
    return {m: table.pivot(index=["source", "target"], columns="layer", values=m) for m in MEASURES}


def transfers(raw: Tensor, rows: pd.DataFrame) -> pd.DataFrame:
    """UAR % of a probe on each layer from each language to each other."""
    standard = next(iter(StandardisedSummaries([raw], rows["speaker"].fillna(rows["corpus"]))))
    bare = remove_sentences(standard, sentences_of(rows))
    names = sorted(rows["language"].unique())
    scores = {}
    for source, target in itertools.permutations(names, 2):
        sides = [
            dataset(bare, rows, (rows["language"] == side).to_numpy()) for side in (source, target)
        ]
        scores[source, target] = [one_layer(*sides, layer) for layer in range(raw.shape[1])]
    return pd.DataFrame.from_dict(scores, orient="index")


def dataset(x: Tensor, rows: pd.DataFrame, at: np.ndarray) -> tuple[Tensor, Tensor, pd.DataFrame]:
    """Statistics, emotions and rows of one language."""
    part = rows[at].reset_index(drop=True)
    y = torch.from_numpy(pd.Index(EMOTIONS).get_indexer(part["emotion"]).astype(np.int64))
    return x[torch.from_numpy(at.copy())], y, part


def one_layer(source: tuple, target: tuple, layer: int) -> float:
    """UAR % of a probe on one layer."""
    learned, tested = (packed(*side, layer) for side in (source, target))
    probe = Probe.fit(ProbeConfig(), learned, None, torch.full((len(EMOTIONS),), 1 / len(EMOTIONS)))
    predicted = probe.predict(tested)[0].argmax(-1)
    counts = torch.zeros(len(EMOTIONS), len(EMOTIONS))
    counts.index_put_((target[1], predicted), torch.ones(len(predicted)), accumulate=True)
    return 100 * float(uar(counts.numpy()))


def packed(x: Tensor, y: Tensor, rows: pd.DataFrame, layer: int) -> Dataset:
    """A dataset of one layer's statistics."""
    from cleser.features import Features  # noqa: PLC0415

    nothing = torch.zeros(len(x) + 1, dtype=torch.long)
    one = x[:, layer : layer + 1]
    features = Features(rows["utterance"].tolist(), one[:0], nothing, one, [])
    return Dataset(rows, MemorySource(features), {"emotion": y}, {}, balance(rows), [])


def correlated(
    likeness: pd.DataFrame, transfer: pd.DataFrame, permutations: int
) -> tuple[float, float]:
    """Mean Spearman correlation over pairs (both ways of transfer averaged), and its two-sided p."""
    pairs = list(likeness.index)
    both = np.array([transfer.loc[[(a, b), (b, a)]].to_numpy().mean(0) for a, b in pairs])
    values = likeness.to_numpy()

    def mean(of: np.ndarray) -> float:
        return float(np.nanmean([spearmanr(u, v).statistic for u, v in zip(of, both, strict=True)]))

    rng = np.random.default_rng(0)
    observed = mean(values)
    drawn = [mean(rng.permuted(values, axis=1)) for _ in range(permutations)]
    extreme = sum(abs(d) >= abs(observed) - 1e-12 for d in drawn)
    return observed, (1 + extreme) / (1 + permutations)


if __name__ == "__main__":
    main()
