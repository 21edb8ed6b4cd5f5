"""The mathematics without the packages of the extras, and the sentence where one is missing."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from scorewise.extras import EXTRAS, MissingExtra, from_extras, sentence_of

WITHOUT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted({one for modules in EXTRAS.values() for one in modules})}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(program: str, folder: Path) -> str:
    ended = subprocess.run([sys.executable, "-c", WITHOUT + program], cwd=folder, capture_output=True, text=True)
    assert not ended.returncode, ended.stderr
    return ended.stdout


def canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def test_models_are_built_trained_saved_loaded_and_sampled_without_the_extras(tmp_path: Path) -> None:
    """Nor does a first likelihood import a compiler."""
    run(
        """
import sys, torch, scorewise
from scorewise import backbones, data, denoising, estimators, gradients, heads, latent, likelihood, noise
from scorewise import objectives, ordering, outliers, quality, sampling, store, Ensemble
model = heads.ConditionalScore(backbones.MADE((2,), 12, (8,), "silu"), hidden=(8,), std=1.0, noise=0.3)
objectives.CSM()(model, torch.randn(4, 2), noise.Draws.fresh(4)).total.backward()
model.likelihood = likelihood.Quadrature(-4, 4, largest_tail=1)
model.log_prob(torch.zeros(700, 2)).sum().backward()
digits = scorewise.load("digits")
x = digits.sample(2)
assert digits.log_prob(x).isfinite().all() and digits.denoise(x).shape == x.shape
assert digits.outlier_score(x).shape == (2,)
digits.save("mine")
assert "held out" in repr(scorewise.load("mine"))
assert "torch._dynamo" not in sys.modules
""",
        tmp_path,
    )


MISSING = {
    "scorewise.ScoreDensity": "sklearn is not installed: pip install 'scorewise[tables]' brings it.",
    "from scorewise.densities import ScoreDensity": "sklearn is not installed: pip install 'scorewise[tables]'",
    "from scorewise.tasks import Task": "lightning is not installed: pip install 'scorewise[train]' brings it.",
    "scorewise.fit": "pip install 'scorewise[train]' brings it.",
    "scorewise.plots": "matplotlib is not installed: pip install 'scorewise[train]' brings it.",
    "scorewise.comparison.show": "pip install 'scorewise[train]' brings it.",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What every program is told, all of them in one process, which takes seconds to start."""
    program = f"""
import json, scorewise
told = {{}}
for program in {list(MISSING)}:
    try:
        exec(program)
    except ImportError as error:
        told[program] = str(error)
print(json.dumps(told))
"""
    found: dict[str, str] = json.loads(run(program, tmp_path_factory.mktemp("told")))
    return found


@pytest.mark.parametrize("program", MISSING)
def test_what_is_missing_is_said_with_the_command_that_brings_it(program: str, told: dict[str, str]) -> None:
    assert MISSING[program] in told[program]


def test_other_modules_that_are_missing_are_errors_as_they_are() -> None:
    assert sentence_of(ModuleNotFoundError("No module named 'mine'", name="mine")) is None
    with pytest.raises(ModuleNotFoundError, match="mine") as caught, from_extras():
        raise ModuleNotFoundError("mine", name="mine")
    assert not isinstance(caught.value, MissingExtra)


def test_every_extra_brings_what_is_said_of_it() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    brought, owners = project["optional-dependencies"], packages_distributions()
    for extra, modules in EXTRAS.items():
        names = {canonical(line.partition(">")[0]) for line in brought[extra]}
        for module in modules:
            owner = {canonical(name) for name in owners.get(module, [module])}
            assert names & owner, (extra, module)
        assert extra in brought["all"][0] or extra == "pyod", "which brings a compiler of 200 MB"
    assert not {line.partition(">")[0] for line in project["dependencies"]} - {
        *("torch", "numpy", "safetensors", "pyyaml", "pillow", "typing-extensions"),
    }
