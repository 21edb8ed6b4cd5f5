"""A run as Weights & Biases shows it, online or from a folder that `wandb sync` sends."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, final

import numpy as np
from torch import Tensor

from scorewise.errors import UserError, printable
from scorewise.ranges import OneOf, Range, Words
from scorewise.tracking import console
from scorewise.tracking.tracker import Label, Tracker, sheltered

BINS = 64
LONGEST = {"name": 128, "group": 128, "job_type": 128, "tag": 64}
"""Letters that W&B takes: a longer tag is an error, a longer name fails when it is sent."""
NOT_IN_A_PROJECT = "/\\#?%:"
SETTINGS: dict[str, Any] = {
    "silent": True,
    # Paths, user and host names, the command line and the output belong to the machine and not to the run.
    "console": "off",
    "host": "unnamed",
    "disable_git": True,
    "save_code": False,
    "symlink": False,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    # Seconds for which a run waits for a server that does not answer.
    "init_timeout": 30,
    "login_timeout": 30,
    "finish_timeout": 120,
}


@dataclass(frozen=True)
class Project(Range):
    """Names that W&B takes for a project."""

    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is one."""
        name = str(value)
        return Words("a name").admits(value) and len(name) <= 128 and not {*NOT_IN_A_PROJECT} & {*name}

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return f"a name of at most 128 letters without any of {NOT_IN_A_PROJECT}"


@final
class WandbRun(Tracker):
    """A run of Weights & Biases, with the identity of ours as its id: resumed, it is the same.

    Online without a key or a server it is kept offline, with a warning.

    Args:
        folder: of our run; theirs is below it.
        label: of the run.
        project: of W&B.
        entity: user or team, or None for the user's own.
        mode: online or offline.
    """

    def __init__(
        self,
        folder: Path,
        label: Label,
        project: Annotated[str, Project()],
        entity: str | None,
        mode: Annotated[str, OneOf(("online", "offline", "disabled"))],
    ) -> None:
        super().__init__()
        self.folder, self.label, self.project, self.entity, self.mode = folder, label, project, entity, mode
        self.run: Any = None
        self.shortened: set[str] = set()

    @classmethod
    def of_run(cls, folder: Path, label: Label, settings: Mapping[str, Any]) -> "WandbRun | None":
        """Return the tracker, None for mode=disabled."""
        if settings["mode"] == "disabled":
            return None
        entity = None if settings["entity"] is None else str(settings["entity"])
        return cls(folder, label, str(settings["project"]), entity, settings["mode"])

    @property
    def name(self) -> str:
        """The tracker's name."""
        return "W&B"

    @sheltered
    def begin(self, step: int) -> None:
        """Start the run, or continue it where steps have been made."""
        import wandb

        try:
            self._start(self.mode, step)
        except UserError:  # asked to stop
            raise
        except Exception as error:
            if self.mode == "offline":
                raise
            wandb.teardown()
            self.mode = "offline"
            self._start("offline", step)
            reason = " ".join(str(error).split())
            warnings.warn(f"W&B cannot be reached ({reason}), so this run is kept for wandb sync.", stacklevel=2)
        self.run.define_metric("step", hidden=True)
        self.run.define_metric("*", step_metric="step")

    def _start(self, mode: Any, step: int) -> None:
        import wandb

        self.run = wandb.init(
            project=self.project,
            entity=self.entity,
            dir=self.folder,
            id=self.label.identity,
            name=self._fitting("name", self.label.name),
            group=self._fitting("group", self.label.group),
            job_type=self._fitting("job_type", self.label.kind),
            tags=tuple(dict.fromkeys(self._fitting("tag", tag) for tag in self.label.tags)),
            config=dict(self.label.config),
            mode=mode,
            # A run that starts again, with rerun=true for example, takes the place of the one with its id.
            resume="allow" if step else None,
            settings=wandb.Settings(**SETTINGS),
        )

    def _fitting(self, what: str, text: str) -> str:
        """Return a text as short as W&B takes it, without some of its middle, and say so once: ends tell runs apart."""
        most = LONGEST[what]
        if len(text) <= most:
            return text
        end = most // 4
        short = f"{text[: most - end - 3]}...{text[-end:]}"
        if text not in self.shortened:
            self.shortened.add(text)
            warnings.warn(
                f"W&B takes at most {most} letters for the {what} of a run, so {printable(text)} is {printable(short)} "
                "there.",
                stacklevel=2,
            )
        return short

    @sheltered
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add numbers by name; those of a step that W&B has already are the same and left out."""
        self.last = step or 0
        self.run.log({**metrics, "step": self.last}, step=self.last)

    @sheltered
    def log_picture(self, name: str, path: Path, step: int) -> None:
        """Add a PNG file."""
        import wandb

        self.run.log({name: wandb.Image(os.fspath(path)), "step": step}, step=step)

    @sheltered
    def log_histogram(self, name: str, values: Tensor, step: int) -> None:
        """Add a histogram of the finite ones among values of any shape."""
        import wandb

        finite = values[values.isfinite()].double().cpu().numpy()
        histogram = wandb.Histogram(np_histogram=np.histogram(finite, BINS))
        self.run.log({name: histogram, "step": step}, step=step)

    @sheltered
    def log_sentence(self, name: str, text: str, step: int) -> None:
        """Add a sentence to the run's summary."""
        self.run.summary[name] = text

    @sheltered
    def end(self, exit_code: int) -> None:
        """End the run, so that the next one of a sweep does not log into it; failed unless the status is 0."""
        if self.run is None:
            return
        place = Path(self.run.dir).parent
        self.run.finish(exit_code=exit_code)
        self.run = None
        if self.mode == "offline":
            console.show_paths({"W&B, offline": place})

    def abandon(self) -> None:
        """Stop W&B's service, which the next run of a sweep starts anew."""
        import wandb

        self.run = None
        wandb.teardown()
