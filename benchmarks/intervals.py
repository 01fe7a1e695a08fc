"""How often intervals hold the truth, and how often a run is found to differ from itself.

    python benchmarks/intervals.py [--quick] [--corpora FOLDER] [--out runs/intervals]

Simulated: four classes, eight utterances of each by every speaker. Whether an utterance is recognised depends on its
class, its speaker (the UAR of speakers has a standard deviation of 10 points), the seed (2.5 points, common to all
speakers), seed and speaker together (4 points) and the utterance itself. Two methods differ for a speaker by 4 points
more or less (standard deviation); a method does not differ from itself but by its seeds. The true UAR is known in
closed form.

On real corpora, with FOLDER holding ``emodb`` and ``ravdess``: ``erm`` is trained with 30 seeds, with one division
of the source for all and with one for each. Runs of three and of five of them, without a seed in common, are compared
again and again. Finished trainings are kept in ``--out``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special

from cleser.corpora import Protocol
from cleser.evaluation import Clusters, Run, interval, paired_difference, uar
from cleser.evaluation.metrics import Counts, Floats
from cleser.evaluation.variance import influence
from cleser.experiments.experiment import Experiment, Repeat, run_experiment
from cleser.experiments.neural import FittedRecipe, fit_recipe
from cleser.recipes.erm import ERM, ERMConfig
from cleser.settings import to_plain
from cleser.speech import load_backbone

RECALL = np.array([0.8, 0.45, 0.6, 0.7])
CLASSES, TAKES = len(RECALL), 8
SPEAKERS, SEEDS = (4, 6, 10, 24, 100), (1, 2, 3, 5)
DIRECTIONS = (("emodb", "ravdess"), ("ravdess", "emodb"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--corpora", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/intervals"))
    arguments = parser.parse_args()
    trials = 200 if arguments.quick else 1000
    means(trials)
    differences(trials)
    designs(trials)
    if arguments.corpora:
        real(arguments.corpora, arguments.out, 200 if arguments.quick else 1000)


# --- Simulated ---


@dataclass(frozen=True)
class World:
    """Standard deviations on a normal scale where all together is 1; a tenth of it is 3.4 points of UAR.

    Attributes:
        speaker: Of speakers, common to their classes.
        speaker_class: Of speakers in each class.
        method: Of speakers between two methods.
        seed: Of seeds, common to all speakers.
        seed_class: Of seeds in each class.
        both: Of seeds for each speaker.
        utterance: Of utterances, for all seeds alike; the rest is noise.
    """

    speaker: float = 0.2
    speaker_class: float = 0.4
    method: float = 0.085
    seed: float = 0.065
    seed_class: float = 0.065
    both: float = 0.12
    utterance: float = 0.6

    @property
    def noise(self) -> float:
        """What is left of the variance."""
        parts = (self.speaker, self.speaker_class, self.method, self.seed, self.seed_class)
        return float(np.sqrt(1 - sum(x**2 for x in (*parts, self.both, self.utterance))))


WORLD = World()
Draw = Callable[..., Floats]


def simulate(
    rng: np.random.Generator,
    groups: int,
    seeds: tuple[int, ...],
    *,
    same: bool,
    said: npt.NDArray[np.int64] | None = None,
    gain: float = 0.0,
) -> tuple[list[Clusters], list[float]]:
    """Runs of as many seeds as are given, all on the same utterances.

    Args:
        rng: Randomness.
        groups: Speakers.
        seeds: Seeds of each run.
        same: Whether all runs are of one method.
        said: Utterances of each speaker and class, [G, C]; eight each by default.
        gain: By how much the last run is better, on the normal scale.

    Returns:
        The runs, and what the UAR of each would be with these very seeds and all speakers there are.
    """
    world, normal = WORLD, rng.standard_normal
    said = np.full((groups, CLASSES), TAKES) if said is None else said
    # Speaker and class of each utterance.
    who = np.repeat(np.arange(groups * CLASSES), said.ravel())
    group, k = np.divmod(who, CLASSES)
    common = world.speaker * normal((groups, 1)) + world.speaker_class * normal((groups, CLASSES))
    own = world.method * normal((groups, 1))
    fixed = special.ndtri(RECALL)[k] + common[group, k] + world.utterance * normal(len(who))
    runs, truths = [], []
    for number, count in enumerate(seeds):
        method = own if same else world.method * normal((groups, 1))
        seed = world.seed * normal((count, 1)) + world.seed_class * normal((count, CLASSES))
        if number and number == len(seeds) - 1:
            seed = seed + gain
        both = world.both * normal((count, groups))
        score = fixed + method[group, 0] + seed[:, k] + both[:, group]
        right = score + world.noise * normal(score.shape) > 0  # [S, N]
        size = (count, groups, CLASSES, CLASSES)
        where = (np.arange(count)[:, None], group, k, np.where(right, k, (k + 1) % CLASSES))
        flat = np.ravel_multi_index(where, size).ravel()
        counts = np.bincount(flat, minlength=int(np.prod(size))).reshape(size)
        runs.append(Clusters(counts, [str(g) for g in range(groups)], "speakers", 0))
        rest = np.sqrt(1 - world.seed**2 - world.seed_class**2)
        truths.append(float(special.ndtr((special.ndtri(RECALL) + seed) / rest).mean()))
    return runs, truths


def means(trials: int) -> None:
    """Coverage and width of the interval for one run's mean."""
    print("\nShare of 95 % intervals for the mean that hold the truth (mean width in points)\n")
    header(["speakers", *(f"{s} seed{'s' * (s > 1)}" for s in SEEDS), "5 seeds, speakers alone"])
    for groups in SPEAKERS:
        cells = []
        for seeds in SEEDS:
            rng = np.random.default_rng([groups, seeds])
            new, old = Tally(), Tally()
            for _ in range(trials):
                (run,), (own,) = simulate(rng, groups, (seeds,), same=True)
                # A single seed is not told from its kind.
                truth = own if seeds == 1 else RECALL.mean()
                found = interval(run, uar)
                new.add(found.low <= truth <= found.high, found.high - found.low)
                low, high = speakers_alone(run)
                old.add(low <= truth <= high, high - low)
            cells.append(str(new))
        row([groups, *cells, old])


