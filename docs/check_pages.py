"""Checks pages that Sphinx built: all public names are described, all links lead somewhere, nothing asks another host.

python docs/check_pages.py docs/_build/html
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import cleser

# Attributes whose address a browser asks for by itself, by element; a link (`a`) it asks for when a reader clicks.
_ASKED = {
    "audio": ("src",), "embed": ("src",), "iframe": ("src",), "img": ("src", "srcset"), "input": ("src",),
    "link": ("href",), "object": ("data",), "script": ("src",), "source": ("src", "srcset"), "video": ("src", "poster"),
}  # fmt: skip
_STYLE = re.compile(r"(?:@import\s+|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)")


class Addresses(HTMLParser):
    """What a page asks for, and where it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of an element."""
        for name, value in attrs:
            if value and name in _ASKED.get(tag, ()):
                self.asked.append(value)
            elif value and tag == "a" and name == "href":
                self.links.append(value)


def check(folder: Path) -> list[str]:
    """All that is wrong with the pages in a folder, a line each."""
    return [*_outside(folder), *_broken(folder), *_undescribed(folder), *_formulas(folder)]


def _pages(folder: Path) -> Iterator[tuple[Path, Addresses]]:
    for path in sorted(folder.rglob("*.html")):
        page = Addresses()
        page.feed(path.read_text("utf-8"))
        yield path, page


def _outside(folder: Path) -> Iterator[str]:
    for path, page in _pages(folder):
        for address in page.asked:
            if urlsplit(address).netloc:
                yield f"{path.relative_to(folder)} asks for {address}"
    for path in folder.rglob("*.css"):
        for address in _STYLE.findall(path.read_text("utf-8")):
            yield f"{path.relative_to(folder)} asks for {address}"


def _broken(folder: Path) -> Iterator[str]:
    for path, page in _pages(folder):
        for address in (*page.asked, *page.links):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            if not (path.parent / unquote(parts.path)).exists():
                yield f"{path.relative_to(folder)} links to {parts.path}, which is not there"


def _formulas(folder: Path) -> Iterator[str]:
    """A command that the renderer does not know stays in the page with its backslash."""
    for path in sorted(folder.rglob("*.html")):
        for formula in re.findall(r"<math.*?</math>", path.read_text("utf-8"), re.DOTALL):
            if unknown := re.search(r">(\\[a-zA-Z]+)<", formula):
                yield f"{path.relative_to(folder)}: {unknown[1]} in a formula is not drawn"


def _undescribed(folder: Path) -> Iterator[str]:
    """Names in ``__all__`` of any module that no page describes, under this name or that of another module."""
    described = _inventory(folder / "objects.inv")
    objects = {id(found) for name in described if (found := _named(name)) is not None}
    for module in _modules():
        for name in getattr(module, "__all__", ()):
            full = f"{module.__name__}.{name}"
            if full not in described and id(getattr(module, name)) not in objects:
                yield f"{full} is described on no page"


def _inventory(path: Path) -> set[str]:
    """Python names of Sphinx' inventory: four lines of header, then compressed lines of ``name domain:role …``."""
    lines = zlib.decompress(path.read_bytes().split(b"\n", 4)[4]).decode().splitlines()
    return {line.split(" ")[0] for line in lines if " py:" in line}


def _named(name: str) -> object:
    """The object of a dotted name; None where there is none, as of an attribute that only instances have."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):  # a module may be hidden by a function of its name
        try:
            found: object = importlib.import_module(".".join(parts[:k]))
        except ImportError:
            continue
        for part in parts[k:]:
            found = getattr(found, part, None)
        return found
    return None


def _modules() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(cleser.__path__, "cleser."):
        if module.name != "cleser.__main__":
            yield importlib.import_module(module.name)


def main() -> int:
    """Print what is wrong; status 1 if anything is."""
    wrong = check(Path(sys.argv[1]))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
