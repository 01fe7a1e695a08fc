"""Runs on the hub: what is uploaded, and what is opened by name, on a hub of files in its cache's own layout."""

import inspect
import shutil

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.utils import filter_repo_objects

import cleser
from cleser.cli import main
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export, hub
from cleser.recipes import METHODS
from cleser.settings import to_plain
from cleser.speech import load_audio, load_backbone
from tests.corpora.trees import write_corpus

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        specs = (write_corpus(root / "a", "a", speakers=4), write_corpus(root / "b", "b", seed=1))
        config = METHODS["probe"].config()
        protocol = Protocol([specs[0]], [specs[1]])
        experiment = Experiment("probe", to_plain(config), protocol, 1, root / "run")
        METHODS["probe"].run(experiment, config, load_backbone("acoustic"))
    return root / "run"


class Files:
    """A hub of files: what is uploaded lands in the cache, as a download of it would. Calls must be HfApi's own."""

    def __init__(self, cache):
        self.cache = cache

    def create_repo(self, *args, **kwargs):
        inspect.signature(HfApi.create_repo).bind(self, *args, **kwargs)

    def upload_folder(self, **kwargs):
        given = inspect.signature(HfApi.upload_folder).bind(self, **kwargs).arguments
        there = [p for p in given["folder_path"].rglob("*") if p.is_file()]
        names = [p.relative_to(given["folder_path"]).as_posix() for p in there]
        repository = self.cache / f"models--{given['repo_id'].replace('/', '--')}"
        for name in filter_repo_objects(names, allow_patterns=given["allow_patterns"]):
            target = repository / "snapshots" / COMMIT / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(given["folder_path"] / name, target)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
        address = f"https://huggingface.co/{given['repo_id']}/commit/{COMMIT}"
        return CommitInfo(address, given["commit_message"], "", COMMIT)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Files(tmp_path / "hub")


def test_what_was_uploaded_is_opened_by_name(run, files, tmp_path):
    folder = export(run, tmp_path / "model")
    (folder / "notes.txt").write_text("mine")  # is no part of a run
    assert hub.push(folder, "someone/emotions", api=files).endswith(f"/commit/{COMMIT}")
    sent = tmp_path / "hub" / "models--someone--emotions" / "snapshots" / COMMIT
    assert {p.name for p in sent.iterdir()} == {
        *(
            "README.md",
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "results.json",
        )
    }
    recordings = sorted((run.parent / "b").glob("*.wav"))[:3]
    expected = cleser.load_model(folder).predict(recordings)
    for name in ("someone/emotions", f"someone/emotions@{COMMIT}"):
        pd.testing.assert_frame_equal(cleser.load_model(name).predict(recordings), expected)
    card = yaml.safe_load((sent / "README.md").read_text().split("---")[1])
    metrics = {m["type"]: m["value"] for m in card["model-index"][0]["results"][0]["metrics"]}
    assert 0 <= metrics["uar"] <= 1


def test_a_pipeline_of_transformers_gives_what_a_lone_recording_gets(run, files, tmp_path):
    from transformers import pipeline

    from cleser.experiments import transformers_model  # noqa: F401  (registers the classes)

    folder = export(run, tmp_path / "model")
    recordings = sorted((run.parent / "b").glob("*.wav"))[:3]
    expected = cleser.load_model(folder).predict(recordings, alone=True)
    classify = pipeline("audio-classification", model=str(folder), device="cpu", top_k=None)
    waveforms = [load_audio(path) for path in recordings]
    for wave, row in zip(waveforms, expected.to_dict("records"), strict=True):
        found = classify({"raw": wave.numpy(), "sampling_rate": 16000})
        assert found[0]["label"] == row["emotion"]
        for answer in found:
            assert answer["score"] == pytest.approx(row[f"p_{answer['label']}"], abs=1e-5)
    inputs = classify.feature_extractor(
        [wave.numpy() for wave in waveforms], sampling_rate=16000, padding=True, return_tensors="pt"
    )
    together = classify.model(**inputs).logits.softmax(-1)
    np.testing.assert_allclose(together, expected.filter(like="p_"), atol=1e-5)


def test_transformers_gets_the_revision_that_it_asks_for(run, files, tmp_path):
    from transformers import AutoModelForAudioClassification

    from cleser.experiments.transformers_model import CleserConfig, CleserForAudioClassification

    folder = export(run, tmp_path / "model")
    hub.push(folder, "someone/emotions", api=files)
    snapshots = tmp_path / "hub" / "models--someone--emotions" / "snapshots"
    older = snapshots / ("f" * 40)
    shutil.copytree(snapshots / COMMIT, older)
    shutil.rmtree(snapshots / COMMIT)  # main is not here any more
    name, config = "someone/emotions", CleserConfig.from_pretrained(folder)
    with pytest.raises(ValueError, match="cannot be opened from the hub"):
        CleserForAudioClassification.from_pretrained(name)
    for opened in (
        CleserForAudioClassification.from_pretrained(name, revision=older.name),
        AutoModelForAudioClassification.from_pretrained(name, config=config, revision=older.name),
        CleserForAudioClassification.from_pretrained(folder, revision="main"),
    ):
        assert opened.run.protocol.classes == ("anger", "happiness", "neutral", "sadness")


def test_what_would_be_uploaded_is_said(run, files, tmp_path, capsys):
    arguments = ["export", str(run), "--out", str(tmp_path / "model"), "--dry-run"]
    assert main([*arguments, "--push", "someone"]) == 2
    assert "--push someone is no name on the hub, expected OWNER/NAME" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert main([*arguments, "--push", "someone/emotions"]) == 0
    said = capsys.readouterr().out
    size = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert f"would upload model.safetensors ({size} bytes) to someone/emotions" in said
    assert not (tmp_path / "hub").exists()


def test_of_a_misspelt_run_those_beside_it_are_named(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("erm", "de-en", "no-run"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "erm" / "config.yaml").touch()
    (tmp_path / "runs" / "de-en" / "config.json").touch()
    assert main(["predict", "runs/nope", "a.wav"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "runs/nope: there is no such folder; runs holds the runs de-en, erm runs/nope" in said
    assert (
        main(["evaluate", "runs/emr", "--on", "synthetic:en"]) == 2
        and main(["export", "runs/emr", "--out", "x"]) == 2
    )
    assert "runs/emr: there is no such folder; did you mean erm?" in capsys.readouterr().err


def test_what_is_neither_here_nor_there_is_said(files, tmp_path):
    with pytest.raises(ValueError) as caught:
        cleser.load_model("no/thing")
    first, second = str(caught.value).split("\n")
    assert first == "no/thing: there is no such folder"
    assert second.startswith(
        "no/thing cannot be opened from the hub: its cache holds no such model"
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"found no README.md, config.json, model.safetensors"):
        hub.push(tmp_path / "empty", "someone/emotions", api=files)
