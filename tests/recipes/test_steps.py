"""Each recipe's step against its equation: plain loops over a small batch, term by term, with weights and signs."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor

from cleser.anchors import is_vowel
from cleser.losses import GradientReversal
from cleser.models import Batch, ModelConfig
from cleser.recipes import METHODS
from cleser.recipes.pseudo_labels import confident_labels
from cleser.recipes.test_time import SAR, T3A, Tent
from cleser.speech import Features
from cleser.training.dataset import Dataset
from cleser.training.loop import TrainingConfig
from cleser.training.recipe import Task
from cleser.training.recognition import predict, recognise
from cleser.training.sources import MemorySource
from cleser.training.vocabulary import Vocabulary

LAYERS, CHANNELS, DIM = 3, 6, 8
NAMES = Vocabulary(
    emotions=("anger", "happiness", "sadness"),
    speakers=("a", "b", "c", "d"),
    languages=("de", "fr"),
    corpora=("x", "y"),
    phonemes=("a", "i", "p"),
)
K = len(NAMES.emotions)
SMOOTHING = 0.3  # of every recipe by default
# Adversaries add up a batch, and triplet losses their margins, in float32: a sum of n is off by n·eps at most.
SINGLE = {"rtol": 19 * torch.finfo(torch.float32).eps, "atol": 1e-7}


def build(name: str, **changes):
    """A recipe without noise, in double precision, with its own weights of the terms."""
    torch.manual_seed(0)
    quiet = ModelConfig(
        dim=DIM,
        token_view=True,
        input_dropout=0.0,
        token_dropout=0.0,
        dropout=0.0,
        community_dropout=0.0,
    )
    changes = {"training": TrainingConfig(epochs=2), **changes}
    config = replace(METHODS[name].config(), model=quiet, **changes)
    recipe = METHODS[name].build(config, Task(LAYERS, CHANNELS, NAMES, "concat"))
    return recipe.double().eval()


def batch(seed: int, languages=(0,), *, size: int = 12, **labels) -> Batch:
    """Utterances of 1 to 4 tokens, of the languages in turn."""
    torch.manual_seed(seed)
    lengths = torch.arange(size) % 4 + 1
    tokens = int(lengths.sum())
    return Batch(
        tokens=torch.randn(tokens, LAYERS, CHANNELS).double(),
        offsets=torch.nn.functional.pad(lengths.cumsum(0), (1, 0)),
        summaries=torch.randn(size, LAYERS, CHANNELS).double(),
        labels={
            "emotion": torch.arange(size) % K,
            "speaker": torch.randint(0, 4, (size,)),
            "language": torch.tensor(languages).repeat(size)[:size],
            "corpus": torch.zeros(size, dtype=torch.int64),
            **labels,
        },
        phonemes=torch.randint(-1, 3, (tokens,)),
        weight=torch.rand(size).double() + 0.5,
    )


def cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """The mean over utterances; unknown ones add nothing."""
    total = logits.new_zeros(())
    for i, (z, label) in enumerate(zip(logits, labels.tolist(), strict=True)):
        if label < 0:
            continue
        for k in range(len(z)):
            share = smoothing / len(z) + (1 - smoothing) * (k == label)
            log_p = z[k] - z.exp().sum().log()
            total = total - share * log_p * (1 if weight is None else weight[i])
    return total / len(labels)


def covariance(x: Tensor) -> Tensor:
    mean = sum(x) / len(x)
    return sum(torch.outer(row - mean, row - mean) for row in x) / (len(x) - 1)


def coral(a: Tensor, b: Tensor) -> Tensor:
    """‖C_S − C_T‖² / 4D²."""
    return (covariance(a) - covariance(b)).square().sum() / (4 * a.shape[1] ** 2)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / (a.norm() * b.norm())


def adversary_loss(adversary, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the classifier on embeddings whose gradient nothing reverses."""
    known = labels >= 0
    return cross_entropy(adversary.classifier(embeddings[known]), labels[known])


AT_ITS_END = 2 / (1 + math.exp(-10)) - 1  # the sigmoid of a reversal that warms up


