"""The files of a run folder: `cleser.experiments.run_folder` writes them, `cleser.evaluation.Run` reads them.

The folder that ``cleser export`` makes of a run has its model and its results, and further files of its own.
"""

from __future__ import annotations

from typing import Final

CONFIG: Final = "config.yaml"
"""Settings of the run, enough to run the same again."""
PROTOCOL: Final = "protocol.json"
"""The terms, and the utterances that took part."""
HISTORY: Final = "metrics.jsonl"
"""A line for each seed and epoch."""
CHECKPOINTS: Final = "checkpoints"
"""Folder from which an interrupted run goes on; a finished one has none."""
MODEL: Final = "model.safetensors"
"""What all seeds have fitted."""
PREDICTIONS: Final = "predictions.parquet"
"""A row for each tested utterance and seed."""
DEVELOPMENT: Final = "development.parquet"
"""The same of the source's development speakers."""
EMBEDDINGS: Final = "embeddings.safetensors"
"""Where the first seed puts utterances, those of the target and then those of the source."""
SOURCE: Final = "source.parquet"
"""Whose the source's embeddings are."""
RESULTS: Final = "results.json"
"""What follows from the predictions; written last, so that a folder that holds it is complete."""
SELECTION: Final = "selection"
"""Folder of the trials by which settings were chosen."""
TRIALS: Final = "transfer.csv"
"""In that folder: the choices and their scores, the best first."""
COST: Final = "time.json"
"""Seconds that the run took, and bytes of memory at its peak; of runs of a bench."""

EXPORTED: Final = "config.json"
"""Of an exported run: its settings, in place of `CONFIG`."""
EXTRACTOR: Final = "preprocessor_config.json"
"""Of an exported run: how transformers hands recordings on."""
CARD: Final = "README.md"
"""Of an exported run: what a reader has to know."""
ONNX_MODELS: Final = {"features": "classifier.onnx", "audio": "recordings.onnx"}
"""Of an exported run: the ONNX model, if one was asked for, by what it takes."""
