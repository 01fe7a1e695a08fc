"""One compiled graph serves batches of all sizes."""

import pytest
import torch

from cleser.losses import (
    ConcordanceLoss,
    CoralLoss,
    CrossLingualSupCon,
    FocalLoss,
    MmdLoss,
    MultiLabelSupCon,
    RelationalTripletLoss,
    SoftCrossEntropy,
)
from cleser.relations import differ, same
from tests.losses.cases import needs_compiler, random_batch


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all", "hard", "semihard", "soft"])
def test_triplets_have_one_graph(kind):
    positive = same("emotion") & differ("language")
    loss = RelationalTripletLoss(positive, differ("emotion"), mining=kind)
    compiled_once(loss, random_batch)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "batch"),
    [
        (CrossLingualSupCon(), lambda x, labels: (x, labels)),
        (CoralLoss(), lambda x, _: (x[::2], x[1::2])),
        (MmdLoss(), lambda x, _: (x[::2], x[1::2])),
        (FocalLoss(), lambda x, labels: (x, labels["emotion"])),
        (MultiLabelSupCon(), lambda x, _: (x, (x[:, :3] > 0).long())),
        (ConcordanceLoss(), lambda x, _: (x, x.flip(0))),
        (SoftCrossEntropy(), lambda x, _: (x, x.flip(0).softmax(1))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_losses_have_one_graph(loss, batch):
    compiled_once(loss, lambda size, dtype: batch(*random_batch(size, dtype=dtype)))


def compiled_once(loss, batch):
    """Compile a loss, and see that after the first of ten sizes nothing is compiled again."""
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(loss, backend=counter, dynamic=True, fullgraph=True)
    counts = []
    for size in range(20, 60, 4):
        arguments = batch(size, dtype=torch.float64)
        torch.testing.assert_close(compiled(*arguments), loss(*arguments))
        counts.append(counter.frame_count)
    # Within the first call the compiler may begin anew, once it finds that it has to take a number as a constant.
    assert len(set(counts)) == 1, counts
