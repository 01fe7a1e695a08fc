"""The network: padding and order of utterances must not matter, and every layer must."""

from dataclasses import replace

import pytest
import torch

from cleser.models import Batch, EmotionModel, LayerMix, ModelConfig, TokenTransformer
from cleser.models.community_map import CommunityMap
from cleser.models.input_dropout import InputDropout


def make_batch(lengths=(3, 1, 5), layers=2, channels=6):
    torch.manual_seed(0)
    return Batch(
        tokens=torch.randn(sum(lengths), layers, channels),
        offsets=torch.tensor([0, *lengths]).cumsum(0),
        summaries=torch.randn(len(lengths), layers, channels),
        labels={"emotion": torch.arange(len(lengths))},
        phonemes=torch.arange(sum(lengths)) % 3 - 1,
        weight=torch.ones(len(lengths)),
    )


def part(batch, i):
    begin, end = batch.offsets[i], batch.offsets[i + 1]
    return Batch(
        tokens=batch.tokens[begin:end],
        offsets=torch.tensor([0, end - begin]),
        summaries=batch.summaries[i : i + 1],
        labels={name: values[i : i + 1] for name, values in batch.labels.items()},
        phonemes=batch.phonemes[begin:end],
        weight=batch.weight[i : i + 1],
    )


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("mix", ["weighted", "concat"])
def test_an_utterance_is_embedded_alike_in_any_company(depth, mix):
    batch = make_batch()
    config = ModelConfig(dim=16, depth=depth, token_view=True)
    model = EmotionModel(config, layers=2, channels=6, classes=4, mix=mix).eval()
    together = model(batch)
    assert together.utterances.shape == (3, 16)
    assert together.tokens.shape == (9, 16)
    assert together.logits.shape == (3, 4)
    for i in range(3):
        alone = model(part(batch, i))
        torch.testing.assert_close(alone.logits[0], together.logits[i])
        begin, end = batch.offsets[i], batch.offsets[i + 1]
        torch.testing.assert_close(alone.tokens, together.tokens[begin:end])


@pytest.mark.parametrize("depth", [0, 1])
def test_every_parameter_learns(depth):
    model = EmotionModel(
        ModelConfig(dim=16, depth=depth, token_view=True), layers=2, channels=6, classes=4
    )
    model(make_batch()).logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_without_their_view_tokens_are_embedded_and_change_no_utterance():
    config = ModelConfig(dim=16)
    model = EmotionModel(config, layers=2, channels=6, classes=4).eval()
    batch, other = make_batch(), make_batch()
    other.tokens += 1
    assert torch.equal(model(batch).utterances, model(other).utterances)
    assert not torch.equal(model(batch).tokens, model(other).tokens)
    none = replace(
        batch, tokens=batch.tokens[:0], offsets=torch.zeros(4).long(), phonemes=batch.phonemes[:0]
    )
    assert torch.equal(model(none).logits, model(batch).logits)
    assert model(none).tokens.shape == (0, 16)
    assert model(none).layers is None
    assert model(none).token_layers is None


@pytest.mark.parametrize("mix", ["weighted", "concat"])
@pytest.mark.parametrize("kept", ["utterances", "tokens"])
def test_keeping_each_layers_view_changes_nothing_else(mix, kept):
    torch.manual_seed(0)
    shape = {"layers": 2, "channels": 6, "classes": 4, "mix": mix}
    plain = EmotionModel(ModelConfig(dim=16, token_view=True), **shape).eval()
    keeping = EmotionModel(ModelConfig(dim=16, token_view=True), **shape, layer_views=kept).eval()
    keeping.load_state_dict(plain.state_dict())
    batch = make_batch()
    expected, found = plain(batch), keeping(batch)
    torch.testing.assert_close(found.tokens, expected.tokens)
    torch.testing.assert_close(found.logits, expected.logits)
    mix, seen, other = keeping.token_mix, batch.tokens, found.layers
    views = found.token_layers
    if kept == "utterances":
        mix, seen, other = keeping.summary_mix, batch.summaries, found.token_layers
        views = found.layers
    assert other is None
    torch.testing.assert_close(views, mix.states(seen).transpose(0, 1))


@pytest.mark.parametrize("wanted", [0.001, 0.999])
def test_rates_that_are_no_multiple_of_a_byte_are_drawn_as_torch_does(wanted):
    x = torch.ones(1 << 17)
    torch.manual_seed(0)
    found = InputDropout(wanted)(x)
    torch.manual_seed(0)
    assert torch.equal(found, torch.nn.functional.dropout(x, wanted))
    assert 0 < (found == 0).sum() < len(x)


