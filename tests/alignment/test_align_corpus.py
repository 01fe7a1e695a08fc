"""A corpus is aligned by processes, resumed after a kill, and says what it could not do."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from cleser.alignment import Alignment, load_alignments, read_alignment, write_textgrid
from cleser.alignment.corpus import AlignmentSettings, align_corpus, textgrid_path
from cleser.cli import main
from cleser.corpora import load

SPEC = "synthetic:de?speakers=2&sentences=1&seed=5"


@pytest.fixture(scope="module")
def manifest():
    return load(SPEC)


@pytest.fixture(scope="module")
def aligned(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alignments")
    return folder, align_corpus(manifest, folder)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.TextGrid")}


def test_every_utterance_has_a_file_and_a_row(manifest, aligned):
    folder, table = aligned
    assert table["utterance"].tolist() == manifest["utterance"].tolist()
    assert (table["kind"] == "phones").all()
    assert table["quality"].between(0, 1).all()
    wrong = []
    for row in manifest.itertuples():
        alignment = read_alignment(textgrid_path(folder, row.utterance))
        truth = json.loads(row.phones)
        assert len(alignment) == len(truth)
        assert not alignment.uniform
        wrong += [abs(a - t[1]) for a, t in zip(alignment.starts, truth, strict=True)]
    assert np.median(wrong) < 0.01
    written = pd.read_csv(folder / "quality.csv", keep_default_na=False)
    assert written["utterance"].tolist() == table["utterance"].tolist()
    np.testing.assert_allclose(written["quality"], table["quality"])


@pytest.mark.slow
def test_processes_write_the_same_files(manifest, aligned, tmp_path):
    steps = []
    table = align_corpus(manifest, tmp_path, workers=2, advance=steps.append)
    assert contents(tmp_path) == contents(aligned[0])
    pd.testing.assert_frame_equal(table, aligned[1])
    assert steps == [1] * len(manifest)


def test_what_is_there_is_not_made_again(manifest, aligned, tmp_path):
    shutil.copytree(aligned[0], tmp_path / "a")
    paths = sorted((tmp_path / "a").rglob("*.TextGrid"))
    paths[3].unlink()
    times = {path: path.stat().st_mtime_ns for path in paths if path.exists()}
    table = align_corpus(manifest, tmp_path / "a")
    assert contents(tmp_path / "a") == contents(aligned[0])
    assert times == {path: path.stat().st_mtime_ns for path in times}
    np.testing.assert_allclose(table["quality"], aligned[1]["quality"], atol=1e-5)


N_KILLS = 20
KILLED = "synthetic:de?speakers=4&sentences=2&seed=6"  # 32 utterances, more than all that are killed can align


def be_killed(manifest, folder, finish, delay):
    """Align until a moment after ``finish`` new files; the kernel then ends the process, as SIGKILL would."""
    left = finish + len(contents(folder))

    def advance(number):
        nonlocal left
        left -= number
        if left == 0:
            signal.setitimer(signal.ITIMER_REAL, delay)
        elif left < 0:
            signal.pause()  # who was too quick leaves the others something

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    advance(0)
    align_corpus(manifest, folder, advance=advance)


def be_killed_often(folder):
    """In a process of its own: what it has imported and compiled serves all, and it must have no threads.

    A fork of a process whose OpenMP has threads waits for them for ever.
    """
    manifest, draw = load(KILLED), np.random.default_rng()
    align_corpus(manifest.head(1), Path(folder) / "calm")
    ends = []
    for turn in range(N_KILLS):
        delay = draw.uniform(1e-5, 0.2)
        child = os.fork()
        if child == 0:
            be_killed(manifest, Path(folder) / "killed", turn % 2, delay)
            os._exit(0)
        ends.append(os.waitpid(child, 0)[1])
    print(json.dumps(ends))


@pytest.mark.slow
def test_killed_and_resumed_twenty_times_it_ends_with_the_same_files(tmp_path):
    code = (
        "import sys; from tests.alignment.test_align_corpus import *; be_killed_often(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
    )
    assert json.loads(done.stdout) == N_KILLS * [signal.SIGALRM]
    manifest = load(KILLED)
    align_corpus(manifest, tmp_path / "calm")
    calm, kept = contents(tmp_path / "calm"), contents(tmp_path / "killed")
    assert 0 < len(kept) < len(manifest)
    assert all(calm[name] == content for name, content in kept.items())
    align_corpus(manifest, tmp_path / "killed")
    assert contents(tmp_path / "killed") == calm


def test_without_text_segments_are_uniform_and_what_is_broken_is_said(manifest, tmp_path):
    rows = manifest.head(5).copy()
    rows.loc[rows.index[0], "text"] = None
    rows.loc[rows.index[1], "text"] = "  "
    rows.loc[rows.index[2], "path"] = str(tmp_path / "none.wav")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(16000), 16000)
    rows.loc[rows.index[3], "path"] = str(silent)
    table = align_corpus(rows, tmp_path / "a", AlignmentSettings(segment=0.2))
    assert table["kind"].tolist() == ["uniform", "uniform", "failed", "failed", "phones"]
    assert "cannot be read" in table["reason"][2]
    assert "is silent" in table["reason"][3]
    alignment = read_alignment(textgrid_path(tmp_path / "a", rows["utterance"].iloc[0]))
    assert alignment.uniform
    lengths = alignment.ends - alignment.starts
    np.testing.assert_allclose(lengths, lengths[0], atol=1e-6)
    assert 0.18 < lengths[0] < 0.22
    truth = json.loads(rows["phones"].iloc[0])
    assert abs(alignment.starts[0] - truth[0][1]) < 0.05
    assert abs(alignment.ends[-1] - truth[-1][2]) < 0.1


def test_a_part_of_a_recording_has_its_own_times(manifest, tmp_path):
    rows = manifest.head(1).copy()
    samples, rate = soundfile.read(rows["path"].iloc[0])
    long = tmp_path / "long.wav"
    soundfile.write(long, np.concatenate([np.zeros(2 * rate), samples, samples]), rate)
    rows["path"], rows["start"], rows["end"] = str(long), 2.0, 2.0 + len(samples) / rate
    align_corpus(rows, tmp_path / "a")
    align_corpus(manifest.head(1), tmp_path / "b")
    a, b = (read_alignment(textgrid_path(tmp_path / k, rows["utterance"].iloc[0])) for k in "ab")
    np.testing.assert_allclose(a.starts, b.starts, atol=0.006)


def test_two_corpora_may_share_a_folder(manifest, aligned, tmp_path):
    shutil.copytree(aligned[0], tmp_path / "a")
    other = load("synthetic:es?speakers=1&sentences=1&seed=5")
    align_corpus(other, tmp_path / "a")
    written = pd.read_csv(tmp_path / "a" / "quality.csv")
    assert written["utterance"].tolist() == [*manifest["utterance"], *other["utterance"]]


def test_other_settings_are_refused(manifest, aligned):
    with pytest.raises(ValueError, match=r"made with segment = 0\.1, expected 0\.3"):
        align_corpus(manifest, aligned[0], AlignmentSettings(segment=0.3))


def test_nothing_at_all_is_an_error(manifest, tmp_path):
    settings = AlignmentSettings(voices={"de": "no-such-voice"})
    with pytest.raises(ValueError, match=r"none of 2 utterances .*no voice 'no-such-voice'"):
        align_corpus(manifest.head(2), tmp_path, settings)


@pytest.mark.parametrize("utterance", ["../a", "a/../../b", "/a", ""])
def test_no_id_leads_out_of_the_folder(tmp_path, utterance):
    with pytest.raises(ValueError, match="names no file within a folder"):
        textgrid_path(tmp_path, utterance)


def test_the_command(capsys, tmp_path):
    arguments = ["align", "synthetic:de?speakers=1&sentences=1&seed=5", "--out", str(tmp_path)]
    assert main([*arguments, "--workers", "1"]) == 0
    assert "4 aligned, 0 without a text (uniform segments), 0 failed" in capsys.readouterr().out
    assert main([*arguments, "--voice", "de"]) == 2
    assert "expected LANGUAGE=VOICE" in capsys.readouterr().err
    assert main([*arguments, "--voice", "de=nl"]) == 2
    assert "alignments were made with voices" in capsys.readouterr().err


def kinds(table):
    return table["kind"].tolist()


def test_what_was_made_from_something_else_is_made_anew(manifest, aligned, tmp_path):
    """A first run without texts, one with them; then another text, another part and another recording."""
    rows = manifest.head(4).copy()
    copies = [tmp_path / f"{i}.wav" for i in range(len(rows))]
    for old, new in zip(rows["path"], copies, strict=True):
        shutil.copy(old, new)
    rows["path"] = [str(path) for path in copies]
    assert kinds(align_corpus(rows.assign(text=None), tmp_path / "a")) == 4 * ["uniform"]
    assert kinds(align_corpus(rows, tmp_path / "a")) == 4 * ["phones"]
    before = contents(tmp_path / "a")
    assert before == {name: contents(aligned[0])[name] for name in before}
    changed = rows.copy()
    changed.loc[1, "text"] = "Guten Tag"
    changed.loc[2, "start"] = 0.05
    samples, rate = soundfile.read(copies[3])
    soundfile.write(copies[3], np.concatenate([np.zeros(rate // 2), samples]), rate)
    table = align_corpus(changed, tmp_path / "a")
    after = contents(tmp_path / "a")
    same = [before[f"{name}.TextGrid"] == after[f"{name}.TextGrid"] for name in rows["utterance"]]
    assert same == [True, False, False, False]
    assert table.attrs["kept"] == []


def test_a_run_that_is_killed_leaves_nothing_that_passes_for_another_text(manifest, tmp_path):
    """What a file is made from is noted before it is made, not at the end of a run."""

    def stop(_):
        raise KeyboardInterrupt

    rows = manifest.head(2)
    with pytest.raises(KeyboardInterrupt):
        align_corpus(rows.assign(text=None), tmp_path, advance=stop)
    assert len(contents(tmp_path)) == 1
    assert kinds(align_corpus(rows, tmp_path)) == ["phones", "phones"]


def test_files_of_others_are_kept_and_counted(capsys, tmp_path):
    corpus = "synthetic:de?speakers=1&sentences=1&seed=5"
    rows = load(corpus)
    name = rows["utterance"].iloc[1]
    own = textgrid_path(tmp_path, name)
    write_textgrid(own, Alignment([0.1], [0.2], "a"))
    before = own.read_bytes()
    for _ in range(2):  # the second time, too, it is nobody's
        assert main(["align", corpus, "--out", str(tmp_path), "--workers", "1"]) == 0
        said = capsys.readouterr().out
        assert "1 of them were there before, and nothing says what they were made from" in said
        assert f", as {name}: " in said
        assert own.read_bytes() == before
    (tmp_path / "made_from.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"made_from\.csv: .* expected a table of \['utterance', "):
        align_corpus(rows, tmp_path)


def test_alignments_of_parts_are_read_as_they_were_made(manifest, tmp_path):
    """An utterance that is one part of a recording may be named like the recording."""
    samples, rate = soundfile.read(manifest["path"].iloc[0])
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros(rate), samples, samples]), rate)
    part = {
        "utterance": "c/a",
        "path": str(tmp_path / "a.wav"),
        "start": 1.0,
        "end": 1.0 + len(samples) / rate,
    }
    rows = manifest.head(1).assign(**part)
    align_corpus(rows, tmp_path / "grids")
    own = read_alignment(textgrid_path(tmp_path / "grids", "c/a"))
    assert own.starts[0] < 0.5 and load_alignments(rows, tmp_path / "grids") == [own]
    assert load_alignments(rows, tmp_path) == [own]  # also from a folder above
    with pytest.raises(ValueError, match=r"for 1 s to .* expected 1\.5 s to .* run cleser align"):
        load_alignments(rows.assign(start=1.5), tmp_path / "grids")
    (tmp_path / "grids" / "made_from.csv").unlink()  # as earlier versions left it
    with pytest.raises(ValueError, match=r"1 of 1 alignments .* from the utterance's start\?"):
        load_alignments(rows, tmp_path / "grids")
