"""One compiled graph serves batches of all sizes."""

import pytest
import torch

from cleser.losses import CoralLoss, CrossLingualSupCon, RelationalTripletLoss
from cleser.relations import differ, same
from tests.losses.cases import needs_compiler, random_batch


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all", "hard", "semihard", "soft", "supcon", "coral"])
def test_graphs_do_not_grow_with_the_number_of_batch_sizes(kind):
    from torch._dynamo.testing import CompileCounterWithBackend

    if kind == "supcon":
        loss = CrossLingualSupCon()
    elif kind == "coral":
        loss = CoralLoss()
    else:
        positive = same("emotion") & differ("language")
        loss = RelationalTripletLoss(positive, differ("emotion"), mining=kind)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(loss, backend=counter, dynamic=True, fullgraph=True)
    counts = []
    for size in range(20, 60, 4):
        x, labels = random_batch(size, dtype=torch.float64)
        arguments = (x[::2], x[1::2]) if kind == "coral" else (x, labels)
        torch.testing.assert_close(compiled(*arguments), loss(*arguments))
        counts.append(counter.frame_count)
    # A compiler may see the first size as a constant, and no other.
    assert counts[-1] == counts[1] <= 2, counts
