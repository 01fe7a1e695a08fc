r"""Calibration: whether probabilities agree with how often labels are right, and a temperature that improves it.

A recogniser is calibrated if it labels correctly 80 % of the utterances that it labels with confidence .8. Let
:math:`c_i = \max_k p_{ik}` be the confidence of utterance i, and let :math:`h_i` be 1 if its label is right and 0
otherwise. With utterances in bins b by their confidence, the expected calibration error (Naeini, Cooper & Hauskrecht,
*Obtaining Well Calibrated Probabilities Using Bayesian Binning*, AAAI 2015) is

.. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N}
          \Big| \frac1{n_b} \sum_{i \in b} h_i - \frac1{n_b} \sum_{i \in b} c_i \Big|.
   :label: ece

**Bins have equal mass**: each holds the same number of utterances, except that utterances of equal confidence are never
divided. Bins of equal width are often almost empty at one end, where the difference between the accuracy and the
confidence of a few utterances is mostly chance. With bins of equal mass some chance remains: the ECE of a *perfectly*
calibrated recogniser is above zero, and higher with fewer utterances (Roelofs, Cain, Shlens & Mozer, *Mitigating Bias
in Calibration Error Estimation*, 2020). Each ECE is therefore shown together with this floor, its expected value if the
confidences were right and utterances independent:

.. math:: \mathrm{floor} = \frac1N \sum_b \sqrt{\frac2\pi \sum_{i \in b} c_i (1 - c_i)}.
   :label: floor

*Overconfidence*, :math:`\frac1N \sum_i (c_i - h_i)`, has no such floor, and it has a sign. All these values have
intervals over speakers and seeds, see :mod:`cleser.evaluation.intervals`.

**Temperature** (Guo, Pleiss, Sun & Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017). With the logits
:math:`z_{ik} = \log p_{ik}`,

.. math:: q_{ik} = \frac{e^{z_{ik} / T}}{\sum_j e^{z_{ij} / T}}, \qquad
          T = \arg\min_T - \sum_i \log q_{i y_i}.
   :label: temperature

T is fitted for each network to the **source's development speakers**, who also decided the epoch and whose labels are
known. No label of the target is used. T > 1 makes the network less confident; no predicted label changes. The ECE that
remains on the target comes from differences between source and target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar

from cleser.evaluation.intervals import Interval, interval_of_sums
from cleser.evaluation.metrics import Floats, ratio
from cleser.evaluation.speakers import class_codes, grouping

_LEAST: Final = 1e-12  # a probability of zero, for logarithms
# Range of temperatures: beyond, probabilities are certain or uniform already.
_RANGE: Final = (0.05, 20.0)
_BINS: Final = 10


def temper(probabilities: npt.ArrayLike, temperature: npt.ArrayLike) -> Floats:
    """Probabilities at another temperature, :eq:`temperature`.

    Args:
        probabilities: [N, K], rows that sum to 1.
        temperature: T, or one for each row [N]; above 1 makes probabilities more alike.

    Returns:
        [N, K]; the order of the classes in a row stays as it is.

    Raises:
        ValueError: A temperature is not above 0.

    >>> temper([[0.9, 0.1]], 2).round(2)
    array([[0.75, 0.25]])
    """
    t = np.asarray(temperature, dtype=np.float64)
    if not (t > 0).all():
        raise ValueError(f"temperature is {t}, expected more than 0")
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _LEAST))
    logits = logits / (t[:, None] if t.ndim else t)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shares / shares.sum(-1, keepdims=True))


def fit_temperature(probabilities: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """The temperature at which labels are likeliest, :eq:`temperature`, from .05 to 20.

    Args:
        probabilities: [N, K].
        truth: Integers [N] from 0 to K − 1.

    Raises:
        ValueError: There is no utterance, or truth has another length.

    >>> sure = [[0.99, 0.01]] * 4  # as sure of one error in four as of the rest
    >>> t = fit_temperature(sure, [0, 0, 0, 1])
    >>> temper(sure[:1], t).round(2)
    array([[0.75, 0.25]])
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if p.ndim != 2 or not len(p) or y.shape != p.shape[:1]:
        raise ValueError(
            f"probabilities have the shape {p.shape} and truth {y.shape}, expected [N, K] and [N], N at least 1"
        )
    rows = np.arange(len(p))

    def loss(log_t: float) -> float:
        return float(-np.log(np.maximum(temper(p, np.exp(log_t))[rows, y], _LEAST)).mean())

    # Convex in 1/T, hence with a single minimum in log T too.
    return float(np.exp(minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded").x))


@dataclass(frozen=True)
class Reliability:
    """What confidences and hits add up to in each bin: a reliability curve, and what errors and intervals are made of.

    Attributes:
        sums: Sums by seed, cluster and bin, [S, G, B, 5]: utterances, confidence c, hits h, c (1 − c), and −log p of
            the true class.
        unit: What a cluster is.

    >>> rows = pd.DataFrame({"seed": 0, "utterance": [*"abcd"], "speaker": [*"1122"], "emotion": ["joy", "fear"] * 2,
    ...                      "p_joy": [0.9, 0.6, 0.7, 0.2], "p_fear": [0.1, 0.4, 0.3, 0.8]})
    >>> found = reliability(rows, ["joy", "fear"], bins=2)
    >>> found.sums.shape, round(found.interval("ece").estimate, 3)
    ((1, 2, 2, 5), 0.15)
    """

    sums: Floats
    unit: Literal["speakers", "utterances"]

    @property
    def share(self) -> Floats:
        """Share of the utterances that fall into each bin, [B]."""
        n = self._total[:, 0]
        return np.asarray(n / n.sum())

    @property
    def confidence(self) -> Floats:
        """Mean confidence of each bin, [B]."""
        return np.asarray(self._total[:, 1] / self._total[:, 0])

    @property
    def accuracy(self) -> Floats:
        """Share of each bin's utterances that were labelled correctly, [B]."""
        return np.asarray(self._total[:, 2] / self._total[:, 0])

    @property
    def floor(self) -> float:
        """The ECE to be expected of a perfectly calibrated network, :eq:`floor`: the mean over seeds."""
        sums = self.sums.sum(1)  # [S, B, 5]
        spread = np.sqrt(2 / np.pi * sums[..., 3]).sum(-1)
        return float((spread / sums[..., 0].sum(-1)).mean())

    @property
    def _total(self) -> Floats:
        return np.asarray(self.sums.sum((0, 1)))

    def interval(self, metric: str) -> Interval:
        """A metric with its interval over speakers and seeds.

        Args:
            metric: ``"ece"``, ``"overconfidence"`` or ``"log_loss"`` (in nats).
        """
        function, bounds = _METRICS[metric]
        return interval_of_sums(
            self.sums, self.sums[..., 0].sum(-1), function, self.unit, bounds=bounds
        )


def expected_calibration_error(sums: Floats) -> Floats:
    """ECE, :eq:`ece`, [...]; NaN without utterances.

    Args:
        sums: Sums over bins [..., B, 3 or more]: utterances, confidences and hits, as in :class:`Reliability`.

    >>> bins = np.array([[2, 1.4, 1], [2, 1.8, 2]])  # utterances, sum of confidences, hits
    >>> round(float(expected_calibration_error(bins)), 3)  # (|1 − 1.4| + |2 − 1.8|) / 4
    0.15
    """
    return _by_utterance(np.abs(sums[..., 2] - sums[..., 1]), sums)


def overconfidence(sums: Floats) -> Floats:
    """Mean confidence less accuracy, [...]; NaN without utterances.

    Args:
        sums: Sums over bins, as :func:`expected_calibration_error` takes them.

    >>> bins = np.array([[2, 1.4, 1], [2, 1.8, 2]])
    >>> round(float(overconfidence(bins)), 3)  # (1.4 + 1.8 − 1 − 2) / 4
    0.05
    """
    return _by_utterance(sums[..., 1] - sums[..., 2], sums)


def _log_loss(sums: Floats) -> Floats:
    return _by_utterance(sums[..., 4], sums)


def _by_utterance(parts: Floats, sums: Floats) -> Floats:
    """What bins add up to, by utterance."""
    return ratio(parts.sum(-1), sums[..., 0].sum(-1))


_METRICS: Final = {
    "ece": (expected_calibration_error, (0.0, 1.0)),
    "overconfidence": (overconfidence, (-1.0, 1.0)),
    "log_loss": (_log_loss, (0.0, np.inf)),
}


def reliability(
    predictions: pd.DataFrame,
    classes: list[str],
    *,
    bins: int = _BINS,
    probabilities: Floats | None = None,
) -> Reliability:
    """Sum up confidences and hits by seed, speaker and bin of equal mass.

    Args:
        predictions: Rows with ``seed, utterance, speaker, emotion`` and ``p_<class>`` for each class.
        classes: Names of the K classes.
        bins: Most bins; fewer where confidences are equal.
        probabilities: [N, K] in place of those of the table.

    Raises:
        ValueError: There are no rows, or a truth is not among ``classes``.

    >>> rows = pd.DataFrame({"seed": 0, "utterance": [*"abcd"], "speaker": [*"1122"], "emotion": ["joy", "fear"] * 2,
    ...                      "p_joy": [0.9, 0.6, 0.7, 0.2], "p_fear": [0.1, 0.4, 0.3, 0.8]})
    >>> found = reliability(rows, ["joy", "fear"], bins=2)
    >>> found.confidence.round(2), found.accuracy
    (array([0.65, 0.85]), array([0.5, 1. ]))
    """
    if predictions.empty:
        raise ValueError("there are no predictions, expected at least one")
    p = _probabilities(predictions, classes) if probabilities is None else probabilities
    truth = class_codes(predictions["emotion"], classes)
    sure = p.max(-1)
    hits = (p.argmax(-1) == truth).astype(np.float64)
    loss = -np.log(np.maximum(p[np.arange(len(p)), truth], _LEAST))
    # The last utterance of each bin but the last one.
    last = -(-len(sure) * np.arange(1, bins) // bins) - 1
    edges = np.unique(np.sort(sure)[last])
    _, inside = np.unique(np.searchsorted(edges, sure), return_inverse=True)
    groups = grouping(predictions)
    size = (*groups.shape, int(inside.max()) + 1)
    flat = np.ravel_multi_index((groups.seed, groups.group, inside), size)
    parts = [
        np.bincount(flat, weights=values, minlength=int(np.prod(size))).reshape(size)
        for values in (np.ones(len(p)), sure, hits, sure * (1 - sure), loss)
    ]
    return Reliability(np.stack(parts, -1), groups.unit)


def fit_temperatures(development: pd.DataFrame, classes: list[str]) -> list[dict[str, Any]]:
    """A temperature for each network, from its predictions of the source's development speakers.

    Args:
        development: Predictions as :func:`reliability` takes them, with ``fold`` where each fold has its own networks.
        classes: Names of the classes.

    Returns:
        Rows with ``seed`` (and ``fold``) and ``temperature``.

    >>> rows = pd.DataFrame({"seed": 0, "utterance": [*"abcd"], "speaker": [*"1122"], "emotion": ["joy", "fear"] * 2,
    ...                      "p_joy": [0.9, 0.6, 0.7, 0.2], "p_fear": [0.1, 0.4, 0.3, 0.8]})
    >>> [row["seed"] for row in fit_temperatures(rows, ["joy", "fear"])]
    [0]
    """
    columns = [name for name in ("fold", "seed") if name in development]
    fitted: list[dict[str, Any]] = []
    for _, rows in development.groupby(columns):
        network = {name: rows[name].iloc[0] for name in columns}
        network["seed"] = int(network["seed"])  # NumPy's integers are none for JSON
        t = fit_temperature(_probabilities(rows, classes), class_codes(rows["emotion"], classes))
        fitted.append({**network, "temperature": t})
    return fitted


def tempered(
    predictions: pd.DataFrame, classes: list[str], temperatures: list[dict[str, Any]]
) -> Floats:
    """Probabilities [N, K] of predictions, each at its network's temperature.

    Args:
        predictions: Predictions, as :func:`reliability` takes them.
        classes: Names of the K classes.
        temperatures: What :func:`fit_temperatures` gives.

    Raises:
        ValueError: A network has no temperature.

    >>> rows = pd.DataFrame({"seed": 0, "utterance": [*"abcd"], "speaker": [*"1122"], "emotion": ["joy", "fear"] * 2,
    ...                      "p_joy": [0.9, 0.6, 0.7, 0.2], "p_fear": [0.1, 0.4, 0.3, 0.8]})
    >>> tempered(rows[:1], ["joy", "fear"], [{"seed": 0, "temperature": 2.0}])
    array([[0.75, 0.25]])
    """
    columns = [name for name in ("fold", "seed") if name in temperatures[0]]
    known = {tuple(row[c] for c in columns): row["temperature"] for row in temperatures}
    networks = [*zip(*(predictions[c] for c in columns), strict=True)]
    if missing := set(networks) - known.keys():
        raise ValueError(
            f"networks {sorted(missing)[:3]} ({', '.join(columns)}) have no temperature, found {sorted(known)[:3]}"
        )
    return temper(_probabilities(predictions, classes), [known[n] for n in networks])


def summarise_calibration(
    predictions: pd.DataFrame, classes: list[str], temperatures: list[dict[str, Any]]
) -> dict[str, Any]:
    """Calibration before and, where there are temperatures, after: what ``results.json`` holds of it."""
    summary: dict[str, Any] = {"before": _summary(reliability(predictions, classes))}
    if temperatures:
        p = tempered(predictions, classes, temperatures)
        summary["after"] = _summary(reliability(predictions, classes, probabilities=p))
    return {**summary, "temperatures": temperatures}


def _summary(found: Reliability) -> dict[str, Any]:
    summary: dict[str, Any] = {name: found.interval(name).summary() for name in _METRICS}
    curve: Mapping[str, Floats] = {
        "confidence": found.confidence,
        "accuracy": found.accuracy,
        "share": found.share,
    }
    return {**summary, "floor": found.floor, "curve": {k: v.tolist() for k, v in curve.items()}}


def has_probabilities(predictions: pd.DataFrame, classes: list[str]) -> bool:
    """Whether there are classes and a table holds a probability of each."""
    return bool(classes) and all(f"p_{name}" in predictions for name in classes)


def _probabilities(predictions: pd.DataFrame, classes: list[str]) -> Floats:
    return predictions[[f"p_{name}" for name in classes]].to_numpy(np.float64)
