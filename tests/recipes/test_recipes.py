"""The papers' recipes: what each does with its batches, what the target gives away, and that ablations ablate."""

import ctypes
import os
import struct
import threading
from dataclasses import replace

import pytest
import torch

from cleser.corpora.protocol import Protocol
from cleser.experiments.access import uses_of
from cleser.experiments.data import Data
from cleser.experiments.experiment import Experiment
from cleser.models import ModelConfig
from cleser.recipes import METHODS
from cleser.recipes.layer_anchoring import LayerAnchoringConfig
from cleser.recipes.sapa import SAPAConfig
from cleser.settings import to_plain
from cleser.speech import load_backbone
from cleser.training.dataset import balance
from cleser.training.from_manifest import phones_of
from cleser.training.loop import TrainingConfig, train
from cleser.training.recipe import FoundLabels, Task
from tests.corpora.trees import write_corpus

SMALL = ModelConfig(dim=8, token_view=True, input_dropout=0.0, dropout=0.1)
PROTOCOL = Protocol(
    ["synthetic:en?speakers=4&sentences=2"], ["synthetic:zh?speakers=4&sentences=2"]
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "recipes-cache"))
        yield


@pytest.fixture(scope="module")
def data(cache):
    return Data(PROTOCOL.load(), load_backbone("acoustic"), auxiliary=False)


def config(name, **changes):
    training = TrainingConfig(epochs=2, batch_size=8)
    return replace(METHODS[name].config(), model=SMALL, training=training, **changes)


def build(data, name, **changes):
    torch.manual_seed(0)
    task = Task(*data.shape, data.vocabulary, data.backbone.mix)
    return METHODS[name].build(config(name, **changes), task)


def sides(data):
    parts = data.cast.parts(0)
    return data.seen.subset(parts.train), data.target.subset(parts.adapt)


def told(recipe, source, target):
    """Both sides with the labels that the recipe has found, as the training loop makes batches of."""
    return source.labelled(recipe.found.source), target.labelled(recipe.found.target)


def test_a_state_of_an_older_version_is_loaded_by_its_present_names(data):
    """Parts that were called ``told`` and ``book``, alone and within another module."""
    kept = build(data, "sapa")
    kept.uses_communities.fill_(False)
    kept.known_communities.found.fill_(True)
    state = kept.state_dict()
    older = {
        n.replace("uses_communities", "told").replace("known_communities", "book"): t
        for n, t in state.items()
    }
    assert older.keys() != state.keys()
    again = build(data, "sapa")
    again.load_state_dict(older)
    torch.nn.ModuleDict({"recipe": (within := build(data, "sapa"))}).load_state_dict(
        {f"recipe.{n}": t for n, t in older.items()}
    )
    for one in (again, within):
        assert all(torch.equal(t, state[n]) for n, t in one.state_dict().items())


def test_the_synthetic_corpus_knows_its_phones(data):
    assert len(data.vocabulary.phonemes) > 20
    source, _ = sides(data)
    assert (source.batch(range(len(source))).phonemes >= 0).all()
    assert phones_of(data.cast.source.drop(columns="phones")) == [None] * len(data.cast.source)


def test_sapa_labels_the_target_by_what_it_believes_alone(data):
    source, target = sides(data)
    recipe = build(data, "sapa", warm_up=0.5, confidence=0.5)
    before = [dict(side.labels) for side in (source, target)]
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    assert (recipe.found.target["emotion"] == -1).all()
    assert (recipe.found.target["community"] == -1).all()
    assert (recipe.found.source["community"] >= 0).any()
    recipe.begin_epoch(1, source=source, dev=source, target=target)
    for side, labels in zip((source, target), before, strict=True):  # are as they were
        assert side.labels.keys() == labels.keys()
        assert all(torch.equal(side.labels[n], labels[n]) for n in labels)
    assert (target.labels["emotion"] == -1).all()
    source, target = told(recipe, source, target)
    trusted = target.labels["emotion"]
    assert 0.4 < (trusted >= 0).float().mean() < 0.6
    assert (target.labels["language"] == recipe.target_language).all()
    own = target.labels["communities"].gather(1, trusted.clamp_min(0)[:, None])[:, 0]
    assert torch.equal(target.labels["community"], own.masked_fill(trusted < 0, -1))
    terms = recipe.train().step(source.batch(range(16)), target.batch(range(16)))
    assert {"source", "target", "speaker", "phoneme", "loss"} <= set(terms)
    weights = {"source": 1.0, "target": 1.0, "speaker": 0.1, "phoneme": 0.1}
    total = sum(weights[n] * t for n, t in terms.items() if n != "loss")
    torch.testing.assert_close(terms["loss"], total)


