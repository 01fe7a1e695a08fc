"""What matching a prior does where the target's classes are not what was assumed.

    python benchmarks/prior.py RUN [RUN ...] [--draws 50] [--quick]
    python benchmarks/prior.py --corpora FOLDER [--names emodb …] [--backbone MODEL] [--draws 1] [--quick]

RUN is the folder of a finished run without prior matching (``cleser run erm``, or ``erm`` of a bench). Of its
tested utterances some are left out, so that one class makes up 25 % (all alike), 50, 70 or 85 % of the target. On these
the recorded probabilities are shifted as a run would with a uniform prior, with the true shares, and not at all, and
once by what suits accuracy. Printed are UAR and accuracy in per cent, the mean over the class in the majority, draws
and seeds.

With --corpora, every corpus is recognised from the others by a linear probe, and part of its utterances are left out
before anything is learned, since self-training learns from the target's shares too. Printed are the plain probe, six
rounds of self-training without a prior, with a uniform one, and with the true shares.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from normalisation import cast_of

from cleser.corpora.protocol import Cast
from cleser.evaluation import Run, accuracy, confusion_matrix, uar
from cleser.experiments.data import Data
from cleser.recipes.probe import Probe, ProbeConfig
from cleser.recipes.pseudo_labels import decision_shift, prior_shift
from cleser.speech import load_backbone
from cleser.speech.backbones import Backbone

MAJORITY = (0.25, 0.5, 0.7, 0.85)
LEARNED = (0.25, 0.5, 0.7)  # so that few utterances of the other classes are still some


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--corpora", type=Path, help="folder of corpora, to learn from them anew")
    parser.add_argument("--names", nargs="+", default=["emodb", "ravdess", "nemo"])
    parser.add_argument("--backbone", default="acoustic")
    parser.add_argument("--draws", type=int, help="50, and 1 where all is learned anew")
    parser.add_argument("--quick", action="store_true", help="three draws, of one class")
    arguments = parser.parse_args()
    if arguments.corpora:
        draws, classes = arguments.draws or 1, 1 if arguments.quick else None
        print(f"linear probe on {Path(arguments.backbone).name}")
        for target in arguments.names:
            sources = [name for name in arguments.names if name != target]
            cast = cast_of(sources, target, arguments.corpora)
            print(f"{', '.join(sources)} → {target}")
            found = learned(cast, load_backbone(arguments.backbone), draws, classes)
            print(found.round(1).to_string(), flush=True)
        return
    draws = 3 if arguments.quick else arguments.draws or 50
    for folder in arguments.runs:
        run = Run(folder)
        print(f"{', '.join(run.protocol['source'])} → {', '.join(run.protocol['target'])}")
        print(measure(run, draws).round(1).to_string(), flush=True)


def measure(run: Run, draws: int) -> pd.DataFrame:
    """UAR and accuracy by share of the majority and assumed prior."""
    classes = run.protocol["classes"]
    rows = []
    for share in MAJORITY:
        for draw in range(draws):
            for majority in range(len(classes)):
                rng = np.random.default_rng([draw, majority])
                for _, tested in run.predictions.groupby("seed"):
                    truth = pd.Index(classes).get_indexer(pd.Index(tested["emotion"]))
                    kept = thin_out(truth, majority, share, len(classes), rng)
                    logits = torch.tensor(
                        tested[[f"p_{name}" for name in classes]].to_numpy()[kept]
                    ).log()
                    rows.append({"majority": share, **scores(logits, truth[kept], len(classes))})
    return pd.DataFrame(rows).groupby("majority").mean() * 100


def learned(cast: Cast, backbone: Backbone, draws: int, most: int | None) -> pd.DataFrame:
    """UAR and accuracy of probes that are learned on a target whose classes differ, by share of the majority."""
    classes = cast.protocol.labels
    truth = pd.Index(classes).get_indexer(pd.Index(cast.target["emotion"]))
    rows = []
    for share in LEARNED:
        for draw in range(draws):
            for majority in range(len(classes))[:most]:
                rng = np.random.default_rng([draw, majority])
                kept = np.sort(thin_out(truth, majority, share, len(classes), rng))
                target = cast.target.iloc[kept].reset_index(drop=True)
                thinned = replace(cast, target=target, pool=target)
                data = Data(thinned, backbone, auxiliary=False, tokens=False)
                rows.append({"majority": share, **probes(data, truth[kept])})
    return pd.DataFrame(rows).groupby("majority").mean() * 100


def probes(data: Data, truth: np.ndarray) -> dict[str, float]:
    """UAR and accuracy of a plain probe, and of self-training with each prior."""
    classes = len(data.cast.protocol.labels)
    even = torch.full((classes,), 1 / classes, dtype=torch.float64)
    true = torch.tensor(np.bincount(truth, minlength=classes) / len(truth))
    ways = {
        "plain": (ProbeConfig(), even),
        "rounds": (ProbeConfig(rounds=6), even),
        "rounds, uniform": (ProbeConfig(rounds=6, match_prior=True), even),
        "rounds, true": (ProbeConfig(rounds=6, match_prior=True), true),
    }
    found = {}
    for name, (config, prior) in ways.items():
        shares = Probe.fit(config, data.seen, data.target, prior).predict(data.target)[0]
        counts = confusion_matrix(truth, shares.argmax(-1).numpy(), classes)
        found[f"UAR, {name}"] = float(uar(counts))
        found[f"accuracy, {name}"] = float(accuracy(counts))
    return dict(sorted(found.items(), reverse=True))


def thin_out(
    truth: np.ndarray, majority: int, share: float, classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions of utterances among which one class has this share, and the others the rest in equal parts."""
    at = [np.flatnonzero(truth == k) for k in range(classes)]
    shares = np.full(classes, (1 - share) / (classes - 1))
    shares[majority] = share
    total = min(len(a) / s for a, s in zip(at, shares, strict=True))
    counts = [max(1, round(total * s)) for s in shares]
    return np.concatenate(
        [rng.choice(a, c, replace=False) for a, c in zip(at, counts, strict=True)]
    )


def scores(logits: torch.Tensor, truth: np.ndarray, classes: int) -> dict[str, float]:
    """UAR and accuracy without matching, with a uniform prior, and with the true shares, in two ways."""
    true = torch.tensor(np.bincount(truth, minlength=classes) / len(truth))
    shifts = {
        "none": torch.zeros(classes),
        "uniform": decision_shift(logits),
        "true": decision_shift(logits, true),
        "true, for accuracy": prior_shift(logits, true),
    }
    found = {}
    for name, shift in shifts.items():
        counts = confusion_matrix(truth, (logits + shift).argmax(-1).numpy(), classes)
        found[f"UAR, {name}"] = float(uar(counts))
        found[f"accuracy, {name}"] = float(accuracy(counts))
    return dict(sorted(found.items(), reverse=True))


if __name__ == "__main__":
    main()