def full_strength(recipe) -> None:
    """Put every reversal's schedule at its end."""
    for module in recipe.modules():
        if isinstance(module, GradientReversal):
            module.step.fill_(10**6)


def gradients(loss: Tensor, recipe) -> dict[str, Tensor]:
    names, parameters = zip(*recipe.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g
        for name, p, g in zip(names, parameters, found, strict=True)
    }


@pytest.mark.parametrize("name", ["erm", "coral", "dann", "layer-anchoring", "zero-shot"])
def test_supervision_is_smoothed_weighted_and_leaves_the_unknown_out(name: str) -> None:
    recipe, source = build(name), batch(1)
    source.labels["emotion"][[2, 5]] = -1
    found = recipe.supervised(recipe.embed(source).logits, source)
    expected = cross_entropy(
        recipe.embed(source).logits, source.labels["emotion"], SMOOTHING, source.weight
    )
    torch.testing.assert_close(found, expected)
    other = replace(source, weight=source.weight.flip(0))
    assert recipe.supervised(recipe.embed(other).logits, other) != found


def test_the_baseline_is_supervision_alone() -> None:
    recipe, source = build("erm"), batch(1)
    logits = recipe.embed(source).logits
    expected = cross_entropy(logits, source.labels["emotion"], SMOOTHING, source.weight)
    torch.testing.assert_close(recipe.step(source, None)["loss"], expected)


def test_coral_adds_the_distance_of_covariances() -> None:
    recipe, source, target = build("coral"), batch(1), batch(2, emotion=torch.full((12,), -1))
    ours, theirs = recipe.embed(source), recipe.embed(target)
    supervised = cross_entropy(ours.logits, source.labels["emotion"], SMOOTHING, source.weight)
    distance = coral(ours.utterances, theirs.utterances)
    assert 100 * distance > 1e-5 * supervised
    torch.testing.assert_close(recipe.step(source, target)["loss"], supervised + 100 * distance)


def test_dann_confuses_the_network_and_not_its_adversary() -> None:
    recipe, source = build("dann"), batch(1)
    target = batch(2, size=7, emotion=torch.full((7,), -1))
    full_strength(recipe)
    ours, theirs = recipe.embed(source), recipe.embed(target)
    supervised = cross_entropy(ours.logits, source.labels["emotion"], SMOOTHING, source.weight)
    both = torch.cat([ours.utterances, theirs.utterances])
    domain = adversary_loss(recipe.adversary, both, torch.tensor(12 * [0] + 7 * [1]))
    loss = recipe.step(source, target)["loss"]
    torch.testing.assert_close(loss, supervised + 0.3 * domain, **SINGLE)
    learned, confused = gradients(supervised, recipe), gradients(domain, recipe)
    for name, found in gradients(loss, recipe).items():
        share = 1 if name.startswith("adversary") else -AT_ITS_END
        expected = learned[name] + share * 0.3 * confused[name]
        torch.testing.assert_close(found, expected, **SINGLE)


def test_danns_reversal_begins_at_nothing() -> None:
    recipe, source, target = build("dann"), batch(1), batch(2)
    terms = recipe.step(source, target)
    for name, found in gradients(terms["domain"], recipe).items():
        assert found.any() == (name.startswith("adversary")), name


@pytest.mark.parametrize("units", ["utterance", "vowel"])
def test_layer_anchoring_aligns_the_chosen_layers_normalised(units: str) -> None:
    recipe = build("layer-anchoring", units=units, size=2, weight=10.0)
    source, target = batch(1), batch(2, emotion=torch.full((12,), -1))
    sides = dataset(1, ["de"]), dataset(2, ["zz"])
    recipe.begin_epoch(0, source=sides[0], dev=sides[0], target=sides[1])
    anchors = recipe.chosen()
    assert len(anchors) == 2
    total = 0
    for layer in anchors:
        states = []
        for side in (source, target):
            embedded = recipe.embed(side)
            if units == "vowel":
                vowels = [p >= 0 and is_vowel(NAMES.phonemes[p]) for p in side.phonemes.tolist()]
                rows = embedded.token_layers[layer][torch.tensor(vowels)]
            else:
                rows = embedded.layers[layer]
            apart = rows - rows.mean(1, keepdim=True)
            states.append(apart / (apart.square().mean(1, keepdim=True) + 1e-5).sqrt())
        total = total + coral(*states)
    logits = recipe.embed(source).logits
    supervised = cross_entropy(logits, source.labels["emotion"], SMOOTHING, source.weight)
    assert 10 * total > 1e-5 * supervised
    torch.testing.assert_close(recipe.step(source, target)["loss"], supervised + 10 * total)