def test_sapa_knows_no_language_that_nobody_names(data):
    """Such utterances are neither of the target's language nor of another, whichever side they stand on."""
    for side in sides(data):
        rows = side.manifest.copy()
        rows.loc[:3, "language"] = None
        nobody = torch.full((len(side), 4), -1)
        language = side.labels["language"].clone()
        language[:4] = -1
        unknown = replace(side, manifest=rows, labels={**side.labels, "language": language})
        recipe = build(data, "sapa")
        found = recipe.labels_of(unknown, side.labels["emotion"], nobody)["language"]
        assert found[:4].tolist() == [-1] * 4
        assert (found[4:] >= 0).all()


@pytest.mark.parametrize(("warm_up", "decided"), [(0, 1), (0.5, 2)])
def test_sapa_decides_about_communities_once_some_are_known(data, warm_up, decided):
    source, target = sides(data)
    recipe = build(data, "sapa", warm_up=warm_up)
    recipe.config = replace(recipe.config, training=TrainingConfig(epochs=4))
    asked = []

    def communities_help(dev):
        asked.append((epoch, bool(recipe.known_communities.found.any())))
        return True

    recipe.communities_help = communities_help
    for epoch in range(4):
        recipe.begin_epoch(epoch, source=source, dev=source, target=target)
        assert (recipe.model.styles.dropout == 0) == (epoch >= decided)
    assert asked == [(decided, True)]


def test_sapa_refreshes_when_asked_and_a_resumed_run_knows_what_was_found(data):
    """Epochs in between hear nothing of the target, and a copy from the checkpoint's tensors does not either."""
    source, target = sides(data)
    recipe = build(data, "sapa", warm_up=0, refresh=2)
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    found = recipe.found
    going_on = build(data, "sapa", warm_up=0, refresh=2)
    going_on.load_state_dict(recipe.state_dict())
    going_on.found = FoundLabels.of(found.tensors())
    with torch.no_grad():
        for weight in recipe.parameters():
            weight.add_(torch.randn_like(weight))
    for one in (recipe, going_on):
        one.begin_epoch(1, source=source, dev=source, target=target)
        assert one.found.tensors().keys() == found.tensors().keys()
        for name, labels in found.tensors().items():
            assert torch.equal(one.found.tensors()[name], labels), name
    recipe.begin_epoch(2, source=source, dev=source, target=target)
    assert not torch.equal(recipe.found.target["emotion"], found.target["emotion"])


def test_sapas_ablations_leave_their_terms_out(data):
    source, target = sides(data)
    for changes, gone in (
        ({"speaker_weight": 0.0}, "speaker"),
        ({"phoneme_weight": 0.0}, "phoneme"),
    ):
        recipe = build(data, "sapa", warm_up=0, **changes)
        recipe.begin_epoch(0, source=source, dev=source, target=target)
        ours, theirs = told(recipe, source, target)
        assert gone not in recipe.train().step(ours.batch(range(8)), theirs.batch(range(8)))
    recipe = build(data, "sapa", warm_up=0, communities=0)
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    assert recipe.model.styles is None
    assert not recipe.known_communities.found.any()
    assert "community" not in repr(recipe.anchoring)


def test_a_stranger_gets_the_community_of_his_like(data):
    source, target = sides(data)
    recipe = build(data, "sapa", warm_up=0)
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    known = torch.nn.functional.one_hot(source.labels["emotion"], 4).float()
    again = recipe.known_communities.look_up(source, known)
    found = recipe.found.source["communities"]
    both = (found >= 0) & (again >= 0)
    assert both.float().mean() > 0.5
    assert (found == again)[both].float().mean() > 0.8
    one = source.subset(
        source.manifest[source.manifest["speaker"] == source.manifest["speaker"][0]]
    )
    assert (recipe.known_communities.look_up(one, torch.ones(len(one), 4)) == -1).all()
    # As where the source's speakers say too little to have any.
    recipe.known_communities.combinations.fill_(-1)
    assert (recipe.known_communities.look_up(source, known) == -1).all()


def test_communities_keep_their_numbers(data):
    source, target = sides(data)
    recipe = build(data, "sapa", warm_up=0)
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    first = recipe.found.source["communities"].clone()
    recipe.begin_epoch(1, source=source, dev=source, target=target)
    assert torch.equal(first, recipe.found.source["communities"])


