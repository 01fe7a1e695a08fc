"""Recordings recognised by a finished run, and the folder that it is handed on as."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file

import cleser
import cleser.corpora
from cleser.cli import main
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.prediction import recogniser
from cleser.models import ModelConfig
from cleser.recipes import METHODS, ERMConfig
from cleser.settings import to_plain
from cleser.speech import Alignment, load_backbone, write_textgrid
from cleser.training.loop import TrainingConfig
from tests.corpora.trees import write_corpus

CONFIG = ERMConfig(
    ModelConfig(dim=16, token_view=True, input_dropout=0.0, dropout=0.1),
    TrainingConfig(epochs=4, batch_size=8, learning_rate=5e-3),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("recogniser")


@pytest.fixture(scope="module")
def specs(root):
    return (
        write_corpus(root / "a", "a", language="de", speakers=6, takes=2),
        write_corpus(root / "b", "b", speakers=4, takes=2, seed=1),
    )


@pytest.fixture(scope="module")
def runs(root, specs):
    """One finished run for each way to standardise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        folders = {}
        for normalisation, access in (
            ("utterance", "audio"), ("speaker", "audio"), ("corpus", "nothing")
        ):  # fmt: skip
            protocol = Protocol(
                [specs[0]], [specs[1]], normalisation=normalisation, target_access=access
            )
            out = root / normalisation
            experiment = Experiment("erm", to_plain(CONFIG), protocol, 2, out)
            METHODS["erm"].run(experiment, CONFIG, load_backbone("acoustic"))
            folders[normalisation] = out
        yield folders


@pytest.fixture(scope="module")
def recordings(root):
    return sorted((root / "b").glob("*.wav"))


@pytest.mark.parametrize("normalisation", ["utterance", "corpus"])
def test_probabilities_are_those_of_the_test_averaged_over_seeds(runs, recordings, normalisation):
    """Where the protocol takes nothing from other recordings, a lone file gets what the test gave it."""
    found = cleser.load_model(runs[normalisation]).predict(recordings)
    tested = pd.read_parquet(runs[normalisation] / "predictions.parquet")
    shares = [name for name in tested.columns if name.startswith("p_")]
    expected = tested.groupby("utterance")[shares].mean()
    found["utterance"] = ["b/" + path.stem for path in recordings]
    found = found.set_index("utterance")
    np.testing.assert_allclose(found[shares], expected.loc[found.index], atol=1e-5)
    best = np.array(cleser.load_model(runs[normalisation]).labels)[
        found[shares].to_numpy().argmax(1)
    ]
    assert (found["emotion"] == best).all()


def test_a_speaker_brings_its_own_statistics_together(runs, recordings):
    """A whole speaker's recordings together get what the test gave them under speaker standardisation."""
    one = [path for path in recordings if path.stem.startswith("s1-")]
    model = cleser.load_model(runs["speaker"])
    tested = pd.read_parquet(runs["speaker"] / "predictions.parquet")
    shares = [name for name in tested.columns if name.startswith("p_")]
    expected = tested.groupby("utterance")[shares].mean().loc[["b/" + path.stem for path in one]]
    np.testing.assert_allclose(model.predict(one, together=True)[shares], expected, atol=1e-5)
    alone = model.predict(one)[shares]
    assert np.isfinite(alone.to_numpy()).all()
    assert np.abs(alone.to_numpy() - expected.to_numpy()).max() > 1e-3


def test_a_lone_recording_does_not_depend_on_its_neighbours(runs, recordings):
    model = cleser.load_model(runs["speaker"])
    together = model.predict(recordings[:6]).filter(like="p_")
    alone = pd.concat([model.predict([path]) for path in recordings[:6]]).filter(like="p_")
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_what_cannot_be_recognised_is_said(runs, recordings, tmp_path):
    model = cleser.load_model(runs["utterance"])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, "float32"), 16000)
    bad = [tmp_path / "broken.wav", tmp_path / "empty.wav", tmp_path / "missing.wav"]
    found = model.predict([bad[0], recordings[0], bad[1], recordings[0], bad[2]])
    assert found["path"].tolist() == [
        str(p) for p in (bad[0], recordings[0], bad[1], recordings[0], bad[2])
    ]
    assert found["emotion"].notna().tolist() == [False, True, False, True, False]
    assert found["reason"].isna().tolist() == [False, True, False, True, False]
    assert found.filter(like="p_").notna().all(axis=1).tolist() == [False, True, False, True, False]
    alone = model.predict([bad[0]])
    assert alone["reason"].str.contains("cannot be read").all()
    with pytest.raises(ValueError, match="there are no recordings"):
        model.predict([])
    with pytest.raises(ValueError, match="found 1 usable recordings of 1, expected two"):
        model.predict(recordings[:1], together=True)


