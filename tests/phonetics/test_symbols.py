"""Symbols of every alphabet become the IPA that other tables say."""

import unicodedata

import pytest
from panphon.xsampa import XSampa

from cleser.anchors import ALPHABETS, Symbol, detect_alphabet, is_silence, split_symbol, to_ipa
from cleser.phonetics.alphabets.arpabet import parse_arpabet
from cleser.phonetics.alphabets.ipa import is_ipa
from cleser.phonetics.alphabets.pinyin import FINALS, INITIALS, parse_pinyin
from cleser.phonetics.alphabets.xsampa import _LETTERS, parse_xsampa
from cleser.phonetics.symbols import read_symbols

# CMUdict's 39 phonemes, as the dictionary's own page gives their sounds.
CMU = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ", "D": "d", "DH": "ð",
    "EH": "ɛ", "ER": "ɝ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip


@pytest.mark.parametrize("symbol", CMU)
def test_arpabet(symbol):
    assert to_ipa(symbol, "arpabet") == to_ipa(symbol.lower(), "arpabet") == CMU[symbol]
    vowel = symbol[0] in "AEIOU"
    for digit in "12":
        if vowel:
            assert split_symbol(symbol + digit, "arpabet") == Symbol(CMU[symbol], int(digit))
        else:
            assert parse_arpabet(symbol + digit) is None
    for place in "BIES":
        assert to_ipa(f"{symbol}_{place}", "arpabet") == CMU[symbol]


def test_reduced_vowels_are_others():
    assert [to_ipa(s, "arpabet") for s in ("AH0", "AH1", "ER0", "ER1")] == ["ə", "ʌ", "ɚ", "ɝ"]


def test_xsampa_agrees_with_panphon():
    convert = XSampa().convert
    # Letters on which panphon's table leaves X-SAMPA as Wells published it, or has none.
    differ = {s for s in _LETTERS if unicodedata.normalize("NFC", convert(s)) != _LETTERS[s]}
    assert len(differ) <= 12, sorted((s, convert(s), _LETTERS[s]) for s in differ)
    assert len(_LETTERS) > 100
    for symbol, ipa in [
        ("t_h", "tʰ"), ("n=", "n̩"), ("a~", "ã"), ("t_S", "tʃ"), ("d_z`", "dʐ"), ("aI", "aɪ"), ("k_w", "kʷ"),
    ]:  # fmt: skip
        assert to_ipa(symbol, "xsampa") == unicodedata.normalize("NFC", ipa)
    assert split_symbol('"2:', "xsampa") == Symbol("ø", 1, "", "ː")
    assert split_symbol("a_T", "xsampa").tone == "˥"


# Wade–Giles keeps what pinyin's letters hide: which initials are aspirated (ʻ) and which is which.
WADE_GILES = {
    "b": "p", "p": "pʻ", "d": "t", "t": "tʻ", "g": "k", "k": "kʻ", "j": "ch", "q": "chʻ", "zh": "ch", "ch": "chʻ",
    "z": "ts", "c": "tsʻ",
}  # fmt: skip


def test_pinyin_initials_are_aspirated_as_in_wade_giles():
    for initial, spelled in WADE_GILES.items():
        assert to_ipa(initial, "pinyin").endswith("ʰ") == spelled.endswith("ʻ"), initial
    assert len(set(INITIALS.values())) == 21


@pytest.mark.parametrize(
    ("syllable", "parts"),
    [
        ("zhong1", ("zh", "ong")), ("xue2", ("x", "ve")), ("yuan", ("", "van")), ("you3", ("", "iou")),
        ("liu4", ("l", "iou")), ("gui1", ("g", "uei")), ("lun2", ("l", "uen")), ("jun1", ("j", "vn")),
        ("nü3", ("n", "v")), ("nv3", ("n", "v")), ("lu:4", ("l", "v")), ("si4", ("s", "ii")), ("shi4", ("sh", "iii")),
        ("wu3", ("", "u")), ("wei4", ("", "uei")), ("weng1", ("", "ueng")), ("yi1", ("", "i")), ("yin1", ("", "in")),
        ("ying2", ("", "ing")), ("ya1", ("", "ia")), ("yong4", ("", "iong")), ("er2", ("", "er")), ("ju2", ("j", "v")),
    ],
)  # fmt: skip
def test_pinyin_syllables_are_their_initial_and_final(syllable, parts):
    initial, final = parts
    assert to_ipa(syllable, "pinyin") == INITIALS.get(initial, "") + FINALS[final]


