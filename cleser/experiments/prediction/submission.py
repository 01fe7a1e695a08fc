"""What a challenge asks to be handed in: a table of file names and labels, from a run's own test or a withheld one."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import pandas as pd

from cleser.corpora.attributes import to_original
from cleser.corpora.consensus import ATTRIBUTES, EMOTIONS, SCALE
from cleser.evaluation.most_probable import most_probable
from cleser.evaluation.results import Run
from cleser.experiments.prediction.recogniser import load_model

Format = Literal["msp-categorical", "msp-attributes", "biic"]
_CODES: Final = {name: code for code, name in EMOTIONS.items()}


def submission(
    run: Path, form: Format, *, corpus: str | None = None, split: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of utterances in the form that a challenge takes.

    Args:
        run: The folder of a finished run. Its seeds' probabilities and attributes are averaged.
        form: ``"msp-categorical"`` and ``"biic"`` have the columns ``FileName, EmoClass``, with the letters of
            :data:`cleser.corpora.consensus.EMOTIONS`; ``"msp-attributes"`` has ``FileName, EmoAct, EmoVal, EmoDom``,
            from 1 to 7.
        corpus: Spec of a corpus to recognise, as ``"msp-podcast:DIR"``; by default the utterances that the run has
            tested.
        split: Official split of the corpus to recognise alone, as ``"test3"``.

    Returns:
        The table, by file name, and the utterances without a label: ``path`` and ``reason``.

    Raises:
        ValueError: The run does not predict what the form asks for, or an emotion has no letter.
    """
    if split is not None and corpus is None:
        raise ValueError(f"split is {split!r} without a corpus, expected one as msp-podcast:DIR")
    found = (
        _tested(Run(run))
        if corpus is None
        else load_model(run).predict(corpora=[corpus], split=split)
    )
    missing = found[found["reason"].notna()][["path", "reason"]]
    labelled = found[found["reason"].isna()]
    names = labelled["utterance"].str.partition("/")[2] + ".wav"
    columns = _attributes(labelled) if form == "msp-attributes" else _classes(labelled)
    table = pd.DataFrame({"FileName": names, **columns}).sort_values("FileName")
    return table.reset_index(drop=True), missing.reset_index(drop=True)


def _tested(run: Run) -> pd.DataFrame:
    """A row an utterance: ``emotion`` and attributes, over seeds."""
    rows = run.predictions
    mean = rows.groupby("utterance").mean(numeric_only=True)
    table = pd.DataFrame({name: mean[f"predicted_{name}"] for name in run.attributes}, mean.index)
    if classes := run.protocol["classes"]:
        table["emotion"] = most_probable(rows, classes)["predicted"]
    return table.reset_index().assign(path="", reason=pd.Series(None, dtype="str"))


def _classes(rows: pd.DataFrame) -> dict[str, pd.Series[str]]:
    if "emotion" not in rows:
        raise ValueError("the run predicts attributes alone, expected one that tells emotions")
    unknown = sorted(set(rows["emotion"]) - set(_CODES))
    if unknown:
        raise ValueError(f"{unknown} have no letter, expected some of {list(_CODES)}")
    return {"EmoClass": rows["emotion"].map(_CODES)}


def _attributes(rows: pd.DataFrame) -> dict[str, pd.Series[float]]:
    missing = [name for name in ATTRIBUTES.values() if name not in rows]
    if missing:
        raise ValueError(
            f"the run does not predict {missing}, expected one of --task avd or both with all of them"
        )
    return {
        column: pd.Series(to_original(rows[name], SCALE), rows.index).round(4)
        for column, name in ATTRIBUTES.items()
    }
