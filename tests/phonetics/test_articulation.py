"""Classes of phones agree with panphon's features where both speak of the same, and distances are distances."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from panphon import FeatureTable

from cleser.anchors import articulation, is_vowel, nearest_counterparts, shared_phonemes
from cleser.phonetics.alphabets.pinyin import FINALS, INITIALS
from cleser.phonetics.articulation import _TABLE, features, phone_distance, segments, vowel_position

PANPHON = FeatureTable()
KNOWN = sorted(letter for letter in _TABLE if PANPHON.seg_known(letter))
# Where panphon's phonology differs from the chart: h and ʔ are sonorants, ɹ is rounded, a and central vowels back.
COVERED = 80


def test_most_of_the_chart_is_known_to_panphon():
    assert len(KNOWN) >= COVERED


@pytest.mark.parametrize("letter", KNOWN)
def test_classes_agree_with_panphon(letter):
    seg, made = PANPHON.fts(letter), articulation(letter)
    assert (seg["syl"] == 1) == (made.manner == "vowel") == is_vowel(letter)
    assert (seg["nas"] == 1) == (made.manner == "nasal")
    assert (seg["lat"] == 1) == made.manner.startswith("lateral") or letter == "ǁ"
    if letter not in "ʔʘǀǃǂǁ":
        assert (seg["voi"] == 1) == made.voiced
    if made.manner == "vowel":
        assert (seg["round"] == 1) == made.rounded
        assert (seg["hi"] == 1) == (made.height in ("close", "near-close"))
        assert (seg["lo"] == 1) == (made.height in ("open", "near-open")) or letter == "ɐ"
        if made.backness == "back":
            assert seg["back"] == 1
        if made.backness == "front" and letter != "a":
            assert seg["back"] == -1
    elif letter not in "ɧ":
        front = made.place.removeprefix("velarised ")
        coronal = front in ("dental", "alveolar", "postalveolar", "retroflex", "alveolo-palatal")
        assert (seg["cor"] == 1) == coronal or front == "palatal"
        assert (seg["lab"] == 1) == (front.startswith(("bilabial", "labio")))


@pytest.mark.parametrize(
    ("ipa", "manner", "place"),
    [
        ("tʰ", "plosive", "alveolar"),
        ("tʃ", "affricate", "postalveolar"),
        ("ʈʂʰ", "affricate", "retroflex"),
        ("tɕ", "affricate", "alveolo-palatal"),
        ("cç", "affricate", "palatal"),
        ("t͡ɬ", "lateral affricate", "alveolar"),
        ("dɮ", "lateral affricate", "alveolar"),
        ("ʰp", "plosive", "bilabial"),
        ("ⁿd", "plosive", "alveolar"),
        ("ⁿdʒ", "affricate", "postalveolar"),
        ("k͡p", "plosive", "velar"),
        ("l̩", "lateral approximant", "alveolar"),
        ("ɻ̩", "approximant", "retroflex"),
        ("ç", "fricative", "palatal"),
        ("ə̥", "vowel", ""),
        ("ɝ", "vowel", ""),
        ("waɪ", "vowel", ""),
        ("iŋ", "vowel", ""),
        ("ã", "vowel", ""),
    ],
)
def test_phones_of_several_signs(ipa, manner, place):
    made = articulation(ipa)
    assert (made.manner, made.place) == (manner, place)
    assert articulation("ã").nasal
    assert not articulation("ə̥").voiced


@pytest.mark.parametrize(
    ("ipa", "voiced"),
    [
        ("ŋ̊", False), ("ŋ̥", False), ("ɲ̊", False), ("ɡ̊", False), ("b̥", False), ("ɡ", True), ("ŋ", True),
        ("t̬", True), ("s̬", True), ("t̬ʃ", True), ("t", False), ("dɮ", True), ("tɬ", False),
    ],
)  # fmt: skip
def test_marks_of_voice(ipa, voiced):
    assert articulation(ipa).voiced is voiced
    np.testing.assert_array_equal(features("ɡ̊"), features("ɡ̥"))


def test_modifiers_before_a_sound_are_its_own():
    assert segments("ⁿdʒ") == ("ⁿdʒ",)
    assert segments("k͡p") == ("k", "p")
    assert phone_distance("ⁿd", "d") < phone_distance("ⁿd", "s")


def test_what_is_no_phone():
    for wrong in ("", "3", "Q", "a1", " ", "ⁿ", "aⁿ1"):
        with pytest.raises(ValueError, match=r"is no (phone|sound) of the IPA"):
            articulation(wrong)
    with pytest.raises(ValueError, match="'s' is a fricative, expected a vowel"):
        vowel_position("s")


def test_features_are_panphons():
    for sound in ("p", "tʰ", "ã", "ŋ", "t͡ʃ", "ə", "ç", "ɡ"):
        expected = PANPHON.fts(sound).numeric()[:22]
        np.testing.assert_array_equal(features(sound), expected)
    np.testing.assert_array_equal(features("tʃ"), features("t͡ʃ"))
    np.testing.assert_array_equal(features("ʈʂʰ")[:5], features("ʈʂ")[:5])


def test_distances():
    phones = ["p", "b", "tʃ", "ʈʂʰ", "a", "aɪ", "jaʊ", "ŋ", "ɚ", "ɫ", "t̚"]
    for a, b in itertools.product(phones, phones):
        assert phone_distance(a, b) == pytest.approx(phone_distance(b, a))
        assert 0 <= phone_distance(a, b) <= 1
        assert phone_distance(a, b) > 0 or a == b or {a, b} == {"t̚", "t"}
    assert phone_distance("ə", "ɜ") == 0
    # By hand: aɪ and a differ by one sound of two, left out at half.
    assert phone_distance("aɪ", "a") == pytest.approx(0.25)
    one = np.abs(features("p") - features("b")).mean() / 2
    assert phone_distance("p", "b") == pytest.approx(one)


def test_every_symbol_of_pinyin_is_a_phone():
    for ipa in [*FINALS.values(), *INITIALS.values()]:
        assert "".join(segments(ipa))
        assert is_vowel(ipa) == (ipa in FINALS.values() and ipa not in ("ɹ̩", "ɻ̩"))


def test_shared_and_nearest():
    english, german = ["a", "b", "θ", "iː", "n", "n"], ["a", "y", "s", "iː", "n"]
    assert shared_phonemes(english, german) == ("a", "iː", "n")
    assert shared_phonemes(english, german, vowels=True) == ("a", "iː")
    assert shared_phonemes(english, german, ["n"]) == ("n",)
    assert shared_phonemes() == ()
    near = nearest_counterparts(german, english)
    assert {p: c.phoneme for p, c in near.items()} == {
        "a": "a",
        "iː": "iː",
        "n": "n",
        "s": "θ",
        "y": "iː",
    }
    assert near["a"].distance == 0 < near["s"].distance < near["y"].distance + 1
    assert nearest_counterparts(["a"], ["p"]) == {}
    # panphon does not tell these apart: the same one is its own counterpart, and the chart decides between others.
    assert nearest_counterparts(["ə"], ["ɜ", "ə"])["ə"].phoneme == "ə"
    assert nearest_counterparts(["ɚ"], ["ɜ", "ə"])["ɚ"].phoneme == "ə"


def test_panphon_is_not_loaded_for_classes():
    code = "import sys, cleser.anchors as a; a.phone_distance('p', 'b'); print('panphon' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
