"""Keys follow from content alone."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from cleser.speech.digests import file_digest, utterance_key, utterance_keys


def manifest(*rows):
    return pd.DataFrame(rows, columns=["path", "start", "end"])


def test_the_same_sound_has_the_same_key_wherever_it_lies(tmp_path):
    for name, content in (("a.wav", b"one"), ("b.wav", b"one"), ("c.wav", b"two")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (str(tmp_path / name) for name in ("a.wav", "b.wav", "c.wav"))
    whole = (0.0, np.nan)
    advanced = []
    keys = utterance_keys(
        manifest((a, *whole), (b, *whole), (c, *whole), (a, 0.0, 1.0), (a, 1.0, 2.0)),
        advance=advanced.append,
    )
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert sum(advanced) == 3  # each file is read once
    assert file_digest(a) == hashlib.sha256(b"one").hexdigest()
    assert keys[0] == utterance_key(file_digest(a))


def test_a_file_that_cannot_be_read_has_no_key(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"one")
    rows = [(str(tmp_path / n), 0.0, np.nan) for n in ("a.wav", "missing.wav")]
    good, bad = utterance_keys(manifest(*rows))
    assert bad is None
    assert len(good) == 32
    with pytest.raises(OSError, match=r"missing\.wav"):
        file_digest(tmp_path / "missing.wav")
    assert utterance_keys(manifest()) == []


def test_cuts_change_the_key_and_rounding_does_not():
    cuts = np.array([[0.0, 0.1], [0.1, 0.25]])
    key = utterance_key("aa", cuts=cuts)
    assert key == utterance_key("aa", cuts=cuts + 1e-9)
    others = {
        utterance_key("aa"),
        utterance_key("ab", cuts=cuts),
        utterance_key("aa", cuts=cuts + 1e-3),
        utterance_key("aa", cuts=cuts.reshape(-1)),
        utterance_key("aa", cuts=[]),
        utterance_key("aa", 0.1, cuts=cuts),
    }
    assert len(others | {key}) == 7