@pytest.mark.parametrize("wanted", [0.2, 0.5])
def test_many_values_are_dropped_at_the_rate_that_is_asked_for_and_keep_their_mean(wanted):
    """Drawn eight at a time: each place of a word alike, neighbours independent; gradients are masked too."""
    torch.manual_seed(0)
    drop = InputDropout(wanted)
    x = torch.ones(1 << 20, 8, requires_grad=True)
    y = drop(x)
    rate = round(256 * wanted) / 256
    error = 5 * (rate * (1 - rate) / len(x)) ** 0.5  # five standard errors of a column's share
    kept = y > 0
    assert ((~kept).double().mean(0) - rate).abs().max() < error
    centred = kept.double() - (1 - rate)
    products = centred.T @ centred / len(x) / (rate * (1 - rate))
    assert (products - torch.eye(8)).abs().max() < 5 / len(x) ** 0.5 + 1e-2
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - rate)))
    y.sum().backward()
    assert torch.equal(x.grad, y)
    torch.manual_seed(0)
    assert torch.equal(drop(x.detach()), y)
    torch.manual_seed(0)
    drawn = torch.empty(len(x), dtype=torch.int64).random_(-(1 << 63), None)  # all at once
    assert torch.equal(kept, drawn.view(torch.uint8).view(-1, 8) >= round(256 * wanted))
    assert drop.eval()(x) is x
    few = x[:9].detach()
    torch.manual_seed(1)
    found = drop.train()(few)
    torch.manual_seed(1)
    assert torch.equal(found, torch.nn.functional.dropout(few, wanted))


def test_weighted_mix_equals_its_equation():
    mix = LayerMix(3, 4, 5)
    torch.nn.init.normal_(mix.weights)
    x = torch.randn(7, 3, 4)
    weights = mix.weights.softmax(0)
    expected = mix.project(sum(weights[layer] * x[:, layer] for layer in range(3)))
    torch.testing.assert_close(mix(x), expected)


def test_concat_mix_gives_each_layer_its_own_matrix():
    mix = LayerMix(2, 3, 5, "concat")
    x = torch.randn(4, 2, 3)
    w = mix.project.weight
    expected = x[:, 0] @ w[:, :3].T + x[:, 1] @ w[:, 3:].T + mix.project.bias
    torch.testing.assert_close(mix(x), expected)


def test_depth_zero_passes_tokens_through():
    tokens = torch.randn(4, 8)
    assert TokenTransformer(8, depth=0)(tokens, torch.tensor([0, 4])) is tokens


@pytest.mark.parametrize("mix", ["weighted", "concat"])
def test_layers_states_join_to_their_mix(mix):
    torch.manual_seed(0)
    layers, x = LayerMix(3, 4, 5, mix), torch.randn(7, 3, 4)
    if mix == "weighted":
        torch.nn.init.normal_(layers.weights)
        shares = layers.weights.softmax(0)
        by_hand = layers.project((x * shares[:, None]).sum(1))
    else:
        by_hand = layers.project(x.flatten(1))
    torch.testing.assert_close(layers(x), by_hand)
    assert layers.states(x).shape == (7, 3, 5)


