"""Every recipe recognises any set of recordings, from its run folder and from what was exported of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import cleser
from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.export.onnx_model import Classifier, RecordingClassifier, outputs_of
from cleser.experiments.transformers_model import CleserForAudioClassification
from cleser.features.stored import extract_features
from cleser.recipes import METHODS
from cleser.settings import from_plain, to_plain
from cleser.speech import load_audio, load_backbone
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.loop import TrainingConfig
from tests.corpora.trees import write_corpus
from tests.speech.tiny_models import save_tiny

COUNTS = (1, 2, 7, 100)
NETWORKS = [name for name, method in METHODS.items() if method.build is not None]
CASES = [(name, "features") for name in METHODS] + [(name, "audio") for name in NETWORKS]
UNSEEN = {"target_access": "nothing", "normalisation": "corpus"}


def small(name):
    """A recipe's own settings with a small network, trained for an epoch."""
    config = to_plain(METHODS[name].config())
    if name == "classical":
        return from_plain(METHODS[name].config, config | {"c": 1.0})
    if METHODS[name].build is None:
        return METHODS[name].config(match_prior=True, rounds=1)
    config["training"] = to_plain(TrainingConfig(epochs=1, batch_size=32, learning_rate=3e-3))
    config["model"] |= {"dim": 8, "dropout": 0.1, "input_dropout": 0.0}
    if name == "sapa":
        config["warm_up"] = 1.0  # the network is then told communities, whether they help or not
    return from_plain(METHODS[name].config, config)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "predict-cache"))
        yield tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def specs(root):
    return (
        write_corpus(root / "a", "a", language="de", speakers=4, takes=2),
        write_corpus(root / "b", "b", speakers=5, takes=5, seed=1),
        write_corpus(root / "c", "c", language="fr", speakers=2, seed=2),
    )


@pytest.fixture(scope="module")
def tiny(root):
    return str(save_tiny("wav2vec2", root / "wav2vec2"))


@pytest.fixture(scope="module")
def recordings(root, specs):
    found = sorted((root / "b").glob("*.wav"))
    assert len(found) == max(COUNTS)
    return found


@pytest.fixture(scope="module")
def speakers(root, recordings):
    """Half of the recordings with their speakers, half with a language too."""
    table = pd.DataFrame({"path": [path.name for path in recordings]})
    table["speaker"] = [path.stem.split("-")[0] for path in recordings]
    table["language"] = ["en" if s in ("s0", "s1") else None for s in table["speaker"]]
    table.to_csv(root / "speakers.csv", index=False)
    return root / "speakers.csv"


@pytest.fixture(scope="module")
def finished(root, specs, tiny):
    """The run folder of a recipe, made when it is first asked for."""

    def run(name, road):
        out = root / f"{name}-{road}"
        backbone = tiny if road == "audio" else "acoustic"
        tuning = FineTuning("lora", adapters=4) if road == "audio" else FineTuning()
        terms = UNSEEN if name == "zero-shot" else {}
        protocol = Protocol([specs[0]], [specs[1]], [specs[2]], **terms)
        experiment = Experiment(name, to_plain(small(name)), protocol, 1, out, backbone, tuning)
        if not experiment.finished():
            METHODS[name].run(experiment, small(name), load_backbone(backbone))
        return out

    return run


