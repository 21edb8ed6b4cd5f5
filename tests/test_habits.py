"""Sizes and habits of the code, as CONTRIBUTING.md asks for them."""

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
FILES = sorted(SOURCE.rglob("*.py"))
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, PARAMETERS = 300, 60, 11
TYPES_ASKED = 4.0
"""isinstance and issubclass per 1,000 lines: rather ask an object, for a capability too, than tell it apart."""


Trees = Mapping[Path, ast.Module]


@pytest.fixture(scope="module")
def trees() -> Trees:
    """Every file, parsed once."""
    return {path: ast.parse(path.read_text()) for path in FILES}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_small() -> None:
    assert [str(path) for path in FILES if lines(path) > LINES_OF_A_FILE] == []


def test_functions_are_small(trees: Trees) -> None:
    large = []
    for path, tree in trees.items():
        for one in ast.walk(tree):
            if isinstance(one, ast.FunctionDef):
                assert one.end_lineno is not None
                arguments = [*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs]
                parameters = [each for each in arguments if each.arg not in ("self", "cls")]
                if one.end_lineno - one.lineno >= LINES_OF_A_FUNCTION or len(parameters) > PARAMETERS:
                    large.append(f"{path}: {one.name}")
    assert large == []


def test_objects_are_asked_rather_than_told_apart(trees: Trees) -> None:
    protocols = SOURCE / "scorewise/capabilities"
    capabilities = {
        node.name
        for path, tree in trees.items()
        for node in tree.body
        if protocols in path.parents and isinstance(node, ast.ClassDef)
    }
    asked = [
        {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("isinstance", "issubclass")
    ]
    told_apart = [names for names in asked if not names or not names <= capabilities]
    assert len(told_apart) < len(asked)
    assert 1000 * len(told_apart) / sum(map(lines, FILES)) <= TYPES_ASKED


def test_a_class_has_one_meaning(trees: Trees) -> None:
    """Public names of classes; a private one is at home in its file."""
    homes = defaultdict(list)
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_nothing_is_decided_by_the_name_of_a_class(trees: Trees) -> None:
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                names = [
                    one for one in sides if isinstance(one, ast.Attribute) and one.attr in ("__name__", "__qualname__")
                ]
                assert not names, f"{path}:{node.lineno}"


def test_every_planted_error_has_one_place_and_a_test_that_is_there() -> None:
    """What `benchmarks/planted_errors.py` would pass over, since the code has moved on."""
    gone = []
    for file, planted in yaml.safe_load((ROOT / "benchmarks" / "planted_errors.yaml").read_text()).items():
        path = SOURCE / "scorewise" / file
        text = path.read_text() if path.is_file() else ""
        gone += [f"{file}: {old}" for old in planted["errors"] if text.count(old) != 1]
        names = [test.partition("::")[0] for test in planted["tests"].split()]
        found = [(ROOT / "tests" / name if name.startswith("test_") else ROOT / name).exists() for name in names]
        gone += [f"{file}: {name}" for name, there in zip(names, found, strict=True) if not there]
    assert gone == []
