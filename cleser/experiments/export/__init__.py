"""A finished run to hand on: a folder with its card, an ONNX model, and runs on the Hugging Face hub."""

from cleser.experiments.export.folder import export as export
