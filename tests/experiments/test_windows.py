"""Long recordings in windows, and recordings in which there is nothing to recognise."""

import re

import numpy as np
import pytest
import soundfile

import cleser
from cleser.experiments.prediction import recogniser
from cleser.experiments.prediction.windows import cut, unusable
from cleser.experiments.saved import SavedRun
from cleser.speech.audio import AudioError, read_mono
from tests.experiments.test_predict_recipes import finished, root, specs, tiny  # noqa: F401  (fixtures)


def write(path, sound, rate=16000, **settings):
    soundfile.write(path, np.asarray(sound, "float32"), rate, **settings)
    return path


def noise(seconds, rate=16000, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, [(0, 0.5)]),
        (30.0, [(0, 30)]),
        (30.5, [(0, 10), (10, 20), (20, 30), (20.5, 30.5)]),
        (40.0, [(0, 10), (10, 20), (20, 30), (30, 40)]),
        (47.0, [(0, 10), (10, 20), (20, 30), (30, 40), (37, 47)]),
    ],
)
def test_a_long_recording_is_covered_by_windows_of_one_length(tmp_path, rate, seconds, expected):
    path = write(tmp_path / "a.wav", np.zeros(round(seconds * rate)), rate)
    windows = cut(path)
    np.testing.assert_allclose([(w.start, w.until) for w in windows], expected, atol=1 / rate)
    whole = len(expected) == 1
    assert all(np.isnan(w.end) == whole for w in windows)
    parts = [read_mono(path, start=w.start, end=w.end)[0] for w in windows]
    assert len({len(part) for part in parts}) == 1


def test_windows_may_overlap_and_a_backbone_may_hear_less(tmp_path):
    path = write(tmp_path / "a.wav", noise(32))
    half = cut(path, length=8, hop=4)
    assert [w.start for w in half] == [0, 4, 8, 12, 16, 20, 24]
    assert {w.until - w.start for w in half} == {8}
    assert [w.start for w in cut(path, length=2, hop=2, longest=2)] == [*range(0, 32, 2)]
    assert len(cut(path, length=40, hop=40, longest=40)) == 1
    with pytest.raises(AudioError, match=r"missing\.wav: cannot be read"):
        cut(tmp_path / "missing.wav")


def unsized(path, seconds):
    """Sound as it is written to a pipe, which does not know how long it will be."""
    content = bytearray(write(path, noise(seconds)).read_bytes())
    if path.suffix == ".wav":
        at = content.index(b"data") + 4
        content[at : at + 4] = bytes(4)
    else:  # the lower 36 of these 64 bits count the samples
        facts = int.from_bytes(content[18:26], "big")
        content[18:26] = (facts >> 36 << 36).to_bytes(8, "big")
    path.write_bytes(content)
    return path


def test_a_header_without_a_length_is_no_dead_end(finished, tmp_path):  # noqa: F811
    """Of a WAV file its size says what is there; a FLAC file gets a reason, and the others are recognised."""
    piped, streamed = unsized(tmp_path / "a.wav", 40), unsized(tmp_path / "b.flac", 40)
    assert [w.until for w in cut(piped)] == [10, 20, 30, 40]
    found = cleser.load_model(finished("erm", "features")).predict([streamed, piped])
    assert found["emotion"].isna().tolist() == [True, *[False] * 4]
    assert "does not say how long it is" in found["reason"][0]
    assert found["end"].tolist()[1:] == [10, 20, 30, 40]


def test_a_window_is_the_part_of_the_recording_that_it_says(tmp_path):
    """In formats whose decoder has to find its place, too."""
    sound = noise(33.3, 22050)
    for name in ("a.wav", "a.flac", "a.ogg"):
        path = write(tmp_path / name, sound, 22050)
        decoded, _ = soundfile.read(path, dtype="float32")
        for w in cut(path):
            part, rate = read_mono(path, start=w.start, end=w.end)
            begin = round(w.start * rate)
            np.testing.assert_allclose(part, decoded[begin : begin + len(part)], atol=1e-6)


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (np.zeros(16000), "is silent"),
        (3e-5 * np.sign(noise(1)), "is silent"),
        (np.full(16000, 0.5), r"constant offset of 0\.5 and no sound"),
        (0.2 + 3e-5 * np.sign(noise(1)), "constant offset"),
        (noise(0.199), r"lasts 0\.199 s, expected 0\.2 s or more"),
        (noise(1 / 16000), "lasts 0.000 s"),
        (np.zeros(0), "holds no samples"),
        ([0.1, np.nan] * 8000, "NaN or infinite"),
        (
            np.array([[0.3, -0.3]] * 8000) * noise(0.5)[:, None],
            "cancel one another.*keep one",
        ),  # mono is their mean
        (noise(0.2), None),
        (2e-3 * noise(1), None),  # quiet: −74 dB
        (0.4 + noise(1), None),
    ],
)
def test_what_has_no_emotion_is_told_with_its_reason(tmp_path, sound, reason):
    path = write(tmp_path / "take[final].wav", sound, subtype="FLOAT")
    found = unusable(path)
    assert found is None if reason is None else re.search(reason, found)
    assert found is None or str(path) not in found


