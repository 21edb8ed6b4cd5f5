"""How many errors planted in the mathematics the tests catch.

    python benchmarks/planted_errors.py FOLDER [--only heads/] [--part 1/2]

Plants the errors of planted_errors.yaml one at a time, a sign, a factor, an index, in a copy of the package, and runs
the tests named there. FOLDER keeps the copy and what was found, so a second call goes on where the first one ended:
what was caught stays caught, the rest is tried again. Every try is a fork of a process. First the functions of an error
are replaced in one that has collected all tests, which takes no import; what is missed there (it may be in what tests
build when they are collected) is planted in the file, for one that has not imported the package.
"""

import argparse
import compileall
import functools
import gc
import importlib
import json
import os
import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from types import CodeType, FunctionType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".yaml")
LIBRARIES = ("torch", "torch.func", "lightning", "torchmetrics", "scipy.optimize", "sklearn.base", "hydra")
GOAL = 0.95
CAUGHT, MISSED, BROKEN, UNDECIDED, GONE = "caught", "missed", "broken", "undecided", "gone"
VERDICTS = {pytest.ExitCode.OK: MISSED, pytest.ExitCode.TESTS_FAILED: CAUGHT}
Found = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Error:
    """An error to plant.

    Args:
        file: in the package.
        old, new: what is written there, once, and what is written instead; the same to plant none.
        tests: that run, arguments of pytest.
    """

    file: str
    old: str
    new: str
    tests: Sequence[str]

    @property
    def name(self) -> str:
        """What it is called where results are kept."""
        return f"{self.file}: {self.old} -> {self.new}" if self.old != self.new else f"{self.file}: as it is"


class FirstFailure:
    """A plugin of pytest that keeps the name of the first test that fails.

    Args:
        path: where it is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the name."""
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid)


def errors(only: str, check: bool) -> Iterator[Error]:
    """Return the errors of the table in files whose path holds a text; before those of a file, none, to check tests."""
    for file, given in yaml.safe_load(TABLE.read_text()).items():
        if only in file:
            tests = given["tests"].split()
            if check:
                yield Error(file, "", "", tests)
            yield from (Error(file, old, new, tests) for old, new in given["errors"].items())


def copied(folder: Path) -> Path:
    """Return a fresh copy of what tests need, whose compiled files follow the text and not its date."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for part in ("src", "tests", "conf"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        (copy / part).symlink_to(ROOT / part)
    for part in ("src", "tests"):
        compileall.compile_dir(copy / part, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return copy


def tried(error: Error, copy: Path, quick: bool, seconds: int) -> dict[str, str]:
    """Return the verdict on an error, and by which test it was caught."""
    path, first = copy / "src" / "scorewise" / error.file, copy / "first_failure"
    text = path.read_text() if path.is_file() else ""
    if not text or (error.old and text.count(error.old) != 1):
        return {"verdict": GONE}
    wrong = text.replace(error.old, error.new) if error.old else text
    first.unlink(missing_ok=True)
    try:
        if not quick:
            path.write_text(wrong)
        child = os.fork()
        if not child:
            if quick:
                replace_functions(path, wrong)
            used, (_, hard) = int(time.process_time()), resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))
            os._exit(tested(error.tests, copy, FirstFailure(first)))
        _, status = os.waitpid(child, 0)
    finally:
        path.write_text(text)
    verdict = UNDECIDED if os.WIFSIGNALED(status) else VERDICTS.get(os.waitstatus_to_exitcode(status), BROKEN)
    return {"verdict": verdict, "by": first.read_text()} if first.exists() else {"verdict": verdict}


def replace_functions(path: Path, text: str) -> None:
    """Give every function that was read from a file the code that another text of that file has for it."""
    codes = {(code.co_qualname, code.co_firstlineno): code for code in all_codes(compile(text, str(path), "exec"))}
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__.co_filename == str(path):
            own = one.__code__
            code = codes.get((own.co_qualname, own.co_firstlineno), own)
            if code != own and code.co_freevars == own.co_freevars:
                one.__code__ = code
        elif type(one) is functools._lru_cache_wrapper:
            one.cache_clear()


def all_codes(code: CodeType) -> Iterator[CodeType]:
    """Return a code object and all that are defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from all_codes(constant)


