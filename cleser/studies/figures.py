"""Figures of studies as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cleser.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as ``path.svg``, its text as text, and ``path.png``; the same figure gives the same bytes."""
    from matplotlib import rc_context  # noqa: PLC0415

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}):
        for kind, metadata in (("svg", {"Date": None}), ("png", {})):
            with replacing(path.with_suffix(f".{kind}")) as part:
                figure.savefig(part, format=kind, dpi=150, metadata=metadata)
