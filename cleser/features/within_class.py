r"""Within-class covariance normalisation: what varies within a class counts less.

A. O. Hatch, S. Kajarekar, A. Stolcke, *Within-Class Covariance Normalization for SVM-Based Speaker Recognition*,
Interspeech 2006. There classes are speakers; where emotions are recognised, they are emotions, and what is made small
is what speakers and sentences do to an utterance.

.. math:: W = \frac{1}{N} \sum_c \sum_{i \in c} (x_i - \mu_c)(x_i - \mu_c)^\top, \qquad z = x B, \qquad
          B B^\top = W^{-1} \qquad (1)

Inner products of z are those of x under :math:`W^{-1}`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def within_class_normalisation(x: Tensor, classes: Tensor, *, smoothing: float = 0.1) -> Tensor:
    r"""The matrix B of Eq. 1.

    Args:
        x: Points [N, D].
        classes: Integers [N]; −1 is unknown and counts for nothing.
        smoothing: α of :math:`(1 - \alpha) W + \alpha \frac{\operatorname{tr} W}{D} I`, which stands for W: few
            points in many dimensions leave W without an inverse.

    Returns:
        B [D, D], lower triangular, in double precision; points are normalised by ``x.double() @ B``.

    Raises:
        ValueError: No class has two points that differ, there is not one class a point, W has no inverse, or the
            smoothing is not between 0 and 1.

    >>> x = torch.tensor([[0.0, 1.0], [0.0, -1.0], [5.0, 1.0], [5.0, -1.0]])
    >>> z = x.double() @ within_class_normalisation(x, torch.tensor([0, 0, 1, 1]), smoothing=0.5)
    >>> [[round(v, 2) for v in row] for row in z.tolist()]
    [[0.0, 1.15], [0.0, -1.15], [10.0, 1.15], [10.0, -1.15]]
    """
    if classes.shape != x.shape[:1]:
        raise ValueError(f"found {len(classes)} classes, expected one for each of {len(x)} points")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing is {smoothing}, expected 0 to 1")
    known = classes >= 0
    wide, (_, codes) = x[known].double(), classes[known].unique(return_inverse=True)
    count = torch.bincount(codes).double()[:, None]
    mean = wide.new_zeros(len(count), x.shape[1]).index_add(0, codes, wide) / count
    apart = wide - mean[codes]
    within = apart.T @ apart / max(len(wide), 1)
    scale = within.trace() / len(within)
    if not scale > 0:
        raise ValueError("no class has two points that differ, expected some spread within classes")
    smooth = (1 - smoothing) * within + smoothing * scale * torch.eye(len(within), dtype=wide.dtype)
    try:
        factor: Tensor = torch.linalg.cholesky(torch.linalg.inv(smooth))
    except RuntimeError as error:
        raise ValueError(
            f"the covariance within classes has no inverse, expected a smoothing of more than {smoothing}"
        ) from error
    return factor
