"""The losses in the uses that people know from other libraries: contrast of views, a queue, and two domains."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from cleser.losses import CoralLoss, CrossLingualSupCon, MmdLoss
from cleser.relations import same

TEMPERATURE = 0.5


def contrast():
    return CrossLingualSupCon(
        temperature=TEMPERATURE, cross_lingual_weight=1, positive=same("recording")
    )


def test_two_views_of_each_recording_are_nt_xent():
    """Eq. 1 of Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020."""
    torch.manual_seed(0)
    views = torch.randn(12, 5, dtype=torch.float64, requires_grad=True)
    found = contrast()(views, {"recording": list(range(6)) * 2})
    z = normalize(views)
    logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    expected = cross_entropy(logits, (torch.arange(12) + 6) % 12)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, views)[0] for x in (found, expected)))


def test_a_queue_of_earlier_batches_gives_negatives_without_a_gradient():
    """As momentum contrast has it: keys of the batch, and of the last two batches, whose recordings are others."""
    torch.manual_seed(0)
    encoder = nn.Linear(7, 4).double()
    loss, queue, recordings = contrast(), torch.zeros(0, 4).double(), torch.zeros(0).long()
    for step in range(4):
        x = torch.randn(5, 7, dtype=torch.float64)
        own = torch.arange(5) + 5 * step
        queries = encoder(x)
        keys = encoder(x + 0.1 * torch.randn_like(x)).detach()
        references = torch.cat([keys, queue])
        found = loss(
            queries, {"recording": own}, references, {"recording": torch.cat([own, recordings])}
        )
        logits = normalize(queries) @ normalize(references).T / TEMPERATURE
        expected = cross_entropy(logits, torch.arange(5))
        torch.testing.assert_close(found, expected)
        gradients = (
            torch.autograd.grad(v, encoder.weight, retain_graph=True) for v in (found, expected)
        )
        torch.testing.assert_close(*gradients)
        queue = torch.cat([keys, queue])[:10]
        recordings = torch.cat([own, recordings])[:10]
    assert len(references) == 15


def two_domains(n=80):
    """Both features tell the class in the source; the second is another in the target, where it tells nothing."""
    y = torch.arange(n) % 2
    sign = 2.0 * y - 1
    source = torch.stack([sign, 2 * sign], 1) + 0.5 * torch.randn(n, 2)
    target = torch.stack([sign, torch.full((n,), 4.0)], 1) + 0.5 * torch.randn(n, 2)
    return source, target, y


@pytest.mark.parametrize("distance", [CoralLoss(), MmdLoss()], ids=["coral", "mmd"])
def test_a_network_of_aligned_domains_recognises_the_target(distance):
    accuracy = {}
    for weight in (0, 10):
        torch.manual_seed(0)
        source, target, y = two_domains()
        encoder, head = nn.Linear(2, 2), nn.Linear(2, 2)
        optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.05)
        for _ in range(120):
            x = encoder(source)
            total = cross_entropy(head(x), y) + weight * distance(x, encoder(target))
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
        accuracy[weight] = (head(encoder(target)).argmax(1) == y).float().mean()
    assert accuracy[0] < 0.7
    assert accuracy[10] > 0.9
