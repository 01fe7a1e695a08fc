"""Cross-lingual speech emotion recognition: reusable parts, pipelines and reference recipes."""

__version__ = "0.1.0"
