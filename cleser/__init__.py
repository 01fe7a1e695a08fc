"""Cross-lingual speech emotion recognition: reusable parts, pipelines and reference recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cleser.experiments.prediction.recogniser import load_model

__version__ = "0.1.0"
__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """Opening a model takes all floors; who imports one part does not pay for the others."""
    if name == "load_model":
        from cleser.experiments.prediction.recogniser import load_model  # noqa: PLC0415

        return load_model
    raise AttributeError(f"module 'cleser' has no attribute {name!r}")
