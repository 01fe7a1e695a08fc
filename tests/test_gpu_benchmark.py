"""benchmarks/gpu.py at tiny sizes on whatever device there is: every section measures, and failures are told."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cleser.features import utterance
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.speech.batching import batches_by_length
from cleser.training.audio import PADDING

ROOT = Path(__file__).parents[1]


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "benchmarks/gpu.py", "--quick", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as a module."""
    found = importlib.util.spec_from_file_location("gpu", ROOT / "benchmarks" / "gpu.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "gpu", module)  # dataclasses look themselves up there
    found.loader.exec_module(module)
    return module


def rows(printed: str, title: str) -> list[list[str]]:
    """Cells of the table below a title, without its head."""
    table = printed.split(f"\n{title}")[1].split("\n\n")[1]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@pytest.mark.slow
def test_every_section_prints_its_table() -> None:
    status, printed = run()
    assert status == 0, printed
    products, extracted = rows(printed, "Products"), rows(printed, "Extraction")
    assert [row[0] for row in products] == ["float32", "TF32", "bfloat16"]
    assert len(extracted) == 2 * 3  # encoders and precisions
    assert all(
        float(row[4].replace(",", "")) > 0 and float(row[5].replace(",", "")) > 0
        for row in extracted
    )
    assert len(rows(printed, "4 files")) == 2
    steps = rows(printed, "A step")
    assert [row[1:3] for row in steps] == 2 * [
        [m, c] for m in ("full", "lora") for c in ("no", "yes")
    ]
    for row in steps:
        whole, *parts = (float(cell.replace(",", "")) for cell in row[3:11])
        assert all(part > 0 for part in parts) and whole > max(parts)
    ((passed, failed, skipped, _),) = rows(printed, "Tests")
    assert failed == "0" and int(passed) + int(skipped) > 0
    assert [row[-1] for row in rows(printed, "15 neighbours")] == 4 * ["yes"]


ABSENT = ("faiss", "panphon", "pynndescent", "pytorch_metric_learning", "soundfile", "soxr", "tyro")


@pytest.mark.slow
def test_machines_for_computing_seldom_have_all_packages(tmp_path: Path, gpu: ModuleType) -> None:
    """Files are left out, what needs none is measured, and every file of tests is collected or skipped."""
    names = "\n".join(f"sys.modules[{name!r}] = None" for name in ABSENT)  # imports of them fail
    (tmp_path / "sitecustomize.py").write_text(f"import sys\n{names}\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    status, printed = run("--sections", "extraction", "graphs", PYTHONPATH=path)
    assert status == 0, printed
    assert len(rows(printed, "Extraction")) == 2 * 3
    assert "not installed: soundfile, soxr; files to a store are left out" in printed
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "--collect-only", *gpu.marked()]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-o", "addopts=", "tests/losses/test_ranks.py",
         "tests/graphs/test_communities_command.py"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "tests/recipes/test_devices.py" in done.stdout


def test_every_file_with_a_test_for_a_gpu_is_run(gpu: ModuleType) -> None:
    mark = ".".join(["pytest", "mark", "cuda"])
    found = [p for p in (ROOT / "tests").rglob("*.py") if mark in p.read_text("utf-8")]
    assert len(found) >= 16
    assert gpu.Sizes().tests is None  # all that are marked
    assert {ROOT / name for name in gpu.marked()} == set(found)


def test_a_step_is_cut_where_its_parts_meet(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part once, in order, also of a batch that training would encode in pieces."""
    marks: list[list[str]] = []
    times = gpu.Marks.times

    def noted(self: object) -> dict[str, float]:
        marks.append([name for name, _ in self.points])  # type: ignore[attr-defined]
        return times(self)  # type: ignore[no-any-return]

    monkeypatch.setattr(gpu.Marks, "times", noted)
    job = gpu.Job(tmp_path, gpu.Report(1.0), gpu.QUICK, None, None)
    _, model = job.models()
    backbone = gpu.TransformersBackbone(model.folder)
    for seed in range(3):
        samples = gpu.sounds(gpu.QUICK, backbone, seed).lengths.tolist()
        assert len(batches_by_length(samples, float("inf"), padding=PADDING)) > 1
    for checkpointing in (False, True):
        gpu._steps(job, model, FineTuning("full", checkpointing=checkpointing))
    backward = ["losses backward", "pooling backward", "backbone backward"]
    expected = ["begin", "backbone", "pooling", "losses", *backward, "optimiser"]
    assert marks == 2 * (3 + gpu.QUICK.steps) * [expected]


def test_each_timed_pass_reads_the_files_anew(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    digest = utterance.file_digest
    monkeypatch.setattr(utterance, "file_digest", lambda path: read.append(path) or digest(path))
    job = gpu.Job(tmp_path, gpu.Report(1.0), gpu.QUICK, None, None)
    manifest = gpu.recordings(tmp_path / "sound", gpu.QUICK.files)
    gpu._from_files(job, next(job.models()), manifest)
    assert sorted(read) == sorted((1 + gpu.QUICK.rounds) * manifest["path"].tolist())


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    status, printed = run("--whisper", str(tmp_path), "--sections", "extraction", "graphs")
    assert status == 1
    assert "cannot be loaded as a backbone" in printed
    assert len(rows(printed, "15 neighbours")) == 4
    assert printed.rstrip().endswith("failed: extraction")


def test_nothing_begins_once_the_time_is_used_up() -> None:
    status, printed = run("--minutes", "0", "--sections", "graphs", "tests")
    assert status == 0
    assert all("left out" in row[-1] for row in rows(printed, "15 neighbours"))
    assert "| left out: the time is used up |" in printed
