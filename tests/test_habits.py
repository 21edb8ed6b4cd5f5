"""Sizes and habits of the code, as CONTRIBUTING.md asks for them."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted(SOURCE.rglob("*.py"))
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, PARAMETERS = 300, 60, 11
TYPES_ASKED = 4.0
"""isinstance and issubclass per 1,000 lines: rather ask an object, for a capability too, than tell it apart."""


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_OF_A_FILE
    for one in functions(path):
        assert one.end_lineno is not None
        assert one.end_lineno - one.lineno < LINES_OF_A_FUNCTION, one.name
        parameters = [*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs]
        assert len([each for each in parameters if each.arg not in ("self", "cls")]) <= PARAMETERS, one.name


def test_objects_are_asked_rather_than_told_apart() -> None:
    protocols = SOURCE / "scorewise/capabilities"
    trees = [ast.parse(path.read_text()) for path in FILES]
    capabilities = {
        node.name
        for path, tree in zip(FILES, trees, strict=True)
        for node in tree.body
        if protocols in path.parents and isinstance(node, ast.ClassDef)
    }
    asked = [
        {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("isinstance", "issubclass")
    ]
    told_apart = [names for names in asked if not names or not names <= capabilities]
    assert len(told_apart) < len(asked)
    lines = sum(len(path.read_text().splitlines()) for path in FILES)
    assert 1000 * len(told_apart) / lines <= TYPES_ASKED


def test_a_class_has_one_meaning() -> None:
    """Public names of classes; a private one is at home in its file."""
    homes = defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_nothing_is_decided_by_the_name_of_a_class() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                names = [
                    one for one in sides if isinstance(one, ast.Attribute) and one.attr in ("__name__", "__qualname__")
                ]
                assert not names, f"{path}:{node.lineno}"
