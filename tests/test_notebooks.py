"""The notebooks' cells run in order, on less speech and with a small model in place of a large one."""

import json
import re
import shlex
from pathlib import Path

import pytest

from cleser.cli import main
from tests.speech.tiny_models import save_tiny

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def _cells(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_there_is_one_for_each_way_in():
    assert {path.stem for path in NOTEBOOKS} == {"my_corpus", "only_the_loss", "pretrained_model"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs_and_install_first(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert "".join(code[0]["source"]).startswith("%pip install")
    assert cells[0]["source"][0].startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run(path, tmp_path, monkeypatch, capsys):
    """As in Jupyter: ``!cleser …`` is a command, with names in braces from the code above it."""
    monkeypatch.chdir(tmp_path)
    shorter = {"speakers=6&sentences=3": "speakers=4&sentences=1", "--epochs 5": "--epochs 1"}
    if path.stem == "pretrained_model":
        folder = save_tiny("whisper", tmp_path / "model", max_source_positions=400)
        shorter["openai/whisper-base"] = str(folder)
    names = {"__name__": path.stem}

    def command(line):
        typed = line.format(**names)
        # A shell would take an unquoted & of a spec as the end of the command.
        plain = shlex.shlex(typed, posix=True, punctuation_chars=True)
        assert not [word for word in plain if set(word) <= set("&;|<>()")], typed
        status = main(shlex.split(typed)[1:])
        printed = capsys.readouterr()
        assert status == 0, f"{line}\n{printed.out}\n{printed.err}"

    names["_command"] = command
    for cell in _cells(path)[1:]:  # the first installs
        code = re.sub(r"^!(cleser .*)$", lambda match: f"_command({match[1]!r})", cell, flags=re.M)
        for long, short in shorter.items():
            code = code.replace(long, short)
        exec(compile(code, path.name, "exec"), names)
    if path.stem == "only_the_loss":
        assert names["after"] > names["before"] + 0.2