@pytest.mark.parametrize(
    ("symbol", "final"),
    [
        # THCHS-30's lexicon: z iy1 (姿), sh ix4 (视), r iz4 (日), l iu4, g ui1, l un2.
        ("iy1", "ii"), ("ix4", "iii"), ("iz4", "iii"), ("iu4", "iou"), ("ui1", "uei"), ("un2", "uen"),
        ("ng2", "eng"), ("r5", "er"), ("er2", "er"), ("ii1", "ii"), ("iii4", "iii"),
    ],
)  # fmt: skip
def test_pinyin_finals_by_themselves(symbol, final):
    assert to_ipa(symbol, "pinyin") == FINALS[final]


def test_finals_of_the_same_sound_are_spelled_like_their_syllables():
    """The i of zi, shi and ri: a syllable in one is its initial and final in two."""
    for syllable, initial, final in (
        ("zi1", "z", "iy1"),
        ("shi4", "sh", "ix4"),
        ("ri4", "r", "iz4"),
    ):
        assert to_ipa(syllable, "pinyin") == to_ipa(initial, "pinyin") + to_ipa(final, "pinyin")
    assert detect_alphabet(["sh", "ix4", "sil", "j", "ian4"]) == "pinyin"


@pytest.mark.parametrize(
    ("syllable", "ipa"),
    [
        # -r takes the place of -n and of the ɪ that ends ai; the i of zi and shi becomes ə before it.
        ("huar1", "xwaɻ"), ("niaor3", "njaʊɻ"), ("dour4", "toʊɻ"), ("pair2", "pʰaɻ"), ("wanr2", "waɻ"),
        ("shir4", "ʂəɻ"), ("zir3", "tsəɻ"), ("nar", "naɻ"), ("ger1", "kɤɻ"), ("yangr4", "jaŋɻ"), ("er2", "aɻ"),
    ],
)  # fmt: skip
def test_pinyin_with_erhua(syllable, ipa):
    assert to_ipa(syllable, "pinyin") == ipa


def test_pinyin_tones():
    tones = [parse_pinyin(f"ma{digit}").tone for digit in "12345"]
    assert tones == ["˥", "˧˥", "˨˩˦", "˥˩", ""]
    assert [parse_pinyin(accented).tone for accented in ("mā", "má", "mǎ", "mà", "ma")] == tones
    assert parse_pinyin("nǚ") == parse_pinyin("nv3")
    assert parse_pinyin("zh1") is None
    assert parse_pinyin("kx") is None


def test_every_final_is_ipa():
    assert all(is_ipa(ipa) for ipa in [*FINALS.values(), *INITIALS.values()])


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("t͡ʃʰ", Symbol("tʃʰ")),
        ("ʧ", Symbol("tʃ")),
        ("g", Symbol("ɡ")),
        ("ˈaː", Symbol("a", 1, "", "ː")),
        ("ˌɪ̆", Symbol("ɪ", 2, "", "̆")),
        ("a˥˩", Symbol("a", 0, "˥˩")),
        ("i⁵¹", Symbol("i", 0, "˥˩")),
        ("a5", Symbol("a", 0, "˥")),
        ("á", Symbol("a", 0, "˦")),
        ("ǎɪ", Symbol("aɪ", 0, "˩˥")),
        ("ç", Symbol("ç")),
        ("ã", Symbol("ã")),
        ("l̩", Symbol("l̩")),
        ("tt", Symbol("tt")),
        ("k͡p", Symbol("k͡p")),
        ("ɡ͜b", Symbol("ɡ͡b")),
        ("ŋ͡mː", Symbol("ŋ͡m", 0, "", "ː")),
        ("k͡ǃ", Symbol("k͡ǃ")),
        ("kp", None),
        ("a͡ɪ", Symbol("aɪ")),
        ("cç", Symbol("cç")),
        ("c͡çʰ", Symbol("cçʰ")),
        ("ʰp", Symbol("ʰp")),
        ("ⁿd", Symbol("ⁿd")),
        ("ᵑɡ", Symbol("ᵑɡ")),
        ("ⁿ", None),
        ("ⁿa", None),
        ("ŋ̊", Symbol("ŋ̥")),
        ("ph", None),
        ("X", None),
        ("", None),
        ("ˈ", None),
    ],
)
def test_ipa(written, symbol):
    if symbol is None:
        with pytest.raises(ValueError, match="is no symbol of the alphabet ipa"):
            split_symbol(written, "ipa")
    else:
        for form in ("NFC", "NFD"):
            assert split_symbol(unicodedata.normalize(form, written), "ipa") == symbol


