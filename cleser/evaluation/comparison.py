"""Two runs compared: metric by metric, where both took the same for right in the same utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cleser.evaluation.intervals import Difference, NotComparableError, paired_difference
from cleser.evaluation.measures import Truths, measures, truths_of
from cleser.evaluation.numbers_as_text import counted
from cleser.evaluation.results import Run
from cleser.evaluation.terms import differing

_ROUNDING: Final = 1e-6  # of a truth that is a number


@dataclass(frozen=True)
class Comparison:
    """Two runs, A and B, and B minus A in each metric.

    Attributes:
        a: Run A.
        b: Run B.
        differences: B minus A by metric.
        left_out: Metrics that both have and that cannot be compared, with the reason.
    """

    a: Run
    b: Run
    differences: dict[str, Difference]
    left_out: dict[str, str] = field(default_factory=dict)


def compare_runs(a: Path, b: Path, *, force: bool = False) -> Comparison:
    """Test whether two runs differ on the utterances that both tested.

    Where each seed tests other utterances, as an oracle's do, seeds that both runs have are compared one by one: see
    :func:`paired_difference`.

    What a method uses of the target within one protocol may differ: that is a difference between methods, which
    tables and reports name beside it.

    Args:
        a: A run folder.
        b: Another.
        force: Compare even if the protocols differ.

    Raises:
        NotComparableError: The protocols differ, the runs tested different utterances, if only in some seeds, tell
            other classes apart, or take something else for right. A metric beside UAR or CCC for which the
            annotators' votes differ, say, is left out and named instead.
        ValueError: A target has no labels, or a file is missing or damaged.
    """
    one, two = Run(a), Run(b)
    one.needs_scores()
    two.needs_scores()
    _refuse_different_classes(one, two)
    if not force:
        _refuse_different_protocols(one, two)
    _refuse_different_tests(one, two)
    # In one order: confusions of classes in another are those of other classes.
    classes = [name for name in one.protocol["classes"] if name in two.protocol["classes"]]
    differences, left_out = _differences(one, two, classes)
    if not differences:
        raise NotComparableError(f"{a} and {b} have no metric in common, expected runs of one task")
    return Comparison(one, two, differences, left_out)


def _differences(
    a: Run, b: Run, classes: Sequence[str]
) -> tuple[dict[str, Difference], dict[str, str]]:
    """B minus A in each metric that both have, and why some of them cannot be compared."""
    ours, theirs = (measures(run.predictions, classes, run.attributes) for run in (a, b))
    attributes = list(dict.fromkeys([*a.attributes, *b.attributes]))
    differences: dict[str, Difference] = {}
    left_out: dict[str, str] = {}
    for name, measure in ours.items():
        if name not in theirs:
            continue
        if name == "ccc" and set(a.attributes) != set(b.attributes):  # a mean of others
            left_out[name] = f"A predicts {', '.join(a.attributes)}, B {', '.join(b.attributes)}"
            continue
        try:
            _refuse_different_truths(a, b, truths_of(name, classes, attributes))
            differences[name] = paired_difference(
                measure.clusters, theirs[name].clusters, measure.metric, bounds=measure.bounds
            )
        except NotComparableError as error:
            if not differences:  # UAR or a CCC, without which there is nothing to compare
                raise
            left_out[name] = str(error)
    return differences, left_out


def _refuse_different_protocols(a: Run, b: Run) -> None:
    """Raise where two runs rest on different terms, whatever their methods use of these."""
    if a.protocol["cast"] == b.protocol["cast"]:
        return
    apart = differing(a.protocol, b.protocol)
    said = ", ".join(apart) or "utterances, speakers, emotions, votes or times of their corpora"
    raise NotComparableError(
        f"{a.folder} and {b.folder} were run under different protocols ({a.protocol['hash']} and "
        f"{b.protocol['hash']}; {said} differ); --force compares them all the same"
    )


def _refuse_different_classes(a: Run, b: Run) -> None:
    """Raise where recalls are of other classes; a run of attributes alone has none."""
    one, two = (list(run.protocol["classes"]) for run in (a, b))
    if one and two and set(one) != set(two):
        raise NotComparableError(
            f"{a.folder} tells {', '.join(one)} apart, {b.folder} {', '.join(two)}: expected the same classes, "
            "since a metric of others cannot be compared"
        )


def _refuse_different_tests(a: Run, b: Run) -> None:
    """Raise where seeds that will be compared have tested different utterances."""
    one, two = _tested(a), _tested(b)
    if len({*one.values(), *two.values()}) == 1:
        return
    count = max((len(one[seed] ^ two[seed]) for seed in one.keys() & two.keys()), default=0)
    if count:
        raise NotComparableError(
            f"{count} utterances were tested in only one of {a.folder} and {b.folder}, expected none"
        )


def _refuse_different_truths(a: Run, b: Run, truths: Truths) -> None:
    """Raise where two runs take something else for right in utterances that both tested."""
    one, two = (
        run.predictions.drop_duplicates("utterance")
        .set_index("utterance")
        .reindex(columns=truths.columns)
        .fillna(truths.missing)
        for run in (a, b)
    )
    two = two[two.index.isin(one.index)]
    one = one.loc[two.index]
    # What a table has on another scale is the same number but for rounding; inf - inf, both unknown, is no more.
    numbers = isinstance(truths.missing, float)
    unlike = (one - two).abs() > _ROUNDING if numbers else one != two
    differ = int(unlike.any(axis=1).sum())
    if differ:
        raise NotComparableError(
            f"{truths.words} differ in {counted(differ, 'utterances')} between {a.folder} and {b.folder}"
        )


def _tested(run: Run) -> dict[int, frozenset[str]]:
    """The utterances that each seed has tested; an oracle's seeds test different ones."""
    groups = run.predictions.groupby("seed")["utterance"]
    return {int(str(seed)): frozenset(own) for seed, own in groups}