def differences(trials: int) -> None:
    """How often a method differs from itself, coverage for two methods, and power."""
    print(
        "\nA method compared with itself: share of p < .05; with one seed, of the two networks' own difference\n"
    )
    pairs = ((1, 1), (2, 2), (3, 3), (5, 5), (2, 5), (1, 5))
    names = [f"{a} and {b}" for a, b in pairs]
    header(["speakers", *names, "5 and 5, speakers alone"])
    table(trials, pairs, same=True)
    print(
        "\nTwo methods that are equally good on average: share of 95 % intervals that hold 0 (mean width)\n"
    )
    header(["speakers", *names, "5 and 5, speakers alone"])
    table(trials, pairs, same=False)
    print("\nTwo methods, one better by 5 points: share of p < .05\n")
    header(["speakers", *names, "5 and 5, speakers alone"])
    table(trials, pairs, same=False, gain=0.05 / SLOPE)


# What the UAR gains for a step on the normal scale
SLOPE = float(np.exp(-(special.ndtri(RECALL) ** 2) / 2).mean() / np.sqrt(2 * np.pi))


def table(trials: int, pairs: Iterable[tuple[int, int]], *, same: bool, gain: float = 0.0) -> None:
    for groups in SPEAKERS:
        cells, old = [], Tally()
        for pair in pairs:
            rng = np.random.default_rng([groups, *pair])
            new = Tally()
            for _ in range(trials):
                runs, (a, b) = simulate(rng, groups, pair, same=same, gain=gain)
                truth = b - a if pair == (1, 1) and not gain else 0.0
                if pair == (1, 5) and not gain:  # the one network as it is, the five for their kind
                    truth = RECALL.mean() - a
                found = paired_difference(*runs, uar)
                new.add(found.low <= truth <= found.high, found.high - found.low)
                if pair == (5, 5):
                    low, high = speakers_alone(*runs)
                    old.add(low <= truth <= high, high - low)
            inside = not (same or gain)
            cells.append(new.text(inside=inside))
        row([groups, *cells, old.text(inside=inside)])


