"""``cleser data``: look at corpora."""

from __future__ import annotations

from tyro.conf import Positional

from cleser.cli.console import console


def data_describe(spec: Positional[str], *, probe: bool = True) -> None:
    """Show a corpus: classes, speakers, hours and problems.

    Args:
        spec: The corpus, as NAME:FOLDER.
        probe: Open every recording for its length and sampling rate.
    """
    from cleser.corpora import describe, load  # noqa: PLC0415

    console.print(describe(load(spec), probe=probe))
