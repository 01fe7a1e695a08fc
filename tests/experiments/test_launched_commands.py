"""Commands in two processes, as ``torchrun`` starts them: both work, and one of them says what came of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpora.trees import write_corpus

SCRIPT = """
import os
import sys
from pathlib import Path
import cleser.evaluation.pages
from cleser.cli import main

pages = cleser.evaluation.pages
report, one, two, three = pages.report, *sys.argv[1:]

def told(*given):
    print("a page is written")
    return report(*given)

pages.report = told
few = ["--epochs", "1", "--seeds", "1"]
erm = ["erm", "--source", one, two, "--target", three, *few]
os.environ["CLESER_CACHE"] = "cache"
Path("grid.yaml").write_text("label_smoothing: [0.0, 0.1]")
for name, words in (
    ("run", ["run", *erm, "--select", "none"]),
    ("tune", ["tune", *erm, "--grid", "grid.yaml"]),
    ("bench", ["bench", "transfer", "--corpora", one, two, "--recipes", "erm", "--seeds", "1"]),
):
    assert main([*words, "--out", name]) == 0, name
    Path(f"{name} in {os.environ['RANK']}").touch()  # what two processes print may be mixed
assert main([*words, "--out", name, "--workers", "2"]) == 2
sys.stdout.flush()
os._exit(0)  # at a usual exit a thread of gloo's may abort the process
"""


@pytest.mark.slow
def test_one_process_of_two_prints_results_and_writes_the_page(tmp_path: Path) -> None:
    specs = [write_corpus(tmp_path / n, n, speakers=3, seed=i) for i, n in enumerate("abc")]
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
    ]
    done = subprocess.run(
        [*launch, "script.py", *specs], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=400,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("run", "tune", "bench"):
        assert all((tmp_path / f"{name} in {rank}").exists() for rank in (0, 1)), name
    assert "found --workers 2 in each of 2 processes" in done.stderr
    for said in (
        "erm · protocol",
        "a page is written",
        "report: ",
        "now: ",
        "label_smoothing",
        "tables: ",
    ):
        assert done.stdout.count(said) == 1, f"{said}: {done.stdout}"
    assert done.stderr.count("audit: transductive") == 1, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "tune" / "config.yaml").is_file()
