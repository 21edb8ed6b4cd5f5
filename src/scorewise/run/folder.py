"""The folder of a run: found again by its config, held by one process, read and written."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scorewise.catalog import Config
from scorewise.config.identity import CHANGES_RESULTS, differences, identity, what_counts
from scorewise.errors import Held, UserError
from scorewise.files import PARTIAL, make_folder, put_text, refuse_outside
from scorewise.ranges import has_shape, mapping_in

RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
"""Where launchers say which of several processes this is; 0 in all that there are is the first."""
LOCK = ".lock"
"""What a process that writes a run folder holds."""
WRITTEN_BELOW = ("checkpoints", "tensorboard", "wandb")
"""Folders in a run folder that training writes."""


def is_rank_zero() -> bool:
    """Return whether this process speaks for all processes of a run, which may be on several machines."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Args:
        path: the folder.
        identity: of the config that it is for.
    """

    path: Path
    identity: str

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The best checkpoint by the task's monitor."""
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def finished(self) -> bool:
        """Whether the run has ended and written its summary."""
        return bool(self.summary().get("finished"))

    def summary(self) -> dict[str, Any]:
        """Return the run's summary.json, or nothing where it is missing or damaged.

        Raises:
            UserError: it may not be read.
        """
        try:
            found = json.loads((self.path / "summary.json").read_bytes())
        except PermissionError as error:
            raise UserError(
                f"{error.filename} cannot be read ({error.strerror}): allow it, or use another folder."
            ) from error
        except (OSError, ValueError, RecursionError):
            return {}
        return dict(mapping_in(found))

    def section(self, name: str) -> Config:
        """Return a section of the run's config.yaml, or nothing."""
        return dict(mapping_in(yaml.safe_load((self.path / "config.yaml").read_text()).get(name)))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write summary.json, whole or not at all.

        Raises:
            UserError: the folder has no config.yaml any more, or cannot be written.
        """
        if not (self.path / "config.yaml").is_file():
            raise UserError(
                f"{self.path / 'config.yaml'} cannot be found any more, so the run is not finished: start it again."
            )
        put_text(self.path / "summary.json", json.dumps(summary, indent=2) + "\n")

    def write_config(self, config: Config) -> None:
        """Write the resolved config as config.yaml, whole or not at all."""
        make_folder(self.path)
        put_text(self.path / "config.yaml", yaml.safe_dump({**config, "identity": self.identity}, sort_keys=False))

    def begin(self, config: Config | None, again: bool) -> None:
        """Make the folder of a run that nothing has refused.

        Args:
            config: as it is stored; None: the run is only tested.
            again: whether the run starts anew, so that what is there is removed.
        """
        if is_rank_zero():
            if again:
                self.clear()
            make_folder(self.path)
            if config is not None:
                self.write_config(config)
        if config is not None:
            make_folder(self.path / "checkpoints")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder from commands that would write it too; a process that dies lets go of it.

        The first process of a run holds it for all of them. File systems without locks go without one.

        Raises:
            Held: another process has it.
            UserError: it cannot be written.
        """
        if not is_rank_zero():
            yield
            return
        from filelock import FileLock, Timeout

        made = [one for one in (self.path, *self.path.parents) if not os.path.exists(one)]
        lock = FileLock(self.path / LOCK, timeout=0, fallback_to_soft=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise Held(f"{self.path} is being written by another process: wait for it, or stop it.") from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK):
                where = error.filename or self.path
                raise UserError(f"{where} cannot be written ({error.strerror}): use another folder.") from error
        try:
            for name in WRITTEN_BELOW:
                refuse_outside(self.path, self.path / name)
            for left in (self.path / "checkpoints").glob(f".*{PARTIAL}"):  # by a process that was killed
                left.unlink()
            yield
        finally:
            with suppress(OSError):
                (self.path / LOCK).unlink()
            lock.release()
            with suppress(OSError):  # they stay where anything is in them
                for one in made:
                    one.rmdir()

    def clear(self) -> None:
        """Remove what an earlier run of the same config left here."""
        for name in WRITTEN_BELOW:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("summary.json", "metrics.csv", "weights.safetensors", "samples.png", "curves.png"):
            (self.path / name).unlink(missing_ok=True)
        for pattern in ("denoising-*", "ood.*", "sample_quality-*", "implicit_vae*"):
            for picture in self.path.glob(pattern):
                picture.unlink()
        for file in sorted(self.path.glob("*.json")):
            if _is_of_a_test(file):
                file.unlink()
                for ending in (".png", "-points.png"):
                    file.with_name(file.stem + ending).unlink(missing_ok=True)


def _is_of_a_test(file: Path) -> bool:
    """Return whether a JSON file holds the numbers of a test; any task may have written it, a user's own too."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return has_shape(found, {"task": object, "metrics": object})


def claim(config: Config, stored: Config, path: Path, resume: str | None) -> RunFolder:
    """Return the folder of a run: found again by the same config, resumed, or new.

    Args:
        config: settled.
        stored: the same as it is written to the folder.
        path: where a new run goes.
        resume: a folder to continue, or None.

    Raises:
        UserError: the folder belongs to another config, or to something else.
    """
    from scorewise.store import local_folder, read_config  # needs torch, which reading a run's files does not

    mine = identity(config)
    folder = RunFolder(local_folder(resume) if resume else path, mine)
    _refuse_out_of_reach(folder.path)
    if (folder.path / "config.yaml").is_file():
        theirs = read_config(folder.path, _trusting_own(config))
        if theirs.get("identity") != mine:
            if missing := [section for section in CHANGES_RESULTS if section not in theirs]:
                raise UserError(f"{folder.path} is no run (its config.yaml has no {missing[0]}): use another folder.")
            changed = differences(what_counts(theirs), what_counts(stored)) or ["package version or environment"]
            asked = f"resume={resume}" if resume else str(folder.path)
            raise UserError(
                f"{asked} is a run with another {', '.join(changed)}: a run continues only with its own config, "
                "so change that back or use a new folder."
            )
    elif resume:
        raise UserError(f"resume={resume} holds no config.yaml: give the folder of an unfinished run.")
    elif folder.path.is_dir() and not _just_begun(folder.path):
        raise UserError(f"{folder.path} holds other files and no run: use a new folder.")
    return folder


def _refuse_out_of_reach(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"{path} cannot be the folder of a run ({error.strerror}): use another one.") from error


def _just_begun(path: Path) -> bool:
    """Return whether a folder holds nothing, or what another process of the same run makes before its config."""
    return all(
        (one.name in ("checkpoints", LOCK) or one.name.endswith(PARTIAL)) and not (one.is_dir() and any(one.iterdir()))
        for one in path.iterdir()
    )


def _trusting_own(config: Config) -> Callable[..., None]:
    """Return a check that passes Scorewise's classes and those that the user's own command names."""
    from scorewise.store import refuse_unknown

    named = {part["_target_"] for part in config.values() if has_shape(part, {"_target_": str})}
    return lambda *targets: refuse_unknown(*(one for one in targets if one not in named))