def test_zero_shot_is_equation_12() -> None:
    """λ = 2.5 for positives of another language (Eq. 7), α = 1, β = 0.3; the embedding forgets the speaker."""
    recipe, source = build("zero-shot"), batch(1, languages=(0, 1, 1, 0))
    source.labels["speaker"][3] = -1
    emotion, language = (source.labels[n].tolist() for n in ("emotion", "language"))
    h = recipe.embed(source).utterances
    near = [[(cosine(a, b) / 0.2).exp() for b in h] for a in h]
    contrast = 0
    for i in range(12):
        others = sum(near[i][a] for a in range(12) if a != i)
        w = {
            p: 2.5 if language[p] != language[i] else 1.0
            for p in range(12)
            if p != i and emotion[p] == emotion[i]
        }
        log_p = sum(w[p] * (near[i][p] / others).log() for p in w)
        contrast = contrast - log_p / sum(w.values()) / 12
    supervised = cross_entropy(
        recipe.embed(source).logits, source.labels["emotion"], SMOOTHING, source.weight
    )
    speaker = adversary_loss(recipe.adversary, h, source.labels["speaker"])
    loss = recipe.step(source, None)["loss"]
    torch.testing.assert_close(loss, supervised + 1.0 * contrast + 0.3 * speaker, **SINGLE)
    kept, confused = gradients(supervised + contrast, recipe), gradients(speaker, recipe)
    for name, found in gradients(loss, recipe).items():
        downhill = 1 if name.startswith("adversary") else -1
        expected = kept[name] + downhill * 0.3 * confused[name]
        torch.testing.assert_close(found, expected, **SINGLE)


def sapa_sides() -> tuple[Batch, Batch]:
    """Source and target with communities; two target utterances are not believed to be anything."""
    source, target = batch(1), batch(2, languages=(2,))
    target.labels["emotion"][[1, 6]] = -1
    for side, seed in ((source, 3), (target, 4)):
        torch.manual_seed(seed)
        emotion = side.labels["emotion"]
        side.labels["communities"] = torch.randint(0, 2, (12, K))
        own = side.labels["communities"].gather(1, emotion.clamp_min(0)[:, None])[:, 0]
        side.labels["community"] = own.masked_fill(emotion < 0, -1)
    return source, target


def triplets(anchors: list[dict], others: list[dict], positive, negative) -> Tensor:
    """Mean of s(a, n) − s(a, p) + 0.2 over the triplets where it is above zero."""
    violated = []
    for a in anchors:
        for p in others:
            for n in others:
                if positive(a, p) and negative(a, n):
                    value = cosine(a["x"], n["x"]) - cosine(a["x"], p["x"]) + 0.2
                    violated += [value] if value > 0 else []
    assert len(violated) > 20
    return sum(violated) / len(violated)


def items(x: Tensor, labels: dict[str, Tensor]) -> list[dict]:
    names = [n for n in ("emotion", "community", "language", "phoneme") if n in labels]
    return [
        {"x": row} | {n: int(labels[n][i]) for n in names}
        for i, row in enumerate(x)
        if all(labels[n][i] >= 0 for n in names)
    ]


