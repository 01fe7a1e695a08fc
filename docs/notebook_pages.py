"""Shows notebooks as pages: their text is Markdown, their code is code; nothing is run here (tests/test_notebooks.py does)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from myst_parser.parsers.sphinx_ import MystParser

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


def markdown(notebook: str) -> str:
    """The cells of a notebook as one Markdown text."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            # Jupyter's own lines are no Python.
            plain = text.startswith(("!", "%")) or "\n!" in text
            text = f"```{'text' if plain else 'python'}\n{text}\n```"
        parts.append(text)
    return "\n\n".join(parts)


class NotebookParser(MystParser):
    """Reads ``.ipynb``."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Turn the notebook into Markdown, and that into a page."""
        super().parse(markdown(inputstring), document)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the parser."""
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True}
