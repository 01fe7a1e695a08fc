"""Formulas as MathML, which browsers draw by themselves: no script, no image, nothing from the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx


# Spellings that the converter does not know.
_SPELLINGS = {r"\lVert": r"\|", r"\rVert": r"\|", r"\arg": r"\operatorname{arg}"}


def mathml(formula: str, display: str) -> str:
    """LaTeX as MathML, ``inline`` or ``block``."""
    for spelling, known in _SPELLINGS.items():
        formula = formula.replace(spelling, known)
    return convert(formula, display=display)


def inline(translator: Any, node: nodes.math) -> None:
    """A formula in a line of text."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.math_block) -> None:
    """A formula on a line of its own, which scrolls where a screen is narrower; with its number where it has one."""
    formula = mathml(node.astext(), "block")
    names = f' id="{node["ids"][0]}"' if node["ids"] else ""
    number = (
        f'<span class="eqno">({get_node_equation_number(translator, node)})</span>'
        if node.get("number")
        else ""
    )
    translator.body.append(
        f'<div class="math" tabindex="0" role="group"{names}>{number}{formula}</div>\n'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
