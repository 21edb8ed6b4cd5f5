"""Who may import whom, and what importing costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "scorewise"
FLOORS = (
    {"catalog", "errors", "gradients", "noise", "ordering", "ranges", "stored", "version"},
    {"extras", "files"},
    {"weights"},
    {"backbones", "capabilities", "data", "estimators", "tracking"},
    {"denoising", "likelihood", "objectives"},
    {"heads", "plots", "sampling"},
    {"latent", "outliers", "quality", "store"},
    {"config", "densities", "tasks"},
    {"comparison", "run"},
    {"figures"},
    {"commands"},
)
"""The rooms from the bottom up; a room imports only rooms of lower floors. The scripts of src/ stand on top."""
MATHEMATICS = (
    *("backbones", "heads", "objectives", "estimators", "likelihood", "densities", "sampling", "denoising", "latent"),
    *("outliers", "quality", "gradients", "noise", "ordering", "capabilities", "ranges", "store", "weights"),
)
MEASURES = ("quality", "outliers")
"""Rooms of the mathematics that may take torchmetrics' measures."""
SEE_THE_CONFIG = ("commands", "config", "run", "figures")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "scorewise":
            found |= {f"scorewise.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def rooms() -> list[str]:
    return sorted({path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))} | loose())


def loose() -> set[str]:
    return {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}


def files_of(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py")) if (PACKAGE / room).is_dir() else [PACKAGE / f"{room}.py"]


def floor_of(room: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if room in floor)


def test_every_room_has_its_floor() -> None:
    assert rooms() == sorted(room for floor in FLOORS for room in floor)


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    below = {other for floor in FLOORS[: floor_of(room)] for other in floor}
    for path in files_of(room):
        ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("scorewise.")} - {room}
        assert ours <= below, path


def test_nothing_runs_in_a_circle() -> None:
    """Modules, with what they import inside of functions too, but not for type checkers alone."""
    paths = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    arrows = {name: {one for one in imports_of(path) if one in paths and one != name} for name, path in paths.items()}
    while free := [name for name, targets in arrows.items() if not targets]:
        arrows = {name: targets - {*free} for name, targets in arrows.items() if name not in free}
    assert not arrows


def test_few_modules_stand_loose() -> None:
    assert len(loose()) <= 12


@pytest.mark.parametrize("room", MATHEMATICS)
def test_the_mathematics_imports_neither_lightning_nor_hydra(room: str) -> None:
    for path in files_of(room):
        roots = {name.split(".")[0] for name in imports_of(path)}
        metrics = set() if room in MEASURES else {"torchmetrics"}
        assert not roots & {"lightning", "hydra", "omegaconf", "wandb", *metrics}, path


@pytest.mark.parametrize("room", sorted(set(rooms()) - set(SEE_THE_CONFIG)))
def test_only_the_edge_sees_the_configuration(room: str) -> None:
    for path in files_of(room):
        assert not {name.split(".")[0] for name in imports_of(path)} & {"hydra", "omegaconf"}, path


def test_only_the_catalogue_reads_the_options() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.stem != "catalog":
            assert "catalog.folder()" not in path.read_text() or path.stem in ("cli", "fit", "implied"), (
                path
            )  # Hydra is told where they are


@pytest.mark.parametrize("room", sorted(set(rooms()) - {"run", "commands", "figures", "comparison"}))
def test_nothing_below_knows_a_run_folder(room: str) -> None:
    for path in files_of(room):
        assert "summary.json" not in path.read_text(), path


def test_importing_scorewise_and_the_scripts_is_light() -> None:
    code = (
        "import sys, scorewise as s;"
        "heavy = {'torch', 'lightning', 'hydra', 'wandb', 'torchvision', 'matplotlib'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "s.load, s.MADE, s.CSM, s.Langevin1d;"
        "assert heavy & set(sys.modules) == {'torch'}, heavy & set(sys.modules);"
        "import scorewise.commands.cli;"
        "assert heavy & set(sys.modules) == {'torch', 'hydra'}, heavy & set(sys.modules);"
        "import scorewise.config.compatibility, scorewise.config.build, scorewise.figures.reproduce;"
        "slow = {'lightning', 'torchmetrics', 'torchvision', 'torch_fidelity', 'scipy', 'sklearn'};"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_every_public_name_is_there() -> None:
    import scorewise

    for name in scorewise.__all__:
        assert getattr(scorewise, name) is not None
    with pytest.raises(AttributeError):
        scorewise.nothing  # noqa: B018


def test_names_of_release_01_are_found_with_a_warning() -> None:
    import scorewise
    from scorewise.densities import Ensemble
    from scorewise.objectives import CSM

    with pytest.warns(DeprecationWarning, match=r"scorewise\.CSM is scorewise\.objectives\.CSM now"):
        assert scorewise.CSM is CSM
    with pytest.warns(DeprecationWarning, match="densities.ensemble now"):
        from scorewise.ensemble import Ensemble as Earlier  # type: ignore[import-not-found,import-untyped]
    assert Earlier is Ensemble
    assert {"load", "ScoreDensity", "Ensemble", "objectives", "heads"} <= set(dir(scorewise))


@pytest.mark.parametrize(
    ("room", "earlier", "present"),
    [
        ("quality", "Shelf", "ExtractorStore"),
        ("quality", "Comparison", "ReferenceImages"),
        ("quality", "numbers", "metric_values"),
        ("outliers", "Comparison", "DetectionResults"),
        ("outliers", "numbers", "quantities"),
        ("outliers", "numbers_behind", "quantities_behind"),
        ("denoising", "outliers", "impulse_mask"),
        ("capabilities", "LiftedDensity", "UncheckedDensity"),
        ("store", "table", "class_finder"),
    ],
)
def test_names_that_a_room_had_are_found_with_a_warning(room: str, earlier: str, present: str) -> None:
    module = importlib.import_module(f"scorewise.{room}")
    with pytest.warns(DeprecationWarning, match=f"{earlier} is scorewise.{room}.{present} now"):
        assert getattr(module, earlier) is getattr(module, present)
