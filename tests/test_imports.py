"""Who may import whom, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "scorewise"
BASE = {"capabilities", "gradients", "ordering", "noise", "errors"}
MAY_IMPORT = {
    "capabilities": set(),
    "errors": set(),
    "gradients": set(),
    "ordering": set(),
    "noise": set(),
    "backbones": BASE,
    "heads": BASE | {"backbones", "likelihood"},
    "estimators": BASE,
    "objectives": BASE | {"estimators"},
    "comparison": {"conf_dir", "errors", "runs", "spreadsheet", "wording"},
    "spreadsheet": set(),
    "wording": set(),
    "conf_dir": set(),
    "metrics": set(),
    "ensemble": BASE | {"heads", "likelihood", "store"},
    "figures": BASE
    | {"backbones", "heads", "objectives", "estimators", "sampling", "likelihood", "data", "metrics", "ensemble"}
    | {"denoising", "latent", "outliers", "plots", "quality", "score_density", "tasks"},
    "latent": BASE | {"backbones", "heads", "objectives", "estimators", "sampling"},
    "likelihood": BASE,
    "score_density": BASE | {"backbones", "heads", "likelihood", "sampling"},
    "sampling": BASE | {"likelihood"},
    "denoising": BASE,
    "outliers": BASE | {"heads", "likelihood"},
    "data": BASE | {"wording"},
    "quality": BASE | {"data", "sampling"},
    "tasks": BASE
    | {"backbones", "data", "denoising", "heads", "latent", "likelihood"}
    | {"objectives", "outliers", "quality", "sampling"},
}
MATHEMATICS = (
    "backbones",
    "heads",
    "objectives",
    "estimators",
    "likelihood",
    "score_density",
    "sampling",
    "denoising",
    "latent",
    "outliers",
    "gradients",
    "noise",
    "ordering",
    "capabilities",
)


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def files_of(room: str) -> list[Path]:
    return sorted((PACKAGE / room).glob("*.py")) if (PACKAGE / room).is_dir() else [PACKAGE / f"{room}.py"]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    for path in files_of(room):
        ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("scorewise.")}
        assert ours <= MAY_IMPORT[room] | {room}, path


@pytest.mark.parametrize("room", [*MATHEMATICS, "quality"])
def test_the_mathematics_imports_neither_lightning_nor_hydra(room: str) -> None:
    for path in files_of(room):
        roots = {name.split(".")[0] for name in imports_of(path)}
        metrics = set() if room == "quality" or path.stem == "detection" else {"torchmetrics"}
        assert not roots & {"lightning", "hydra", "omegaconf", "wandb", *metrics}, path


def test_only_the_edge_sees_the_configuration() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.stem not in ("choices", "cli", "commands", "job", "runs", "refusals", "reproduce", "sweeps", "tuning"):
            assert not {name.split(".")[0] for name in imports_of(path)} & {"hydra", "omegaconf"}, path


def test_importing_scorewise_and_the_scripts_is_light() -> None:
    code = (
        "import sys, scorewise as s;"
        "heavy = {'torch', 'lightning', 'hydra', 'wandb', 'torchvision', 'matplotlib'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "s.load, s.MADE, s.CSM, s.Langevin1d;"
        "assert heavy & set(sys.modules) == {'torch'}, heavy & set(sys.modules);"
        "import scorewise.cli;"
        "assert heavy & set(sys.modules) == {'torch', 'hydra'}, heavy & set(sys.modules);"
        "import scorewise.compose, scorewise.reproduce;"
        "assert 'lightning' not in sys.modules"
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