def alike(a: dict, b: dict) -> bool:
    style = ("emotion", "community")
    return all(a[n] == b[n] for n in style) and a["language"] != b["language"]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sapa_anchors_confident_target_items_to_the_source(momentum: float) -> None:
    recipe = build("sapa", bank=momentum)
    recipe.uses_communities.fill_(False)
    source, target = sapa_sides()
    if momentum:
        recipe.step(*(replace(s, tokens=s.tokens.flip(0)) for s in (source, target)))
    ours, theirs = recipe.embed(source), recipe.embed(target)
    supervised = cross_entropy(ours.logits, source.labels["emotion"], SMOOTHING, source.weight)
    confident = target.labels["emotion"] >= 0
    believed = cross_entropy(
        theirs.logits[confident], target.labels["emotion"][confident], SMOOTHING
    )
    theirs_items = items(theirs.utterances, target.labels)
    speaker = triplets(
        theirs_items,
        items(ours.utterances, source.labels) + theirs_items,
        alike,
        lambda a, n: a["emotion"] != n["emotion"] and a["language"] != n["language"],
    )
    phones = items(theirs.tokens, target.token_labels())
    in_batch = items(ours.tokens, source.token_labels()) + phones
    others = items(*recipe.bank.prototypes()) if momentum else in_batch
    phoneme = triplets(
        phones,
        others,
        lambda a, p: a["phoneme"] == p["phoneme"] and alike(a, p),
        lambda a, n: a["phoneme"] == n["phoneme"] and a["emotion"] != n["emotion"],
    )
    terms = recipe.step(source, target)
    expected = {"source": supervised, "target": believed, "speaker": speaker, "phoneme": phoneme}
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, **SINGLE, msg=name)
    total = supervised + 1.0 * believed + 0.1 * speaker + 0.1 * phoneme
    torch.testing.assert_close(terms["loss"], total, **SINGLE)


def test_sapa_without_anyone_confident_is_supervision() -> None:
    recipe, source = build("sapa"), sapa_sides()[0]
    unknown = torch.full((12,), -1)
    target = batch(2, languages=(2,), emotion=unknown, community=unknown)
    recipe.uses_communities.fill_(False)
    terms = recipe.step(source, target)
    expected = cross_entropy(
        recipe.embed(source).logits, source.labels["emotion"], SMOOTHING, source.weight
    )
    torch.testing.assert_close(terms["loss"], expected)


def dataset(seed: int, languages: list[str], *, takes: int = 4, speakers: int = 4) -> Dataset:
    """Speakers whose emotions sound alike up to a style of the speaker's."""
    torch.manual_seed(seed)
    rows = pd.DataFrame(
        [
            {"corpus": languages[s % len(languages)], "language": languages[s % len(languages)]}
            | {"speaker": f"{seed}-{s}", "emotion": e, "utterance": f"{seed}-{s}-{e}-{t}"}
            for s in range(speakers)
            for e in NAMES.emotions
            for t in range(takes)
        ]
    )
    labels = NAMES.encode(rows)
    size = len(rows)
    emotion = torch.nn.functional.one_hot(labels["emotion"], K).float()
    manner = torch.randn(speakers, K, CHANNELS).repeat_interleave(K * takes, 0)
    means = torch.einsum("ne,nec->nc", emotion, 1 + manner)[:, None]
    noise = torch.randn(3, size, LAYERS, CHANNELS)
    features = Features(
        rows["utterance"].tolist(),
        (means + noise[:2]).transpose(0, 1).flatten(0, 1),
        torch.arange(size + 1) * 2,
        means + noise[2],
        ["a", "p"] * size,
    )
    phonemes = {name: i for i, name in enumerate(NAMES.phonemes)}
    return Dataset(rows, MemorySource(features), labels, phonemes, torch.ones(size), [])


def everyone(recipe, data: Dataset) -> Tensor:
    with torch.no_grad():
        return recipe.embed(data.batch(torch.arange(len(data)))).logits


def believed(recipe, data: Dataset) -> Tensor:
    """Probabilities under a bias found by many small steps, with which every class is predicted alike."""
    logits, bias = everyone(recipe, data).double(), torch.zeros(K).double()
    for _ in range(3000):
        bias -= 0.3 * ((logits + bias).softmax(-1).mean(0) - 1 / K)
    return (logits + bias).softmax(-1).float()


