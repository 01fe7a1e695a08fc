r"""Phones in time by a CTC phone model: the most probable path of the text's phones through its outputs.

CTC lets most frames be blank, and models trained with it mark a phone where they are surest rather than where
it begins (its "peaks"). So the path says only where each phone is at least: the blanks between two phones are
divided where the two, compared without the blank, are as probable as can be,

.. math:: b = \arg\max_b \sum_{t < b} \log p_t(k) + \sum_{t \ge b} \log p_t(k + 1),

and a stretch of blanks that is silent, and longer than a plosive's closure, is a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cleser.alignment.aligners.base import check_waveform, spelled
from cleser.alignment.aligners.cepstra import FRAME_RATE, RATE, level, mel_power
from cleser.alignment.aligners.ctc_phone_model import CTCPhoneModel
from cleser.alignment.aligners.pronunciation import PhoneVocabulary, pronounce
from cleser.alignment.phones import Alignment

_SILENCE: Final = -30.0  # dB below the loud frames
_PAUSE: Final = 0.08  # seconds; closures of plosives are shorter

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


class CTCAligner:
    """Aligns recordings with a CTC phone model.

    Args:
        model: The model, or its name or folder; see :class:`CTCPhoneModel`. For models trained on espeak-ng's
            phones, as those for many languages are, texts are spelled as they were in training.
        voice: Voice of espeak-ng that says how a text is pronounced, as ``en-us``, ``de`` or ``cmn``.

    Raises:
        ImportError: torchaudio is not installed, or does not fit the torch that is.
        ValueError: There is no such model, it hears another rate than 16 kHz, or has no phones.
    """

    rate: int = RATE

    def __init__(self, model: CTCPhoneModel | str | Path, voice: str) -> None:
        _forced_align()  # whatever is missing is said before the first recording
        self.model = model if isinstance(model, CTCPhoneModel) else CTCPhoneModel(model)
        if self.model.rate != RATE:
            raise ValueError(f"{self.model.source}: hears {self.model.rate} Hz, expected {RATE} Hz")
        self.voice = voice
        self.vocabulary = PhoneVocabulary(self.model.symbols)

    def align(self, waveform: Tensor, text: str) -> Alignment:
        """Find the phones of a text in a recording of it.

        Args:
            waveform: Samples [T] at 16 kHz.
            text: Text that is said.

        Returns:
            Its phones as espeak-ng pronounces them; ``quality`` is the mean probability of the phones on the frames
            where the path marks them.

        Raises:
            ValueError: The recording is no recording, is too short for its text, or the text says nothing.
        """
        check_waveform(waveform)
        phones = pronounce(text, self.voice)
        outputs = [self.vocabulary.encode(phone) for phone in phones]
        targets = np.array([number for numbers in outputs for number in numbers])
        emissions = self.model.emissions(waveform)
        path = _path(emissions, targets, self.model.blank)
        quality = _quality(emissions.numpy(), path, targets)
        spoken = _without(emissions, self.model.blank)
        shortest = _PAUSE * self.model.frame_rate
        edges = _edges(path, spoken, targets, self._silent(waveform, len(path)), shortest)
        last = np.cumsum([len(numbers) for numbers in outputs])
        first = last - [len(numbers) for numbers in outputs]
        bounds = np.stack([edges[first, 0], edges[last - 1, 1]], 1)
        seconds = self.model.first_frame + (bounds - 0.5) / self.model.frame_rate
        return spelled(phones, seconds.clip(0, len(waveform) / RATE), quality)

    def _silent(self, waveform: Tensor, count: int) -> npt.NDArray[np.bool_]:
        """Which of the model's frames are silent, [F]."""
        levels = level(mel_power(waveform.numpy()))
        middles = self.model.first_frame + np.arange(count) / self.model.frame_rate
        nearest = np.rint(middles * FRAME_RATE).astype(np.int64).clip(max=len(levels) - 1)
        return np.asarray(levels[nearest] < _SILENCE)


def _forced_align() -> Callable[..., tuple[Tensor, Tensor]]:
    """The search of torchaudio; imported here alone, since its compiled code must fit the torch that is installed."""
    try:
        from torchaudio.functional import forced_align  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise ImportError(
            f"a CTC aligner needs a torchaudio that fits torch {torch.__version__} ({error}); "
            "pip install 'cleser[ctc]', or align by synthesis, which needs none"
        ) from error
    return forced_align  # type: ignore[no-any-return]


def _path(emissions: Tensor, targets: Integers, blank: int) -> Integers:
    """The phone that each frame is most probably in, [F]; -1 in blanks."""
    repeated = int((targets[1:] == targets[:-1]).sum())
    if len(emissions) < len(targets) + repeated:
        raise ValueError(
            f"the recording has {len(emissions)} frames, too few for its {len(targets)} phones"
        )
    labels, _ = _forced_align()(emissions[None], torch.from_numpy(targets)[None], blank=blank)
    outputs = labels[0].numpy()
    marked = outputs != blank
    begins = marked & np.append(True, outputs[1:] != outputs[:-1])
    return np.where(marked, np.cumsum(begins) - 1, -1)


def _quality(emissions: Floats, path: Integers, targets: Integers) -> float:
    frames = np.flatnonzero(path >= 0)
    own = np.exp(emissions[frames, targets[path[frames]]])
    counts = np.bincount(path[frames], minlength=len(targets))
    return float((np.bincount(path[frames], own, len(targets)) / counts).mean().clip(0, 1))


def _without(emissions: Tensor, blank: int) -> Floats:
    """Log-probabilities given that a frame is no blank."""
    kept = emissions.clone()
    kept[:, blank] = -torch.inf
    return np.asarray(kept.log_softmax(-1).numpy())


def _edges(
    path: Integers,
    spoken: Floats,
    targets: Integers,
    silent: npt.NDArray[np.bool_],
    shortest: float,
) -> npt.NDArray[np.float64]:
    """First frame of each phone and the one after its last, [P, 2]."""
    frames = np.flatnonzero(path >= 0)
    numbers = np.arange(len(targets))
    begin = frames[np.searchsorted(path[frames], numbers, side="left")]
    end = frames[np.searchsorted(path[frames], numbers, side="right") - 1] + 1
    edges = np.stack([begin, end], 1).astype(np.float64)
    edges[0, 0] = begin[0] - _loud(silent[: begin[0]][::-1])
    edges[-1, 1] = end[-1] + _loud(silent[end[-1] :])
    for k, (a, b) in enumerate(zip(end[:-1], begin[1:], strict=True)):
        pause = _longest(silent[a:b])
        if pause[1] - pause[0] >= shortest:
            edges[k, 1], edges[k + 1, 0] = a + pause[0], a + pause[1]
        else:
            edges[k, 1] = edges[k + 1, 0] = a + _division(spoken[a:b], targets[k], targets[k + 1])
    return edges


def _division(spoken: Floats, left: int, right: int) -> int:
    """How many of the frames between two phones are the left one's."""
    before = np.append(0, np.cumsum(spoken[:, left]))
    after = np.append(0, np.cumsum(spoken[:, right]))
    return int(np.argmax(before + after[-1] - after))


def _longest(silent: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The longest silent stretch, from its first frame to the one after its last."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(np.int8)))
    begins, ends = changes[::2], changes[1::2]
    if not len(begins):
        return 0, 0
    k = int(np.argmax(ends - begins))
    return int(begins[k]), int(ends[k])


def _loud(silent: npt.NDArray[np.bool_]) -> int:
    """How many frames there are before it gets silent."""
    return int(silent.argmax()) if silent.any() else len(silent)