def test_recordings_that_no_table_can_name_are_told_below_the_others(
    runs, recordings, tmp_path, capsys
):
    """By their folder and by themselves, and also where they are all that there is."""
    latin = tmp_path / os.fsdecode(b"caf\xe9.wav")
    latin.write_bytes(recordings[0].read_bytes())
    told = f"{tmp_path}/caf\\xe9.wav"
    command = ["predict", str(runs["speaker"]), "--csv", str(tmp_path / "a.csv"), "--json"]
    for paths in ([latin, recordings[0]], [recordings[0], tmp_path], [tmp_path]):
        assert main([*command, *map(str, paths)]) == 1
        printed = capsys.readouterr()
        assert f"no label: {told}: has a name that is not UTF-8: rename it" in printed.err
        written = pd.read_csv(tmp_path / "a.csv")
        assert written["path"].tolist() == [*([str(recordings[0])] * (len(paths) - 1)), told]
        assert written["emotion"].notna().tolist() == [*([True] * (len(paths) - 1)), False]


@pytest.mark.parametrize("together", [False, True])
def test_a_corpus_of_unusable_recordings_has_reasons(runs, tmp_path, monkeypatch, together):
    """However few of its recordings are looked at together, and if all of them are like that."""
    spec = write_corpus(tmp_path / "d", "d", speakers=1, takes=1)
    files = sorted((tmp_path / "d").glob("*.wav"))
    model = cleser.load_model(runs["speaker"])
    monkeypatch.setattr(recogniser, "_FILES", 1)
    files[1].write_bytes(b"RIFF")
    found = model.predict(corpora=[spec], alone=not together)
    assert found["emotion"].isna().tolist() == [False, True, *[False] * (len(files) - 2)]
    assert found["reason"].notna().tolist() == [False, True, *[False] * (len(files) - 2)]
    for path in files:
        path.write_bytes(b"RIFF")
    found = model.predict(corpora=[spec], alone=not together)
    assert found["emotion"].isna().all() and found["reason"].str.contains("cannot be read").all()


