"""Every public name says how it is called, what it is and how it is used."""

import doctest
import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path

import pytest

import cleser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = doctest.DocTestParser()


def _public():
    """All names in ``__all__`` of any module, each object once, with the first module that lists it."""
    found = {}
    for info in pkgutil.walk_packages(cleser.__path__, "cleser."):
        if info.name != "cleser.__main__":
            module = importlib.import_module(info.name)
            for name in getattr(module, "__all__", ()):
                found.setdefault(id(getattr(module, name)), (info.name, name))
    return sorted(found.values())


def _python_blocks(text):
    """Code of ``code-block:: python`` in a page."""
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", text)
    return "\n".join(blocks)


def _used():
    """All words of code that readers are shown: doctests, the gallery, notebooks and the pages' Python."""
    shown = [
        example.source + example.want
        for path in (ROOT / "cleser").rglob("*.py")
        for docstring in re.findall(r'r?"""(.*?)"""', path.read_text("utf-8"), re.DOTALL)
        if ">>>" in docstring
        for example in EXAMPLES.get_examples(docstring)
    ]
    shown += [path.read_text("utf-8") for path in (DOCS / "examples").rglob("*.py")]
    shown += [_python_blocks(path.read_text("utf-8")) for path in DOCS.rglob("*.rst")]
    for path in (DOCS / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        shown += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return set(re.findall(r"\w+", "\n".join(shown)))


def _has_own_example(found):
    members = vars(found).values() if inspect.isclass(found) else ()
    return any(
        ">>>" in (inspect.getdoc(part) or "")
        for part in (found, *members)
        if part is found or inspect.isroutine(part)
    )


PUBLIC = _public()
USED = _used()


def test_all_rooms_with_public_names_are_looked_at():
    rooms = {module.split(".")[1] for module, _ in PUBLIC}
    assert rooms >= {"alignment", "anchors", "corpora", "evaluation", "features", "graphs"}
    assert rooms >= {"losses", "models", "recipes", "speech"}
    assert len(PUBLIC) > 150


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_public_name_has_a_signature_a_summary_and_an_example(module, name):
    found = getattr(importlib.import_module(module), name)
    assert name in USED or _has_own_example(found), (
        f"{module}.{name} is used in no example: add a doctest to its docstring"
    )
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return  # a constant or a type; docs/check_pages.py demands that a page describes it
    summary = (inspect.getdoc(found) or "").partition("\n")[0]
    assert summary.endswith((".", ":", "[...].", "?")), f"{module}.{name}: {summary!r}"
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        assert signature.return_annotation is not inspect.Signature.empty
        untyped = [p for p in signature.parameters.values() if p.annotation is p.empty]
        assert not untyped, f"{module}.{name} does not say what {untyped[0].name} is"
        documented = inspect.getdoc(found) or ""
        told = "arguments and result" in documented or "same sums" in documented
        missing = [p for p in signature.parameters if f"{p}:" not in documented and not told]
        assert not missing or len(signature.parameters) == 1, (
            f"{module}.{name} has no word on its argument {missing[0]!r}"
        )