def designs(trials: int) -> None:
    """Speakers who are not alike in what they said, and seeds that test other speakers."""
    print(
        "\nOther designs, three seeds: coverage of the mean, a method compared with itself (p < .05)\n"
    )
    header(["design", "mean", "itself"])
    eight = np.full((10, CLASSES), TAKES)
    long = eight.copy()
    long[:2] *= 3
    few = eight.copy()
    few[3:, 0] = 0
    single = {g: np.eye(CLASSES, dtype=np.int64)[np.arange(g) % CLASSES] * 32 for g in (12, 24)}
    for name, said, halves in (
        ("10 speakers, two of whom said three times as much", long, False),
        ("10 speakers, one class by three of them alone", few, False),
        ("12 speakers with one class each", single[12], False),
        ("24 speakers with one class each", single[24], False),
        ("10 speakers, each seed tests five of them", eight, True),
        ("24 speakers, each seed tests twelve of them", np.full((24, CLASSES), TAKES), True),
    ):
        rng = np.random.default_rng(len(said))
        mean, itself = Tally(), Tally()
        for _ in range(trials):
            runs, _ = simulate(rng, len(said), (3, 3), same=True, said=said)
            if halves:
                runs = tested_by_half(rng, runs)
            found = interval(runs[0], uar)
            mean.add(found.low <= RECALL.mean() <= found.high, found.high - found.low)
            both = paired_difference(*runs, uar)
            itself.add(both.low <= 0 <= both.high, both.high - both.low)
        row([name, mean, itself.text(inside=False)])


