"""espeak-ng's speech: the same whatever was said before, and phones that lie where the sound is."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from cleser.synthesis import espeak
from cleser.synthesis.espeak import Speech, synthesise
from cleser.synthesis.prosody import RATE, Manner, Voice, speak

TEXTS = {
    "en": "The station is south of the river, and then the shop.",
    "cmn": "火车下午三点从北京出发。",
    "de": "Die Schlüssel liegen auf dem Tisch neben der Tür.",
    "fr": "La fenêtre est ouverte depuis ce matin.",
    "es": "El tren de Zaragoza sale a las once y media.",
}


def inside(said: Speech) -> np.ndarray:
    mask = np.zeros(len(said.samples), dtype=bool)
    for start, end in zip(said.starts, said.ends, strict=True):
        mask[round(start * said.rate) : round(end * said.rate)] = True
    return mask


@pytest.mark.parametrize("variant", [None, "f2", "m3", "whisper", "klatt"])
def test_same_arguments_same_samples_in_any_order(variant):
    first = synthesise(TEXTS["en"], variant=variant)
    synthesise(TEXTS["cmn"], voice="cmn", variant="f5", rate=120, pitch=80)
    again = synthesise(TEXTS["en"], variant=variant)
    assert np.array_equal(first.samples, again.samples)
    assert first.phones == again.phones


def test_same_samples_in_a_fresh_process():
    code = (
        "import hashlib; from cleser.synthesis.espeak import synthesise;"
        f"print(hashlib.sha256(synthesise({TEXTS['en']!r}, variant='f2').samples).hexdigest())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    import hashlib

    here = hashlib.sha256(synthesise(TEXTS["en"], variant="f2").samples.tobytes()).hexdigest()
    assert output.stdout.strip() == here


def test_same_samples_from_many_threads():
    expected = synthesise(TEXTS["de"], voice="de", variant="f3").samples
    found: list[np.ndarray] = []

    def run() -> None:
        found.append(synthesise(TEXTS["de"], voice="de", variant="f3").samples)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(expected, samples) for samples in found)


@pytest.mark.parametrize("voice", TEXTS)
@pytest.mark.parametrize("variant", [None, "m3", "f2"])
def test_phones_follow_each_other_and_cover_the_speech(voice, variant):
    said = synthesise(TEXTS[voice], voice=voice, variant=variant)
    assert (said.ends > said.starts).all()
    assert (said.starts[1:] >= said.ends[:-1] - 1e-9).all()
    assert said.starts[0] >= 0
    assert said.ends[-1] <= len(said.samples) / said.rate
    assert all(said.phones)
    power = np.square(said.samples)
    mask = inside(said)
    # f2 has an echo that lasts into the pauses.
    assert power[~mask].sum() < (0.005 if variant == "f2" else 1e-9) * power.sum()
    assert mask.mean() > 0.8


def test_phones_are_those_of_the_text():
    said = synthesise("the shop")
    assert [p.strip("ˈˌː") for p in said.phones] == ["ð", "ə", "ʃ", "ɒ", "p"]


def test_a_fricative_hisses_where_its_phone_is():
    said = synthesise(TEXTS["en"])
    crossings = {}
    for phone, start, end in zip(said.phones, said.starts, said.ends, strict=True):
        part = said.samples[round(start * said.rate) : round(end * said.rate)]
        crossings.setdefault(phone, []).append(np.abs(np.diff(np.sign(part))).mean() / 2)
    assert min(crossings["s"] + crossings["ʃ"]) > 2 * max(crossings["ə"] + crossings["n"])


def test_faster_is_shorter_and_higher_pitch_is_higher():
    plain = synthesise(TEXTS["en"])
    assert len(synthesise(TEXTS["en"], rate=350).samples) < 0.6 * len(plain.samples)
    assert synthesise(TEXTS["en"], rate=350).phones == plain.phones


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voice": "xx"}, "no voice 'xx'"),
        ({"variant": "zz"}, "no variant 'zz', expected one of .*'f2'"),
        ({"rate": 10}, "rate is 10, expected 80 to 450"),
        ({"pitch": 100}, "pitch is 100, expected 0 to 99"),
        ({"text": "..."}, "says nothing to '...'"),
    ],
)
def test_wrong_arguments_say_what_is_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthesise(**{"text": "word", **arguments})
    assert synthesise("word").phones  # and the library still works


def test_a_missing_extra_says_how_to_install_it():
    code = (
        "import sys; sys.modules['espeakng_loader'] = None\n"
        "from cleser.synthesis.espeak import synthesise\n"
        "try: synthesise('word')\n"
        "except ImportError as error: print(error)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert 'pip install "cleser[espeak]"' in output.stdout


def test_importing_costs_no_synthesiser():
    code = "import sys, cleser.synthesis.espeak; print('espeakng_loader' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "False"
    assert espeak.engine().startswith("espeakng-loader ")


VOICE = Voice("en", "m3")


def loudness(said: Speech) -> float:
    return float(10 * np.log10(np.square(said.samples[inside(said)]).mean()))


def brightness(said: Speech) -> float:
    power = np.abs(np.fft.rfft(said.samples)) ** 2
    frequency = np.fft.rfftfreq(len(said.samples), 1 / said.rate)
    high = power[(frequency > 3000) & (frequency < 6000)].sum()
    return float(10 * np.log10(high / power[(frequency > 200) & (frequency < 1000)].sum()))


def test_a_tract_scales_times_and_keeps_the_phones():
    plain, short = speak(TEXTS["en"], VOICE), speak(TEXTS["en"], Voice("en", "m3", tract=1.1))
    assert plain.rate == short.rate == RATE
    assert plain.phones == short.phones
    # The rate is asked for lower by what the playing speed adds, in whole words a minute.
    assert short.ends[-1] == pytest.approx(plain.ends[-1], rel=0.03)
    assert np.square(short.samples[~inside(short)]).sum() < 1e-3 * np.square(short.samples).sum()


@pytest.mark.parametrize("decibels", [-6.0, 6.0])
def test_loudness_is_in_decibels(decibels):
    change = loudness(speak(TEXTS["en"], VOICE, Manner(loudness=decibels)))
    assert change - loudness(speak(TEXTS["en"], VOICE)) == pytest.approx(decibels, abs=0.1)


def test_filters_move_no_phone():
    plain = speak(TEXTS["en"], VOICE)
    bright = speak(TEXTS["en"], VOICE, Manner(brightness=4.0))
    breathy = speak(TEXTS["en"], VOICE, Manner(breath=18.0))
    assert brightness(bright) > brightness(plain) + 6
    assert brightness(breathy) > brightness(plain) + 3
    for said in (bright, breathy):
        assert np.array_equal(said.starts, plain.starts)
        power = np.square(said.samples)
        assert power[~inside(said)].sum() < 0.01 * power.sum()


def test_extremes_stay_in_range():
    loud = speak(TEXTS["en"], VOICE, Manner(9, 2, 2, 14, 8, 20))
    assert np.abs(loud.samples).max() <= 1
    assert np.isfinite(loud.samples).all()
