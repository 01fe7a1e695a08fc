"""Small corpora on disk, for tests of what is done with corpora."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


def write_corpus(
    folder: Path,
    corpus: str,
    *,
    language: str = "en",
    speakers: int = 4,
    takes: int = 1,
    emotions: tuple[str, ...] = EMOTIONS,
    seed: int = 0,
) -> str:
    """Tones whose pitch and level tell the emotion, as ``manifest:FILE``; returns the spec."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for speaker in range(speakers):
        base = rng.uniform(100, 250)
        for emotion, name in enumerate(emotions):
            for take in range(takes):
                utterance = f"s{speaker}-{name}-{take}"
                path = folder / f"{utterance}.wav"
                soundfile.write(path, tone(rng, base * 1.25**emotion, 0.05 * (emotion + 1)), 16000)
                rows.append(
                    {
                        "utterance": utterance,
                        "path": path.name,
                        "corpus": corpus,
                        "language": language,
                        "speaker": f"s{speaker}",
                        "emotion": name,
                        "text": f"take {take}",
                    }
                )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return f"manifest:{folder / 'manifest.csv'}"


def tone(rng: np.random.Generator, hertz: float, level: float) -> np.ndarray:
    """A voiced sound of random length."""
    t = np.arange(int(16000 * rng.uniform(0.3, 0.6))) / 16000
    phase = 2 * np.pi * hertz * t + rng.uniform(0, 6)
    sound = sum(np.sin(k * phase) / k for k in range(1, 6))
    return (level * sound + 1e-3 * rng.standard_normal(len(t))).astype("float32")