def test_espeak_reads_what_espeak_writes():
    speech = pytest.importorskip("cleser.synthesis.espeak")
    pytest.importorskip("espeakng_loader")
    sentences = pytest.importorskip("cleser.synthesis.sentences").SENTENCES
    voices = {"en": "en-us", "zh": "cmn", "de": "de", "fr": "fr", "es": "es"}
    for language, voice in voices.items():
        said = speech.synthesise(" ".join(sentences[language]), voice=voice).phones
        phones = {to_ipa(symbol, "espeak") for symbol in said}
        assert all(is_ipa(phone) for phone in phones)
        assert 20 < len(phones) < 60
    assert to_ipa("ts.h", "espeak") == to_ipa("ch", "pinyin") == "ʈʂʰ"
    assert split_symbol("iɑɜ", "espeak") == Symbol("iɑ", 0, "˧˥")
    assert split_symbol("iA214", "espeak") == Symbol("iɑ", 0, "˨˩˦")
    assert split_symbol("iːɜ", "espeak").phone == "iɜ"  # German: no tone


@pytest.mark.parametrize(
    ("voice", "text", "phones"),
    [
        # Danish: ε is the Greek letter, and its table marks short vowels with ʔ or ?, as in fisk; no stop is meant.
        ("da", "rødgrød med fløde", "ʁ œ ð ɡ ʁ œ ð m ɛ ð f l œ ð ə"),
        ("da", "hus bog ben by", "h u s b ɒ w b e n b y"),
        ("sv", "sjösjuka", "ɧ œ ɧ ʉ k a"),
        ("ga", "mac cat", "m ɑ k k ɑ t̪"),
        ("is", "jökull", "j œ ɡ y tɬ"),
        ("yue", "靚", "l eŋ"),
        ("de", "Beamter", "b ə a m t ɜ"),
        ("ar", "سأل", "s a ʔ a l"),  # here it is a stop
    ],
)
def test_what_espeaks_conversion_to_ipa_leaves(voice, text, phones):
    speech = pytest.importorskip("cleser.synthesis.espeak")
    pytest.importorskip("espeakng_loader")
    said = speech.synthesise(text, voice=voice).phones
    assert [to_ipa(symbol, "espeak") for symbol in said] == phones.split()


def test_a_glottal_stop_by_itself_is_one():
    assert to_ipa("ʔ", "espeak") == to_ipa("?", "espeak") == to_ipa("ʔ", "ipa") == "ʔ"
    assert split_symbol("ˈʔe", "espeak") == split_symbol("'?e", "espeak") == Symbol("e", 1)
    assert split_symbol("ˈA", "espeak") == split_symbol("'A", "espeak") == Symbol("ɑ", 1)


def test_a_star_is_espeaks_flap_and_a_silence_elsewhere():
    flap = ["p", "'e", "*", "o"]
    assert [symbol and symbol.phone for symbol in read_symbols(flap, "espeak")] == [
        "p",
        "e",
        "ɾ",
        "o",
    ]
    assert read_symbols(flap) == read_symbols(flap, "espeak")
    assert read_symbols(["p", "*", "h#"], "ipa") == [Symbol("p"), None, None]
    assert read_symbols(["h#", "_", ""], "espeak") == [None, None, None]


def test_silences():
    for mark in (
        "",
        " ",
        "sil",
        "SIL",
        "sp",
        "spn",
        "pau",
        "<eps>",
        "<p:>",
        "[noise]",
        "(.)",
        "sil_S",
        "h#",
        "_",
    ):
        assert is_silence(mark), mark
    for mark in ("s", "p", "a", "AA1", "ə", "S", "L", "<"):
        assert not is_silence(mark), mark


@pytest.mark.parametrize(
    ("symbols", "alphabet"),
    [
        ("DH AH0 K AE1 T sil", "arpabet"),
        ("dh ax kcl k ae tcl t h#", "arpabet"),
        ("ð ə k æ t spn", "ipa"),
        ("p a t", "ipa"),
        ("n i3 h ao3", "pinyin"),
        ("zh ong g uo", "pinyin"),
        ("n ǐ h ǎo", "ipa"),  # accents are tones of IPA too, and 'ao' a diphthong
        ("D @ k { t", "xsampa"),
        ('"h aU s 6', "xsampa"),
        ("ts.h ˈɑu ɕ", "espeak"),
        ("D @ k 'a t 0 I2", "espeak"),
        ("sil sp", "ipa"),
        ("", "ipa"),
    ],
)
def test_alphabets_are_told_apart(symbols, alphabet):
    assert detect_alphabet(symbols.split()) == alphabet


def test_what_is_in_no_alphabet_is_named():
    with pytest.raises(ValueError, match=r"nearest is arpabet, which lacks \['QQ'\]"):
        detect_alphabet(["DH", "AH0", "QQ"])
    with pytest.raises(ValueError, match="no alphabet 'sampa', expected one of"):
        to_ipa("a", "sampa")
    for alphabet in ALPHABETS:
        with pytest.raises(ValueError, match="no symbol of the alphabet"):
            to_ipa("§", alphabet)


def test_xsampa_refuses_what_it_has_no_letter_for():
    assert parse_xsampa("ə") is None
