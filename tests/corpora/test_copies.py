"""The same recording is found through whatever was done to it, and another one is not taken for it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import hilbert

from cleser.corpora.audit.copies import RATE, SAME, alike, find_copies, similarity
from cleser.corpora.audit.fingerprints import fingerprint, fingerprints
from cleser.corpora.recording import RecordingError, open_recording
from cleser.corpora.registry import load
from tests.corpora.sounds import COPIES, babble, write


def table(*paths, part="all", start=0.0, end=np.nan):
    rows = {"utterance": [f"u{i}" for i in range(len(paths))], "path": list(map(str, paths))}
    return pd.DataFrame({**rows, "start": start, "end": end, "part": part})


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_among_others(kind, tmp_path):
    sound = babble(0)
    original = write(tmp_path / "original.wav", sound)
    copy = COPIES[kind](sound, tmp_path / "copy")
    others = [write(tmp_path / f"other{seed}.wav", babble(seed)) for seed in range(1, 6)]
    manifest = table(others[0], original, *others[1:], copy)
    pairs = find_copies(manifest).pairs(manifest)
    assert pairs[["path", "other_path"]].to_numpy().tolist() == [[original, copy]]
    assert pairs["kind"].item() == ("exact" if kind == "flac" else "near")


def test_the_lag_says_how_much_later_the_other_sounds(tmp_path):
    sound = babble(0)
    paths = [write(tmp_path / "a.wav", sound), write(tmp_path / "b.wav", np.pad(sound, (1200, 0)))]
    for order in (paths, paths[::-1]):
        manifest = table(*order)
        expected = 0.075 if order == paths else -0.075
        assert find_copies(manifest).pairs(manifest)["lag"].item() == pytest.approx(
            expected, abs=1e-4
        )


def test_the_lag_of_stretches_is_within_them(tmp_path):
    """The stretch that begins 0.5 s into a longer file, against the same sound cut out 0.1 s earlier."""
    sound = babble(0, seconds=30)
    long = write(tmp_path / "long.wav", sound)
    cut = write(tmp_path / "cut.wav", 0.9 * sound[int(3.9 * 16000) : int(28.5 * 16000)])
    manifest = table(long, cut).assign(start=[4.0, 0.0], end=[28.5, np.nan])
    pairs = find_copies(manifest).pairs(manifest)
    assert pairs["lag"].item() == pytest.approx(0.1, abs=1e-4)
    assert pairs["similarity"].item() > 0.99


def test_similarity_is_its_equation():
    """Against the definition, with the lag that noise was given."""
    rng = np.random.default_rng(0)
    one = rng.standard_normal(4000)
    other = np.roll(one, 240) + 0.5 * rng.standard_normal(4000)
    how, lag = similarity(one.astype(np.float32), other.astype(np.float32))
    assert lag == pytest.approx(240 / RATE)

    def analytic(sound):
        spectrum = np.fft.rfft(sound, 8000)
        hertz = np.fft.rfftfreq(8000, 1 / RATE)
        spectrum *= np.where((hertz >= 200) & (hertz <= 3400), hertz, 0)
        return hilbert(np.fft.irfft(spectrum, 8000))

    x, y = analytic(one), np.roll(analytic(other), -240)
    phase = np.angle(np.vdot(y, x))
    above = size_x = size_y = 0.0
    for begin in range(0, 8000, 400):
        a, b = x[begin : begin + 400], y[begin : begin + 400]
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        above += np.sqrt(norms) * (np.exp(-1j * phase) * np.vdot(b, a)).real / norms
        size_x += np.linalg.norm(a)
        size_y += np.linalg.norm(b)
    assert how == pytest.approx(above / np.sqrt(size_x * size_y), rel=1e-6)


def test_one_loud_click_in_both_is_not_enough():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 8000)).astype(np.float32)
    one[4000:4010] += 300
    other[4000:4010] += 300
    plain = abs(np.vdot(one, other)) / np.linalg.norm(one) / np.linalg.norm(other)
    assert plain > 0.9
    assert similarity(one, other)[0] < SAME


def test_silence_is_like_nothing(tmp_path):
    assert similarity(np.zeros(800, dtype=np.float32), np.ones(800, dtype=np.float32)) == (0, 0)
    paths = [write(tmp_path / f"{n}.wav", np.zeros(n)) for n in (8000, 8001)]
    manifest = table(*paths)
    found = find_copies(manifest)
    assert found.pairs(manifest).empty
    assert not found.problems


def test_alike_is_every_pair_once():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5000, 2))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    some = np.arange(0, 5000, 250)
    cosine = rows[some].astype(np.float32) @ rows.astype(np.float32).T
    found = set(alike(rows, 0.999999))
    for i, row in zip(some, cosine, strict=True):
        for j in np.flatnonzero(np.abs(row - 0.999999) > 1e-6):
            assert ((min(i, j), max(i, j)) in found) == (row[j] > 0.999999 and i != j)


def test_every_two_parts_that_share_a_sound_have_a_pair(tmp_path):
    """Exact and near copies in three parts, two of them in each."""
    sound = babble(0)
    same = [write(tmp_path / f"same{i}.wav", sound) for i in range(4)]
    near = [write(tmp_path / f"near{i}.wav", 0.5 * sound) for i in range(2)]
    manifest = table(*same, *near).assign(part=["a", "a", "b", "c", "b", "c"])
    pairs = find_copies(manifest).pairs(manifest)
    assert not pairs.duplicated(["path", "other_path"]).any()
    kinds = {(frozenset((row.part, row.other_part)), row.kind) for row in pairs.itertuples()}
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        assert {(frozenset((one, other)), kind) for kind in ("exact", "near")} <= kinds
    linked = {*pairs["path"], *pairs["other_path"]}
    assert linked == {*same, *near}


def test_the_comparing_says_how_far_it_has_come(tmp_path, monkeypatch, capsys):
    """Of four near copies each two are compared, after all have been read."""
    monkeypatch.setattr("cleser.progress._SECONDS", 0.0)
    sound = babble(0)
    paths = [write(tmp_path / f"{i}.wav", 0.9**i * sound) for i in range(4)]
    assert len(find_copies(table(*paths)).near) == 6
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("comparing")]
    assert [line.partition(",")[0] for line in said] == [
        f"comparing alike recordings: {i} of 6 ({i / 6:.0%})" for i in range(1, 7)
    ]


def test_floats_that_differ_are_not_identical(tmp_path):
    """Read as integers, floats below one would all be zero."""
    paths = [write(tmp_path / f"{s}.wav", babble(s), subtype="FLOAT") for s in (0, 1)]
    exact = write(tmp_path / "16.wav", babble(0))
    whole, rate = soundfile.read(exact, dtype="float32")
    as_float = write(tmp_path / "float.wav", whole, rate, subtype="FLOAT")
    one, other, integers, floats = fingerprints(table(*paths, exact, as_float)).sounds
    assert one != other
    assert integers == floats


def test_a_fingerprint_is_the_same_whatever_the_blocks(tmp_path, monkeypatch):
    for rate in (8000, 11025, 16000):
        path = write(tmp_path / f"{rate}.wav", babble(0, seconds=3, rate=rate), rate)
        whole = fingerprint(path)
        monkeypatch.setattr("cleser.corpora.audit.fingerprints._BLOCK", 0.35)
        pieces = fingerprint(path)
        monkeypatch.undo()
        assert pieces.sound == whole.sound
        assert pieces.middle == pytest.approx(whole.middle, abs=1e-6)
        np.testing.assert_allclose(pieces.picture, whole.picture, atol=1e-3)  # float16


def test_a_recording_is_read_again_only_after_it_has_changed(tmp_path, monkeypatch):
    """By other stretches too: an audit of the next run reads nothing twice."""
    one, other = (write(tmp_path / f"{seed}.wav", babble(seed)) for seed in (0, 1))
    opened = []
    monkeypatch.setattr(
        "cleser.corpora.audit.fingerprints.open_recording",
        lambda path: opened.append(path) or open_recording(path),
    )
    manifest = table(one, other)
    first = fingerprints(manifest)
    assert fingerprints(manifest).sounds == first.sounds
    assert sorted(opened) == sorted([one, other])
    part = fingerprints(manifest.assign(start=0.5))
    assert len(opened) == 4 and part.sounds != first.sounds
    write(Path(one), babble(2, seconds=2.0))
    again = fingerprints(manifest)
    assert opened[4:] == [one]
    assert again.sounds[0] != first.sounds[0] and again.sounds[1] == first.sounds[1]


def test_memory_does_not_grow_with_the_recording(tmp_path):
    import tracemalloc

    path = write(tmp_path / "long.wav", np.tile(babble(0), 120))  # three minutes
    tracemalloc.start()
    fingerprint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 180 * 16000 / 2  # half of the samples in float32


def test_stretches_and_containers(tmp_path):
    sound = (np.random.default_rng(0).standard_normal(8000) * 3000).astype("int16")
    soundfile.write(tmp_path / "whole.wav", sound, 16000)
    soundfile.write(tmp_path / "part.flac", sound[1600:3200], 16000)
    rows = table(*(tmp_path / n for n in ("whole.wav", "part.flac", "whole.wav")))
    rows = rows.assign(start=[0.1, 0.0, 0.0], end=[0.2, np.nan, np.nan])
    stretch, part, whole = fingerprints(rows).sounds
    assert stretch == part != whole


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32"])
def test_stretches_of_codecs_that_are_read_from_their_start(tmp_path, subtype):
    """Two seconds from the middle, coded, beside what decoding the whole file gives there."""
    coded = write(tmp_path / "coded.wav", babble(0, seconds=26), subtype=subtype)
    sound, rate = soundfile.read(coded, dtype="float32")
    decoded = write(tmp_path / "decoded.wav", sound[21 * rate : 23 * rate], subtype="FLOAT")
    manifest = table(coded, decoded).assign(start=[21.0, 0.0], end=[23.0, np.nan])
    copies = find_copies(manifest)
    assert copies.problems == []
    assert copies.pairs(manifest)["kind"].tolist() == ["exact"]
    quieter = write(tmp_path / "quieter.wav", 0.5 * sound[21 * rate : 23 * rate], subtype="FLOAT")
    manifest = table(coded, quieter).assign(start=[21.0, 0.0], end=[23.0, np.nan])
    assert find_copies(manifest).pairs(manifest)["similarity"].item() > 0.99


def test_recordings_that_are_cut_off_are_listed(tmp_path):
    for name in ("a.wav", "a.ogg", "a.flac"):
        path = tmp_path / name
        write(path, babble(0, seconds=20))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = find_copies(table(*sorted(tmp_path.glob("a.*"))))
    assert found.sounds == {}
    assert ["cut off" in p.reason or "cannot be" in p.reason for p in found.problems] == [True] * 3


def test_recordings_that_cannot_be_read_are_listed(tmp_path):
    (tmp_path / "broken.wav").write_text("no sound")
    nan = write(tmp_path / "nan.wav", np.full(8000, np.nan), subtype="FLOAT")
    empty = write(tmp_path / "empty.wav", np.empty(0))
    good = write(tmp_path / "good.wav", babble(0))
    manifest = table(tmp_path / "broken.wav", nan, empty, good, good).assign(
        start=[0, 0, 0, 0, 9.0]
    )
    found = find_copies(manifest)
    reasons = [problem.reason for problem in found.problems]
    assert len(found.sounds) == 1
    assert reasons[0].startswith("cannot be read")
    assert reasons[1:] == [
        "holds samples that are NaN or infinite",
        "holds no samples from 0 s on",
        "holds no samples from 9 s on",
    ]
    with pytest.raises(RecordingError, match="cannot be read"):
        fingerprint(str(tmp_path / "missing.wav"))


def test_very_short_recordings_are_compared(tmp_path):
    for n in (1, 10, 500):
        sound = 0.5 * np.random.default_rng(n).standard_normal(n)
        write(tmp_path / f"{n}.wav", sound)
        fingerprint(str(tmp_path / f"{n}.wav"))


def test_takes_of_one_sentence_by_one_speaker_are_not_copies(corpora_root):
    """RAVDESS' speakers say two sentences twice in each emotion; its one known pair is identical."""
    manifest = load(f"ravdess:{corpora_root / 'ravdess'}").assign(part="ravdess")
    pairs = find_copies(manifest).pairs(manifest)
    assert pairs[["kind", "utterance", "other_utterance"]].to_numpy().tolist() == [
        ["exact", "ravdess/03-01-03-01-02-01-07", "ravdess/03-01-03-01-02-02-07"]
    ]
