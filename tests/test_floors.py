"""The floors: a module imports from its own or from lower floors, never in a circle, and hydra only in `scripts/`."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))

# Packages and modules below `dragoman`; what is in a package that stands here is on its floor.
FLOORS = {
    0: ["ids", "errors", "files", "build", "tensors", "machine", "heartbeat", "batching"],
    1: ["attention", "text"],
    2: ["models", "data.batch"],
    3: ["search"],
    4: ["run", "exported", "weights"],
    5: ["translator", "alignment", "console", "evaluation", "doctor", "synthesis"],
    6: ["data", "training", "export"],
}
LONGEST_FILE, LONGEST_FUNCTION = 255, 45  # about 250 and 40, says the style guide


def place(module: str) -> str | None:
    """The entry of `FLOORS` that a module falls under: the longest, so that data.batch is not data."""
    name = module.removeprefix("dragoman.")
    entries = [entry for entries in FLOORS.values() for entry in entries]
    return max((one for one in entries if name == one or name.startswith(f"{one}.")), key=len, default=None)


def floor(module: str) -> int:
    """Also of a place."""
    return next(number for number, entries in FLOORS.items() if place(module) in entries)


def own_module(name: str) -> str:
    """`dragoman.ids.PAD` → `dragoman.ids`."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def imports(path: Path) -> set[str]:
    """Full names of all that a file imports, wherever in it: names are imported from modules, or are modules."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    return {own_module(name) for name in imports(path) if name.split(".")[0] == "dragoman"}


def test_every_module_has_a_floor():
    homeless = [name for name in MODULES if name != "dragoman" and place(name) is None]
    assert homeless == []
    assert len(MODULES) > 40


def test_every_place_of_a_floor_exists():
    entries = [entry for entries in FLOORS.values() for entry in entries]
    assert [entry for entry in entries if f"dragoman.{entry}" not in MODULES] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name != "dragoman"])
def test_a_module_imports_nothing_from_above(module):
    assert [other for other in own_imports(MODULES[module]) if floor(other) > floor(module)] == []


def test_neighbours_on_a_floor_do_not_import_each_other_in_a_circle():
    """Nor do packages, though their own modules may know each other."""
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        others = {place(other) for other in own_imports(path)} - {place(module)}
        graph.setdefault(place(module) or "", set()).update(others)
    assert list(TopologicalSorter(graph).static_order())  # or a CycleError that names them
    beside = [(one, other) for one, others in graph.items() for other in others if one and floor(one) == floor(other)]
    assert len(beside) > 3


def test_a_batch_loads_nothing_of_the_module_that_needs_lightning():
    assert own_imports(MODULES["dragoman.data.batch"]) == {"dragoman.ids"}
    assert own_imports(MODULES["dragoman.data"]) == set()


def test_the_law_was_tried_on_imports_between_floors():
    crossing = [
        (module, other)
        for module, path in MODULES.items()
        for other in own_imports(path)
        if place(other) != place(module) and place(module)
    ]
    assert len(crossing) > 40
    assert {floor(module) for module, _ in crossing} >= {2, 3, 4, 5, 6}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("dragoman.attention")])
def test_attention_imports_torch_and_itself(module):
    allowed = {"torch", "dragoman", *sys.stdlib_module_names}
    assert {name.split(".")[0] for name in imports(MODULES[module])} <= allowed
    assert all(other.startswith("dragoman.attention") for other in own_imports(MODULES[module]))


HEAVY = {
    "lightning": ["data.module", "training"],
    "datasets": ["data", "text", "doctor"],
    "matplotlib": ["evaluation", "doctor"],
    "ctranslate2": ["exported", "export"],
    "transformers": ["export"],
}


@pytest.mark.parametrize("module", MODULES)
def test_hydra_stays_in_the_scripts_and_heavy_libraries_in_their_packages(module):
    roots = {name.split(".")[0] for name in imports(MODULES[module])}
    assert not roots & {"hydra", "omegaconf"}
    for library, homes in HEAVY.items():
        at_home = any(f"{module}.".startswith(f"dragoman.{home}.") for home in homes)
        assert library not in roots or at_home


def test_the_heavy_libraries_are_used_somewhere():
    roots = {name.split(".")[0] for path in MODULES.values() for name in imports(path)}
    assert {"lightning", "datasets"} <= roots


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", [*MODULES.values(), *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text("utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {function.name: lines_of(function) for function in functions if lines_of(function) > LONGEST_FUNCTION}
    assert long == {}
    assert len(text.splitlines()) <= LONGEST_FILE


def test_functions_were_measured():
    functions = [
        lines_of(node)
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(functions) > 200
    assert max(functions) > 25
