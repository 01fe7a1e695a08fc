"""Sentences found by sound, against the corpora' own texts: do they agree, and is nothing found where none repeats?

    python benchmarks/sentences.py --backbone MODEL emodb:DIR ravdess:DIR …

For each corpus: the sentences that its texts know and those found from the encoder's last state, how well the two
agree (adjusted Rand index, 1 is the same), how little the found ones agree with emotions, and the mean silhouette of
their grouping. Then the same with one utterance of each text, where nothing is repeated: below .15 nothing is found.
``--quick`` takes every fourth utterance and the synthetic corpora.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import adjusted_rand_score

from cleser.corpora import load
from cleser.features import Record, find_sentences
from cleser.features.normalisation import StandardisedSummaries
from cleser.features.sentences import best_silhouette
from cleser.speech import load_backbone
from cleser.training.from_manifest import summaries_of


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="*", default=["synthetic:en,speakers=4"])
    parser.add_argument("--backbone", default="acoustic")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    backbone = load_backbone(options.backbone)
    layer = -1 if backbone.content_layer is None else backbone.content_layer
    print(
        f"backbone {options.backbone}; silhouettes of random halves of single utterances: mean of 5 draws"
    )
    print(
        "corpus | utterances | texts | found | agreement | with emotions | silhouette | one of each text"
    )
    for spec in options.corpora:
        rows = load(spec)
        if options.quick:
            rows = rows.iloc[::4].reset_index(drop=True)
        known = [None] * len(rows)
        summaries, rows = summaries_of(rows, backbone, known, title=spec, record=Record("none"))
        speakers = rows["speaker"].fillna(rows["corpus"])
        standard = torch.cat(list(StandardisedSummaries(summaries, speakers)))
        content = standard[:, layer, : backbone.dim].numpy()
        found = find_sentences(content)
        text = rows["text"].fillna("")
        cells = [
            spec.split(":")[0], len(rows), text.nunique(), found.max() + 1,
            f"{adjusted_rand_score(text, found):.2f}",
            f"{adjusted_rand_score(rows['emotion'].fillna(''), found):.2f}",
            f"{best_silhouette(content):.2f}",
            _single(content, text),
        ]  # fmt: skip
        print(" | ".join(map(str, cells)), flush=True)


def _single(content: np.ndarray, text: pd.Series) -> str:
    """The best silhouette among utterances of which no two say the same."""
    draws = []
    for seed in range(5):
        one = text.sample(frac=1, random_state=seed).drop_duplicates().index.to_numpy()
        if len(one) >= 20:
            draws.append(best_silhouette(content[one]))
    return f"{np.mean(draws):.2f} (n = {text.nunique()})" if draws else "too few texts"


if __name__ == "__main__":
    main()