def test_layers_are_chosen_by_the_policy_and_need_phones_for_vowels(data, tmp_path):
    source, target = sides(data)
    for policy, units in (("last", "utterance"), ("single", "vowel"), ("group", "vowel")):
        recipe = build(data, "layer-anchoring", policy=policy, units=units)
        recipe.begin_epoch(0, source=source, dev=source, target=target)
        study = recipe.study(source, target)
        assert set(study["units"]) == {units}
        expected = {"last": (1,), "single": (int(study["cka_debiased"].argmax()),), "group": (0, 1)}
        assert recipe.anchors.layers == expected[policy]
        terms = recipe.train().step(source.batch(range(8)), target.batch(range(8)))
        assert terms["anchors"] > 0
    going_on = build(data, "layer-anchoring", policy="group", units="vowel")
    going_on.load_state_dict(recipe.state_dict())
    going_on.study = None  # what has been trained must not be studied again
    going_on.begin_epoch(1, source=source, dev=source, target=target)
    assert going_on.anchors.layers == recipe.anchors.layers
    going_on.write(tmp_path)
    assert "layer (anchors in colour)" in (tmp_path / "layers.svg").read_text()
    assert (tmp_path / "layers.png").stat().st_size > 1000
    recipe.vowels = recipe.vowels[:0]
    with pytest.raises(ValueError, match="needs to know the phones"):
        recipe.study(source, target)


def test_of_many_utterances_some_of_each_side_are_studied(data):
    source, target = sides(data)
    few = build(data, "layer-anchoring", studied=5)
    study = few.study(source, target)
    assert study[["n_source", "n_target"]].to_numpy().tolist() == [[5, 5]] * 2
    drawn = few.study(source.sample(5), target.sample(5))
    assert study.equals(drawn)
    whole = build(data, "layer-anchoring").study(source, target)
    assert whole[["n_source", "n_target"]].to_numpy().tolist() == [[len(source), len(target)]] * 2


@pytest.mark.parametrize("units", ["utterance", "vowel"])
def test_the_scale_of_layers_does_not_matter_to_their_anchors(data, units):
    source, target = sides(data)
    recipe = build(data, "layer-anchoring", units=units).eval()
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    sides_of = source.batch(range(16)), target.batch(range(16))
    before = recipe.step(*sides_of)["anchors"]
    with torch.no_grad():
        for mix in (recipe.model.summary_mix, recipe.model.token_mix):
            mix.project.weight *= 10
            mix.project.bias *= 10
    torch.testing.assert_close(recipe.step(*sides_of)["anchors"], before, rtol=1e-3, atol=0)


def test_zero_shot_batches_are_hierarchical_and_its_ablations_leave_terms_out(data):
    import numpy as np

    source, _ = sides(data)
    recipe = build(data, "zero-shot", samples=2)
    for at in recipe.batches(source, 8, np.random.default_rng(0)):
        emotions = source.labels["emotion"][at]
        assert emotions.bincount().tolist() == [2] * 4  # one language is all that the source has
    batch = source.batch(at)
    assert {"contrast", "speaker"} <= set(recipe.train().step(batch, None))
    assert "contrast" not in build(data, "zero-shot", contrast_weight=0.0).step(batch, None)
    assert "speaker" not in build(data, "zero-shot", adversary_weight=0.0).step(batch, None)


@pytest.mark.parametrize("name", ["zero-shot", "erm"])
def test_what_a_batch_has_balanced_is_not_balanced_again(data, name, tmp_path):
    """Eq. 12 has the mean over a batch that has as many utterances of each emotion of each language."""
    source, _ = sides(data)
    rows = source.manifest
    few = rows.groupby("emotion").cumcount() < 3
    source = source.subset(rows[few | (rows["emotion"] != "anger")])
    source = source.weighted(balance(source.manifest))
    recipe = build(data, name)
    seen, step = [], recipe.step
    recipe.step = lambda ours, theirs: seen.append(ours) or step(ours, theirs)
    train(recipe, TrainingConfig(epochs=1, batch_size=8), source=source, dev=source, target=None, seed=0,
          checkpoint=tmp_path / "checkpoint")  # fmt: skip
    share = sum(b.weight[b.labels["emotion"] == 0].sum() for b in seen) / sum(
        b.weight.sum() for b in seen
    )
    assert abs(share - 0.25) < 0.01
    if name == "zero-shot":
        assert all((b.weight == 1).all() for b in seen)
    else:
        assert max(b.weight.max() for b in seen) > 1.5