def test_a_part_is_judged_by_itself(tmp_path):
    path = write(tmp_path / "a.wav", np.concatenate([noise(1), np.zeros(16000)]))
    assert unusable(path) is None
    assert unusable(path, 0.0, 1.0) is None
    assert "is silent" in unusable(path, 1.0, 2.0)
    assert "lasts 0.100 s" in unusable(path, 0.9, 1.0)
    assert "found 2.000 s of sound" in unusable(path, 3.0)


def test_a_long_recording_is_recognised_window_by_window(finished, tmp_path):  # noqa: F811
    """Each as a file of its own would be; a silent one gets no label."""
    sound = noise(45) * np.repeat([1.0, 0.3, 0.0, 0.7, 1.0], 9 * 16000)
    long = write(tmp_path / "long.wav", sound)
    model = cleser.load_model(finished("erm", "features"))
    found = model.predict([long], window=9, hop=9)
    assert found["start"].tolist() == [0, 9, 18, 27, 36]
    assert found["end"].tolist() == [9, 18, 27, 36, 45]
    assert found["emotion"].isna().tolist() == [False, False, True, False, False]
    assert found["reason"].notna().tolist() == [False, False, True, False, False]
    parts = [write(tmp_path / f"{i}.wav", sound[int(s) * 16000 :][: 9 * 16000])
             for i, s in enumerate(found["start"])]  # fmt: skip
    own = model.predict(parts)
    shares = [f"p_{label}" for label in model.labels]
    np.testing.assert_allclose(found[shares], own[shares], atol=1e-5)
    with pytest.raises(ValueError, match=r"window is 0\.1 s"):
        model.predict([long], window=0.1)
    with pytest.raises(ValueError, match=r"hop 12 s"):
        model.predict([long], hop=12)


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("seconds", [40, 120])
def test_what_is_in_memory_does_not_grow_with_the_recording(
    finished, tmp_path, monkeypatch, rate, seconds  # noqa: F811
):  # fmt: skip
    """No more is read at once than a window, and no more features are made than of some windows."""
    model = cleser.load_model(finished("erm", "features"))
    read, held = [], []
    real, real_dataset = soundfile.SoundFile.read, SavedRun.dataset

    def watched(self, frames=-1, *args, **kwargs):
        read.append(frames)
        return real(self, frames, *args, **kwargs)

    def watched_dataset(run, rows, *args, **kwargs):
        held.append((rows["until"] - rows["start"]).sum())
        return real_dataset(run, rows, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    monkeypatch.setattr(SavedRun, "dataset", watched_dataset)
    monkeypatch.setattr(recogniser, "_PORTION", 20.0)
    path = write(tmp_path / "long.wav", noise(seconds, rate), rate)
    found = model.predict([path], window=5, hop=5)
    assert len(found) == seconds / 5
    assert set(read) == {5 * rate}
    assert held == [20.0] * (seconds // 20)


def test_a_long_backbone_limit_is_kept(finished, tmp_path, monkeypatch):  # noqa: F811
    """Whisper hears thirty seconds: here a backbone that hears two, and gets no more."""
    model = cleser.load_model(finished("erm", "features"))
    short = property(lambda self: 2 * self.rate)
    monkeypatch.setattr(type(model.run.backbone), "longest", short)
    found = model.predict([write(tmp_path / "a.wav", noise(5))])
    assert found[["start", "end"]].to_numpy().tolist() == [[0, 2], [2, 4], [3, 5]]
