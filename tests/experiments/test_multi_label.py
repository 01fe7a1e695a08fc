"""Several emotions at once, from a manifest with votes to predictions, results, a report and labels of recordings."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

import cleser
from cleser.cli import main
from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.evaluation import report
from cleser.experiments import neural
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.export.onnx_model import outputs_of
from cleser.experiments.methods import METHODS
from cleser.models import ModelConfig
from cleser.recipes.erm import ERMConfig
from cleser.recipes.sapa import SAPAConfig
from cleser.settings import to_plain
from cleser.speech import extract_features, load_audio, load_backbone
from cleser.training.loop import TrainingConfig
from cleser.training.recognition import embedded
from tests.corpora.trees import EMOTIONS, write_corpus

CONFIG = ERMConfig(
    ModelConfig(dim=16, input_dropout=0.0, dropout=0.1),
    TrainingConfig(epochs=3, batch_size=8, learning_rate=1e-2),
    targets="multi",
)


def with_votes(folder, corpus, **options):
    """A corpus of which two annotators hear the emotion, and a third the next one where the take is odd."""
    spec = write_corpus(folder, corpus, takes=2, **options)
    path = Path(spec.removeprefix("manifest:"))
    rows = pd.read_csv(path)
    own = rows["emotion"].map(EMOTIONS.index)
    odd = rows["utterance"].str.endswith("1")
    for k, name in enumerate(EMOTIONS):
        rows[f"votes.{name}"] = 2 * (own == k) + (odd & ((own + 1) % 4 == k))
    rows.to_csv(path, index=False)
    return spec


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    root = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        source = with_votes(root / "a", "a", language="de")
        target = with_votes(root / "b", "b", speakers=3, seed=1)
        experiment = Experiment(
            "erm", to_plain(CONFIG), Protocol((source,), (target,)), 2, root / "run"
        )
        METHODS["erm"].run(experiment, CONFIG, load_backbone("acoustic"))
        yield root / "run", target


def test_a_run_has_the_truths_the_sigmoids_and_their_metrics(ran):
    folder, _ = ran
    rows = pd.read_parquet(folder / "predictions.parquet")
    own = rows["emotion"].map(EMOTIONS.index).to_numpy()
    odd = rows["utterance"].str.endswith("1").to_numpy()
    classes = json.loads((folder / "protocol.json").read_text())["classes"]
    for name in classes:  # a third of the votes is more than a quarter
        k = EMOTIONS.index(name)
        assert rows[f"true_{name}"].tolist() == ((own == k) | (odd & ((own + 1) % 4 == k))).tolist()
    sigmoids = rows[[f"sigmoid_{name}" for name in classes]].to_numpy()
    logits = np.log(sigmoids / (1 - sigmoids))
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(rows[[f"p_{name}" for name in classes]], softmax, atol=1e-5)
    assert rows["predicted"].tolist() == [classes[k] for k in sigmoids.argmax(1)]
    results = json.loads((folder / "results.json").read_text())
    first = (rows["seed"] == 0).to_numpy()
    truth = rows.loc[first, [f"true_{name}" for name in classes]].to_numpy()
    expected = f1_score(truth, sigmoids[first] >= 0.5, average="macro")
    assert results["multi_label_f1"]["seeds"][0] == pytest.approx(expected)
    assert results["multi_label_f1"]["covers"] == "speakers and seeds"
    assert {"average_precision", "exact_match", "uar", "kl"} <= results.keys()
    assert "development.parquet" in {path.name for path in folder.iterdir()}


def test_predict_gives_what_the_run_gave(ran, tmp_path, capsys):
    folder, target = ran
    table = cleser.load_model(folder).predict(corpora=[target])
    rows = pd.read_parquet(folder / "predictions.parquet")
    sigmoids = rows.filter(regex="^sigmoid_")
    means = sigmoids.groupby(rows["utterance"]).mean().loc[table["utterance"]]
    assert np.allclose(table[[*sigmoids]], means, atol=1e-5)
    names = [name.removeprefix("sigmoid_") for name in sigmoids]
    expected = [
        ";".join(n for n, there in zip(names, row, strict=True) if there)
        for row in (table[[*sigmoids]] >= 0.5).to_numpy()
    ]
    assert table["emotions"].tolist() == expected
    silent = Path(target.removeprefix("manifest:")).parent / "nothing.wav"
    silent.write_bytes(b"")
    one = silent.parent / "s0-anger-1.wav"
    assert main(["predict", str(folder), str(one), str(silent), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert set(said[0]["sigmoids"]) == set(names)
    assert isinstance(said[0]["emotions"], str)
    assert (said[1]["emotions"], said[1]["sigmoids"]) == (None, None)


def test_report_card_and_terminal_name_the_metrics(ran, tmp_path, capsys):
    folder, _ = ran
    page = report([folder], tmp_path / "report.html").read_text()
    card = (export(folder, tmp_path / "model") / "README.md").read_text()
    main(["evaluate", str(folder)])
    for text in (page, capsys.readouterr().out):
        assert "multi-label macro-F1" in text
        assert "macro average precision" in text
    assert "| all emotions right |" in card


def test_exported_models_give_the_probability_of_each_emotion(ran, tmp_path):
    import onnxruntime
    from transformers import pipeline

    from cleser.experiments import transformers_model  # noqa: F401  (registers the classes)

    run, target = ran
    folder = export(run, tmp_path / "model", onnx="features")
    recordings = sorted(Path(target.removeprefix("manifest:")).parent.glob("s0-*.wav"))[:3]
    alone = cleser.load_model(folder).predict(recordings, alone=True)
    expected = alone.filter(regex="^sigmoid_").to_numpy()
    assert np.ptp(expected.sum(1)) > 1e-3  # they do not sum to one

    classify = pipeline("audio-classification", model=str(folder), device="cpu")
    assert classify.model.config.decided_at == 0.5
    for path, row in zip(recordings, alone.to_dict("records"), strict=True):
        raw = load_audio(path).numpy()
        for answer in classify({"raw": raw, "sampling_rate": 16000}):
            assert answer["score"] == pytest.approx(row[f"sigmoid_{answer['label']}"], abs=1e-5)

    rows = load(target).set_index("path").loc[[str(path) for path in recordings]]
    features = extract_features(rows.reset_index(), load_backbone("acoustic"))
    model = folder / "classifier.onnx"
    found = outputs_of(model, {"summaries": features.summaries})
    np.testing.assert_allclose(found["sigmoids"], expected, atol=1e-4)
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, atol=1e-5)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert float(said["decided_at"]) == 0.5


def test_votes_of_the_source_are_enough_to_learn_from_a_target_without(tmp_path, monkeypatch):
    """Pseudo-labels of the target count whole there."""
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    source = with_votes(tmp_path / "a", "a", language="de")
    target = write_corpus(tmp_path / "b", "b", takes=2, speakers=3, seed=1)
    config = SAPAConfig(
        CONFIG.model, TrainingConfig(epochs=3, batch_size=8), targets="soft", phoneme_weight=0.0
    )
    experiment = Experiment(
        "sapa", to_plain(config), Protocol((source,), (target,)), 1, tmp_path / "run"
    )
    METHODS["sapa"].run(experiment, config, load_backbone("acoustic"))
    last = pd.read_json(tmp_path / "run" / "metrics.jsonl", lines=True).iloc[-1]
    assert np.isfinite(last["train_target"])


def test_utterances_are_recognised_once(ran, monkeypatch):
    """Emotion, embedding and the probability of each emotion come of one pass; other utterances are another."""
    run, target = ran
    passes = []
    monkeypatch.setattr(neural, "embedded", lambda *args: passes.append(1) or embedded(*args))
    cleser.load_model(run).predict(corpora=[target])
    assert len(passes) == 2  # of two seeds
    cleser.load_model(run).predict(corpora=[target], alone=True)
    assert len(passes) == 4
