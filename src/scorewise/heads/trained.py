"""What a run trains and what loading gives back."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml
from torch import Generator, Tensor

from scorewise.files import make_folder, put_text
from scorewise.heads.described import Described
from scorewise.heads.parts import PARTS, refuse_unfit
from scorewise.weights import write_weights


class Trained(Described, ABC):
    """What a run trains and `scorewise.load` gives back: something with weights, a recipe and samples.

    Attributes:
        tags: under which a model hub finds it.
    """

    tags: ClassVar[Sequence[str]] = ("score-matching", "density-estimation")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a parameter, a module or a number, or a part that must fit.

        Raises:
            Unfit: a sampler or a likelihood that needs what the model does not have.
        """
        if name in PARTS:
            refuse_unfit(self, name, value)
        super().__setattr__(name, value)

    @abstractmethod
    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n examples drawn from the model, in the shape and the scale of the data it was trained on."""

    @property
    def drawn_by(self) -> object:
        """What draws the samples: a sampler, or the model itself."""
        return self

    @abstractmethod
    def description(self) -> str:
        """Return what the model is, of what and how large, a sentence."""

    @property
    def usage(self) -> str:
        """Lines of Python for its card."""
        return "x = model.sample(16)"

    def card(self) -> str:
        """Return the model card, in Markdown under a header that model hubs read."""
        told = {"examples": self._examples(), **self.facts}
        facts = "".join(f"- {about}: {text}\n" for about, text in told.items())
        header = yaml.safe_dump({"library_name": "scorewise", "tags": list(self.tags)}, sort_keys=False)
        return (
            f"---\n{header}---\n\n# {self.headline()}\n\n{self.description()}\n\n"
            f"{facts}\n"
            f'```python\nimport scorewise\n\nmodel = scorewise.load("this/folder")\n{self.usage}\n```\n\n'
            "Score means + grad log p. `config.yaml` says how it is built; nothing in this folder is executed.\n"
        )

    def save(self, folder: str | Path) -> Path:
        """Write weights.safetensors, config.yaml and a model card that `scorewise.load` reads.

        Raises:
            ValueError: the model was put together by hand, so there is no recipe to write.
            UserError: a file cannot be written.
        """
        if not self.recipe:
            raise ValueError(
                "this model was put together by hand and has no recipe: set model.recipe, as scorewise.store.assemble "
                "takes it, or save its state_dict() yourself"
            )
        folder = Path(folder)
        make_folder(folder)
        self.save_weights(folder / "weights.safetensors")
        recipe = {"model": json.loads(json.dumps(self.recipe))}  # plain numbers, lists and names only
        facts = {"facts": dict(self.facts)} if self.facts else {}
        put_text(folder / "config.yaml", yaml.safe_dump({**recipe, **facts}, sort_keys=False))
        put_text(folder / "README.md", self.card(), lasting=False)
        return folder

    def save_weights(self, path: Path) -> None:
        """Write the weights alone, as plain numbers with a checksum.

        Raises:
            UserError: see `scorewise.files.put_bytes`.
        """
        write_weights(path, self.state_dict())