def told_of(data: Dataset, communities: Tensor | None) -> Dataset:
    labels = {n: v for n, v in data.labels.items() if n != "communities"}
    if communities is not None:
        labels["communities"] = communities
    return replace(data, labels=labels)


def begun(**changes):
    """SAPA after an epoch on the source, with maps that make something of the communities that it found."""
    recipe = build("sapa", warm_up=0.5, **changes).float()
    source, target = dataset(5, ["de", "fr"], speakers=8), dataset(6, ["zz"], speakers=6)
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    torch.manual_seed(1)
    if recipe.model.styles is not None:
        with torch.no_grad():
            recipe.model.styles.maps.normal_()
    return recipe, source, target


@pytest.mark.parametrize("name", ["erm", "coral", "dann"])
def test_a_matched_prior_predicts_every_class_alike(name: str) -> None:
    target = dataset(6, ["zz"])
    for matches in (False, True):
        recipe = build(name, match_prior=matches).float()
        before = everyone(recipe, target)
        recipe.finish(target)
        shares = everyone(recipe, target).softmax(-1).mean(0)
        if matches:
            torch.testing.assert_close(shares, torch.full((K,), 1 / K), atol=1e-4, rtol=0)
        else:
            assert torch.equal(before, everyone(recipe, target))
            assert (shares - 1 / K).abs().max() > 1e-3


def test_sapa_prepares_in_two_rounds() -> None:
    recipe, _, target = begun()
    assert (recipe.found.target["emotion"] == -1).all()  # not adapted to yet
    bare = told_of(target, None)
    first = recipe.known_communities.look_up(bare, believed(recipe, bare))
    second = recipe.known_communities.look_up(bare, believed(recipe, told_of(bare, first)))
    assert (second >= 0).any()
    assert not torch.equal(first, second)
    assert torch.equal(recipe.prepare(target).labels["communities"], second)


def test_sapas_pseudo_labels_are_the_most_confident_of_matched_predictions() -> None:
    recipe, source, target = begun(conditioned=True)
    recipe.uses_communities.fill_(False)
    shares = believed(recipe, target)
    assert not torch.equal(shares.argmax(-1), everyone(recipe, target).argmax(-1))
    recipe.begin_epoch(1, source=source, dev=source, target=target)
    assert torch.equal(recipe.found.target["emotion"], confident_labels(shares, 0.5))


def test_sapa_trusts_more_from_epoch_to_epoch() -> None:
    training = TrainingConfig(epochs=10, keep="last")
    recipe, source, target = begun(
        conditioned=False, communities=0, confidence=0.2, final_confidence=0.8, training=training
    )
    shares = believed(recipe, target)
    for epoch, share in ((4, None), (5, 0.2), (7, 0.5), (9, 0.8)):
        recipe.begin_epoch(epoch, source=source, dev=source, target=target)
        trusted = confident_labels(shares, share) if share else torch.full_like(shares[:, 0], -1)
        assert torch.equal(recipe.found.target["emotion"], trusted.long())


def test_sapa_is_told_communities_only_if_that_helps_held_out_speakers() -> None:
    """Maps of noise do not help; maps that were fitted to these very speakers do."""
    recipe, source, target = begun()
    dev = dataset(7, ["de", "fr"], speakers=8)
    at = torch.arange(len(dev))
    maps = recipe.model.styles.maps
    noise = maps.detach().clone()
    optimiser = torch.optim.Adam([maps], 0.02)
    for step in range(200):
        if step % 20 == 0:  # what is believed of the speakers changes with the maps
            told, emotion = recipe.prepare(dev).batch(at), dev.labels["emotion"]
        loss = torch.nn.functional.cross_entropy(recipe.embed(told).logits, emotion)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def knows() -> bool:
        without_communities = told_of(dev, None).batch(at)
        with torch.no_grad():
            return not torch.equal(
                recipe.embed(told).logits, recipe.embed(without_communities).logits
            )

    assert knows()
    recipe.begin_epoch(1, source=source, dev=dev, target=target)
    assert knows()
    with torch.no_grad():
        maps.copy_(noise)
    recipe.begin_epoch(1, source=source, dev=dev, target=target)
    assert not knows()


