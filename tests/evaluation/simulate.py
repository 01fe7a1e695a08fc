"""Predictions of imaginary runs."""

import numpy as np
import pandas as pd

CLASSES = ["anger", "happiness", "neutral", "sadness"]


def predictions(speakers=6, takes=5, seeds=2, hit=0.6, seed=0, known=True):
    rng = np.random.default_rng(seed)
    rows = []
    for training in range(seeds):
        for speaker in range(speakers):
            for emotion in CLASSES:
                for take in range(takes):
                    right = rng.random() < hit
                    predicted = emotion if right else rng.choice(CLASSES)
                    shares = {f"p_{name}": 0.7 if name == predicted else 0.1 for name in CLASSES}
                    rows.append(
                        {
                            "seed": training,
                            "utterance": f"x/{speaker}-{emotion}-{take}",
                            "corpus": "x",
                            "language": "en",
                            "speaker": f"x/{speaker}" if known else None,
                            "emotion": emotion,
                            "predicted": predicted,
                            **shares,
                        }
                    )
    return pd.DataFrame(rows).astype({"speaker": "str"})
