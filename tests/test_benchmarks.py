"""Benchmarks at tiny sizes: they run, and what they measure is what they say that they measure."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from cleser import memory
from tests.corpora.trees import write_corpus

ROOT = Path(__file__).parents[1]


def rows(script: str, *arguments: str) -> list[list[str]]:
    """Cells of the table that a script prints, without its head."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", *arguments],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def loaded(name: str) -> ModuleType:
    """A script as a module."""
    found = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["erm", "sapa"])
def test_a_step_from_audio_is_cut_into_its_parts(recipe: str, tmp_path: Path) -> None:
    """Recordings of 0.3 to 0.6 s, which training would encode in pieces."""
    specs = [write_corpus(tmp_path / c, c, language=c, seed=i) for i, c in enumerate(("de", "en"))]
    ((name, step, *shares, _),) = rows("steps", *specs, "--quick", "--recipes", recipe)
    backbone, pooling, network, losses = (float(share.removesuffix("%")) for share in shares)
    assert (name, float(step) > 0) == (recipe, True)
    assert backbone + pooling + network + losses == pytest.approx(100, abs=0.3)
    assert min(backbone, pooling, network) > 0


@pytest.mark.slow
def test_a_step_on_stored_features_is_measured() -> None:
    shape = ["--layers", "2", "--channels", "16", "--utterances", "48"]
    ((name, *_, beside, refresh),) = rows(
        "steps", "--stored", "--quick", "--recipes", "erm", *shape
    )
    assert name == "erm" and float(beside) > 0 and refresh.endswith("%")


@pytest.mark.parametrize(("recipe", "reads"), [("erm", False), ("sapa", True)])
def test_an_epoch_reads_what_a_run_reads(
    recipe: str, reads: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens only for recipes that use them, as what is read for comparison."""
    scale = loaded("scale")
    assert scale.METHODS[recipe].config().uses_tokens == reads
    scale.fill(tmp_path, 60, 2, 8, "phone")
    seen = []

    def noted(*arguments: object, cold: bool) -> float:
        seen.extend(bool(len(d.batch([0, 1]).tokens)) for d in arguments[-3:])  # type: ignore[attr-defined]
        return 1.0

    monkeypatch.setattr(scale, "_trained", noted)
    scale.run(recipe, tmp_path, 1, cold=hasattr(os, "posix_fadvise"))
    assert seen == 3 * [reads]


def test_memory_is_that_of_the_refinements_whatever_was_held_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the process has held is forgotten once the communities are found, which takes more than to refine them."""
    refinement = loaded("refinement")
    order = []

    def noting(name: str, work: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments, **settings: order.append(name) or work(*arguments, **settings)

    monkeypatch.setattr(refinement, "communities", noting("found", refinement.communities))
    monkeypatch.setattr(memory, "reset_peak", noting("forgotten", memory.reset_peak))
    refiner = refinement.CommunityRefiner
    monkeypatch.setattr(refiner, "fit", noting("refined", refiner.fit))
    *_, grown = refinement.measured(300, 1)
    assert order[-4:] == ["found", "forgotten", "refined", "refined"]
    assert len(grown.split(", ")) == 2
