"""Arousal, valence and dominance from a manifest to predictions, results and a report."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import cleser
from cleser.cli import main
from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.evaluation import compare_runs, report, show_robustness, table
from cleser.evaluation.concordance import ccc as concordance
from cleser.evaluation.concordance import moment_matrix
from cleser.experiments.bench import Direction, Matrix, tabulate
from cleser.experiments.bench import cells_of as cells
from cleser.experiments.data import Data
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.export.onnx_model import outputs_of
from cleser.experiments.methods import METHODS
from cleser.experiments.prediction.evaluate import evaluate
from cleser.experiments.prediction.recogniser import load_model
from cleser.experiments.prediction.robustness import measure_robustness
from cleser.features.stored import extract_features
from cleser.losses import concordance_loss
from cleser.models import ModelConfig
from cleser.recipes.attributes import attribute_loss, dev_ccc
from cleser.recipes.erm import ERMConfig
from cleser.recipes.probe import Probe, ProbeConfig
from cleser.settings import to_plain
from cleser.speech import load_backbone
from cleser.training.loop import TrainingConfig
from cleser.training.recipe import Task
from cleser.training.vocabulary import Vocabulary
from tests.corpora.trees import write_corpus

QUICK = ERMConfig(
    ModelConfig(dim=16, input_dropout=0.0, dropout=0.1),
    TrainingConfig(epochs=8, batch_size=8, learning_rate=1e-2),
)
ORDER = {"anger": 0, "happiness": 1, "neutral": 2, "sadness": 3}  # pitch and level rise with it


def affective(folder, corpus, scale=(-1, 1), **options):
    """A corpus of tones whose pitch and level tell the arousal, on a scale."""
    spec = write_corpus(folder, corpus, **options)
    path = Path(spec.removeprefix("manifest:"))
    rows = pd.read_csv(path)
    arousal = rows["emotion"].map(ORDER) / 3
    low, high = scale
    rows["arousal"] = low + arousal * (high - low)
    rows["valence"] = low + (1 - arousal) * (high - low)
    rows.loc[rows["utterance"].str.startswith("s1"), "valence"] = None
    rows["scale"] = f"{low}..{high}"
    rows.to_csv(path, index=False)
    return spec


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    root = tmp_path_factory.mktemp("affective")
    return (
        affective(root / "a", "a", (1, 7), language="de", speakers=4),
        affective(root / "b", "b", (1, 5), speakers=3, seed=1),
        write_corpus(root / "c", "c", language="fr", speakers=2, seed=2),
    )


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def protocol(specs, task="avd", **terms):
    return Protocol([specs[0]], [specs[1]], task=task, attributes=("arousal", "valence"), **terms)


def run(terms, out, config=QUICK, seeds=1, name="erm"):
    experiment = Experiment(name, to_plain(config), terms, seeds, out)
    return METHODS[name].run(experiment, config, load_backbone("acoustic"))


@pytest.fixture(scope="module")
def runs(specs, cache, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for task in ("avd", "both"):
        run(protocol(specs, task), root / task)
        run(protocol(specs, task), root / f"probe-{task}", ProbeConfig(), name="probe")
    return root


@pytest.mark.parametrize("task", ["avd", "both", "probe-avd", "probe-both"])
def test_arousal_is_learned_across_languages_and_scales(runs, task):
    results = json.loads((runs / task / "results.json").read_text())
    assert results["ccc_arousal"]["mean"] > 0.6
    assert results["ccc_valence"]["ci95"][0] is not None
    assert ("uar" in results) == task.endswith("both")
    predictions = pd.read_parquet(runs / task / "predictions.parquet")
    assert predictions[["predicted_arousal", "predicted_valence"]].abs().max().max() <= 1
    single = predictions[predictions["seed"] == 0]
    t, p = (torch.tensor(single[n].to_numpy()) for n in ("arousal", "predicted_arousal"))
    expected = 1 - concordance_loss(p, t).item()
    assert results["ccc_arousal"]["seeds"][0] == pytest.approx(expected, abs=1e-9)
    known = single["valence"].notna()
    assert 0 < known.sum() < len(single)
    error = (single["valence"] - single["predicted_valence"])[known]
    expected = np.sqrt((error**2).mean())
    assert results["rmse_valence"]["seeds"][0] == pytest.approx(expected, abs=1e-9)


def test_the_terms_stand_in_the_protocol_and_its_hash(runs, specs):
    said = json.loads((runs / "avd" / "protocol.json").read_text())
    assert said["classes"] == []
    assert said["attributes"] == ["arousal", "valence"]
    hashes = {
        terms.load().hash
        for terms in (
            protocol(specs),
            protocol(specs, "both"),
            Protocol([specs[0]], [specs[1]]),
            Protocol([specs[0]], [specs[1]], task="avd", attributes=("arousal",)),
        )
    }
    assert len(hashes) == 4


def test_no_attribute_of_the_target_reaches_training(specs):
    cast = protocol(specs).load()
    data = Data(cast, load_backbone("acoustic"), auxiliary=False)
    adapt = data.target.subset(cast.parts(0).adapt)
    assert len(adapt)
    assert adapt.labels["attributes"].isnan().all()
    assert not data.target.labels["attributes"].isnan().all()


def test_report_table_and_comparison_know_attributes(runs, tmp_path):
    folders = [runs / "avd", runs / "both"]
    page = report(folders[:1], tmp_path / "report.html").read_text()
    assert "Predicted attributes against the truth" in page
    assert "Mean error of each speaker" in page
    assert table(folders).row_count == 2 or table(folders).row_count == 1
    found = compare_runs(runs / "avd", runs / "both", force=True).differences
    assert set(found) == {"ccc"} | {
        f"{m}_{a}" for m in ("ccc", "rmse") for a in ("arousal", "valence")
    }
    means = [json.loads((folder / "results.json").read_text())["ccc"]["mean"] for folder in folders]
    assert found["ccc"].difference == pytest.approx(means[1] - means[0], abs=1e-9)


@pytest.mark.parametrize("task", ["avd", "both", "probe-avd"])
def test_a_finished_run_is_evaluated_and_predicts(runs, specs, task, tmp_path, capsys):
    results = evaluate(runs / task, (specs[1],), out=tmp_path / "on-b")
    own = json.loads((runs / task / "results.json").read_text())
    assert results["ccc_arousal"]["mean"] == pytest.approx(own["ccc_arousal"]["mean"], abs=1e-5)
    csv, lines = tmp_path / "found.csv", tmp_path / "found.json"
    args = ["predict", str(runs / task), "--corpus", specs[1]]
    assert main([*args, "--csv", str(csv), "--json-file", str(lines)]) == 0
    found = pd.read_csv(csv).set_index("utterance")
    tested = pd.read_parquet(runs / task / "predictions.parquet").groupby("utterance")
    expected = tested["predicted_arousal"].mean()
    np.testing.assert_allclose(found.loc[expected.index, "arousal"], expected, atol=1e-5)
    first = json.loads(lines.read_text())[0]
    assert ("emotion" in first) == ("probabilities" in first) == (task == "both")
    assert {"arousal", "valence"} <= set(first)
    assert main(args) == 0
    assert "arousal" in capsys.readouterr().out


def test_corpora_without_attributes_are_refused(specs, tmp_path):
    with pytest.raises(ValueError, match=r"manifest:.*c.manifest.csv: no utterance has any of"):
        Protocol([specs[0]], [specs[2]], task="avd").load()
    with pytest.raises(ValueError, match=r"the source .* has no dominance, expected all of"):
        Protocol([specs[0]], [specs[1]], task="both").load()
    with pytest.raises(ValueError, match="attributes are \\['anger'\\]"):
        Protocol([specs[0]], [specs[1]], task="avd", attributes=("anger",))


def test_other_recipes_refuse_before_any_work(specs, tmp_path, capsys):
    args = ["--source", specs[0], "--target", specs[1], "--out", str(tmp_path / "out")]
    assert main(["run", "sapa", *args, "--task", "avd"]) == 2
    assert "sapa learns emotions alone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    task = Task(2, 8, Vocabulary((), ("s",), ("de",), ("a",), (), ("arousal",)), "weighted")
    with pytest.raises(ValueError, match="Coral learns emotions alone"):
        METHODS["coral"].build(METHODS["coral"].config(), task)
    with pytest.raises(ValueError, match="match_prior and rounds are about classes"):
        Probe.fit(ProbeConfig(rounds=1), None, None, torch.zeros(0))
    with pytest.raises(ValueError, match="match_prior is about classes"):
        METHODS["erm"].build(ERMConfig(match_prior=True), task)


def test_a_bench_has_a_row_of_attributes(runs, specs, tmp_path):
    matrix = Matrix(
        directions=(_direction(),),
        recipes=("erm",),
        terms={"task": "avd", "attributes": ["arousal"]},
    )
    (cell,) = cells(matrix, {"a": specs[0], "b": specs[1]}, tmp_path)
    assert cell.protocol.task == "avd"
    row = tabulate([cell._replace(folder=runs / "avd")]).iloc[0]
    own = json.loads((runs / "avd" / "results.json").read_text())
    assert row["ccc"] == pytest.approx(100 * own["ccc"]["mean"])
    assert "uar" not in row
    with pytest.raises(ValueError, match="sapa learns emotions alone"):
        list(
            cells(
                Matrix((_direction(),), ("sapa",), terms=matrix.terms),
                {"a": specs[0], "b": specs[1]},
                tmp_path,
            )
        )


def _direction():
    return Direction(("a",), ("b",))


def test_what_a_corpus_does_not_know_leaves_its_other_attributes_in():
    """By loops over the attributes of each corpus; of an attribute that nobody knows, no number is made up."""
    torch.manual_seed(0)
    found, actual = torch.rand(2, 12, 2) - 0.5
    actual[:6, 1] = torch.nan
    corpora = [torch.arange(12) < 6, torch.arange(12) >= 6]
    single = [
        float(concordance(moment_matrix(actual[at, a], found[at, a])))
        for at, a in ((slice(0, 6), 0), (slice(6, 12), 0), (slice(6, 12), 1))
    ]
    assert dev_ccc(found, actual, corpora) == pytest.approx(sum(single) / 3, abs=1e-6)
    assert dev_ccc(found, torch.full_like(actual, torch.nan), corpora) == 0


def test_the_loss_leaves_out_what_is_not_known():
    torch.manual_seed(0)
    predicted, actual = torch.randn(2, 8, 2)
    actual[2:5, 0] = torch.nan
    predicted.requires_grad_()
    found = attribute_loss(predicted, actual)
    kept = [0, 1, 5, 6, 7]
    expected = concordance_loss(predicted[kept, 0], actual[kept, 0])
    expected = expected + concordance_loss(predicted[:, 1], actual[:, 1])
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    (gradient,) = torch.autograd.grad(found, predicted)
    assert (gradient[2:5, 0] == 0).all()
    assert gradient.isfinite().all()
    nothing = attribute_loss(predicted, torch.full_like(actual, torch.nan))
    assert nothing.item() == 0


def test_a_run_of_attributes_is_exported_with_its_card_and_as_onnx(runs, specs, tmp_path):
    for name in ("probe-both", "avd"):
        folder = export(runs / name, tmp_path / name, onnx="features")
        model = load_model(folder)
        recordings = load(specs[1])["path"].tolist()[:4]
        expected = model.predict(recordings, alone=True)
        features = extract_features(load(specs[1])[:4], load_backbone("acoustic"))
        written = folder / "classifier.onnx"
        assert str(Path(cleser.__file__).parent).encode() not in written.read_bytes()
        found = outputs_of(written, {"summaries": features.summaries})
        assert ("probabilities" in found) == (name == "probe-both")
        wanted = expected[["arousal", "valence"]].to_numpy()
        np.testing.assert_allclose(found["attributes"], wanted, atol=1e-4)
        card = (folder / "README.md").read_text()
        assert "Estimates arousal, valence of speech, from -1 to 1." in card
        number = r"-?\d\.\d{3}"
        cell = rf"{number}( ± {number})?( \({number} to {number}\))?"
        assert re.search(rf"^\| arousal \| {cell} \| {cell} \|$", card, re.MULTILINE)
        own = round(json.loads((runs / name / "results.json").read_text())["ccc"]["mean"], 4)
        assert f"name: mean concordance correlation coefficient, value: {own}}}" in card
        assert ("UAR" in card) == (name == "probe-both")


def test_robustness_of_attributes_is_of_their_mean_ccc(runs, tmp_path):
    conditions = measure_robustness(runs / "probe-avd", files=8, quick=True, out=tmp_path / "worse")
    clean = pd.read_parquet(tmp_path / "worse" / "clean-0.parquet")
    noisy = pd.read_parquet(tmp_path / "worse" / "noise-speech-0.parquet")
    assert conditions[0]["kind"] == "clean"
    assert conditions[0]["change"]["mean"] == 0

    def ccc(rows):
        pairs = [(rows[n], rows[f"predicted_{n}"]) for n in ("arousal", "valence")]
        return np.mean([float(concordance(moment_matrix(t, p))) for t, p in pairs])

    by_name = {(row["kind"], row["value"]): row for row in conditions}
    row = by_name["noise speech", 0]
    assert row["ccc"]["mean"] == pytest.approx(ccc(noisy))
    assert row["change"]["mean"] == pytest.approx(ccc(noisy) - ccc(clean))
    assert "uar" not in row
    shown = show_robustness(conditions).renderables[0]
    assert [column.header for column in shown.columns][1] == "mean CCC"
