r"""Communities refined by the features of their nodes, with message passing in PyTorch Geometric and no labels.

Leiden only knows which nodes are neighbours. The refiner also uses features, smoothed over the graph,

.. math::

   h = \hat{A}\,x, \qquad \hat{A} = D^{-1/2} (A + \rho \bar{d}\, I) D^{-1/2}

(:math:`\bar d` the mean strength of a node: ρ is the weight of a node's own features), and nodes belong to prototypes,

.. math:: q_{ic} \propto \exp(\cos(h_i, \mu_c) / \tau), \qquad \mu_c = \sum_i w_i\, q_{ic}\, h_i,

which start from the given communities and are found by alternation, an expectation-maximisation on the sphere. Where
the same speakers have nodes in the graphs of several emotions, each graph uses what the others found
(`cleser.graphs.communities.agreement`). A node changes its community only where its log-odds exceed ``caution``.

With ``epochs`` a linear map before the message passing is trained by gradients to

.. math::

   \min\; -\frac{1}{2m} \sum_{ij} \Bigl(A_{ij} - \frac{k_i k_j}{2m}\Bigr) q_i \cdot q_j
   \; - \frac{\beta}{N} \sum_{ij} \frac{A_{ij}}{k_i}
   \log \frac{e^{\cos(h_i, h_j) / \tau'}}{\sum_{a \ne i} e^{\cos(h_i, h_a) / \tau'}},

soft modularity (Tsitsulin et al., *JMLR* 24, 2023) and contrast of neighbours with all others; beyond 1024 nodes, each
step samples as many for i and for a. It is off by default: on planted styles it does no better than no training (see
the docs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from cleser.graphs.communities.agreement import Agreement
from cleser.graphs.communities.modularity import by_size, undirected
from cleser.graphs.communities.symmetric import convolution, sparse_tensor
from cleser.graphs.neighbours.inputs import matrix

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
_ROUNDS, _TOLERANCE = 50, 1e-5


@dataclass(frozen=True)
class Refinement:
    """What the refiner found.

    Attributes:
        labels: Community of each node, int64 [N], the largest first.
        membership: How far each node belongs to each, float32 [N, K], rows sum to 1.
        embeddings: Smoothed features, unit rows, float32 [N, D], or [N, ``dim``] where a map was trained.

    >>> from scipy.sparse import csr_array
    >>> graph = csr_array(np.kron(np.eye(2), 1 - np.eye(3)))  # two triangles
    >>> features = np.repeat(np.eye(2), 3, axis=0)
    >>> found = CommunityRefiner().fit(graph, features, [0, 0, 0, 1, 1, 1])
    >>> found.membership.round(1)[0]
    array([1., 0.], dtype=float32)
    """

    labels: Ints
    membership: Floats
    embeddings: Floats


class Part(NamedTuple):
    """One of several graphs with nodes of the same speakers.

    Attributes:
        graph: Sparse edge weights [N, N], at least 0; as of `communities`.
        features: [N, D].
        initial: Community of each node, integers [N].
        speakers: The speaker of each node, integers [N], none twice; None for nobody that other parts know.
        weights: w, how much each node counts in its prototype, [N]; by default all the same.

    >>> from scipy.sparse import csr_array
    >>> graph = csr_array(np.kron(np.eye(2), 1 - np.eye(3)))  # two triangles
    >>> features = np.repeat(np.eye(2), 3, axis=0)
    >>> anger = Part(graph, features, [0, 0, 0, 1, 1, 1], speakers=np.arange(6))
    >>> joy = Part(graph, features, [0, 0, 1, 1, 1, 1], speakers=np.arange(6))
    >>> [found.labels.tolist() for found in CommunityRefiner().fit_together([anger, joy])]
    [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    """

    graph: Any
    features: npt.ArrayLike
    initial: npt.ArrayLike
    speakers: npt.ArrayLike | None = None
    weights: npt.ArrayLike | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class CommunityRefiner:
    """Refines communities by features smoothed over the graph.

    Args:
        n_communities: K, of each part; None keeps as many as are given, less those that lose all nodes. Where it is
            given, communities that are most alike are merged, or the least coherent split, until there are K, and no
            move leaves one empty.
        steps: Rounds of message passing.
        listen: ρ, weight of a node's own features against its neighbours', in strengths of a mean node.
        temperature: τ of the membership.
        caution: Log-odds that a node must exceed to change its community.
        agreement: α, weight of what a speaker's communities in other parts say; 0 refines each part alone.
        epochs: Steps of training; 0 trains nothing.
        dim: Dimensions that the trained map keeps.
        contrast: The weight β of the contrast.
        seed: Seed of the map's start and of the nodes that a training step samples.

    Raises:
        ValueError: A setting is out of range: ``n_communities`` and ``dim`` are at least 1, ``temperature`` is above 0,
            all others are at least 0.

    >>> from scipy.sparse import csr_array
    >>> graph = csr_array(np.kron(np.eye(2), 1 - np.eye(3)))  # two triangles
    >>> features = np.repeat(np.eye(2), 3, axis=0)
    >>> CommunityRefiner().fit(graph, features, [0, 0, 1, 1, 1, 1]).labels  # node 2 was in the wrong one
    array([0, 0, 0, 1, 1, 1])
    """

    n_communities: int | None = None
    steps: int = 1
    listen: float = 2.0
    temperature: float = 0.1
    caution: float = 1.0
    agreement: float = 1.0
    epochs: int = 0
    dim: int = 32
    contrast: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"steps": 0, "epochs": 0, "dim": 1, "seed": 0}
        if self.n_communities is not None:
            least["n_communities"] = 1
        for name, number in least.items():
            value = getattr(self, name)
            # What is left of NaN and of ∞ is NaN.
            if not _is_number(value) or value % 1 != 0 or value < number:
                raise ValueError(f"{name} is {value!r}, expected a whole number from {number} on")
        for name in ("listen", "agreement", "contrast"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value!r}, expected a finite number from 0 on")
        caution, temperature = self.caution, self.temperature
        if not _is_number(caution) or not caution >= 0:
            raise ValueError(f"caution is {caution!r}, expected a number from 0 on")
        if not _is_number(temperature) or not 0 < temperature < math.inf:
            raise ValueError(f"temperature is {temperature!r}, expected a finite number above 0")

    def fit(
        self,
        graph: Any,
        features: npt.ArrayLike,
        initial: npt.ArrayLike,
        *,
        weights: npt.ArrayLike | None = None,
    ) -> Refinement:
        """Refine communities.

        Args:
            graph: Sparse edge weights [N, N], at least 0; as of `communities`.
            features: [N, D].
            initial: Community of each node, integers [N].
            weights: w, how much each node counts in its prototype, [N]; by default all the same.

        Raises:
            ValueError: Shapes do not agree, features are not finite, weights not finite and above 0, or communities no
                integers.
        """
        return self.fit_together([Part(graph, features, initial, weights=weights)])[0]

    def fit_together(self, parts: Sequence[Part]) -> list[Refinement]:
        """Refine the communities of several graphs in which the same speakers have nodes.

        Raises:
            ValueError: What `fit` refuses, or a speaker has two nodes in one part.
        """
        # What surrounds the call changes nothing: training needs gradients, and sums of few digits are other sums.
        with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
            return self._fit(parts)

    def _fit(self, parts: Sequence[Part]) -> list[Refinement]:
        ready = [self._smooth(part) for part in parts]
        agreement = Agreement(
            [start for _, start, _ in ready], [part.speakers for part in parts], self.agreement
        )
        memberships = _alternate(ready, agreement, self.temperature)
        return [
            _in_order(self._moved(q, start), q, h)
            for q, (h, start, _) in zip(memberships, ready, strict=True)
        ]

    def _moved(self, membership: Tensor, start: Tensor) -> Tensor:
        """The communities of the nodes, of which none is empty where a number of them is asked for."""
        if not len(start):
            return start
        odds = membership.clamp_min(1e-30).log()
        gain = odds.amax(1) - odds.gather(1, start[:, None]).squeeze(1)
        labels = torch.where(gain > self.caution, membership.argmax(1), start)
        return labels if self.n_communities is None else _refilled(labels, start, gain)

    def _smooth(self, part: Part) -> _Ready:
        edges = undirected(part.graph)
        x, start = _checked(edges.shape[0], part.features, part.initial)
        weight = _checked_weights(part.weights, len(x))
        if not len(x):
            return _Ready(x, start, weight)
        matrix = _propagation(edges, self.listen)
        start = self._as_many(F.normalize(x, dim=1), start, weight)
        if self.epochs and edges.nnz:
            x = self._trained(edges, matrix, x, start)
        h = F.normalize(_propagate(x, matrix, self.steps), dim=1)
        return _Ready(h, start, weight)

    def _as_many(self, units: Tensor, start: Tensor, weight: Tensor) -> Tensor:
        """Merged or split until there are as many communities as wanted."""
        wanted = self.n_communities
        if wanted is None:
            return start
        if wanted > len(units):
            raise ValueError(f"n_communities is {wanted}, expected at most the {len(units)} nodes")
        while int(start.max()) + 1 > wanted:
            start = _merged(units, start, weight)
        while int(start.max()) + 1 < wanted:
            start = _split(units, start, weight)
        return start

    def _trained(self, edges: Any, matrix: Tensor, x: Tensor, start: Tensor) -> Tensor:
        from cleser.graphs.communities.refine_training import train_map  # noqa: PLC0415

        return train_map(
            edges,
            F.normalize(x, dim=1),
            start,
            lambda values: _propagate(values, matrix, self.steps),
            dim=self.dim,
            epochs=self.epochs,
            temperature=self.temperature,
            contrast=self.contrast,
            seed=self.seed,
        )


class _Ready(NamedTuple):
    """Smoothed unit features [N, D], communities to start from [N], and weights [N]."""

    h: Tensor
    start: Tensor
    weight: Tensor


def _is_number(value: Any) -> bool:
    return isinstance(value, Real)


def _checked(n: int, features: npt.ArrayLike, initial: npt.ArrayLike) -> tuple[Tensor, Tensor]:
    x, start = matrix(features, "features").astype(np.float32), np.asarray(initial)
    if x.ndim != 2 or len(x) != n:
        raise ValueError(f"features have shape {x.shape}, expected [{n}, D]: one row a node")
    if start.shape != (n,):
        raise ValueError(f"initial has shape {start.shape}, expected ({n},): one community a node")
    if not np.isfinite(x).all():
        raise ValueError(f"features[{int(np.argmin(np.isfinite(x).all(axis=1)))}] is not finite")
    if n and start.dtype.kind not in "iub":
        raise ValueError(f"initial is of {start.dtype}, expected integers")
    codes = np.unique(start, return_inverse=True)[1]
    return torch.from_numpy(x.copy()), torch.from_numpy(codes.astype(np.int64))


def _checked_weights(weights: npt.ArrayLike | None, n: int) -> Tensor:
    if weights is None:
        return torch.ones(n, dtype=torch.float32)
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (n,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            f"weights have shape {values.shape}, expected {n} finite numbers above 0: one a node"
        )
    return torch.from_numpy(values.astype(np.float32))


def _propagation(edges: Any, listen: float) -> Tensor:
    """Edges with loops, normalised: sparse [N, N]; a node that has neither keeps its features."""
    strength = np.asarray(edges.sum(axis=1)).ravel()
    loop = np.full(len(strength), listen * strength.mean())
    loop[strength + loop == 0] = 1.0
    scale = sparse.diags_array(1 / np.sqrt(strength + loop))
    return sparse_tensor(scale @ (edges + sparse.diags_array(loop)) @ scale)


def _propagate(values: Tensor, matrix: Tensor, steps: int) -> Tensor:
    values = F.normalize(values, dim=1)
    for _ in range(steps):
        values = convolution()(values, matrix)
    return values


def _prototypes(h: Tensor, membership: Tensor, weight: Tensor) -> Tensor:
    return F.normalize((membership * weight[:, None]).T @ h, dim=1)


def _alternate(ready: list[_Ready], agreement: Agreement, temperature: float) -> list[Tensor]:
    memberships = [_hard(part.start).to(part.h.dtype) for part in ready]
    for _ in range(_ROUNDS):
        found = []
        for number, (h, _, weight) in enumerate(ready):
            odds = h @ _prototypes(h, memberships[number], weight).T / temperature
            found.append(torch.softmax(odds + agreement.evidence(memberships, number), dim=1))
        moved = max(
            (
                float((a - b).abs().max())
                for a, b in zip(found, memberships, strict=True)
                if a.numel()
            ),
            default=0.0,
        )
        memberships = found
        if moved < _TOLERANCE:
            break
    return memberships


def _hard(start: Tensor) -> Tensor:
    return F.one_hot(start) if len(start) else torch.zeros(0, 0)


def _refilled(labels: Tensor, start: Tensor, gain: Tensor) -> Tensor:
    """Communities that all nodes have left get back the node that gained least; so may others that this one leaves."""
    labels, count = labels.clone(), int(start.max()) + 1
    while len(missing := torch.nonzero(torch.bincount(labels, minlength=count) == 0)):
        community = int(missing[0])
        labels[int(torch.where(start == community, gain, torch.inf).argmin())] = community
    return labels


def _in_order(labels: Tensor, membership: Tensor, h: Tensor) -> Refinement:
    """Communities without nodes dropped, the others from the largest down."""
    found = by_size(labels.numpy())
    column = {int(new): int(old) for new, old in zip(found, labels, strict=True)}
    kept = membership[:, [column[new] for new in range(len(column))]]
    kept = kept / kept.sum(1, keepdim=True).clamp_min(1e-30)
    return Refinement(found, kept.numpy(), h.numpy())


def _merged(units: Tensor, start: Tensor, weight: Tensor) -> Tensor:
    """The two communities of most similar prototypes become one."""
    cosine = (m := _prototypes(units, F.one_hot(start).to(units.dtype), weight)) @ m.T
    cosine.fill_diagonal_(-2)
    a, b = sorted(divmod(int(cosine.argmax()), len(cosine)))
    joined = torch.where(start == b, a, start)
    return joined - (joined > b).long()


def _split(units: Tensor, start: Tensor, weight: Tensor) -> Tensor:
    """The community with most weight far from its prototype gives up those nearest to its outermost node."""
    membership = F.one_hot(start).to(units.dtype)
    distance = 1 - (units * _prototypes(units, membership, weight)[start]).sum(1)
    sizes = membership.sum(0)
    spread = (membership * (weight * distance)[:, None]).sum(0)
    spread[sizes < 2] = -1
    inside = start == int(spread.argmax())
    outermost = int(torch.where(inside, distance, -1.0).argmax())
    leaving = inside & (units @ units[outermost] > 1 - distance)
    leaving[outermost] = True
    if bool(leaving[inside].all()):  # copies of one point: any cut will do
        leaving = torch.zeros_like(inside)
        leaving[outermost] = True
    return torch.where(leaving, int(start.max()) + 1, start)