def tested_by_half(rng: np.random.Generator, runs: list[Clusters]) -> list[Clusters]:
    """Each seed on half of the speakers, the same in all runs."""
    seeds, groups = runs[0].counts.shape[:2]
    keep = np.stack([rng.permutation(groups) < groups // 2 for _ in range(seeds)])
    halved = [r.counts * keep[:, :, None, None] for r in runs]
    return [Clusters(c, runs[0].names, "speakers", 0).only(list(range(seeds))) for c in halved]


class Tally:
    """Counts intervals that hold the truth, and their widths."""

    def __init__(self) -> None:
        self.held: list[bool] = []
        self.widths: list[float] = []

    def add(self, held: bool, width: float) -> None:
        """One interval more, where there is one: few speakers who do not differ at all have none."""
        if np.isnan(width):
            return
        self.held.append(bool(held))
        self.widths.append(width)

    def text(self, *, inside: bool) -> str:
        """Share that holds the truth with the mean width in points, or the share that does not."""
        if not inside:
            return f"{100 - 100 * np.mean(self.held):.1f}"
        return f"{100 * np.mean(self.held):.1f} ({100 * np.mean(self.widths):.1f})"

    def __str__(self) -> str:
        return self.text(inside=True)


def speakers_alone(*runs: Clusters) -> tuple[float, float]:
    """Student's interval for the mean, or the difference, of these very seeds."""
    psi = [influence(run.counts, uar).mean(0) for run in runs]
    values = [float(uar(run.counts.sum(1)).mean()) for run in runs]
    estimate, change = values[-1], psi[-1]
    if len(runs) > 1:
        estimate, change = values[1] - values[0], psi[1] - psi[0]
    reach = special.stdtrit(len(change) - 1, 0.975) * np.sqrt((change**2).sum())
    return estimate - reach, estimate + reach


# --- Real corpora ---


def real(corpora: Path, out: Path, trials: int) -> None:
    """Runs of one recipe against each other, with tests over speakers alone beside."""
    print("\n``erm`` compared with itself on real corpora: share of p < .05\n")
    header(
        [
            "direction",
            "source divided",
            "UAR ± sd over seeds",
            "seeds a run",
            "swaps of speakers",
            "bootstrap of speakers",
            "speakers and seeds",
        ]
    )
    for source, target in DIRECTIONS:
        for once in (True, False):
            everything = Run(train(corpora, source, target, once, out)).clusters
            values = 100 * uar(everything.counts.sum(1))
            for size in (3, 5):
                rng = np.random.default_rng(size)
                found = [compare(rng, everything, size) for _ in range(trials)]
                shares = [f"{100 * share:.1f} %" for share in np.mean(found, 0)]
                row(
                    [
                        f"{source} → {target}",
                        "once" if once else "by each seed",
                        f"{values.mean():.1f} ± {values.std(ddof=1):.1f}",
                        size,
                        *shares,
                    ]
                )


def train(corpora: Path, source: str, target: str, once: bool, out: Path, seeds: int = 30) -> Path:
    """The folder of a run with many seeds, which differ in all that training draws or not in the source's division."""
    protocol = Protocol((f"{source}:{corpora / source}",), (f"{target}:{corpora / target}",))
    config = ERMConfig()
    folder = out / f"{source}-to-{target}-{'one-split' if once else 'drawn-splits'}"
    experiment = Experiment("erm", to_plain(config), protocol, seeds, folder)

    def fit(repeat: Repeat) -> FittedRecipe:
        if once:
            repeat = repeat._replace(parts=repeat.data.cast.parts(0))
        return fit_recipe(lambda task: ERM(config, task), config.training, repeat)

    run_experiment(experiment, config, fit, load_backbone(experiment.backbone))
    return folder


def compare(rng: np.random.Generator, run: Clusters, size: int) -> tuple[bool, bool, bool]:
    """Whether two draws of seeds differ: by swaps and by bootstrap of speakers alone, and by speakers and seeds."""
    drawn = rng.permutation(run.seeds)[: 2 * size].tolist()
    a, b = run.only(drawn[:size]), run.only(drawn[size:])
    low, high = bootstrap_speakers(rng, a, b)
    return (
        swap_speakers(rng, a, b) < 0.05,
        not low <= 0 <= high,
        paired_difference(a, b, uar).p < 0.05,
    )


def swap_speakers(rng: np.random.Generator, a: Clusters, b: Clusters, swaps: int = 999) -> float:
    """P-value of swapping the two runs for whole speakers."""
    one, two = a.counts.mean(0), b.counts.mean(0)
    moved = np.tensordot(rng.integers(0, 2, (swaps, len(one))), two - one, 1)
    swapped = uar(two.sum(0) - moved) - uar(one.sum(0) + moved)
    seen = abs(float(uar(two.sum(0)) - uar(one.sum(0))))
    return float(((np.abs(swapped) >= seen - 1e-12).sum() + 1) / (swaps + 1))


def bootstrap_speakers(
    rng: np.random.Generator, a: Clusters, b: Clusters, resamples: int = 1000
) -> tuple[float, float]:
    """The t-percentile interval of a bootstrap over speakers, seeds averaged within."""
    groups = len(a.names)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    shifts = resampled(b.counts, weights) - resampled(a.counts, weights)
    depth = np.sqrt(groups / (groups - 1)) * special.stdtrit(groups - 1, 0.975)
    tail = special.ndtr(-depth)
    low, high = np.quantile(shifts, [tail, 1 - tail])
    return float(low), float(high)


def resampled(counts: Counts, weights: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(uar(np.einsum("bg,sgij->bsij", weights, counts, optimize=True)).mean(1))


def header(cells: list[str]) -> None:
    row(cells)
    row(["---"] * len(cells))


def row(cells: Iterable[object]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