def tested(tests: Sequence[str], copy: Path, plugin: FirstFailure | None, *options: str) -> int:
    """Return how pytest ended, in a process that is there for this alone."""
    with (copy / "output").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(copy)
    paths = [f"tests/{one}" if one.startswith("test_") else one for one in tests]
    plugins = [] if plugin is None else [plugin]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *options, *paths], plugins=plugins))


def report(found: Found) -> None:
    """Print how many were caught and which were not."""
    planted = {name: one["verdict"] for name, one in found.items() if not name.endswith(": as it is")}
    counts = Counter(planted.values())
    counted = sum(counts.values()) - counts[GONE]
    print(f"\n{'file':42s} {'planted':>8s} {'caught':>8s}")
    for file in dict.fromkeys(name.partition(": ")[0] for name in planted):
        own = [verdict for name, verdict in planted.items() if name.startswith(f"{file}: ") and verdict != GONE]
        print(f"{file:42s} {len(own):8d} {own.count(CAUGHT):8d}")
    for name, verdict in planted.items():
        if verdict != CAUGHT:  # what is undecided is not caught
            print(f"{verdict}: {name}")
    for name, one in found.items():
        if name.endswith(": as it is") and one["verdict"] != MISSED:
            print(f"without any error, {one.get('by', one['verdict'])} fails: {name}")
    if counted:
        share = counts[CAUGHT] / counted
        print(f"caught {counts[CAUGHT]} of {counted}, {100 * share:.1f} %; goal >= {100 * GOAL:g} %")


def run(chosen: Sequence[Error], copy: Path, kept: Path, quick: bool, seconds: int) -> None:
    """Try the errors that are not known to be caught, in the order of the table, and keep every verdict at once."""
    found = read(kept)
    for error in chosen:
        if found.get(error.name, {}).get("verdict") not in ((CAUGHT, GONE) if error.old else (MISSED,)):
            found[error.name] = tried(error, copy, quick, seconds)
            print(f"{found[error.name]['verdict']:8s} {error.name}", flush=True)
            kept.write_text(json.dumps(found, indent=2))


def run_quickly(chosen: Sequence[Error], copy: Path, kept: Path, seconds: int) -> None:
    """Do the same in a process that has collected all tests."""
    child = os.fork()
    if not child:
        tests = sorted({one.partition("::")[0] for error in chosen for one in error.tests if one.startswith("test_")})
        screen = os.dup(1), os.dup(2)
        tested(tests, copy, None, "--collect-only")
        os.dup2(screen[0], 1)
        os.dup2(screen[1], 2)
        run(chosen, copy, kept, quick=True, seconds=seconds)
        os._exit(0)
    os.waitpid(child, 0)


def read(kept: Path) -> Found:
    """Return what was found earlier."""
    return json.loads(kept.read_text()) if kept.is_file() else {}


def main() -> None:
    """Plant, test, keep what was found and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="errors in files whose path holds this")
    parser.add_argument("--part", default="1/1", help="every n-th error from the k-th, k/n, for several processes")
    parser.add_argument("--check", action="store_true", help="run the tests of every file without an error first")
    parser.add_argument("--quick", action="store_true", help="leave out the second try of what is missed")
    parser.add_argument("--seconds", type=int, default=300, help="processor time of a try; beyond it is undecided")
    given = parser.parse_args()
    part, parts = (int(number) for number in given.part.split("/"))
    folder = given.folder.resolve() / f"part_{part}_of_{parts}"
    folder.mkdir(parents=True, exist_ok=True)
    kept, copy = folder / "found.json", copied(folder)
    chosen = list(errors(given.only, given.check))[part - 1 :: parts]
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg", "WANDB_MODE": "offline"}
    sys.dont_write_bytecode = True
    for library in LIBRARIES:
        importlib.import_module(library)
    torch: Any = sys.modules["torch"]
    torch.set_num_threads(1)
    run_quickly(chosen, copy, kept, given.seconds)
    if not given.quick:
        run(chosen, copy, kept, quick=False, seconds=given.seconds)
    report(read(kept))


if __name__ == "__main__":
    main()
