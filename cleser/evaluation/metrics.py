r"""Metrics of a classifier, all computed from its confusion matrix.

With :math:`n_{ij}` utterances of class i recognised as class j,

.. math::

    \mathrm{recall}_i = \frac{n_{ii}}{\sum_j n_{ij}}, \quad
    \mathrm{UAR} = \frac{1}{|K|} \sum_{i \in K} \mathrm{recall}_i, \quad
    \mathrm{F1}_i = \frac{2 n_{ii}}{\sum_j n_{ij} + \sum_j n_{ji}},

where K is the set of classes that occur in the truth. UAR (unweighted average recall, balanced accuracy) is the usual
metric of the field, because corpora are unbalanced in different ways. Counts may be weighted, and matrices may be
stacked: every function maps [..., C, C] to [...] or [..., C], which makes resampling fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def confusion_matrix(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int
) -> npt.NDArray[np.int64]:
    """Count how often class i was recognised as class j.

    Args:
        truth: Integers [N] from 0 to ``n_classes`` − 1.
        predicted: The same.
        n_classes: Number of classes C.

    Returns:
        Counts [C, C], rows are the truth.

    Raises:
        ValueError: The two differ in length, or hold something else than classes.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    rows, columns = np.asarray(truth), np.asarray(predicted)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(f"truth and predicted have shapes {rows.shape} and {columns.shape}")
    for name, values in (("truth", rows), ("predicted", columns)):
        if len(values) and not (values.min() >= 0 and values.max() < n_classes):
            raise ValueError(
                f"{name} holds {values.min()} to {values.max()}, expected 0 to {n_classes - 1}"
            )
    flat = np.bincount(rows.astype(np.int64) * n_classes + columns, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes)


def recall(counts: Counts) -> Floats:
    """Recall of each class, NaN where it does not occur, [..., C].

    Args:
        counts: Confusion matrices [..., C, C] as of :func:`confusion_matrix`, not labels; rows are the truth.

    >>> counts = np.array([[3, 1], [2, 2]])
    >>> recall(counts)
    array([0.75, 0.5 ])
    """
    return ratio(_hits(counts), counts.sum(-1))


def precision(counts: Counts) -> Floats:
    """Precision of each class, NaN where it is never recognised, [..., C].

    Args:
        counts: Confusion matrices [..., C, C] as of :func:`confusion_matrix`, not labels; rows are the truth.

    >>> counts = np.array([[3, 1], [2, 2]])
    >>> precision(counts).round(3)
    array([0.6  , 0.667])
    """
    return ratio(_hits(counts), counts.sum(-2))


def f1(counts: Counts) -> Floats:
    """F1 of each class, NaN where it neither occurs nor is recognised, [..., C].

    Args:
        counts: Confusion matrices [..., C, C] as of :func:`confusion_matrix`, not labels; rows are the truth.

    >>> counts = np.array([[3, 1], [2, 2]])
    >>> f1(counts).round(3)
    array([0.667, 0.571])
    """
    return ratio(2 * _hits(counts), counts.sum(-1) + counts.sum(-2))


def uar(counts: Counts) -> Floats:
    """Unweighted average recall over the classes that occur, [...].

    Args:
        counts: Confusion matrices [..., C, C] as of :func:`confusion_matrix`, not labels; rows are the truth.

    >>> float(uar(np.array([[3, 1], [2, 2]])))
    0.625
    """
    return mean_over_classes(recall(counts), counts.sum(-1) > 0)


def macro_f1(counts: Counts) -> Floats:
    """Mean F1 over the classes that occur, [...].

    Args:
        counts: Confusion matrices [..., C, C] as of :func:`confusion_matrix`, not labels; rows are the truth.

    >>> counts = np.array([[3, 1], [2, 2]])
    >>> float(macro_f1(counts).round(3))  # of 6/9 and 4/7
    0.619
    """
    return mean_over_classes(f1(counts), counts.sum(-1) > 0)


def accuracy(counts: Counts) -> Floats:
    """Share of utterances recognised, [...].

    Args:
        counts: Confusion matrices [..., C, C] as of :func:`confusion_matrix`, not labels; rows are the truth.

    >>> counts = np.array([[3, 1], [2, 2]])
    >>> float(accuracy(counts))
    0.625
    """
    return ratio(_hits(counts).sum(-1), counts.sum((-1, -2)))


METRICS = {"uar": uar, "macro_f1": macro_f1, "accuracy": accuracy}


def _hits(counts: Counts) -> Counts:
    return np.asarray(np.diagonal(counts, axis1=-2, axis2=-1))


def ratio(part: Counts, whole: Counts) -> Floats:
    """Part over whole, NaN where there is no whole."""
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


def mean_over_classes(values: Floats, occurs: npt.NDArray[np.bool_]) -> Floats:
    """Mean of values [..., C] over the classes that occur, NaN where none does, [...]."""
    number = occurs.sum(-1)
    return ratio(np.where(occurs, np.nan_to_num(values), 0).sum(-1), number)
