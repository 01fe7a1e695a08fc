"""What users' files are called is printed as it is."""

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.table import Table

from cleser.cli import main
from cleser.console import PlainConsole
from cleser.corpora import describe, load
from cleser.progress import track

NAMES = ("take[final].wav", "a[red].wav", ":smile:.wav", f"{'long' * 60}.wav")


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "corp[" / "x]y"
    root.mkdir(parents=True)
    soundfile.write(root / "good.wav", np.full(1_600, 0.1), 16_000)
    for name in NAMES:
        (root / name).touch()
    rows = {"path": ["good.wav", *NAMES], "language": "de", "speaker": "sp[1]"}
    pd.DataFrame(rows).to_csv(root / "own.csv", index=False)
    return root


def test_names_in_piped_output_are_whole(corpus):
    file = io.StringIO()
    console = PlainConsole(file=file)
    console.print(describe(load(f"manifest:{corpus}/own.csv")))
    table = Table()
    table.add_column("path")
    table.add_row(str(corpus / NAMES[-1]))
    console.print(table)
    console.print(f"{corpus}: " + "word " * 100)
    said = file.getvalue().splitlines()
    for name in NAMES[:3]:
        assert f"    {corpus}/{name}" in said
    assert any(NAMES[-1] in line for line in said if "│" in line)
    assert any(line.startswith(f"{corpus}: ") and line.count("word") == 100 for line in said)


def test_a_terminal_is_told_whole_names_too(corpus):
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, width=60, color_system=None)
    console.print(describe(load(f"manifest:{corpus}/own.csv")))
    assert f"    {corpus}/{NAMES[0]}\n" in file.getvalue()


def test_commands_name_what_they_were_given(corpus, capsys):
    assert main(["data", "describe", f"emodb:{corpus}"]) == 2
    said = capsys.readouterr().err
    assert f"in {corpus}, found" in said
    assert said.count("\n") == 1
    with track("corp[/x]y", 1) as advance:
        advance(1, "[/note]")


def test_an_error_of_the_system_is_a_sentence_with_the_path(tmp_path, capsys, monkeypatch):
    import cleser.cli

    def command():
        raise FileNotFoundError(2, "No such file or directory", str(tmp_path / "a[b]"))

    monkeypatch.setattr(cleser.cli, "_load", lambda _: command)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/a[b]: No such file or directory\n"
