"""The rooms of the house: who imports whom, read from the source."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cleser"

# From the ground up. A room imports from those below it alone; what stands on one line does not know its neighbours.
FLOORS = (
    (
        "console",
        "files",
        "memory",
        "multiple_tests",
        "plugins",
        "precision",
        "progress",
        "ranks",
        "recipe_names",
        "relations",
        "running_statistics",
        "settings",
        "suggestions",
        "tracing",
    ),
    ("phonetics", "losses", "graphs", "corpora"),
    ("anchors", "speech", "synthesis"),
    ("alignment", "models", "evaluation"),
    ("features",),
    ("studies", "training"),
    ("recipes",),
    ("experiments",),
    ("cli",),
)
# The ground: single files, which may know each other as long as that is no circle.
GROUND = FLOORS[0]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Names that stay importable from a lower room than the one they are in, and the command line as a program.
DOORS = ("", "__main__")


def _modules():
    """Every module of the package by name, without the package's own."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(tree, modules):
    """The modules that a file imports, also those it imports late; but not those it only checks types with."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cleser":
            base = (node.module or "").removeprefix("cleser").lstrip(".")
            for name in node.names:
                full = f"{base}.{name.name}".lstrip(".")
                yield full if full in modules else base
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "cleser":
                    yield name.name.removeprefix("cleser").lstrip(".")
        yield from _imports(node, modules)


MODULES = _modules()
IMPORTS = {
    name: set(_imports(ast.parse(path.read_text("utf-8")), MODULES)) - {name, ""}
    for name, path in MODULES.items()
}


def _room(module):
    return module.split(".")[0]


def test_every_room_has_its_floor():
    assert {_room(name) for name in MODULES} - set(DOORS) == set(FLOOR)


@pytest.mark.parametrize("room", sorted(FLOOR))
def test_a_room_imports_from_lower_floors_alone(room):
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        if _room(name) == room
        for other in IMPORTS[name]
        if _room(other) != room
        and FLOOR[_room(other)] >= FLOOR[room]
        and not {room, _room(other)} <= set(GROUND)
    ]
    assert not wrong


def test_no_module_imports_itself_through_others():
    graph = {name: others - {""} for name, others in IMPORTS.items() if name not in DOORS}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize(
    "room", ["alignment", "anchors", "evaluation", "speech", "recipes", "losses", "graphs"]
)
def test_all_public_names_can_be_imported_from_their_room(room):
    module = __import__(f"cleser.{room}", fromlist=["*"])
    assert all(getattr(module, name) is not None for name in module.__all__)
