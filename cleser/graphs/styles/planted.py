r"""Speaker embeddings whose styles are known, to measure what finds them.

.. math:: x_i = q_{k(s), e} + \lambda\, b_{l, e} + \sigma\, a_s + \delta\, \epsilon_i

for utterance :math:`i` of speaker :math:`s` (style :math:`k`, language :math:`l`) with emotion :math:`e`. All vectors
are Gaussian with unit expected square norm: style, language offset and speaker offset have lengths 1, λ and σ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Planted(NamedTuple):
    """Utterances with known styles.

    Attributes:
        embeddings: float32 [N, D].
        speakers: Integers [N].
        emotions: Integers [N].
        languages: Integers [N].
        styles: The truth, integers [N].
    """

    embeddings: npt.NDArray[np.float32]
    speakers: Ints
    emotions: Ints
    languages: Ints
    styles: Ints


def planted_styles(
    *,
    noise: float = 3.0,
    styles: int = 3,
    speakers: int = 24,
    languages: int = 3,
    emotions: int = 4,
    utterances: int = 6,
    dim: int = 64,
    language_offset: float = 1.0,
    speaker_offset: float = 2.0,
    kept: bool = True,
    seed: int = 0,
) -> Planted:
    """Draw utterances.

    Args:
        noise: δ, length of the noise of one utterance where a style's is 1.
        styles: Number of styles K; speakers take them in turn in each language.
        speakers: Number of speakers of each language.
        languages: Number of languages.
        emotions: Number of emotions.
        utterances: Mean number of each speaker in each emotion: it is drawn from 1 to twice as many less one.
        dim: Channels D of an utterance.
        language_offset: Length λ of languages' offsets, where a style's is 1.
        speaker_offset: Length σ of speakers' offsets, where a style's is 1.
        kept: Whether a speaker has the same style in all emotions, or one drawn for each.
        seed: Seed of all that is drawn.

    >>> x = planted_styles(speakers=6, seed=1)
    >>> x.embeddings.shape, np.unique(x.styles).tolist(), len(np.unique(x.speakers))
    ((452, 64), [0, 1, 2], 18)
    """
    rng = np.random.default_rng(seed)
    count = speakers * languages
    language = np.repeat(np.arange(languages), speakers)
    dealt = [_dealt(rng, styles, speakers, languages) for _ in range(1 if kept else emotions)]
    style = np.stack(dealt * emotions if kept else dealt, axis=1)
    centre = _vectors(rng, styles, emotions, dim)
    offset = language_offset * _vectors(rng, languages, emotions, dim)
    own = speaker_offset * _vectors(rng, count, dim)
    said = rng.integers(1, 2 * utterances, size=(count, emotions))
    s, e = (np.repeat(index.ravel(), said.ravel()) for index in np.indices((count, emotions)))
    x = (
        centre[style[s, e], e]
        + offset[language[s], e]
        + own[s]
        + noise * _vectors(rng, len(s), dim)
    )
    return Planted(x.astype(np.float32), s, e, language[s], style[s, e])


def _dealt(rng: np.random.Generator, styles: int, speakers: int, languages: int) -> Ints:
    """The style of each speaker: in every language as many speakers have each."""
    of_a_language = np.arange(speakers) % styles
    return np.concatenate([rng.permutation(of_a_language) for _ in range(languages)])


def _vectors(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float64]:
    """Gaussian vectors of unit expected square norm."""
    return np.asarray(rng.standard_normal(shape) / np.sqrt(shape[-1]))