@pytest.mark.parametrize(("name", "road"), CASES)
def test_any_set_of_recordings_is_recognised(
    name, road, finished, recordings, speakers, specs, root
):
    run = finished(name, road)
    model = cleser.load_model(run)
    exported = cleser.load_model(export(run, root / "exported" / f"{name}-{road}"))
    for count in COUNTS:
        some = recordings[:: len(recordings) // count][:count]
        ways = [{}, {"speakers": speakers}, {"speakers": speakers, "language": "en"}]
        ways += [{"together": True}, {"together": True, "language": "en"}] * (count > 1)
        for given in ways if count < max(COUNTS) else ways[:3:2]:
            found = model.predict(some, **given)
            assert found["path"].tolist() == [str(path) for path in some]
            shares = found[[f"p_{label}" for label in model.labels]].to_numpy()
            np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
            assert found["emotion"].tolist() == [model.labels[i] for i in shares.argmax(1)]
            assert found["reason"].isna().all()
        if count < max(COUNTS):
            pd.testing.assert_frame_equal(exported.predict(some, **given), found)
    if name == "sapa":
        recipe = model.run.networks[0].members[0].recipe
        assert recipe.uses_communities
        assert recipe.known_communities.found.any()


@pytest.mark.parametrize(("name", "road"), CASES)
def test_a_corpus_gets_the_probabilities_of_the_test(
    name, road, finished, recordings, speakers, specs
):
    """Named as a corpus, or as files with their speakers, in any order."""
    run = finished(name, road)
    tested = pd.read_parquet(run / "predictions.parquet")
    shares = [column for column in tested if column.startswith("p_")]
    expected = tested.groupby("utterance")[shares].mean()
    model = cleser.load_model(run)
    found = model.predict(corpora=[specs[1]]).set_index("utterance")
    np.testing.assert_allclose(found[shares], expected.loc[found.index], atol=1e-6)
    shuffled = [recordings[i] for i in np.random.default_rng(0).permutation(len(recordings))]
    mine = model.predict(shuffled, speakers=speakers, language="en")
    names = ["b/" + Path(path).stem for path in mine["path"]]
    np.testing.assert_allclose(mine[shares], expected.loc[names], atol=2e-5)


@pytest.mark.parametrize("name", ["erm", "sapa"])
def test_a_recording_alone_does_not_depend_on_the_others(name, finished, recordings, speakers):
    model = cleser.load_model(finished(name, "features"))
    for given in ({}, {"alone": True, "speakers": speakers}):
        among = model.predict(recordings[:40], **given).filter(like="p_").iloc[7]
        alone = model.predict([recordings[7]], **given).filter(like="p_").iloc[0]
        np.testing.assert_allclose(among, alone, atol=1e-5)
    together = model.predict(recordings[:40], speakers=speakers).filter(like="p_").iloc[7]
    assert np.abs(together - alone).max() > 1e-3


def features_of(spec, recordings):
    """Features of some recordings as they are kept: summaries, tokens, and how many tokens each has."""
    rows = load(spec).set_index("path").loc[[str(path) for path in recordings]].reset_index()
    features = extract_features(rows, load_backbone("acoustic"))
    return features.summaries, features.tokens, features.offsets.diff()


@pytest.mark.parametrize("name", METHODS)
def test_the_module_behind_onnx_gives_what_a_lone_recording_gets(name, finished, specs, recordings):
    model = cleser.load_model(finished(name, "features"))
    expected = model.predict(recordings[:9], alone=True).filter(like="p_").to_numpy()
    assert expected.std(0).max() > 1e-3  # recordings differ
    module = Classifier(model.run).eval()
    (found,) = module(*features_of(specs[1], recordings[:9])[: len(module.inputs)])
    np.testing.assert_allclose(found.detach(), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["classical", "probe", "sapa"])
def test_onnx_gives_what_a_lone_recording_gets(name, finished, specs, recordings, tmp_path):
    """From features as they are kept, of other numbers of utterances and tokens than it was made with."""
    folder = export(finished(name, "features"), tmp_path / "exported", onnx="features")
    model = cleser.load_model(folder)
    expected = model.predict(recordings[:9], alone=True).filter(like="p_")
    names = Classifier(model.run).inputs
    inputs = dict(zip(names, features_of(specs[1], recordings[:9]), strict=False))
    found = outputs_of(folder / "classifier.onnx", inputs)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert "classifier.onnx" in (folder / "README.md").read_text()


@pytest.mark.parametrize("terms", [{"normalisation": "utterance"}, {}], ids=["utterance", "depth"])
def test_onnx_of_tokens_standardised_by_themselves_and_in_context(
    terms, specs, root, tmp_path, recordings
):
    config = small("erm")
    model = replace(config.model, depth=0 if terms else 1, token_view=True, token_scale=1.0)
    config = replace(config, model=model)
    experiment = Experiment(
        "erm", to_plain(config), Protocol([specs[0]], [specs[2]], **terms), 1, tmp_path / "run"
    )
    METHODS["erm"].run(experiment, config, load_backbone("acoustic"))
    folder = export(tmp_path / "run", tmp_path / "exported", onnx="features")
    names = ("summaries", "tokens", "counts")
    inputs = dict(zip(names, features_of(specs[1], recordings[:5]), strict=True))
    found = outputs_of(folder / "classifier.onnx", inputs)["probabilities"]
    expected = cleser.load_model(folder).predict(recordings[:5], alone=True).filter(like="p_")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_module_behind_onnx_of_a_run_from_audio_takes_recordings(
    finished, recordings, tmp_path
):
    """With the seed's own tuned backbone, tokens and all, whatever recordings are padded with."""
    run = finished("erm", "audio")
    with pytest.raises(ValueError, match="erm was trained from audio"):
        export(run, tmp_path / "exported", onnx="features")
    assert not (tmp_path / "exported").exists()
    network = CleserForAudioClassification.from_pretrained(run)
    waveforms = [load_audio(p)[: 8000 - 2000 * i] for i, p in enumerate(recordings[:3])]
    expected = [network(wave[None]).logits.softmax(-1)[0] for wave in waveforms]
    module = RecordingClassifier(network.run).eval()
    padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True, padding_value=0.5)
    with torch.no_grad():
        (found,) = module(padded, torch.tensor([len(wave) for wave in waveforms]))
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)


def test_languages_that_nobody_knows_are_one_more(finished, recordings, root):
    """Speakers of a known and of an unknown language stand beside each other in SAPA's graphs."""
    model = cleser.load_model(finished("sapa", "features"))
    table = pd.DataFrame({"path": [str(p) for p in recordings]})
    table["speaker"] = [None if i % 3 else p.stem[:2] for i, p in enumerate(recordings)]
    table["language"] = [("en", None, "fr")[i % 3] for i in range(len(recordings))]
    found = model.predict(recordings, speakers=table)
    assert found["emotion"].notna().all()
    torch.testing.assert_close(
        torch.tensor(found.filter(like="p_").to_numpy()).sum(1),
        torch.ones(len(found), dtype=torch.float64),
        atol=1e-5, rtol=0,
    )  # fmt: skip
    twins = model.predict([recordings[0]] * 5, together=True)  # at their mean, without a direction
    assert twins.filter(like="p_").drop_duplicates().shape[0] == 1
