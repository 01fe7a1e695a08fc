r"""How the speakers of the synthetic corpus express emotion: a model with planted styles and language gaps.

An utterance's manner is a vector :math:`u` of six cues (pitch, pitch range, rate, loudness, brightness,
breath), each in its own unit (:data:`UNITS`). For a speaker :math:`s` with style :math:`k`, language
:math:`l`, an utterance :math:`i` with emotion :math:`e`:

.. math::

   u &= \exp(\text{gap} \cdot G_l)\,\bigl(m_e + \text{style} \cdot o_{e,k}\bigr)
        + \text{gap} \cdot b_l + \text{jitter} \cdot (\sigma_s \epsilon_s + \sigma_i \epsilon_i) \\
   o_{e,k} &= c \odot (m_{e \oplus k} - m_e)

:math:`m_e` is what the emotion means for every speaker (:data:`MEANS`). A style gives some cues,
:math:`c` (pitch, rate, loudness), the meaning of another emotion: :math:`\oplus` is the exclusive or of
the positions in (anger, sadness, happiness, neutral). Style 0 is the hot one; in style 1 anger is as low,
slow and soft as sadness in style 0, and grief is loud. At ``style=1`` these cues alone mean nothing to one
who does not know the style, and any two styles disagree about every emotion; the remaining cues (range,
brightness, breath) mean the same in all styles, more weakly. Over its four emotions a speaker's mean does
not depend on the style: normalising speakers does not remove a style, and a plain voice does not show it.

A language turns and scales the cues, :math:`G_l` (skew-symmetric plus diagonal), and shifts them,
:math:`b_l`, for all its speakers alike. Standardising takes away shift and scale; the turn stays: what
one language says with loudness another says in part with rate. At ``gap=0`` all languages are alike.
:math:`\epsilon_s` (of a speaker's emotion) and :math:`\epsilon_i` (of an utterance) are standard normal.

**Arousal, valence and dominance** follow from what was expressed, before style and language:

.. math:: (\text{arousal}, \text{valence}, \text{dominance}) = \mathrm{clip}\bigl(
          \bar a + W (m_e + \text{jitter} \cdot (\sigma_s \epsilon_s + \sigma_i \epsilon_i)),\; -1,\; 1\bigr)

with the smallest W that takes the means of the four emotions to those of :data:`AFFECT`: an utterance that is less loud
and slower than others in anger is also less aroused, and lies between the emotions.

**Blends.** With the knob ``blend`` an utterance expresses another emotion beside its own: :math:`m_e` becomes
:math:`(1 - \beta_i) m_e + \beta_i m_{e'_i}`, with :math:`e'_i` any of the three others and :math:`\beta_i` uniform from
0 to blend / 2. At 1 the two may be as strong as one another.

**Annotators** choose an emotion each, by themselves: e with a probability in proportion to
:math:`\exp(-d_e^2 / 2 w^2)`, where :math:`d_e` is the distance of the utterance's arousal, valence and dominance from
those of e, and w is :data:`DOUBT`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm

from cleser.synthesis.prosody import Manner

Vector = npt.NDArray[np.float64]

EMOTIONS: Final = ("anger", "sadness", "happiness", "neutral")  # in the order that ⊕ counts
CUES: Final = ("pitch", "range", "rate", "loudness", "brightness", "breath")
UNITS: Final = np.array([2.5, 0.5, 0.25, 4.0, 2.0, 6.0])  # semitones, log2, log2, dB, dB/octave, dB
MAX_STYLES: Final = 4

_RAW: Final = np.array(
    [
        # pitch range rate loud bright breath
        [1.2, 0.3, 0.8, 1.6, 1.3, -1.0],  # anger
        [-1.2, -1.1, -1.0, -1.4, -0.8, 1.0],  # sadness
        [0.8, 1.3, 0.3, 0.2, 0.3, 0.7],  # happiness
        [-0.8, -0.5, -0.1, -0.4, -0.8, -0.7],  # neutral
    ]
)
MEANS: Final = _RAW - _RAW.mean(axis=0)
CONFLICTING: Final = np.isin(CUES, ("pitch", "rate", "loudness"))
AFFECT: Final = np.array(
    [
        # arousal valence dominance
        [0.6, -0.4, 0.6],  # anger
        [-0.6, -0.3, -0.6],  # sadness
        [0.5, 0.7, 0.2],  # happiness
        [-0.3, -0.1, 0.0],  # neutral
    ]
)
_READING: Final = np.linalg.pinv(MEANS) @ (AFFECT - AFFECT.mean(axis=0))  # Wᵀ
DOUBT: Final = 0.35
_SPEAKER, _UTTERANCE = 0.3, 0.35  # standard deviations σ
_TURN, _SCALE, _SHIFT = 0.45, 0.2, 0.7  # of the entries of G and b, at gap 1


def generator(*names: object) -> np.random.Generator:
    """Randomness that depends on these names alone: more speakers or sentences change none of the others."""
    digest = hashlib.sha256("|".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def expressed(mixture: Vector, style: int, strength: float) -> Vector:
    """What emotions in these shares [4] do to the cues in a style, before language and chance: m + strength · o.

    >>> anger, sadness = mixture("anger"), mixture("sadness")
    >>> bool(expressed(anger, 1, 1.0)[0] == expressed(sadness, 0, 1.0)[0])  # pitch
    True
    """
    others = MEANS[np.arange(len(EMOTIONS)) ^ style]
    offset = np.where(CONFLICTING, others - MEANS, 0.0)
    return np.asarray(mixture @ (MEANS + strength * offset))


def mixture(emotion: str, *names: object, blend: float = 0.0) -> Vector:
    """Shares of the four emotions [4] in an utterance, which its names (language, speaker, sentence, seed) decide.

    >>> mixture("sadness").tolist()
    [0.0, 1.0, 0.0, 0.0]
    """
    index = EMOTIONS.index(emotion)
    shares = np.zeros(len(EMOTIONS))
    random = generator("blend", emotion, *names)
    other = (index + int(random.integers(1, len(EMOTIONS)))) % len(EMOTIONS)
    shares[other] = blend * random.uniform(0, 0.5)
    shares[index] = 1 - shares[other]
    return shares


@cache
def language_map(language: str, gap: float, seed: int) -> tuple[Vector, Vector]:
    """The matrix exp(gap · G) and the shift gap · b of a language."""
    random = generator(seed, "language", language)
    full = random.standard_normal((len(CUES), len(CUES)))
    turn = _TURN * (full - full.T) / np.sqrt(2)
    generators = turn + np.diag(_SCALE * random.standard_normal(len(CUES)))
    shift = _SHIFT * random.standard_normal(len(CUES))
    return expm(gap * generators), gap * shift


def cues(
    emotion: str,
    language: str,
    speaker: int,
    sentence: int,
    *,
    style: int,
    strength: float,
    gap: float,
    jitter: float,
    seed: int,
    blend: float = 0.0,
) -> Vector:
    """The cues u of one utterance, in units, [6].

    Args:
        emotion: One of :data:`EMOTIONS`.
        language: Language, which chance depends on, and which turns and shifts the cues.
        speaker: Number of the speaker, from 0 on.
        sentence: Number of the sentence, from 0 on.
        style: The speaker's style k, from 0 to 3.
        strength: How far styles differ, from 0 to 1; ``style`` in the equation.
        gap: How far languages differ; 0 not at all.
        jitter: Chance in expression; 0 none.
        seed: Seed of all chance.
        blend: How much of another emotion is expressed beside its own, from 0 to 1.

    >>> u = cues("anger", "en", 0, 0, style=0, strength=1.0, gap=0.0, jitter=0.0, seed=0)
    >>> bool(np.allclose(u, MEANS[0]))
    True
    """
    matrix, shift = language_map(language, gap, seed)
    chance = jitter * _chance(emotion, language, speaker, sentence, seed)
    shares = mixture(emotion, language, speaker, sentence, seed, blend=blend)
    return np.asarray(matrix @ expressed(shares, style, strength) + shift + chance)


def _chance(emotion: str, language: str, speaker: int, sentence: int, seed: int) -> Vector:
    """What a speaker and an utterance add to the cues, in units, at jitter 1."""
    own = generator(seed, language, speaker, emotion).standard_normal(len(CUES))
    now = generator(seed, language, speaker, emotion, sentence).standard_normal(len(CUES))
    return np.asarray(_SPEAKER * own + _UTTERANCE * now)


def affect(
    emotion: str,
    language: str,
    speaker: int,
    sentence: int,
    *,
    jitter: float,
    seed: int,
    blend: float = 0.0,
) -> Vector:
    """Arousal, valence and dominance of one utterance, [3], each from −1 to 1.

    Args:
        emotion: One of :data:`EMOTIONS`.
        language: Language, which chance depends on.
        speaker: Number of the speaker, from 0 on.
        sentence: Number of the sentence, from 0 on.
        jitter: Chance in expression; 0 none.
        seed: Seed of all chance.
        blend: How much of another emotion is expressed beside its own, from 0 to 1.

    >>> affect("anger", "en", 0, 0, jitter=0.0, seed=0).round(6).tolist()
    [0.6, -0.4, 0.6]
    """
    shares = mixture(emotion, language, speaker, sentence, seed, blend=blend)
    expressed_here = shares @ MEANS + jitter * _chance(emotion, language, speaker, sentence, seed)
    return np.asarray((AFFECT.mean(axis=0) + expressed_here @ _READING).clip(-1, 1))


def heard_as(felt: Vector) -> Vector:
    """Probabilities with which an annotator hears each of :data:`EMOTIONS` in some arousal, valence and dominance.

    >>> heard_as(AFFECT[0]).argmax()
    np.int64(0)
    """
    nearness = np.exp(-((AFFECT - felt) ** 2).sum(axis=1) / (2 * DOUBT**2))
    return np.asarray(nearness / nearness.sum())


def manner(u: Vector) -> Manner:
    """Cues in units to a manner of speaking; beyond three units cues stay where they are."""
    values = u.clip(-3, 3) * UNITS
    return Manner(**dict(zip(CUES, values.tolist(), strict=True)))
