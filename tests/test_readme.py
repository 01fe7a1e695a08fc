"""README as a stranger follows it: every block runs, in order, on small corpora in place of the real ones."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from cleser.cli import main
from cleser.corpora import load
from docs.figures.whisper import first_table
from tests.corpora.trees import tone
from tests.speech.tiny_models import save_tiny

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# Not run here: what installs, and the demo, whose parts tests/experiments runs.
ELSEWHERE = ("pip install", "make ", "cleser demo")
LANGUAGES = {"emodb": "de", "ravdess": "en"}
KNOBS = "speakers=4&sentences=1"


@pytest.fixture(scope="module")
def commands():
    """Every command line of README, as typed."""
    blocks = [text for language, text in BLOCKS if language in ("", "console", "shell")]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    typed = [shlex.split(line, comments=True) for line in lines]
    return [words for words in typed if words]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """What README's placeholders stand for here; recordings of a.wav and b.wav lie in the folder."""
    folder = tmp_path_factory.mktemp("first-hour")
    given = {}
    for corpus, language in LANGUAGES.items():
        manifest = load(f"synthetic:{language}?{KNOBS}").assign(corpus=corpus)
        manifest.drop(columns=["phones"], errors="ignore").to_csv(
            folder / f"{corpus}.csv", index=False
        )
        given[f"{corpus}:DIR"] = f"manifest:{folder / corpus}.csv"
    mine = load(f"synthetic:zh?{KNOBS}")
    mine[["path", "language", "speaker", "emotion"]].to_csv(folder / "FILE.csv", index=False)
    for name, path in zip(("a.wav", "b.wav"), mine["path"], strict=False):
        (folder / name).symlink_to(path)
    given["MODEL"] = str(
        save_tiny("whisper", folder / "model-of-another", max_source_positions=400)
    )
    return folder, given


def shortened(words):
    """A run as typed, but with one training of one epoch, and an alignment in one process."""
    if words[:2] == ["cleser", "align"]:
        return [*words, "--workers", "1"]
    if words[:2] != ["cleser", "run"]:
        return words
    if "--seeds" in words:
        at = words.index("--seeds")
        words = words[:at] + words[at + 2 :]
    trained = words[2] not in ("probe", "classical")
    return [*words, "--seeds", "1", *(["--epochs", "1"] if trained else [])]


@pytest.mark.slow
def test_every_command_runs_as_printed_in_order(commands, stand_ins, monkeypatch, capsys):
    folder, given = stand_ins
    monkeypatch.chdir(folder)
    ran = []
    for words in commands:
        line = " ".join(words)
        if line.startswith(ELSEWHERE):
            continue
        assert words[0] == "cleser", f"README has another program's line: {line}"
        # A placeholder may be a part of a word, as in acoustic+MODEL.
        typed = [
            given.get(word, word.replace("MODEL", given["MODEL"])) for word in shortened(words)
        ]
        status = main(typed[1:])
        printed = capsys.readouterr()
        assert status == 0, f"{line}\n{printed.out}\n{printed.err}"
        ran.append(words[1])
    assert {"data", "run", "compare", "report", "predict", "align", "extract"} <= set(ran)


@pytest.mark.parametrize("code", [text for language, text in BLOCKS if language == "python"])
def test_code_runs(code):
    exec(compile(code, "README.md", "exec"), {})


def test_the_table_of_a_corpus_can_be_read(tmp_path):
    (text,) = [text for language, text in BLOCKS if language == "csv"]
    (tmp_path / "FILE.csv").write_text(text)
    rng = np.random.default_rng(0)
    for line in text.splitlines()[1:]:
        recording = tmp_path / line.split(",")[0]
        recording.parent.mkdir(exist_ok=True)
        soundfile.write(recording, tone(rng, 150, 0.1), 16000)
    manifest = load(f"manifest:{tmp_path / 'FILE.csv'}")
    assert manifest["emotion"].tolist() == ["anger", "neutral"]
    assert manifest["speaker"].nunique() == 1


def test_links_lead_to_files():
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README)]
    assert links
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert not missing


def test_the_picture_shows_the_table():
    methods, rows = first_table(README)
    drawn = (ROOT / "docs/figures/whisper.svg").read_text("utf-8")
    texts = re.findall(r">([^<>]+)</text>", drawn)
    corpora = {side for row in rows for side in row.replace(" → ", "\n→ ").split("\n")}
    assert {*methods, *corpora} <= set(texts)
    assert {f"{value:.1f}" for value in rows["mean"]} <= set(texts)
    others = pd.DataFrame(rows, index=methods).drop(columns="mean").mean(axis=1)
    # Every cell is rounded to .1, and so is the mean.
    assert (others - pd.Series(rows["mean"], index=methods)).abs().max() <= 0.1 + 1e-9


def test_exports_of_the_page_on_prediction_go_to_folders_of_their_own():
    """A folder that holds something is refused, so that commands of one page would not run after one another."""
    page = (ROOT / "docs/prediction.rst").read_text("utf-8")
    folders = re.findall(r"^ +(?:\$ )?cleser export .*--out (\S+)", page, re.MULTILINE)
    assert len(folders) > 3 and len(set(folders)) == len(folders)


def test_the_first_run_from_python_writes_its_page_as_the_command_does():
    page = (ROOT / "docs/quickstart.rst").read_text("utf-8")
    assert 'report([experiment.out], experiment.out / "report.html")' in page
