"""Trackers of a run: TensorBoard's and wandb's own files hold what metrics.jsonl and results.json do."""

import json

import pandas as pd
import pytest

from cleser.cli import main
from cleser.experiments.trackers import check_trackers
from tests.corpora.trees import write_corpus


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """A run of two seeds and two epochs, less its folder."""
    root = tmp_path_factory.mktemp("trackers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        specs = (write_corpus(root / "a", "a", speakers=4), write_corpus(root / "b", "b", seed=1))
        given = f"--source {specs[0]} --target {specs[1]} --seeds 2 --epochs 2 --dim 8"
        yield ["run", "erm", *given.split()]


def test_tensorboard_holds_every_epoch_and_the_test(arguments, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    assert main([*arguments, "--out", str(out), "--tracker", "tensorboard"]) in (0, None)
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    expected = {
        (f"seed{line['seed']}/{name}", line["epoch"]): value
        for line in lines
        for name, value in line.items()
        if name not in ("seed", "epoch")
    }
    results = json.loads((out / "results.json").read_text())
    for name in ("uar", "macro_f1", "accuracy"):
        low, high = results[name]["ci95"]
        found = {"": results[name]["mean"], "_low": low, "_high": high}
        expected |= {(f"test/{name}{end}", 0): value for end, value in found.items()}
    logged = {
        (tag, event.step): event.value
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    }
    assert logged.keys() == expected.keys()
    pd.testing.assert_series_equal(
        pd.Series(logged).sort_index(), pd.Series(expected).sort_index(), rtol=1e-6
    )
    assert "tensorboard" not in (out / "config.yaml").read_text()  # it is no setting of the run


def test_wandb_holds_the_same_offline(arguments, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    out = tmp_path / "run"
    assert main([*arguments, "--out", str(out), "--tracker", "wandb"]) in (0, None)
    (path,) = out.rglob("run-*.wandb")
    written = path.read_bytes()  # records of protobuf, whose texts stand there as they are
    for name in ("seed0/train_loss", "seed1/dev_uar", "test/uar", "test/uar_low"):
        assert name.encode() in written


def test_a_missing_package_is_named_before_any_work(monkeypatch):
    monkeypatch.setattr("accelerate.utils.is_wandb_available", lambda: False)
    with pytest.raises(
        ImportError, match="--tracker wandb needs the package wandb: pip install wandb"
    ):
        check_trackers(("wandb",))
