"""What folds that share speakers are worth: recognition within a corpus, by random folds and by folds of speakers.

    python benchmarks/folds.py --corpora FOLDER [--out runs/folds] [--seeds 1] [--recipes classical] [--quick]

FOLDER holds ``emodb``, ``ravdess``, ``nemo`` and ``turev-db``. Each is divided twice: into five random parts of
utterances with equal shares of emotions, as many published lists are, and into five parts of whole speakers (as many as
there are, where these are fewer). Every utterance is tested once either way. Finished runs are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
from sklearn.model_selection import StratifiedKFold

from cleser.corpora import Protocol, load
from cleser.corpora.audit.copies import find_copies
from cleser.corpora.folds import Fold, audit_folds, make_folds
from cleser.evaluation import Run, compare_runs
from cleser.experiments.experiment import Experiment
from cleser.recipes import METHODS
from cleser.settings import to_plain
from cleser.speech import load_backbone

CORPORA = ("emodb", "ravdess", "nemo", "turev-db")
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/folds"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--recipes", nargs="+", default=["classical"])
    parser.add_argument("--normalisation", nargs="+", default=["auto", "corpus"])
    parser.add_argument("--quick", action="store_true", help="one seed of classical, on EMO-DB")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.recipes, options.normalisation = 1, ["classical"], ["corpus"]
    row(
        [
            "corpus",
            "recipe",
            "normalised",
            "folds",
            "speakers shared",
            "UAR %",
            "95 %",
            "gained",
            "p",
        ]
    )
    row(["---"] * 9)
    for name in CORPORA[:1] if options.quick else CORPORA:
        compare(name, options)


def compare(name: str, options: argparse.Namespace) -> None:
    """A row for each division of a corpus and each recipe."""
    spec = f"{name}:{options.corpora / name}"
    renamed = {"calm": "neutral"} if name == "turev-db" else {}
    terms = Protocol([spec], [spec], map=renamed)
    rows = load(spec, renamed)
    rows = rows[rows["emotion"].isin(terms.labels)].reset_index(drop=True)
    rows = without_copies(rows)
    by_speakers = make_folds(rows, f"kfold:{min(FOLDS, rows['speaker'].nunique())}")
    lists = {"speakers": listed(rows, by_speakers), "random": at_random(rows)}
    splits = {kind: str(options.out / f"{name}-{kind}.csv") for kind in lists}
    options.out.mkdir(parents=True, exist_ok=True)
    for kind, table in lists.items():
        table.to_csv(splits[kind], index=False)
    for recipe, normalisation in product(options.recipes, options.normalisation):
        runs = {}
        for kind, split in splits.items():
            protocol = replace(
                terms, normalisation=normalisation, split=split, shared_speakers=kind == "random"
            )
            runs[kind] = options.out / name / f"{recipe}-{normalisation}-{kind}"
            config = METHODS[recipe].config()
            experiment = Experiment(recipe, to_plain(config), protocol, options.seeds, runs[kind])
            METHODS[recipe].run(experiment, config, load_backbone("acoustic"))
            shared = audit_folds(rows, make_folds(rows, split))["shared"]
            uar = Run(runs[kind]).results["uar"]
            low, high = uar["ci95"]
            interval = "–" if low is None else f"{100 * low:.1f} to {100 * high:.1f}"
            row(
                [name, recipe, normalisation, kind, f"{shared.min()} to {shared.max()} of {rows['speaker'].nunique()}",
                 f"{100 * uar['mean']:.1f}", interval, *gained(runs)]
            )  # fmt: skip


def gained(runs: dict[str, Path]) -> tuple[str, str]:
    """UAR of random folds minus that of folds of speakers on the same utterances, and its p-value."""
    if len(runs) < 2:
        return "", ""
    found = compare_runs(runs["speakers"], runs["random"], force=True).differences["uar"]
    return f"{100 * found.difference:+.1f}", f"{found.p:.3f}"


def without_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """One of each recording: a copy in train and test would be leakage however folds are drawn."""
    pairs = find_copies(rows).pairs(rows.assign(part="all"))
    return rows[~rows["utterance"].isin(pairs["other_utterance"])].reset_index(drop=True)


def listed(rows: pd.DataFrame, folds: list[Fold]) -> pd.DataFrame:
    """Folds as a list, for the same utterances as the other one."""
    parts = [
        pd.DataFrame({"utterance": rows["utterance"], "split": fold.roles, "fold": fold.name})
        for fold in folds
    ]
    return pd.concat(parts, ignore_index=True)


def at_random(rows: pd.DataFrame) -> pd.DataFrame:
    """A list of folds that minds emotions and not speakers."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, rows["emotion"])
    lists = []
    for number, (_, tested) in enumerate(folds, 1):
        split = pd.Series("train", index=rows.index)
        split.iloc[tested] = "test"
        lists.append(pd.DataFrame({"utterance": rows["utterance"], "split": split, "fold": number}))
    return pd.concat(lists, ignore_index=True)


def row(cells: Iterable[object]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
