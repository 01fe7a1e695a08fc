"""What each normalisation gives, also where speakers recorded one emotion each, or few utterances.

    python benchmarks/normalisation.py --corpora FOLDER [--names emodb …] [--backbone acoustic] [--noticed]
        [--few DRAWS] [--quick]

Every corpus is recognised from each other one and from all others together, by logistic regression on utterance
statistics (strength 0.01), from the corpora as they were recorded. Then the target's speakers are dealt out anew:

* *80 %*, *all*: that share of the speakers, each cut into as many as there are emotions, with one emotion each, as in
  URDU, where most speakers recorded one;
* *1*, *2*, *5*: each speaker cut into many with so many utterances, drawn at random.

Printed is UAR in per cent by speaker, by corpus and with the default, and what the default loses against the better of
the two. Nothing here chooses anything: the labels of the target score what was decided without them. With --noticed,
nothing is recognised, and printed is what the default decides by: the share of the variance of a source classifier's
scores that lies between the target's speakers, and the most that is taken for speakers of several emotions. With --few,
targets of 2, 4 and 6 random speakers are decided about, as recorded and with one emotion each, from each other corpus
and from its speakers of either gender: printed is how often they are taken to show one emotion each.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from cleser.corpora.protocol import Cast, Protocol
from cleser.evaluation import confusion_matrix, uar
from cleser.experiments.data import Data
from cleser.experiments.one_sided import OneSidedness, fit_one_sidedness
from cleser.speech import load_backbone
from cleser.speech.backbones import Backbone
from cleser.training.from_manifest import record_for, summaries_of

LAYOUTS = ("recorded", "80 %", "all", "1", "2", "5")
BY = ("speaker", "corpus", "auto")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--names", nargs="+", default=["emodb", "ravdess", "turev-db", "nemo"])
    parser.add_argument("--backbone", default="acoustic")
    parser.add_argument("--out", type=Path, help="CSV file of all numbers")
    parser.add_argument("--noticed", action="store_true", help="what the default notices, alone")
    parser.add_argument("--few", type=int, metavar="DRAWS", help="draws of a few speakers, alone")
    parser.add_argument("--quick", action="store_true", help="the first two corpora, two layouts")
    arguments = parser.parse_args()
    names, layouts = arguments.names, LAYOUTS
    if arguments.quick:
        names, layouts = names[:2], ("recorded", "all")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    backbone = load_backbone(arguments.backbone)
    casts = {
        f"{', '.join(source)} → {target}": cast_of(source, target, arguments.corpora)
        for source, target in directions(names)
    }
    if arguments.few:
        print_few(casts, arguments.few, backbone)
    elif arguments.noticed:
        print_noticed(casts, layouts, backbone)
    else:
        print_scores(casts, layouts, backbone, arguments.out)


def print_noticed(casts: dict[str, Cast], layouts: Sequence[str], backbone: Backbone) -> None:
    """A row a direction: what the default decides by."""
    print("share of the variance between the target's speakers; * more than may be\n")
    print("| direction | at most |", " | ".join(layouts), "|")
    print("|---" * (2 + len(layouts)) + "|")
    for direction, cast in casts.items():
        print(f"| {direction} |", noticed(cast, layouts, backbone), flush=True)


def print_few(casts: dict[str, Cast], draws: int, backbone: Backbone) -> None:
    """How often a few speakers are taken to show one emotion each, by the source's speakers."""
    rng = np.random.default_rng(0)
    rows = []
    for cast in (c for c in casts.values() if c.source["corpus"].nunique() == 1):
        for group, source in by_gender(cast.source).items():
            learned = learned_from(replace(cast, source=source), backbone)
            for layout, number, _ in product(("recorded", "all"), (2, 4, 6), range(draws)):
                speakers = cast.target["speaker"].unique()
                if number <= len(speakers):
                    chosen = rng.choice(speakers, number, replace=False)
                    few = cast.target[cast.target["speaker"].isin(chosen)]
                    share = share_of(
                        deal(replace(cast, target=few, pool=few), layout), learned, backbone
                    )
                    rows.append((layout, group, number, 100 * (share > learned.threshold)))
    table = pd.DataFrame(rows, columns=["layout", "source", "speakers", "taken"])
    found = table.groupby(["layout", "source", "speakers"], sort=False)["taken"]
    print(found.agg(["mean", "size"]).round(1).to_string())


