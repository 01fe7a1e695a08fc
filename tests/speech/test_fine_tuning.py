"""What each way of tuning trains: gradients where they should be, nothing moved elsewhere, nothing changed at first."""

import pytest
import torch
from torch import nn

from cleser.speech import AcousticBackbone, TransformersBackbone
from cleser.speech.backbones.fine_tuning import (
    Adapter,
    FineTuning,
    load_trained,
    parameter_groups,
    trained_tensors,
    tune,
)
from tests.speech.tiny_models import FAMILIES, save_tiny

LENGTHS = torch.tensor([1600, 1120])


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    made = {}

    def backbone(family):
        if family not in made:
            folder = save_tiny(family, tmp_path_factory.mktemp(family))
            made[family] = TransformersBackbone(folder)
        return made[family]

    return backbone


def waves():
    torch.manual_seed(3)
    return torch.randn(2, 1600) * (torch.arange(1600) < LENGTHS[:, None])


def gradients(backbone):
    """Names of the weights that a loss of all layers reaches."""
    frames = backbone(waves(), LENGTHS)
    torch.manual_seed(4)
    (frames.hidden_states * torch.randn_like(frames.hidden_states)).sum().backward()
    return {n: p.grad for n, p in backbone.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "tuning", [FineTuning("lora", adapters=4), FineTuning("full")],
    ids=lambda t: t.mode,
)  # fmt: skip
def test_a_tuned_backbone_starts_as_it_was(backbones, family, tuning):
    """New weights start as no change, and the original is never touched."""
    backbone = backbones(family)
    before = {n: t.clone() for n, t in backbone.state_dict().items()}
    tuned = tune(backbone, tuning).eval()
    expected = backbone(waves(), LENGTHS).hidden_states.detach()
    found = tuned(waves(), LENGTHS).hidden_states
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert all(p.grad is None for p in backbone.parameters())
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_reaches_every_projection_of_every_family(backbones, family):
    """WavLM's attention never calls its projections: their update must be in the weights that it reads."""
    tuned = tune(backbones(family), FineTuning("lora", rank=2)).eval()
    found = gradients(tuned)
    new = {n for n, p in tuned.named_parameters() if p.requires_grad}
    assert len(new) == 2 * 2 * len(tuned.encoder.blocks)  # A and B of queries and values
    assert set(found) == new
    for name in new:
        # B is zero at first, hence A's gradient.
        assert bool(found[name].any()) == ("lora_B" in name)


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "whisper"])
def test_lora_is_the_low_rank_sum(backbones, family):
    """The same as adding (2/1) B·A to the projections of the model as it was."""
    tuned = tune(backbones(family), FineTuning("lora", rank=2)).eval()
    merged = tune(backbones(family), FineTuning("head")).eval()
    torch.manual_seed(5)
    with torch.no_grad():
        for block, plain in zip(tuned.encoder.blocks, merged.encoder.blocks, strict=True):
            layers = dict(plain.named_modules())
            for name, module in block.named_modules():
                if hasattr(module, "lora_B"):
                    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
                    b.normal_(std=0.1)
                    layers[name].weight += 2 * b @ a
        expected, found = merged(waves(), LENGTHS), tuned(waves(), LENGTHS)
        start = backbones(family)(waves(), LENGTHS)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states, atol=1e-5, rtol=1e-5)
    assert (found.hidden_states - start.hidden_states).abs().max() > 1e-2


@pytest.mark.parametrize("family", ["xls-r", "whisper"])
def test_each_mode_trains_what_it_says(backbones, family):
    def trained(**settings):
        tuned = tune(backbones(family), FineTuning(**settings))
        named = {n for n, p in tuned.named_parameters() if p.requires_grad}
        assert set(gradients(tuned)) <= named if named else True
        return tuned, named

    tuned, _ = trained(mode="full")
    blocks = {id(p) for p in tuned.encoder.blocks.parameters()}
    front = {id(p) for p in tuned.encoder.front_end.parameters()}
    named = dict(tuned.named_parameters())
    everything = {n for n in named if "embed_positions" not in n}
    assert trained(mode="full")[1] == everything
    assert trained(mode="transformer")[1] == {n for n in everything if id(named[n]) not in front}
    inside = {n for n, p in named.items() if id(p) in blocks}
    assert trained(mode="top", top=3)[1] == inside
    top = trained(mode="top", top=1)[1]
    assert top < inside
    assert all(".layers.2." in n for n in top)
    assert all("bottleneck" in n for n in trained(mode="head", adapters=4)[1])


def test_whispers_sinusoids_stay_fixed(backbones):
    tuned = tune(backbones("whisper"), FineTuning("full"))
    assert not tuned.encoder.model.embed_positions.weight.requires_grad


