"""The command line: help at every level, near misses, wrong input as sentences, and how far long work has come."""

import contextlib
import dataclasses
import io
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

import cleser
from cleser import progress
from cleser.cli import BY_RECIPE, COMMANDS, main
from cleser.cli.completion import following, script
from cleser.cli.extract import with_layers
from cleser.cli.lists import list_flags, merged
from cleser.cli.run import asked_for
from cleser.console import PlainConsole
from cleser.experiments.experiment import Experiment
from cleser.files import check_writable
from cleser.recipes import METHODS
from cleser.settings import as_yaml, read_yaml
from cleser.suggestions import did_you_mean

LEVELS = [
    *(name.split() for name in COMMANDS if name not in BY_RECIPE),
    *([command, name] for command in BY_RECIPE for name in METHODS),
]


@pytest.mark.parametrize("command", LEVELS, ids=" ".join)
def test_help_is_text_and_no_markup(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "usage: cleser " + " ".join(command) in said
    assert "`" not in said
    assert ">>>" not in said


@pytest.mark.parametrize("group", ["", "data", "bench", *BY_RECIPE])
@pytest.mark.parametrize("flag", [["--help"], ["-h"], []], ids=["help", "h", "none"])
def test_a_group_of_commands_lists_them_with_a_line_each(group, flag, capsys):
    assert main([*group.split(), *flag]) == 0
    said = capsys.readouterr().out
    names = list(METHODS) if group in BY_RECIPE else [n for n in COMMANDS if n.startswith(group)]
    lines = [line for line in said.splitlines() if line.startswith("  cleser ")]
    assert len(lines) == len(names)
    assert all(len(line.split("  ")[-1].strip() or line) > 15 for line in lines)
    assert "`" not in said


@pytest.mark.parametrize("given, used", [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_passively_unless_the_user_says_otherwise(given, used):
    """Said before torch is imported, which reads it then and never again."""
    code = (
        "import os, sys; import cleser.cli; assert 'torch' not in sys.modules; "
        "cleser.cli.main(['--version']); print(os.environ['OMP_WAIT_POLICY'])"
    )
    own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    own |= {} if given is None else {"OMP_WAIT_POLICY": given}
    done = subprocess.run(
        [sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == used


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as printed:
        done = subprocess.run(
            [sys.executable, "-m", "cleser", "submit", "--help"],
            stdout=printed, stderr=subprocess.PIPE, text=True, check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cleser {cleser.__version__}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("dataa describe", "there is no command 'dataa describe'; did you mean data describe?"),
        ("data descibe", "there is no command 'data descibe'; did you mean data describe?"),
        ("data frobnicate", "'data frobnicate', cleser data --help lists them"),
        ("evalute runs/a", "there is no command 'evalute runs/a'; did you mean evaluate?"),
        ("benhc", "there is no command 'benhc'; did you mean bench?"),
        ("frobnicate", "'frobnicate', cleser --help lists them"),
        (
            "run layer_anchoring",
            "expected one of classical, .*; layer_anchoring is called layer-anchoring now",
        ),
        ("run spaa", "there is no recipe 'spaa', expected one of classical, .* did you mean sapa?"),
        (
            "data describe emobd:x",
            "unknown corpus 'emobd', expected one of .*; did you mean emodb?",
        ),
        ("data describe mine:list.csv", "expected one of .*; a table is read as manifest:list.csv"),
        ("data describe list.tsv", "'list.tsv' is no corpus, .*; a table is read as manifest:list"),
        ("data describe emodb", "'emodb' is no corpus, expected NAME:ARGUMENT as emodb:PATH"),
    ],
)
def test_near_misses_are_named(args, said, capsys):
    assert main(args.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert re.search(said.replace("?", r"\?"), captured.err)


def test_what_is_like_nothing_gets_no_suggestion():
    assert did_you_mean("xyz", ["emodb", "ravdess"]) == ""
    assert did_you_mean("RAVDES", ["emodb", "ravdess"]) == "; did you mean ravdess?"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.csv").write_text("path,language,emotion\n")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "open.yaml").write_text("a: [1")
    (tmp_path / "list.yaml").write_text("- 3\n")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "part.yaml").write_text("recipe: erm\n")
    (tmp_path / "latin.yaml").write_bytes(b"\xe9\xff: 1\n")
    return tmp_path


DIRECTION = "--source synthetic:en --target synthetic:de --out out"
CHOSEN = "--target nemo:c --out out"
WRONG = [
    (f"run erm {DIRECTION} --seeds 0", "seeds is 0, expected 1 or more"),
    (f"run erm {DIRECTION} --prior open.yaml", "--prior open.yaml is no YAML"),
    (f"run erm {DIRECTION} --prior list.yaml", "holds [3], expected shares by class"),
    (f"run erm {DIRECTION} --prior {{anger:true}}", "anger:true is None, expected a number"),
    (f"run erm {DIRECTION} --prior gone.yaml", "gone.yaml cannot be read (No such file"),
    (f"run erm {DIRECTION} --split gone", "expected speakers, official, FILE.csv"),
    (f"run erm {DIRECTION} --backbone gone", "backbone is 'gone', expected 'acoustic'"),
    ("run erm --config gone.yaml --out out", "gone.yaml cannot be read (No such file"),
    ("run erm --config open.yaml --out out", "open.yaml is no YAML"),
    ("run erm --config latin.yaml --out out", "latin.yaml is no text in UTF-8"),
    ("run erm --config list.yaml --out out", "holds [3], expected the settings of a run, as its"),
    ("run erm --config empty.yaml --out out", "empty.yaml holds nothing, expected the settings of"),
    ("run erm --config part.yaml --out out", "lacks ['backbone', 'config', 'protocol', 'seeds']"),
    ("bench transfer --out out", "found 0 corpora and no --matrix, expected two or more"),
    ("bench transfer --out out --matrix open.yaml", "open.yaml is no YAML"),
    ("bench transfer --out out --matrix list.yaml", "holds [3], expected names and values"),
    ("bench transfer --out out --matrix part.yaml", "has no list of directions"),
    ("bench transfer --out out --corpora emodb:a ravdess:b --recipes er", "did you mean erm?"),
    ("data describe emodb:empty", "looked for recordings named as 03a01Fa.wav"),
    ("data describe manifest:none.csv", "manifest:none.csv: names no recording, expected at least"),
    ("data describe manifest:table.csv", "found the columns ['a', 'b']"),
    ("data folds manifest:table.csv --split kfold:2", "found the columns ['a', 'b']"),
    ("evaluate empty --on synthetic:en", "empty: found neither config.yaml nor config.json"),
    ("compare empty empty", "empty: found no results.json"),
    ("report empty --out page.html", "empty: found no results.json"),
    ("run erm --source emodb:a --target ravdess:b --out out --prior anger=1", "as '{neutral: 0.7, anger: 0.3}'"),
    ("evaluate gone", "gone: there is no such folder"),
    ("compare empty gone", "gone: there is no such folder"),
    ("report gone --out page.html", "gone: there is no such folder"),
    ("report --out page.html", "there are no runs to report"),
    ("predict empty none.csv", "empty: found neither config.yaml nor config.json"),
    ("predict empty none.csv --csv empty", "--csv empty is a folder (an empty name is the current one), expected"),
    ("predict empty none.csv --csv=", "--csv . is a folder (an empty name is the current one), expected the name"),
    ("predict empty none.csv --csv a --json-file ./a", "--csv and --json-file both name a, expected two files"),
    ("export empty --out out", "empty: found neither config.yaml nor config.json"),
    ("align emodb:empty --out out", "looked for recordings named as 03a01Fa.wav"),
    ("run erm --config=gone.yaml --out out", "gone.yaml cannot be read (No such file"),
    ("run erm --out out --config=part.yaml", "lacks ['backbone', 'config', 'protocol', 'seeds']"),
    ("data audit emodb:empty emodb:empty", "found emodb:empty several times, expected each corpus once"),
    ("communities emodb:empty --out out --communities 0", "--communities is 0, expected 1 or more"),
    ("communities emodb:empty --out out --communities 2 --no-refine", "expected it without --no-refine"),
    ("export empty --out out --push some/one@v1", "--push some/one@v1 is no name on the hub"),
    (f"tune probe --source emodb:a ravdess:b {CHOSEN} --search random --trials 0", "trials is 0, expected 1"),
]  # fmt: skip
IDLE = [
    ("evaluate empty --map a=b", "--map has no effect here, expected --on CORPUS"),
    ("evaluate empty --out out", "--out has no effect here, expected --on CORPUS"),
    (
        "evaluate empty --files 3 --quick",
        "--files, --quick have no effect here, expected --robustness",
    ),
    (
        "evaluate empty --on synthetic:en --seed 1",
        "--seed has no effect here, expected --robustness",
    ),
    (
        f"run probe {DIRECTION} --trials 5",
        "--trials has no effect here, expected --select transfer",
    ),
    (
        f"run probe {DIRECTION} --search random",
        "--search has no effect here, expected --select trans",
    ),
    (
        f"run erm {DIRECTION} --select-on emodb:a",
        "--select-on has no effect here, expected --select",
    ),
    (
        f"run probe --source emodb:a ravdess:b {CHOSEN} --select none --selection-seeds 2",
        "--selection-seeds has no effect here, expected --select transfer",
    ),
    (
        f"tune probe --source emodb:a ravdess:b {CHOSEN} --trials 5",
        "--trials has no effect here, expected --search random or optuna",
    ),
    (
        "export empty --out out --dry-run",
        "--dry-run has no effect here, expected --push OWNER/NAME",
    ),
    (
        "export empty --out out --private",
        "--private has no effect here, expected --push OWNER/NAME",
    ),
]


@pytest.mark.parametrize(
    ("args", "said"), [*WRONG, *IDLE], ids=[args for args, _ in [*WRONG, *IDLE]]
)
def test_what_is_wrong_is_a_sentence(folder, args, said, capsys):
    assert main(args.split()) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert not (folder / "out").exists()
    assert not (folder / "page.html").exists()


_SAID_AT_ONCE = "--source a:x b:y --target c:z d:w --labels anger sadness --map x=anger y=sadness"


@pytest.mark.parametrize(
    "said",
    [
        _SAID_AT_ONCE,
        "--source a:x --target=c:z --source b:y --labels anger --labels sadness --target d:w "
        "--map=x=anger --map y=sadness",
    ],
)
def test_a_list_may_be_given_at_once_or_a_value_at_a_time(said, tmp_path):
    flags = f"erm {said} --auxiliary e:1 --seeds 2 --auxiliary f:2 --out {tmp_path / 'run'}"
    found = asked_for("run", flags.split())
    assert found is not None
    terms = found.experiment.protocol
    assert (terms.source, terms.target) == (("a:x", "b:y"), ("c:z", "d:w"))
    assert terms.labels == ("anger", "sadness")
    assert terms.map == {"x": "anger", "y": "sadness"}
    assert terms.auxiliary == ("e:1", "f:2")
    assert found.experiment.seeds == 2


def test_a_repeated_list_takes_no_word_that_is_none_of_its_values():
    args = [
        "--corpus=a",
        "x.wav",
        "--on_top",
        "b",
        "--json",
        "--on-top=c",
        "y.wav",
        "--corpus",
        "d",
    ]
    assert merged(args, {"--corpus", "--on-top"}) == [
        "x.wav", "--json", "y.wav", "--corpus", "a", "d", "--on-top", "b", "c",
    ]  # fmt: skip
    once = ["--corpus", "a", "b", "--seeds", "1", "--seeds", "2"]
    assert merged(once, {"--corpus"}) == once


def test_both_maps_of_a_command_are_heard(capsys):
    maps = ["--map", "anger=fear", "--no-probe", "--map", "sadness=disgust"]
    assert main(["data", "describe", "synthetic:en?speakers=2&sentences=1", *maps]) == 0
    said = capsys.readouterr().out
    assert "fear" in said
    assert "disgust" in said
    assert "anger" not in said


def test_the_lists_of_a_command_are_known_by_their_types():
    @dataclasses.dataclass
    class Part:
        some: tuple[int, ...] = ()
        pair: tuple[int, int] = (0, 0)
        word: str = ""

    @dataclasses.dataclass
    class Whole:
        inner_part: Part
        names: list[str] | None = None

    assert list_flags(Whole, "a.") == {"--a.inner-part.some", "--a.names"}


@pytest.mark.parametrize("layers", [["all", "3"], ["3", "all"], ["0", "middle"], ["all", "all"]])
def test_names_of_layers_stand_alone(layers):
    with pytest.raises(ValueError, match="beside others, expected all, lower, middle and upper to"):
        with_layers("owner/model", layers)


@pytest.mark.parametrize("layers", ["9:4", "4:4", "4:x"])
def test_layers_that_are_none_are_named(layers):
    with pytest.raises(ValueError, match=f"--layers holds '{layers}', expected all, numbers"):
        with_layers("owner/model", [layers])


def write_config(path, changes):
    """Settings of a run as a person may write them; changes are YAML by the setting's name."""
    terms = ["source: ['synthetic:en']", "target: ['synthetic:de']"]
    parts = {"protocol": terms, "config": [], "tuning": []}
    top = {"recipe": "erm", "backbone": "acoustic", "seeds": "1"}
    for name, value in changes.items():
        part, _, rest = name.partition(".")
        if not rest:
            top[part] = value
            parts.pop(part, None)
        else:
            *nested, field = rest.split(".")
            inner = f"{field}: {value}"
            parts[part].append(f"{nested[0]}: {{{inner}}}" if nested else inner)
    top |= {name: f"{{{', '.join(held)}}}" for name, held in parts.items()}
    path.write_text("".join(f"{name}: {value}\n" for name, value in top.items()))


WRONG_CONFIGS = [
    ("config.training.epochs", '"two"', "config: training: epochs is 'two', expected a whole number"),
    ("config.training.epochs", "2.7", "config: training: epochs is 2.7, expected a whole number"),
    ("config.training.epochs", "true", "config: training: epochs is True, expected a whole number"),
    ("config.training.epochs", "0", "config: training: epochs is 0, expected 1 or more"),
    ("config.training", "3", "config: training is 3, expected names and values"),
    ("config.label_smoothing", "much", "config: label_smoothing is 'much', expected a number"),
    ("config", "[a]", "config is ['a'], expected names and values"),
    ("protocol", "", "protocol is None, expected names and values"),
    ("protocol.dev", "some", "protocol: dev is 'some', expected a number"),
    ("protocol.dev", "2", "protocol: dev is 2, expected a share between 0 and 1"),
    ("protocol.prior", "{anger: much}", "protocol: prior: anger is 'much', expected a number"),
    ("protocol.prior", "{anger: true}", "protocol: prior: anger is True, expected a number"),
    ("protocol.map", "[calm=neutral]", "map is ['calm=neutral'], expected names and values"),
    ("protocol.labels", "anger", "protocol: labels is 'anger', expected a list of text"),
    ("tuning.mode", "everything", "tuning: mode is 'everything', expected one of"),
    ("seeds", "1e0", "seeds is 1.0, expected a whole number"),
    ("seeds", "true", "seeds is True, expected a whole number"),
    ("recipe", "[erm]", "recipe is ['erm'], expected text"),
    ("backbone", "3", "backbone is 3, expected text"),
    ("seed", "3", "unknown settings ['seed'] in"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "said"), WRONG_CONFIGS)
def test_settings_of_another_kind_are_named_before_anything_is_done(
    name, value, said, folder, capsys
):
    write_config(folder / "mine.yaml", {name: value})
    assert main(["run", "erm", "--config", "mine.yaml", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "mine.yaml" in error
    assert error.count("\n") == 1
    assert not (folder / "out").exists()


def test_settings_by_hand_may_have_numbers_in_the_usual_notation(folder):
    changes = {
        "config.training.learning_rate": "1e-4",
        "config.label_smoothing": "1e-1",
        "protocol.dev": "2e-1",
        "protocol.prior": "{anger: 1e-1, neutral: 9e-1}",
        "protocol.map": "{calm: neutral}",
    }
    write_config(folder / "mine.yaml", changes)
    found = asked_for("run", ["erm", "--config", "mine.yaml", "--out", "out"])
    assert found is not None
    experiment, config = found.experiment, found.config
    assert config.training.learning_rate == 1e-4
    assert config.label_smoothing == 0.1
    assert experiment.protocol.dev == 0.2
    assert experiment.protocol.prior == {"anger": 0.1, "neutral": 0.9}
    assert experiment.protocol.map == {"calm": "neutral"}


def test_a_run_folder_with_broken_settings_is_a_sentence(folder, capsys):
    (folder / "old").mkdir()
    arguments = f"run classical {DIRECTION}".replace("--out out", "--out old").split()
    for text, said in (("a: [1", "config.yaml is no YAML"), ("a: 1", "a run with other settings")):
        (folder / "old/config.yaml").write_text(text)
        assert main(arguments) == 2
        assert said in capsys.readouterr().err


def test_errors_of_the_system_begin_with_the_path(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "runs/a/results.json")

    monkeypatch.setattr("cleser.corpora.registry.load", full)
    monkeypatch.setattr("cleser.corpora.load", full)
    assert main(["data", "describe", "emodb:empty"]) == 2
    assert capsys.readouterr().err == "error: runs/a/results.json: No space left on device\n"


def test_yaml_that_is_read_is_a_dictionary(tmp_path):
    (tmp_path / "a.yaml").write_text("neutral: 0.7\n", "utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"neutral": 0.7}
    (tmp_path / "a.yaml").write_text("", "utf-8")
    with pytest.raises(ValueError, match=r"a\.yaml holds nothing, expected names and values"):
        read_yaml(tmp_path / "a.yaml")


def test_numbers_in_yaml_are_numbers_in_the_usual_notation(tmp_path):
    """YAML 1.1, which PyYAML reads, takes some of them for text; text that looks like one is written in quotes."""
    written = ["1e-4", "2E3", "-.5e+2", "1.0e4", "0.5", "3"]
    (tmp_path / "a.yaml").write_text(f"found: [{', '.join(written)}]\n", "utf-8")
    assert read_yaml(tmp_path / "a.yaml")["found"] == [1e-4, 2e3, -50.0, 1e4, 0.5, 3]
    text = {"found": [*written, "e4", "1e", "1e4x", "0x1e4"]}
    assert yaml.safe_load(as_yaml(text)) == text
    (tmp_path / "a.yaml").write_text(as_yaml(text), "utf-8")
    assert read_yaml(tmp_path / "a.yaml") == text


def test_experiments_have_seeds(tmp_path):
    with pytest.raises(ValueError, match="seeds is -1, expected 1 or more"):
        Experiment("erm", {}, None, -1, tmp_path)


# --- Quiet, verbose, and places that cannot be written ---


@pytest.mark.parametrize("place", ["before", "after"])
def test_quiet_leaves_results_and_errors_and_verbose_adds_the_traceback(place, folder, capsys):
    def said(flag, command):
        words = command.split()
        assert main([flag, *words] if place == "before" else [*words, flag]) == 2
        return capsys.readouterr().err

    wrong = "data describe emodb:empty"
    assert said("--quiet", wrong).startswith("error: emodb: looked for")
    loud = said("--verbose", wrong)
    assert loud.startswith(f"cleser {cleser.__version__}, Python 3.")
    assert "Traceback (most recent call last)" in loud
    assert loud.splitlines()[-1].startswith("error: emodb: looked for")
    assert main(["--version", "--quiet"]) == 0
    assert capsys.readouterr().out == f"cleser {cleser.__version__}\n"


def test_quiet_holds_for_notes_and_progress_of_one_command_alone(monkeypatch, capsys):
    def command():
        progress.stderr.print("a note")
        progress.say_always("a cell failed")

    monkeypatch.setattr("cleser.cli.doctor.doctor", command)
    for flags, notes in ((["--quiet"], ""), ([], "a note\n")):
        assert main(["doctor", *flags]) == 0
        assert capsys.readouterr().err == f"{notes}a cell failed\n"


NOWHERE = "none.csv/below/out"
UNWRITABLE = [
    f"run erm --source emodb:empty --target emodb:empty --out {NOWHERE}",
    "run erm --source emodb:empty --target emodb:empty --out none.csv",
    f"align emodb:empty --out {NOWHERE}",
    f"bench transfer --corpora emodb:empty ravdess:empty --out {NOWHERE}",
    f"report empty --out {NOWHERE}",
    f"predict empty none.csv --csv {NOWHERE}",
]


@pytest.mark.parametrize("args", UNWRITABLE)
def test_what_cannot_be_written_is_said_before_anything_is_read(args, folder, capsys):
    """The corpora are empty, and the runs are none, so that reading them would be another error."""
    assert main(args.split()) == 2
    said = capsys.readouterr().err
    assert re.match(
        r"error: --(out|csv) none.csv\S* (cannot be written \(.*directory\)|is a file)", said
    )
    assert len(said.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said(folder, capsys):
    (folder / "empty").chmod(0o555)
    assert main(["align", "emodb:empty", "--out", "empty/out"]) == 2
    assert "--out empty/out cannot be written" in capsys.readouterr().err


def test_a_place_that_can_be_written_is_left_as_it_is(folder):
    before = sorted(folder.rglob("*"))
    for place in ("none.csv", "empty", "gone/runs/a"):
        check_writable(place, "--out")
    assert sorted(folder.rglob("*")) == before


# --- Completion ---

TYPED = [
    ("cleser da", ["data"]),
    ("cleser data de", ["describe"]),
    ("cleser run s", ["sapa"]),
    ("cleser run sapa --see", ["--seeds"]),
    ("cleser run sapa --seeds 3 --tune.mo", ["--tune.mode"]),
    ("cleser predict runs/a --qu", ["--quiet"]),
]


@pytest.fixture(scope="module")
def words():
    return following()


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_shells_complete_commands_recipes_and_flags(shell, words, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    path = tmp_path / "completion"
    path.write_text(script(shell, words))
    asks = {
        "bash": "COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _cleser; echo ${{COMPREPLY[*]}}",
        "fish": "complete -C '{}'",
    }[shell]
    lines = [f"source {path}", *(asks.format(typed) for typed, _ in TYPED)]
    done = subprocess.run(
        [shell, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()] == [found for _, found in TYPED]


def test_zsh_reads_its_script(words, tmp_path):
    if shutil.which("zsh") is None:
        pytest.skip("no zsh")
    (tmp_path / "_cleser").write_text(script("zsh", words))
    subprocess.run(["zsh", "-f", "-n", tmp_path / "_cleser"], check=True)


def test_every_command_can_be_completed(words):
    assert {line for line in words if line.split() in LEVELS} == set(map(" ".join, LEVELS))
    assert all(
        {"--help", "--quiet", "--verbose"} <= set(words[" ".join(level)]) for level in LEVELS
    )
    assert {"--labels", "--tune.mode", "--epochs"} <= set(words["run erm"])
    assert all(re.fullmatch(r"-*[a-z][\w.-]*", word) for of in words.values() for word in of)


# --- Progress ---


class Clock:
    """Stands still unless told."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def log(monkeypatch):
    """What is printed where the output is a file, and the clock."""
    file, clock = io.StringIO(), Clock()
    monkeypatch.setattr(progress, "stderr", PlainConsole(file=file))
    monkeypatch.setattr(progress, "time", clock)
    return file, clock


def test_short_work_prints_nothing_into_a_log(log):
    file, clock = log
    for _ in range(5):
        with progress.track("features", 100) as advance:
            for _ in range(100):
                clock.now += 0.05
                advance(1)
    assert file.getvalue() == ""


def test_long_work_prints_a_line_every_few_per_cent(log):
    file, clock = log
    with progress.track("features", 1000) as advance:
        for _ in range(1000):
            clock.now += 1.2
            advance(1)
    lines = file.getvalue().splitlines()
    assert len(lines) == 20
    assert lines[0] == "features: 50 of 1,000 (5%), 19 min left"
    assert lines[-1] == "features: 1,000 of 1,000 (100%)"


def test_lines_are_some_seconds_apart_and_carry_the_note(log):
    file, clock = log
    with progress.track("take[1].wav", 10) as advance:
        for i in range(10):
            clock.now += 4
            advance(1, f"dev UAR {i}")
    lines = file.getvalue().splitlines()
    assert lines[0] == "take[1].wav: 3 of 10 (30%), 28 s left, dev UAR 2"
    assert len(lines) == 3
    assert "" not in lines


def test_items_come_through_one_by_one(log):
    file, clock = log
    seen = []
    for item in progress.each("abcd", "headers", 4):
        clock.now += 11
        seen.append(item)
    assert seen == list("abcd")
    assert file.getvalue().splitlines()[-1] == "headers: 4 of 4 (100%)"


def test_a_terminal_gets_a_bar_that_goes(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(progress, "stderr", PlainConsole(file=file, force_terminal=True, width=80))
    with progress.track("features", 10) as advance:
        advance(10)
    assert "10/10" in file.getvalue()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="the system knows no groups of processes")
def test_what_a_batch_system_ends_leaves_no_worker_behind(tmp_path):
    corpora = [f"{code}=synthetic:{code}?speakers=2&sentences=1" for code in ("en", "de")]
    command = ["bench", "transfer", "--corpora", *corpora, "--recipes", "erm", "--seeds", "20"]
    with subprocess.Popen(
        [sys.executable, "-m", "cleser", *command, "--workers", "2", "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            # A worker is in a cell once it says how features are normalised.
            next(line for line in process.stderr if "normalisation" in line)
            process.terminate()
            said = process.stderr.read()  # until every process that may write to it has ended
            assert "goes on from here" in said
            assert process.wait() == 128 + signal.SIGTERM
            assert not list(tmp_path.rglob("results.json"))  # no cell was gone on with
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
