"""benchmarks/gpu.py at tiny sizes on whatever device there is: every section measures, and failures are told."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "benchmarks/gpu.py", "--quick", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


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