def test_an_adapter_is_its_equation():
    torch.manual_seed(0)
    adapter, x = Adapter(6, 3), torch.randn(2, 5, 6)
    assert torch.equal(adapter(x), x)
    for p in adapter.parameters():
        nn.init.normal_(p)
    norm = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    norm = norm * adapter.norm.weight + adapter.norm.bias
    inner = norm @ adapter.down.weight.T + adapter.down.bias
    inner = 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
    expected = x + adapter.gate * (inner @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(adapter(x), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_checkpointing_changes_no_gradient(backbones, family):
    if torch.__version__ < (2, 7) and family not in ("wavlm", "whisper"):
        pytest.skip("torch 2.6 refuses to compute these blocks twice, see docs/installation.rst")
    plain = tune(backbones(family), FineTuning("lora", adapters=4))
    lean = tune(plain, FineTuning("full", checkpointing=True))
    for p, q in zip(plain.parameters(), lean.parameters(), strict=True):
        p.requires_grad_(q.requires_grad)
    # Dropout is off, but only in training are blocks computed twice.
    for backbone in (plain, lean):
        backbone.train()
        for module in backbone.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            for name in ("dropout", "attention_dropout", "activation_dropout", "dropout_p"):
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, 0.0)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    expected, found = gradients(plain), gradients(lean)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-4)


def test_lower_blocks_learn_more_slowly(backbones):
    tuned = tune(backbones("wav2vec2"), FineTuning("full"))
    groups = parameter_groups(tuned, FineTuning("full", learning_rate=1e-2, layer_decay=0.5))
    peak = {id(p): g["peak"] for g in groups for p in g["params"]}
    for i, expected in enumerate((0.0025, 0.005, 0.01)):
        assert {peak[id(p)] for p in tuned.encoder.blocks[i].parameters()} == {expected}
    assert {peak[id(p)] for p in tuned.encoder.front_end.parameters()} == {0.00125}
    assert sum(len(g["params"]) for g in groups) == len(list(tuned.parameters()))


@pytest.mark.parametrize("family", ["wav2vec2", "whisper", "hubert-batch-norm"])
def test_only_what_was_trained_is_kept(backbones, family):
    tuning = FineTuning("lora", rank=2, adapters=4)
    one, other = (tune(backbones(family), tuning).eval() for _ in range(2))
    for p in one.parameters():
        if p.requires_grad:
            nn.init.normal_(p, std=0.1)
    kept = dict(trained_tensors(one))
    weights = {n for n, p in one.named_parameters() if p.requires_grad}
    assert weights <= set(kept)
    assert not any(n in kept for n, p in one.named_parameters() if not p.requires_grad)
    load_trained(other, kept)
    with torch.no_grad():
        found, expected = other(waves(), LENGTHS), one(waves(), LENGTHS)
    assert torch.equal(found.hidden_states, expected.hidden_states)
    with pytest.raises(ValueError, match="trained weights do not fit"):
        load_trained(tune(backbones(family), FineTuning("lora", rank=3, adapters=4)), kept)
    kept.popitem()
    with pytest.raises(ValueError, match="1 trained weights do not fit"):
        load_trained(other, kept)


def test_what_cannot_be_tuned_is_refused(backbones):
    acoustic = AcousticBackbone()
    assert not any(p.requires_grad for p in tune(acoustic, FineTuning("head")).parameters())
    with pytest.raises(ValueError, match="no weights to train"):
        tune(acoustic, FineTuning("full"))
    for tuning in (FineTuning("lora"), FineTuning("top"), FineTuning("head", adapters=4)):
        with pytest.raises(ValueError, match="no Transformer blocks"):
            tune(acoustic, tuning)
    with pytest.raises(ValueError, match="at most the model's 3 blocks"):
        tune(backbones("wavlm"), FineTuning("top", top=4))
    with pytest.raises(
        ValueError, match=r"targets \['query'\] name no linear layer, expected some"
    ):
        tune(backbones("wavlm"), FineTuning("lora", targets=("query",)))
    with pytest.raises(ValueError, match="mode is 'half'"):
        FineTuning("half")
    with pytest.raises(ValueError, match="accumulate is 0"):
        FineTuning("full", accumulate=0)
    with pytest.raises(ValueError, match="adapters is 8 in mode features"):
        FineTuning(adapters=8)


@pytest.mark.cuda
@pytest.mark.usefixtures("full_float32")
@pytest.mark.parametrize("mode", ["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_gives_the_frames_and_the_gradients_of_the_processor(backbones, family, mode):
    tuned = tune(backbones(family), FineTuning(mode, rank=2)).eval()
    found = []
    for device in ("cpu", "cuda"):
        tuned.to(device).zero_grad()
        hidden = tuned(waves().to(device), LENGTHS).hidden_states
        torch.manual_seed(4)
        (hidden * torch.randn(hidden.shape).to(device)).sum().backward()
        learned = {n: p.grad.cpu() for n, p in tuned.named_parameters() if p.grad is not None}
        found.append((hidden.detach().cpu(), learned))
    (expected, before), (hidden, after) = found
    torch.testing.assert_close(hidden, expected, rtol=1e-3, atol=1e-3)
    assert set(after) == set(before)
    for name, gradient in before.items():
        distance = (after[name] - gradient).norm()
        assert distance <= 1e-3 * gradient.norm() + 1e-4, name