def test_what_is_too_short_to_be_recognised_is_neither_learned_nor_tested(
    root, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLESER_CACHE", str(root / "cache"))
    source = write_corpus(tmp_path / "a", "a", language="de", speakers=3, seed=7)
    target = write_corpus(tmp_path / "b", "b", speakers=3, seed=8)
    for folder in ("a", "b"):
        path = tmp_path / folder / "s0-anger-0.wav"
        soundfile.write(path, soundfile.read(path)[0][:3000], 16000)
    out = tmp_path / "run"
    experiment = Experiment("classical", {}, Protocol([source], [target]), 1, out)
    results = METHODS["classical"].run(
        experiment, METHODS["classical"].config(), load_backbone("acoustic")
    )
    why = "lasts 0.188 s, expected 0.2 s or more"
    assert [row["reason"] for row in results["left_out"]] == [why, why]
    assert results["n_utterances"] == 11
    found = cleser.load_model(out).predict(corpora=[target])
    assert found[found["reason"].notna()]["reason"].tolist() == [why]
    shares = found.dropna(subset="p_anger").set_index("utterance").filter(like="p_")
    tested = pd.read_parquet(out / "predictions.parquet").set_index("utterance")
    np.testing.assert_allclose(shares, tested.loc[shares.index, shares.columns], atol=1e-6)


def test_a_second_row_is_no_recording_without_a_label(runs, tmp_path):
    spec = write_corpus(tmp_path / "d", "d", speakers=1, takes=1)
    path = tmp_path / "d" / "manifest.csv"
    rows = pd.read_csv(path).drop(columns="utterance")
    pd.concat([rows, rows.head(1)]).to_csv(path, index=False)
    found = cleser.load_model(runs["utterance"]).predict(corpora=[spec])
    assert found["emotion"].notna().tolist() == [True] * len(rows)


def test_where_an_utterance_of_a_corpus_ends_is_found_though_its_header_does_not_say(
    runs, tmp_path
):
    spec = write_corpus(tmp_path / "d", "d", speakers=1, takes=1)
    path = next((tmp_path / "d").glob("*.wav"))
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    samples = int.from_bytes(content[at : at + 4], "little") // 2
    content[at : at + 4] = bytes(4)
    path.write_bytes(content)
    found = cleser.load_model(runs["utterance"]).predict(corpora=[spec])
    assert found.set_index("path")["end"][str(path)] == pytest.approx(samples / 16000)


def test_an_exported_model_predicts_the_same(runs, recordings, tmp_path):
    out = export(runs["speaker"], tmp_path / "deep" / "model")
    assert {path.name for path in out.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "preprocessor_config.json", "results.json"
    }  # fmt: skip
    pd.testing.assert_frame_equal(
        cleser.load_model(out).predict(recordings),
        cleser.load_model(runs["speaker"]).predict(recordings),
    )
    with pytest.raises(ValueError, match="is not empty"):
        export(runs["speaker"], out)


def test_nothing_private_leaves_with_an_export(runs, root, tmp_path):
    out = export(runs["speaker"], tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").read_bytes()
    for path in out.iterdir():
        content = path.read_bytes()
        assert str(root).encode() not in content
        assert b"a/s1" not in content
    config = json.loads((out / "config.json").read_text())
    assert config["protocol"]["source"] == ["manifest"]


def test_the_folder_of_a_split_stays_here(runs, root, recordings, tmp_path):
    run = Path(shutil.copytree(runs["utterance"], tmp_path / "run"))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["protocol"] |= {"split": str(root / "lists" / "mine.csv"), "fold": "1"}
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    out = export(run, tmp_path / "model")
    assert json.loads((out / "config.json").read_text())["protocol"]["split"] == "mine.csv"
    assert not any(str(root).encode() in path.read_bytes() for path in out.iterdir())
    assert cleser.load_model(out).predict(recordings[:1])["emotion"].notna().all()


def test_the_card_says_what_was_measured(runs, tmp_path):
    out = export(runs["speaker"], tmp_path / "model")
    card = (out / "README.md").read_text()
    results = json.loads((runs["speaker"] / "results.json").read_text())
    _, front, body = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["language"] == ["de", "en"]
    metrics = head["model-index"][0]["results"][0]["metrics"]
    assert metrics[0]["value"] == pytest.approx(results["uar"]["mean"], abs=1e-4)
    low, high = results["uar"]["ci95"]
    assert f"[{100 * low:.1f}, {100 * high:.1f}]" in body
    assert f"Protocol `{results['protocol']}`" in body
    assert "## Intended use" in body
    assert "## Limits" in body
    before = results["calibration"]["before"]["ece"]["mean"]
    assert f"| calibration error (ECE) | {100 * before:.1f} % |" in body
    assert "fitted to the source's development speakers" in body
    assert results["gender"]["notes"][0] in body


def test_a_folder_without_a_model_is_refused(tmp_path, runs):
    with pytest.raises(ValueError, match=r"neither config\.yaml nor config\.json"):
        cleser.load_model(tmp_path)
    (tmp_path / "config.yaml").write_text((runs["speaker"] / "config.yaml").read_text())
    with pytest.raises(ValueError, match=r"no model\.safetensors"):
        cleser.load_model(tmp_path)


def test_a_model_of_transformers_is_said_to_be_a_backbone(tmp_path, runs, recordings, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2", "hidden_size": 8}')
    said = rf"{tmp_path} holds a model of transformers \(wav2vec2\).* --backbone {tmp_path}"
    with pytest.raises(ValueError, match=said):
        cleser.load_model(tmp_path)
    for command in (["predict", str(recordings[0])], ["export", "--out", str(tmp_path / "out")]):
        assert main([command[0], str(tmp_path), *command[1:]]) == 2
        assert re.match(f"error: {said}", capsys.readouterr().err)
    shutil.copy(runs["speaker"] / "config.yaml", tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"model\.safetensors does not say what its weights are"):
        cleser.load_model(tmp_path)


def test_what_was_copied_in_part_is_named(tmp_path, runs):
    run = shutil.copytree(runs["speaker"], tmp_path / "run")
    settings, model = run / "config.yaml", run / "model.safetensors"
    whole = settings.read_text()
    lines = whole.splitlines(keepends=True)
    for count in range(lines.index("config:\n")):
        settings.write_text("".join(lines[:count]))
        with pytest.raises(ValueError, match=r"config\.yaml (lacks|holds nothing)"):
            cleser.load_model(run)
    settings.write_text("".join(lines[: lines.index("config:\n") + 1]))
    with pytest.raises(ValueError, match=r"config\.yaml: config is None, expected names"):
        cleser.load_model(run)
    settings.write_text(whole)
    model.write_bytes(model.read_bytes()[:-10])
    with pytest.raises(ValueError, match=rf"^{model} is cut off or damaged .*anew$"):
        cleser.load_model(run)


def test_json_stands_alone_on_the_standard_output(runs, recordings, tmp_path, capsys):
    out = tmp_path / "a.csv"
    command = ["predict", str(runs["speaker"]), str(recordings[0]), "--json", "--csv", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 1
    assert f"1 rows, 0 of them without a label: {out}" in printed.err


def test_the_command_writes_json_and_csv(runs, recordings, tmp_path, capsys):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    files = [str(tmp_path / "broken.wav"), str(recordings[0]), str(recordings[5])]
    assert main(["predict", str(runs["speaker"]), *files, "--json"]) == 1
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert [row["path"] for row in rows] == files
    assert rows[0]["emotion"] is None
    assert rows[0]["probabilities"] is None
    assert "cannot be read" in rows[0]["reason"]
    assert sum(rows[1]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert rows[1]["reason"] is None
    assert rows[1]["end"] == pytest.approx(soundfile.info(files[1]).duration)
    assert "standardised by the source's statistics, since no speakers were given" in printed.err
    assert "no label" in printed.err
    assert "broken.wav" in printed.err
    for_csv = ["--csv", str(tmp_path / "a.csv"), "--json-file", str(tmp_path / "a.json")]
    assert main(["predict", str(runs["speaker"]), *files, *for_csv]) == 1
    assert json.loads((tmp_path / "a.json").read_text()) == rows
    written = pd.read_csv(tmp_path / "a.csv")
    assert written["path"].tolist() == files
    assert written["emotion"].isna().tolist() == [True, False, False]
    assert written["reason"].notna().tolist() == [True, False, False]
    for row, (_, line) in zip(rows[1:], written[1:].iterrows(), strict=True):
        assert line["emotion"] == row["emotion"]
        assert line["p_anger"] == pytest.approx(row["probabilities"]["anger"], abs=1e-6)
    assert main(["predict", str(runs["speaker"]), *files[1:], "--json"]) == 0
    assert not list(tmp_path.glob("*.part"))
    assert main(["predict", str(tmp_path), files[1]]) == 2
    assert main(["export", str(runs["speaker"]), "--out", str(tmp_path / "out")]) == 0


def test_naming_the_package_costs_no_model(tmp_path):
    """``import cleser`` alone loads neither torch nor pandas."""
    script = "import cleser, sys; assert not {'torch', 'pandas'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'loud_model'"):
        cleser.loud_model  # noqa: B018


def test_weights_of_all_seeds_are_exported(runs, tmp_path):
    out = export(runs["speaker"], tmp_path / "model")
    one, other = (load_file(f / "model.safetensors") for f in (runs["speaker"], out))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert {name.split(".")[0] for name in one} == {"seed0", "seed1", "reference"}


def test_the_command_follows_the_protocol(runs, recordings, specs, root, tmp_path, capsys):
    """A corpus, or files with their speakers, get the test's probabilities; the line says what was done."""
    tested = pd.read_parquet(runs["speaker"] / "predictions.parquet")
    expected = tested.groupby("utterance")["p_anger"].mean()
    run, folder = str(runs["speaker"]), str(root / "b")
    table = pd.DataFrame({"path": [path.name for path in recordings]})
    table.assign(speaker=[p.stem[:2] for p in recordings]).to_csv(tmp_path / "s.csv", index=False)
    said = {
        ("--corpus", specs[1]): "as in the run's test (by speaker): 4 speakers with 8 recordings each",
        (folder, "--speakers", str(tmp_path / "s.csv")): "4 speakers with 8 recordings each",
        (folder, "--together"): "32 recordings are standardised together, as one corpus",
        (folder, "--alone"): "by the source's statistics, as asked; that cost supervised training 11 to 12",
        (folder,): "by the source's statistics, since no speakers were given",
    }  # fmt: skip
    differs = []
    for given, line in said.items():
        assert main(["predict", run, *given, "--json"]) == 0
        printed = capsys.readouterr()
        assert len([text for text in printed.err.splitlines() if "standardised" in text]) == 1
        assert line in printed.err
        rows = json.loads(printed.out)
        assert ("utterance" in rows[0]) == ("--corpus" in given)
        found = {
            "b/" + row["path"].split("/")[-1][:-4]: row["probabilities"]["anger"] for row in rows
        }
        differs.append(max(abs(found[name] - value) for name, value in expected.items()))
    assert max(differs[:2]) < 1e-5
    one = [
        str(path) for path in recordings if path.stem in ("s0-anger-0", "s1-anger-0", "s1-anger-1")
    ]
    assert main(["predict", run, *one, "--speakers", str(tmp_path / "s.csv")]) == 0
    assert "by the source's statistics, since 2 or fewer say too little" in capsys.readouterr().err
    assert min(differs[2:]) > 1e-3


def _by_speakers(recordings):
    return pd.DataFrame({"path": map(str, recordings), "speaker": [p.stem[:2] for p in recordings]})


def test_a_speaker_of_a_recording_or_two_is_standardised_by_the_source(runs, recordings):
    """By its own statistics nothing would be left of it; those of whom there is more get their own as before."""
    model = cleser.load_model(runs["speaker"])
    many = [path for path in recordings if path.stem.startswith("s1-")]
    few = [path for path in recordings if path.stem in ("s0-anger-0", "s2-anger-0", "s2-anger-1")]
    found = model.predict([*many, *few], speakers=_by_speakers(recordings))
    alone = model.predict(few).filter(like="p_")
    own = model.predict(many, speakers=_by_speakers(recordings)).filter(like="p_")
    shares = found.filter(like="p_")
    np.testing.assert_allclose(shares[len(many) :], alone, atol=1e-6)
    np.testing.assert_allclose(shares[: len(many)], own, atol=1e-6)
    said = found.attrs["terms"]
    assert "as in the run's test (by speaker)" in said
    assert f"; {len(few)} of the recordings are standardised by the source's statistics" in said


def test_in_a_corpus_a_speaker_of_one_recording_is_treated_as_in_the_test(runs, root, specs):
    rows = pd.read_csv(root / "b" / "manifest.csv")
    rows[(rows["speaker"] != "s0") | (rows["utterance"] == "s0-anger-0")].to_csv(
        root / "b" / "fewer.csv", index=False
    )
    found = cleser.load_model(runs["speaker"]).predict(corpora=[f"manifest:{root / 'b'}/fewer.csv"])
    assert "1 speakers have a single one, whose label says nothing" in found.attrs["terms"]
    first = found[found["utterance"] == "b/s0-anger-0"].filter(like="p_")
    alone = cleser.load_model(runs["speaker"]).predict([root / "b" / "s0-anger-0.wav"])
    assert np.abs(first.to_numpy() - alone.filter(like="p_").to_numpy()).max() > 1e-3


def test_a_set_that_auto_decides_otherwise_than_the_runs_test_says_so(
    root, specs, recordings, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLESER_CACHE", str(root / "cache"))
    out = tmp_path / "run"
    experiment = Experiment("classical", {}, Protocol([specs[0]], [specs[1]]), 1, out)
    METHODS["classical"].run(experiment, METHODS["classical"].config(), load_backbone("acoustic"))
    tested = json.loads((out / "protocol.json").read_text())["settled_normalisation"]
    assert tested == "shrunk"
    model = cleser.load_model(out)
    assert "as in the run's test (by shrunk)" in model.predict(corpora=specs[1:]).attrs["terms"]
    one = [path for path in recordings if path.stem.startswith("s1-")]
    said = model.predict(one, speakers=_by_speakers(recordings)).attrs["terms"]
    assert "by corpus, unlike the run's test (by shrunk), as decided for these recordings" in said
    assert "one speaker is known" in said
    single = model.predict(one[:1], speakers=_by_speakers(recordings))
    assert "by the source's statistics" in single.attrs["terms"]
    alone = model.predict(one[:1]).filter(like="p_")
    np.testing.assert_allclose(single.filter(like="p_"), alone, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there are no recordings"),
        (["{files}", "--corpus", "{spec}"], "corpora say themselves"),
        (["--corpus", "{spec}", "--language", "en"], "corpora say themselves"),
        (["{files}", "--together", "--alone"], "both together and alone"),
        (["{files}", "--language", "Klingon"], "language is 'Klingon', expected an ISO 639-1 code"),
        (["{files}", "--window", "0.1"], "window is 0.1 s"),
        (["{files}", "--hop", "0"], "hop 0.0 s"),
        (["{files}", "--alignments", "nowhere[bold]"], "nowhere[bold]: there is no such folder"),
        (["--corpus", "nosuch:corpus"], "unknown corpus"),
    ],
)
def test_arguments_that_exclude_one_another_are_refused(
    runs, specs, root, capsys, arguments, message
):
    given = [text.format(files=root / "b", spec=specs[1]) for text in arguments]
    assert main(["predict", str(runs["speaker"]), *given]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_paths_are_printed_whole(runs, recordings, tmp_path, capsys):
    """Neither markup nor the width of a terminal takes anything away from a name."""
    deep = tmp_path / ("long-" * 30) / "take[final].wav"
    deep.parent.mkdir()
    deep.write_bytes(recordings[0].read_bytes())
    mute = tmp_path / "mute[bold].wav"
    soundfile.write(mute, np.zeros(16000), 16000)
    out = tmp_path / "new[red]" / "a.csv"
    assert main(["predict", str(runs["speaker"]), str(deep), str(mute)]) == 1
    printed = capsys.readouterr()
    assert str(deep) in printed.out
    assert str(mute) in printed.out
    assert f"no label: {mute}, 0.00 to 1.00 s: is silent" in printed.err
    assert main(["predict", str(runs["speaker"]), str(deep), "--csv", str(out)]) == 0
    assert f"1 rows, 0 of them without a label: {out}" in capsys.readouterr().out
    assert pd.read_csv(out)["path"].tolist() == [str(deep)]
    folder = tmp_path / "exported[bold]"
    assert main(["export", str(runs["speaker"]), "--out", str(folder)]) == 0
    assert str(folder) in capsys.readouterr().out


def test_a_file_is_written_whole_or_not_at_all(runs, recordings, tmp_path, monkeypatch, capsys):
    """What was there before survives a failure, and no part of the new stays behind."""
    out = tmp_path / "a.csv"
    out.write_text("before")
    arguments = ["predict", str(runs["speaker"]), str(recordings[0]), "--csv", str(out)]

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(out), "write_bytes", full)
        assert main(arguments) == 2
    assert f"{out}: cannot be written (No space left on device)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert out.read_text() == "before"
    assert main([*arguments[:-1], str(out / "below.csv")]) == 2
    assert "below.csv cannot be written" in capsys.readouterr().err
    assert main(arguments) == 0
    assert out.read_text().startswith("path,start,end,emotion,p_anger")


def test_what_is_aligned_is_recognised_as_in_the_test(specs, root, tmp_path):
    """Phones of whole files, and of windows, come from the folder; without them the line says so."""
    protocol = Protocol([specs[0]], [specs[1]])
    cast = protocol.load()
    for rows in (cast.source, cast.target):
        for number, name in enumerate(rows["utterance"]):
            phones = Alignment([0.0, 0.1], [0.1, 0.3], "ai" if number % 2 else "ia")
            write_textgrid(tmp_path / "aligned" / f"{name}.TextGrid", phones)
    out, folder = tmp_path / "run", tmp_path / "aligned"
    experiment = Experiment(
        "erm", to_plain(CONFIG), protocol, 1, out, alignments=str(folder)
    )  # fmt: skip
    METHODS["erm"].run(experiment, CONFIG, load_backbone("acoustic"))
    tested = pd.read_parquet(out / "predictions.parquet").set_index("utterance")
    shares = [name for name in tested.columns if name.startswith("p_")]
    model = cleser.load_model(out)
    files = cast.target["path"].tolist()
    found = model.predict(files, speakers=cast.target[["path", "speaker"]], alignments=folder / "b")
    np.testing.assert_allclose(
        found[shares], tested.loc[cast.target["utterance"], shares], atol=1e-6
    )
    corpus = model.predict(corpora=[specs[1]], alignments=folder)
    np.testing.assert_allclose(corpus[shares], found[shares], atol=1e-6)
    assert "alignment" not in found.attrs["terms"]
    without = model.predict(corpora=[specs[1]])
    assert "without alignments, which the run was trained with" in without.attrs["terms"]
    assert np.abs(without[shares].to_numpy() - found[shares].to_numpy()).max() > 1e-3
    alone = model.predict(files, alignments=folder / "b")
    assert "what is said is left in them" in alone.attrs["terms"]
    next((folder / "b").glob("*.TextGrid")).unlink()
    some = model.predict(corpora=[specs[1]], alignments=folder / "b")
    assert "31 of 32 utterances have an alignment" in some.attrs["terms"]


@pytest.mark.parametrize("name", ["erm", "classical", "sapa", "layer-anchoring", "zero-shot"])
def test_real_speech_is_recognised_as_in_the_test(name, corpora_root, root, monkeypatch):
    """Six speakers of one corpus and three of another, each recording of which the test has recognised."""
    monkeypatch.setenv("CLESER_CACHE", str(root / "real-cache"))
    specs = []
    for corpus, count in (("emodb", 6), ("ravdess", 3)):
        rows = cleser.corpora.load(f"{corpus}:{corpora_root / corpus}")
        some = rows[rows["speaker"].isin(sorted(rows["speaker"].unique())[:count])]
        (root / "real").mkdir(exist_ok=True)
        some.to_parquet(root / "real" / f"{corpus}.parquet")
        specs.append(f"manifest:{root / 'real' / corpus}.parquet")
    unseen = {"target_access": "nothing", "normalisation": "corpus"}
    protocol = Protocol([specs[0]], [specs[1]], **(unseen if name == "zero-shot" else {}))
    config = METHODS[name].config()
    if name != "classical":
        config = replace(config, model=CONFIG.model, training=replace(CONFIG.training, epochs=3))
    experiment = Experiment(name, to_plain(config), protocol, 2, root / "real" / name)
    METHODS[name].run(experiment, config, load_backbone("acoustic"))
    tested = pd.read_parquet(root / "real" / name / "predictions.parquet")
    shares = [column for column in tested.columns if column.startswith("p_")]
    expected = tested.groupby("utterance")[shares].mean()
    assert len(expected) == 84
    target = protocol.load().target
    model = cleser.load_model(root / "real" / name)
    corpus = model.predict(corpora=[specs[1]]).set_index("utterance")
    np.testing.assert_allclose(corpus[shares], expected.loc[corpus.index], atol=1e-6)
    files = model.predict(
        target["path"].tolist(), speakers=target[["path", "speaker"]], language="en"
    )
    np.testing.assert_allclose(files[shares], expected.loc[target["utterance"]], atol=1e-6)
