import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("tyro")
import soundfile

from cleser.cli import main
from cleser.features import Record, estimate, store_folder
from cleser.features.extraction import extract_to_store
from cleser.features.utterance import Utterance
from cleser.speech import (
    AcousticBackbone,
    Alignment,
    PooledStore,
    TransformersBackbone,
    load_audio,
    load_backbone,
)
from cleser.speech.backbones import Backbone
from cleser.training.from_manifest import stored_features
from tests.speech.tiny_models import save_tiny

SECONDS = (0.9, 0.31, 1.4, 0.9, 0.62, 1.1, 0.33, 0.35)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("wav2vec2", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("sounds")
    generator = np.random.default_rng(0)
    rows = []
    for i, seconds in enumerate(SECONDS):
        path = folder / f"u{i}.wav"
        rate = 16000 if i % 2 else 22050
        soundfile.write(path, 0.1 * generator.standard_normal(int(seconds * rate)), rate)
        rows.append({"utterance": f"u{i}", "path": str(path), "start": 0.0, "end": np.nan})
    rows.append({**rows[2], "utterance": "u2-part", "start": 0.2, "end": 0.9})
    table = pd.DataFrame(rows)
    return table.assign(corpus="noise", language="de", speaker="s", emotion="neutral")


def sound(row: pd.Series, rate: int) -> torch.Tensor:
    return load_audio(row["path"], rate, start=row["start"], end=row["end"])


@pytest.mark.parametrize("std", [False, True])
def test_a_store_holds_each_utterances_mean_of_every_layer(
    std: bool, model: Path, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    backbone = TransformersBackbone(model)
    found = extract_to_store(
        manifest, backbone, tmp_path, record=Record("none", std=std), dtype="float32", seconds=3.0
    )
    assert found.left_out == [] and found.padding < 0.05 and len(found.store) == len(manifest)
    for key, (_, row) in zip(found.keys, manifest.iterrows(), strict=True):
        frames = backbone.extract([sound(row, 16000)])[0]
        expected = frames.mean(1)
        if std:
            expected = torch.cat([expected, frames.std(1, correction=0)], -1)
        torch.testing.assert_close(found.store[key][0], expected, rtol=1e-4, atol=1e-4)


def test_a_model_runs_where_it_is_asked_to_and_only_if_there_is_work(
    model: Path, manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that extract on the way (run, tune, bench, predict) open a model on the processor."""
    moves: list[str] = []
    monkeypatch.setattr(TransformersBackbone, "to", lambda self, device: moves.append(str(device)))
    gpu = SimpleNamespace(device=torch.device("cuda", 0))
    monkeypatch.setattr("cleser.training.from_manifest.processes", lambda: gpu)
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path))
    backbone = TransformersBackbone(model)
    for _ in range(2):
        found = stored_features(manifest, backbone, None, title="source", record=Record("none"))
        assert len(found) == len(manifest)
        assert moves == ["cuda:0", "cpu"]  # the second time, all is there
    monkeypatch.setattr("cleser.features.pipeline.Pipeline.run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract_to_store(manifest, backbone, tmp_path / "other", device=gpu.device)
    assert moves == ["cuda:0", "cpu"] * 2


@pytest.mark.parametrize("family", ["wavlm", "whisper"])
def test_workers_encode_at_once_what_one_encodes(
    family: str, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    backbone = TransformersBackbone(save_tiny(family, tmp_path / "model"))
    threads = torch.get_num_threads()
    one, more = (
        extract_to_store(
            manifest, backbone, tmp_path / str(n), dtype="float32", seconds=0.5, workers=n
        )
        for n in (1, 3)
    )
    assert torch.get_num_threads() == threads
    assert more.keys == one.keys and 0 <= more.padding < 0.05
    for key in one.store:
        torch.testing.assert_close(more.store[key], one.store[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["transformers", "acoustic"])
def test_tokens_and_phones_hold_the_frames_of_their_time(
    family: str, model: Path, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    backbone: Backbone = (
        AcousticBackbone() if family == "acoustic" else TransformersBackbone(model, layers=[1, 3])
    )
    phones = Alignment([0.05, 0.1, 0.2], [0.1, 0.2, 0.3], ("h", "a", "i"))
    alignments = [phones if i != 1 else None for i in range(len(manifest))]
    cut = extract_to_store(
        manifest, backbone, tmp_path / "p", record=Record(std=False), alignments=alignments,
        dtype="float32",
    )  # fmt: skip
    even = extract_to_store(
        manifest, backbone, tmp_path / "t", record=Record("uniform", 0.08, std=False),
        dtype="float32",
    )  # fmt: skip
    # Where no alignment says the phones, tokens are of equal length and have no symbol.
    assert set(cut.store.labels(str(cut.keys[1]))) == {""}
    row = manifest.iloc[2]
    waveform = sound(row, 16000)
    frames = backbone(waveform[None], torch.tensor([len(waveform)]))
    rate, count = backbone.frame_rate, frames.mask.shape[1]
    spoken = [(round(a * rate), round(b * rate)) for a, b in ((0.05, 0.1), (0.1, 0.2), (0.2, 0.3))]
    pieces = round(count / round(0.08 * rate))
    equal = [(i * count // pieces, (i + 1) * count // pieces) for i in range(pieces)]
    for found, stretches, labels in (
        (cut, spoken, ["h", "a", "i"]),
        (even, equal, [""] * pieces),
    ):
        key = str(found.keys[2])
        assert found.store.labels(key) == ["", *labels]
        expected_times = np.array([(0, count), *stretches]) / rate
        np.testing.assert_allclose(found.store.times(key), expected_times, atol=1e-5)
        expected = [
            torch.stack([h[0, a:b].mean(0) for h in frames.hidden_states])
            for a, b in ((0, count), *stretches)
        ]
        torch.testing.assert_close(found.store[key], torch.stack(expected), rtol=1e-4, atol=1e-3)


def test_what_cannot_be_used_is_said_and_stops_nothing(
    model: Path, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_text("no sound")
    soundfile.write(tmp_path / "short.wav", np.ones(20) * 0.1, 16000)
    soundfile.write(tmp_path / "nan.wav", np.full(4000, np.nan, dtype=np.float32), 16000, "FLOAT")
    names = ["missing.wav", "broken.wav", "short.wav", "nan.wav"]
    bad = pd.DataFrame(
        [{"utterance": n, "path": str(tmp_path / n), "start": 0.0, "end": np.nan} for n in names]
    )
    both = pd.concat([bad, manifest[:2]], ignore_index=True)
    found = extract_to_store(both, TransformersBackbone(model), tmp_path / "store")
    reasons = {Path(row["path"]).name: row["reason"] for row in found.left_out}
    assert reasons.keys() == set(names)
    assert "has 20 samples at 16000 Hz, expected at least 40" in reasons["short.wav"]
    assert "NaN" in reasons["nan.wav"]
    assert found.keys[:4] == [None] * 4 and len(found.store) == 2
    lines = (tmp_path / "store" / "left-out-0.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found.left_out


def test_channels_that_cancel_are_not_called_silence(
    manifest: pd.DataFrame, tmp_path: Path
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(tmp_path / "cancel.wav", np.stack([noise, -noise], 1), 16000, "FLOAT")
    soundfile.write(tmp_path / "zeros.wav", np.zeros((8000, 2)), 16000)
    names = ["cancel.wav", "zeros.wav"]
    bad = pd.DataFrame(
        [{"utterance": n, "path": str(tmp_path / n), "start": 0.0, "end": np.nan} for n in names]
    )
    both = pd.concat([bad, manifest[:1]], ignore_index=True)
    found = extract_to_store(both, AcousticBackbone(), tmp_path / "store")
    reasons = {Path(row["path"]).name: row["reason"] for row in found.left_out}
    assert reasons.keys() == set(names)
    assert "channels that cancel one another" in reasons["cancel.wav"]
    assert "every frame is silent" in reasons["zeros.wav"]


def test_each_extraction_into_a_store_says_what_it_left_out(
    model: Path, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    """And nothing of recordings that others were about; what can be used by now is said no longer."""
    backbone, store = TransformersBackbone(model), tmp_path / "store"
    rows = pd.DataFrame(
        [{"utterance": n, "path": str(tmp_path / n), "start": 0.0, "end": np.nan} for n in "abc"]
    )
    noted = store / "left-out-0.jsonl"

    def extracted(part: pd.DataFrame) -> list[str]:
        extract_to_store(part, backbone, store)
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [Path(json.loads(line)["path"]).name for line in lines]

    assert extracted(rows[:2]) == ["a", "b"]
    assert extracted(manifest[:2]) == ["a", "b"]
    assert extracted(rows[2:]) == ["a", "b", "c"]
    shutil.copy(manifest["path"][0], tmp_path / "a")
    assert extracted(rows[:2]) == ["c", "b"]
    for name in "bc":
        shutil.copy(manifest["path"][0], tmp_path / name)
    assert extracted(rows) == []
    assert not noted.exists()


def test_a_stopped_extraction_goes_on_and_does_nothing_twice(
    model: Path, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    class Counting(TransformersBackbone):
        batches = 0

        def stream(self, waveforms: torch.Tensor, lengths: torch.Tensor, receive: object) -> None:
            self.batches += 1
            if self.batches == 3:
                raise KeyboardInterrupt
            super().stream(waveforms, lengths, receive)  # type: ignore[arg-type]

    backbone = Counting(model)
    with pytest.raises(KeyboardInterrupt):
        extract_to_store(manifest, backbone, tmp_path, seconds=1.0, workers=1)
    begun = len(PooledStore.open(tmp_path))
    assert 0 < begun < len(manifest)
    steps: list[int] = []
    found = extract_to_store(
        manifest, backbone, tmp_path, seconds=1.0, workers=1, advance=steps.append
    )
    assert len(found.store) == len(manifest) and steps[0] == begun and sum(steps) == len(manifest)
    backbone.batches = 2  # one more batch would stop it
    assert extract_to_store(manifest, backbone, tmp_path, workers=1).keys == found.keys
    with pytest.raises(
        ValueError, match=r"expected 'utterance and tokens, 0\.1 s or phones, mean'"
    ):
        extract_to_store(manifest, backbone, tmp_path, record=Record("uniform", std=False))


def test_shares_make_the_whole(model: Path, manifest: pd.DataFrame, tmp_path: Path) -> None:
    backbone = TransformersBackbone(model)
    whole = extract_to_store(manifest, backbone, tmp_path / "whole", dtype="float32")
    for rank in range(3):
        extract_to_store(manifest, backbone, tmp_path / "parts", dtype="float32", share=(rank, 3))
    parts = PooledStore.open(tmp_path / "parts")
    assert list(parts) == list(whole.store)
    for key in parts:
        torch.testing.assert_close(parts[key], whole.store[key], rtol=1e-4, atol=1e-4)


def test_settings_that_make_no_sense_are_refused(manifest: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="length is 0"):
        Record("uniform", 0)
    with pytest.raises(ValueError, match="found 1 alignments, expected one for each of 9 rows"):
        extract_to_store(manifest, AcousticBackbone(), tmp_path, alignments=[None])


def test_size_and_time_are_said_before_and_a_small_disk_stops_it(
    model: Path, manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = TransformersBackbone(model)
    said: list[str] = []
    phones = Alignment([0.05, 0.1, 0.2], [0.1, 0.2, 0.3], ("h", "a", "i"))
    alignments = [phones] * len(manifest)
    found = extract_to_store(
        manifest,
        backbone,
        tmp_path / "a",
        record=Record(),
        alignments=alignments,
        announce=said.append,
        announce_from=1.0,
    )
    assert len(said) == 1
    assert said[0].startswith("9 utterances, ")
    assert " of sound: about " in said[0]
    assert said[0].endswith(" s of work")
    # What was said is what was written, but for padding and labels.
    planned = estimate.Estimate.of(
        [Utterance("", 0, 1, 0, [phones], 1.0)] * len(manifest), found.store, Record()
    )
    rows = sum(len(found.store[key]) for key in found.store)
    assert planned.size == rows * (found.store.settings.dim * len(backbone.layers) * 2 + 12)
    extract_to_store(
        manifest,
        backbone,
        tmp_path / "a",
        record=Record(),
        alignments=alignments,
        announce=said.append,
        announce_from=0.0,
    )
    assert len(said) == 1  # nothing was left to do
    monkeypatch.setattr(
        estimate.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 100)
    )
    with pytest.raises(
        ValueError, match=r"9 utterances take about .* and 0 kB are free: take fewer"
    ):
        extract_to_store(manifest, backbone, tmp_path / "b", record=Record(), alignments=alignments)


def test_two_runs_fill_one_store_at_the_same_time(
    model: Path, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    backbone = TransformersBackbone(model)
    store = extract_to_store(manifest[:1], backbone, tmp_path).store
    with store.writer(0):  # another process would hold it
        found = extract_to_store(manifest, backbone, tmp_path)
    assert found.left_out == []
    assert len(PooledStore.open(tmp_path)) == len(manifest)


@pytest.mark.slow
def test_the_command_verifies_what_a_disk_has_damaged(
    manifest: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, folder = tmp_path / "noise.csv", tmp_path / "store"
    manifest.to_csv(table, index=False)
    command = ["extract", f"manifest:{table}", "--out", str(folder), "--device", "cpu"]
    assert main([*command, "--verify"]) == 0
    assert "nothing to verify yet" in capsys.readouterr().out
    whole = {key: value.clone() for key, value in _values(folder).items()}
    path = folder / "shard-0.bin"
    raw = bytearray(path.read_bytes())
    raw[: len(raw) // 2] = bytes(len(raw) // 2)
    path.write_bytes(raw)
    assert main(command) == 0
    assert "not as they were written" not in capsys.readouterr().out
    assert any(not torch.equal(whole[k], v) for k, v in _values(folder).items())
    assert main([*command, "--verify"]) == 0
    assert "are not as they were written and are encoded anew" in capsys.readouterr().out
    mended = _values(folder)
    assert mended.keys() == whole.keys()
    assert all(torch.equal(whole[key], mended[key]) for key in whole)


def _values(folder: Path) -> dict[str, torch.Tensor]:
    store = PooledStore.open(folder)
    return {key: store[key] for key in store}


def test_the_command_extracts_and_two_processes_share(
    model: Path,
    manifest: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    table = tmp_path / "noise.csv"
    manifest.to_csv(table, index=False)
    arguments = [
        "extract",
        f"manifest:{table}",
        "--backbone",
        str(model),
        "--layers",
        "0",
        "2:3",
        "--tokens",
        "uniform",
    ]
    assert main([*arguments, "--out", str(tmp_path / "one"), "--device", "cpu"]) == 0
    assert "9 utterances" in capsys.readouterr().out
    assert main([*arguments, "--alignments", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
    ]
    two = ["--out", str(tmp_path / "two"), "--device", "cpu"]
    subprocess.run(
        [*launch, "-m", "cleser", *arguments, *two], check=True, capture_output=True, timeout=200
    )
    default = load_backbone(f"{model},layers=0+2")
    assert main([*arguments, "--device", "cpu"]) == 0
    assert sorted(PooledStore.open(store_folder(default, Record("uniform")))) == sorted(
        PooledStore.open(tmp_path / "one")
    )
    alone, shared = (PooledStore.open(tmp_path / name) for name in ("one", "two"))
    assert list(alone) == list(shared) and alone.settings == shared.settings
    assert sorted(p.name for p in (tmp_path / "two").glob("*.idx")) == [
        "shard-0.idx",
        "shard-1.idx",
    ]


@pytest.mark.cuda
@pytest.mark.usefixtures("full_float32")
def test_a_gpu_fills_the_store_of_the_processor(
    model: Path, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    stores = []
    for device in ("cpu", "cuda"):
        found = extract_to_store(
            manifest, TransformersBackbone(model).to(device), tmp_path / device, record=Record("none"),
            dtype="float32", seconds=3.0,
        )  # fmt: skip
        assert found.left_out == []
        stores.append(torch.stack([found.store[key][0] for key in found.keys if key]))
    torch.testing.assert_close(stores[1], stores[0], rtol=1e-3, atol=1e-3)