def by_gender(source: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All speakers and, where three or more of a gender are known, these alone."""
    genders = source["gender"] if "gender" in source else pd.Series(pd.NA, source.index)
    parts = {"one gender: " + str(g): rows for g, rows in source.groupby(genders)}
    return {"all": source} | {n: rows for n, rows in parts.items() if rows["speaker"].nunique() > 2}


def print_scores(
    casts: dict[str, Cast], layouts: Sequence[str], backbone: Backbone, out: Path | None
) -> None:
    """A line a cell, then what the default loses in each and on average."""
    rows = []
    for direction, cast in casts.items():
        for layout in layouts:
            dealt = deal(cast, layout)
            scores = {by: score(dealt, by, backbone) for by in BY}
            better = max(scores["speaker"][0], scores["corpus"][0])
            rows.append(
                {
                    "direction": direction,
                    "layout": layout,
                    **{by: scores[by][0] for by in BY},
                    "chosen": scores["auto"][1],
                    "loss": better - scores["auto"][0],
                }
            )
            cells = (f"{v:.1f}" if isinstance(v, float) else v for v in rows[-1].values())
            print("  ".join(cells), flush=True)
    table = pd.DataFrame(rows)
    if out:
        table.to_csv(out, index=False)
    print()
    losses = table.pivot(index="direction", columns="layout", values="loss")[list(layouts)]
    print(losses.round(1).to_string())
    print()
    print(table.groupby("layout")[[*BY, "loss"]].mean().loc[list(layouts)].round(1).to_string())


def cast_of(source: Sequence[str], target: str, corpora: Path) -> Cast:
    """The utterances of a direction."""
    specs = {name: f"{name}:{corpora / name}" for name in (*source, target)}
    renamed = {"calm": "neutral"} if "turev-db" in specs else {}
    return Protocol([specs[n] for n in source], [specs[target]], map=renamed).load()


def directions(names: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each corpus from each other one, then from all others."""
    for target in names:
        others = [n for n in names if n != target]
        yield from (((other,), target) for other in others)
        if len(others) > 1:
            yield tuple(others), target


def deal(cast: Cast, layout: str) -> Cast:
    """The cast with the target's utterances dealt out to other speakers."""
    rng = np.random.default_rng(1)
    target = cast.target
    names = target["speaker"].to_numpy(object).copy()
    for speaker in target["speaker"].unique():
        at = np.flatnonzero(target["speaker"] == speaker)
        if layout == "all" or (layout == "80 %" and rng.random() < 0.8):
            names[at] = [f"{speaker}-{emotion}" for emotion in target["emotion"].iloc[at]]
        elif layout.isdigit():
            names[rng.permutation(at)] = [f"{speaker}-{i // int(layout)}" for i in range(len(at))]
    target = target.assign(speaker=pd.Series(names, dtype="str"))
    return replace(cast, target=target, pool=target)


def noticed(cast: Cast, layouts: Sequence[str], backbone: Backbone) -> str:
    """Cells of the largest share that is taken for several emotions a speaker, and of each layout's share."""
    source = learned_from(cast, backbone)
    cells = [f"{source.threshold:.2f}"]
    for layout in layouts:
        share = share_of(deal(cast, layout), source, backbone)
        cells.append(f"{share:.2f}{'*' if share > source.threshold else ''}")
    return " | ".join(cells) + " |"


def learned_from(cast: Cast, backbone: Backbone) -> OneSidedness:
    """What the default knows of the source."""
    record = record_for(cast.protocol, tokens=False, phones=False)
    found = summaries_of(cast.source, backbone, None, title="source", record=record)
    return fit_one_sidedness(*found, cast.protocol.labels)


def share_of(cast: Cast, source: OneSidedness, backbone: Backbone) -> float:
    """Share of the variance of the source's scores that lies between the target's speakers."""
    record = record_for(cast.protocol, tokens=False, phones=False)
    return source.correlation(
        *summaries_of(cast.target, backbone, None, title="target", record=record)
    )


def score(cast: Cast, by: str, backbone: Backbone) -> tuple[float, str]:
    """UAR in per cent, and the normalisation that was taken."""
    protocol = replace(cast.protocol, normalisation=by)
    data = Data(replace(cast, protocol=protocol), backbone, auxiliary=False)
    labels = {name: k for k, name in enumerate(protocol.labels)}
    found = LogisticRegression(C=0.01, max_iter=1000).fit(
        data.seen.summaries().flatten(1).numpy(),
        data.seen.manifest["emotion"].map(labels).to_numpy(),
        sample_weight=data.seen.weight.numpy(),
    )
    predicted = found.predict(data.target.summaries().flatten(1).numpy())
    truth = data.target.manifest["emotion"].map(labels).to_numpy()
    return 100 * float(
        uar(confusion_matrix(truth, predicted, len(labels)))
    ), data.protocol.normalisation


if __name__ == "__main__":
    main()