@pytest.mark.parametrize("name", ["coral", "dann", "layer-anchoring", "sapa"])
def test_the_prior_is_matched_on_the_target(data, name):
    from cleser.training.recognition import predict

    source, target = sides(data)
    recipe = build(data, name, match_prior=True).eval()
    recipe.begin_epoch(0, source=source, dev=source, target=target)
    recipe.finish(target)
    found = predict(recipe, target)[0].softmax(-1).mean(0)
    torch.testing.assert_close(found, torch.full((4,), 0.25), atol=5e-3, rtol=0)


class Watch:
    """Files opened below a folder, as the kernel saw it: libraries in C open files that Python does not notice."""

    OPEN, DIRECTORY = 0x20, 0x40000000

    def __init__(self, folder):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.handle = self.libc.inotify_init1(os.O_NONBLOCK)
        self.names = {}
        for path, _, _ in os.walk(folder):
            number = self.libc.inotify_add_watch(self.handle, path.encode(), self.OPEN)
            self.names[number] = path

    def opened(self):
        found = []
        while True:
            try:
                events = os.read(self.handle, 65536)
            except BlockingIOError:
                return found
            while events:
                number, mask, _, length = struct.unpack("iIII", events[:16])
                name = events[16 : 16 + length].rstrip(b"\0").decode()
                if not mask & self.DIRECTORY:
                    found.append(f"{self.names[number]}/{name}")
                events = events[16 + length :]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "inotify_init1"), reason="needs Linux")
@pytest.mark.parametrize("name", ["zero-shot", "erm"])
def test_the_target_is_not_opened_before_the_test(name, tmp_path, monkeypatch):
    from cleser.experiments import experiment as module

    specs = [
        write_corpus(tmp_path / n, n, language=language, speakers=3, takes=2, seed=i)
        for i, (n, language) in enumerate([("a", "de"), ("b", "fr"), ("c", "en")])
    ]
    protocol = Protocol(
        specs[:1], specs[2:], specs[1:2], target_access="nothing", normalisation="corpus"
    )
    cast = protocol.load()
    sounds = {os.path.realpath(path) for path in cast.target["path"]}
    watch, before_test = Watch(tmp_path / "c"), []
    real = module.audit

    def audit(*args, **kwargs):
        if not kwargs.get("sealed"):  # the last thing before the test
            before_test.extend(watch.opened())
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "audit", audit)
    experiment = Experiment(name, to_plain(config(name)), protocol, 2, tmp_path / "run")
    METHODS[name].run(experiment, config(name), load_backbone("acoustic"))
    assert threading.active_count() < 50
    assert not sounds & {os.path.realpath(path) for path in before_test}
    assert sounds <= {os.path.realpath(path) for path in watch.opened()}


@pytest.mark.parametrize("name", METHODS)
def test_the_command_line_offers_every_setting(name, capsys):
    from cleser.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["run", name, "--help"])
    assert stop.value.code == 0
    assert "--target-access" in capsys.readouterr().out


def test_adapting_while_tested_is_among_the_terms_and_refused_where_they_forbid_it(data):
    erm, tent = config("erm"), config("erm", test_time="tent")
    assert not uses_of(erm, data.cast).training
    uses = uses_of(tent, data.cast)
    assert data.cast.describe(uses)["adapts_to_tested"]
    for terms in ({"target_access": "nothing"}, {"adapt": "disjoint"}):
        cast = replace(PROTOCOL, **terms).load()
        with pytest.raises(ValueError, match=f"test_time 'tent'.* {next(iter(terms.values()))!r}"):
            uses_of(tent, cast)


def test_tokens_are_read_by_recipes_alone_that_use_them():
    asked = {n: m.config().uses_tokens for n, m in METHODS.items() if m.build is not None}
    assert [name for name, uses in asked.items() if uses] == ["sapa"]


def test_tokens_that_could_change_nothing_are_refused():
    with pytest.raises(ValueError, match=r"depth is 2.*--token-view"):
        ModelConfig(depth=2)
    with pytest.raises(ValueError, match=r"phoneme_weight is 0\.1.*--token-view"):
        SAPAConfig(ModelConfig())
    assert not SAPAConfig(ModelConfig(), phoneme_weight=0.0).uses_tokens
    with pytest.raises(ValueError, match=r"units is 'vowel'.*--token-view"):
        LayerAnchoringConfig(units="vowel")


@pytest.mark.parametrize(
    ("name", "changes"),
    [("coral", {"weight": -1.0}), ("dann", {"weight": -1.0}), ("dann", {"warm_up": 0})],
)
def test_weights_and_steps_that_no_training_can_have_are_refused_at_once(name, changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        METHODS[name].config(**changes)
