"""Packages that only parts of Scorewise need, and the extra that installs them."""

from collections.abc import Iterator
from contextlib import contextmanager

from scorewise.errors import UserError

EXTRAS = {
    "tables": ("sklearn", "scipy", "pyarrow"),
    "flows": ("normflows",),
    "pyod": ("pyod",),
    "dashboard": ("wandb_workspaces",),
    "train": (
        *(
            "lightning",
            "hydra",
            "omegaconf",
            "torchmetrics",
            "torchvision",
            "torch_fidelity",
            "wandb",
            "rich",
            "jinja2",
        ),
        *("matplotlib", "optuna", "ot", "tensorboard", "dotenv", "filelock", "platformdirs"),
    ),
}
"""Top-level modules by the extra of the package that brings them."""


class MissingExtra(UserError, ModuleNotFoundError):
    """A package that is not installed; the sentence says by which extra it comes."""


def sentence_of(error: ModuleNotFoundError) -> str | None:
    """Return what to install for a module that was not found, None where no extra brings it."""
    module = (error.name or "").partition(".")[0]
    found = [extra for extra, modules in EXTRAS.items() if module in modules]
    return f"{module} is not installed: pip install 'scorewise[{found[0]}]' brings it." if found else None


@contextmanager
def from_extras() -> Iterator[None]:
    """Import what extras bring.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, MissingExtra) or not (sentence := sentence_of(error)):
            raise
        raise MissingExtra(sentence, name=error.name) from None