@pytest.mark.parametrize(
    ("gains", "helps"),
    [
        ([2.0, 0.0, 0.0, 0.0], False),
        ([1.0, 1.2, 0.9, 1.1], True),
        ([-1.0] * 4, False),
        ([1.0], False),
    ],
)
def test_sapas_evidence_that_communities_help_is_speakers_not_utterances(
    gains: list[float], helps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of all utterances that gain much may be one speaker of four."""
    recipe, *_ = begun()
    dev = dataset(7, ["de"], takes=25, speakers=len(gains))
    of_speaker = dict(zip(sorted(dev.manifest["speaker"].unique()), gains, strict=True))
    gain = torch.tensor(dev.manifest["speaker"].map(of_speaker).to_numpy())
    truth = torch.nn.functional.one_hot(dev.labels["emotion"], len(NAMES.emotions))

    def recognised(_: object, utterances: Dataset) -> tuple[Tensor, None]:
        told = "communities" in utterances.labels
        return truth * gain[:, None] * told, None

    monkeypatch.setattr("cleser.recipes.sapa.recognise", recognised)
    monkeypatch.setattr(recipe, "prepare", lambda d: told_of(d, torch.zeros(len(d), 1)))
    assert recipe.communities_help(dev) == helps


def test_a_batch_says_how_much_each_utterance_counts() -> None:
    """The step of a batch in which one utterance counts twice is that of the batch that holds it twice."""
    recipe, source = build("erm"), batch(1, size=4)
    once = replace(source, weight=torch.tensor([2.0, 1.0, 1.0, 0.0]).double())
    logits = recipe.embed(source).logits
    rows = [0, 0, 1, 2]
    twice = cross_entropy(logits[rows], source.labels["emotion"][rows], SMOOTHING)
    torch.testing.assert_close(recipe.step(once, None)["loss"], twice)


def test_the_reversal_warms_up_along_a_sigmoid() -> None:
    """Half-way through `warm_up` the embedding's gradient is scaled by 2 / (1 + e⁻⁵) − 1."""
    recipe = build("dann", warm_up=4)
    source, target = batch(1), batch(2)
    for module in recipe.modules():
        if isinstance(module, GradientReversal):
            module.step.fill_(2)
    part = gradients(recipe.step(source, target)["domain"], recipe)
    full_strength(recipe)
    whole = gradients(recipe.step(source, target)["domain"], recipe)
    scale = 2 / (1 + math.exp(-5)) - 1
    for name, found in part.items():
        share = 1 if name.startswith("adversary") else scale / AT_ITS_END
        torch.testing.assert_close(found, share * whole[name], **SINGLE)


@pytest.mark.parametrize("how", ["t3a", "tent", "sar"])
def test_a_network_adapts_to_what_it_recognises_together(how: str) -> None:
    data = dataset(0, ["en"])
    plain, recipe = build("erm").float(), build("erm", test_time=how).float()
    recipe.load_state_dict(plain.state_dict())
    recipe.model.head[-1].weight.data *= 20  # surer, so that all have something to learn from
    plain.model.head[-1].weight.data *= 20
    before = {name: tensor.clone() for name, tensor in recipe.state_dict().items()}
    logits = predict(recipe, data)[0]
    # By hand: one pass in the order of the seed, then all are recognised by what has come of it.
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    batches = [data.batch(at) for at in order.split(64)]
    if how == "t3a":
        scores = T3A(plain.model.head[-1])
        for part in batches:
            scores(plain.eval().embed(part).utterances)
        expected = recognise(plain, data)[1] @ scores.templates.T
    else:
        adapting = (SAR if how == "sar" else Tent)(plain.model, read=lambda found: found.logits)
        for part in batches:
            adapting(part)
        plain.model = adapting.model
        expected = recognise(plain, data)[0]
    torch.testing.assert_close(logits, expected.detach())
    # The trained network stays as it is, and recognises utterances alone as it did.
    assert all(torch.equal(before[name], tensor) for name, tensor in recipe.state_dict().items())
    assert not torch.equal(recognise(recipe, data)[0], logits)
