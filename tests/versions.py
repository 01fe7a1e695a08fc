"""Installs cleser beside the oldest and the newest releases that it admits, and runs the tests that notice.

An environment is built from nothing for each set, without the lock, used, and removed; several gigabytes are
downloaded where torch comes with CUDA. The last lines are a row for the table in docs/installation.rst:

    python -m tests.versions                              # both sets with this Python
    python -m tests.versions newest --python python3.13   # one of them, with another
    python -m tests.versions oldest --keep DIR            # in DIR, which stays
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETS = ("oldest", "newest")
# What each part of cleser takes from other packages, without what is slow: pandas, torch, transformers, numba, tyro.
TESTS = (
    "tests/losses",
    "tests/models",
    "tests/corpora",
    "tests/graphs",
    "tests/anchors",
    "tests/alignment",
    "tests/features",
    "tests/speech",
    "tests/evaluation",
    "tests/recipes/test_recipes.py",
    "tests/training/test_dataset.py",
    "tests/test_command_line.py",
)
# Shown in the table: where a release most often breaks others.
SHOWN = ("torch", "torchaudio", "transformers", "numpy", "pandas", "numba")


def main() -> int:
    """Try the sets asked for; the number of sets in which something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=(*SETS, []), help="both, unless named")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environments")
    parser.add_argument("--keep", type=Path, help="folder of the environment, which then stays")
    args = parser.parse_args()
    failed = 0
    for name in args.sets or SETS:
        if args.keep:
            failed += not tried(name, args.python, args.keep)
        else:
            with tempfile.TemporaryDirectory() as folder:
                failed += not tried(name, args.python, Path(folder))
    return failed


def tried(name: str, python: str, folder: Path) -> bool:
    """Build the environment if it is not there, run the tests in it, and print its row."""
    inside = folder / "bin" / "python"
    if not inside.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
        limits = ["-c", "constraints/oldest.txt"] if name == "oldest" else []
        wanted = [
            "-e",
            ".[ctc,espeak,faiss,peft,pml]",
            "pytest",
            "hypothesis",
            "POT",
            "praat-parselmouth",
            "praatio",
            "pynndescent",
            "scikit-network",
            "torchdata",
        ]
        install = [inside, "-m", "pip", "install", "--quiet", "--no-cache-dir", *limits, *wanted]
        subprocess.run(install, check=True, cwd=ROOT)
    pytest = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *TESTS]
    run = subprocess.run(pytest, check=False, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    code = (
        "import platform; from importlib.metadata import version; "
        f"print(platform.python_version(), *(version(name) for name in {SHOWN}), sep=' | ')"
    )
    versions = subprocess.run([inside, "-c", code], check=True, capture_output=True, text=True)
    print("set", "python", *SHOWN, "tests", sep=" | ")
    print(name, versions.stdout.strip(), "passed" if run.returncode == 0 else "FAILED", sep=" | ")
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