@pytest.mark.parametrize("shape", [(7,), (2, 3), (), (0,)])
def test_gradients_of_layers_states_are_those_of_plain_products(shape):
    torch.manual_seed(0)
    layers = LayerMix(3, 4, 5, "concat").double()
    x = torch.randn(*shape, 3, 4, dtype=torch.float64, requires_grad=True)
    inputs = (x, layers.project.weight, layers.project.bias)

    def by_hand(x, weight, bias):
        return (
            torch.stack([x[..., i, :] @ weight[:, 4 * i : 4 * i + 4].T for i in range(3)], -2)
            + bias / 3
        )

    wanted, found = by_hand(*inputs), layers.states(x)
    torch.testing.assert_close(found, wanted)
    with torch.no_grad():
        torch.testing.assert_close(layers.states(x), wanted)
    g = torch.randn_like(wanted)
    for a, b in zip(
        torch.autograd.grad(found, inputs, g), torch.autograd.grad(wanted, inputs, g), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_layers_states_in_half_precision_give_gradients_as_the_weights_are(dtype):
    layers = LayerMix(3, 4, 5, "concat")
    x = torch.randn(7, 3, 4).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        layers.join(layers.states(x)).float().sum().backward()
    assert layers.project.weight.grad.dtype == torch.float32
    assert x.grad.dtype == dtype


def test_layers_states_can_be_transformed_compiled_and_frozen():
    layers = LayerMix(3, 4, 5, "concat")
    x = torch.randn(7, 3, 4)
    torch.testing.assert_close(torch.func.vmap(layers.states)(x), layers.states(x))
    compiled = torch.compile(layers.states, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layers.states(x))
    layers.requires_grad_(False)
    x.requires_grad_()
    layers.states(x).sum().backward()
    assert layers.project.weight.grad is None and x.grad is not None


def test_tokens_carry_their_utterances_labels():
    batch = make_batch()
    found = batch.token_labels()
    assert found["emotion"].tolist() == [0] * 3 + [1] + [2] * 5
    assert found["phoneme"].tolist() == [-1, 0, 1, -1, 0, 1, -1, 0, 1]


@pytest.mark.cuda
@pytest.mark.parametrize("depth", [0, 1])
def test_a_gpu_gives_what_the_processor_gives(depth):
    torch.manual_seed(0)
    config = ModelConfig(dim=16, depth=depth, token_view=True)
    model = EmotionModel(config, layers=2, channels=6, classes=4, communities=3).eval()
    torch.nn.init.normal_(model.styles.maps)
    batch = make_batch()
    batch.labels["communities"] = torch.tensor([[0, 1, 2, -1], [2, 2, 0, 1], [-1, -1, -1, -1]])
    expected = model(batch)
    found = model.cuda()(batch.to("cuda"))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-5)


def test_community_maps_equal_their_equation():
    """The mean over emotions of what the speaker's communities make of x; unknown ones add nothing."""
    torch.manual_seed(0)
    maps = CommunityMap(emotions=3, communities=2, dim=4).double()
    torch.nn.init.normal_(maps.maps)
    x = torch.randn(5, 4).double()
    communities = torch.tensor([[0, 1, 0], [1, 1, -1], [-1, -1, -1], [0, -1, 1], [1, 0, 0]])
    for row, found, own in zip(x, maps(x, communities), communities.tolist(), strict=True):
        expected = row.clone()
        for emotion, community in enumerate(own):
            if community >= 0:
                expected += maps.maps[emotion, community] @ row / 3
        torch.testing.assert_close(found, expected)


def test_communities_are_one_of_each_emotion():
    maps, x = CommunityMap(emotions=2, communities=3, dim=4), torch.randn(2, 4)
    torch.nn.init.normal_(maps.maps)
    unknown = maps(x, torch.tensor([[0, -1], [1, -1]]))
    assert torch.equal(maps(x, torch.tensor([[0, 3], [1, 7]])), unknown)
    for wrong in ([[0], [1]], [0, 1]):
        with pytest.raises(ValueError, match=r"expected \[B, 2\]: one of each emotion"):
            maps(x, torch.tensor(wrong))


@pytest.mark.parametrize("utterances", [0, 2])
def test_batches_without_tokens(utterances):
    model = EmotionModel(
        ModelConfig(dim=8, token_view=True, depth=1, heads=2), layers=2, channels=4, classes=3
    )
    batch = Batch(
        torch.zeros(0, 2, 4), torch.zeros(utterances + 1, dtype=torch.long), torch.randn(utterances, 2, 4),
        {"emotion": torch.zeros(utterances, dtype=torch.long)}, torch.zeros(0, dtype=torch.long),
        torch.ones(utterances),
    )  # fmt: skip
    logits = model(batch).logits
    assert logits.shape == (utterances, 3)
    assert logits.isfinite().all()
    logits.sum().backward()


def test_a_misspelt_choice_is_refused():
    with pytest.raises(ValueError, match=r"mix is 'weigthed', expected one of \['weighted', 'conc"):
        LayerMix(3, 8, 4, "weigthed")
    with pytest.raises(ValueError, match="layer_views is 'token', expected one of"):
        EmotionModel(ModelConfig(dim=8), layers=2, channels=4, classes=3, layer_views="token")


def test_communities_are_withheld_from_some_utterances_in_training():
    torch.manual_seed(0)
    maps = CommunityMap(emotions=2, communities=2, dim=3, dropout=0.5)
    torch.nn.init.normal_(maps.maps)
    x, communities = torch.randn(400, 3), torch.ones(400, 2, dtype=torch.int64)
    untouched = (maps(x, communities) == x).all(1)
    # Four standard errors of a share of .5 among 400.
    assert untouched.float().mean() == pytest.approx(0.5, abs=4 * 0.5 / 400**0.5)
    assert not (maps.eval()(x, communities) == x).all(1).any()
