"""The finished run that a command is given. Importing this imports neither torch nor Lightning."""

from pathlib import Path

from omegaconf import DictConfig

from scorewise.catalog import Config
from scorewise.errors import UserError


def of_one_run(cfg: DictConfig) -> Config:
    """Return the settings of a command with the folder of its run, where a folder that holds a single run was given.

    Raises:
        UserError: the folder holds several runs, or none, or nothing was given.
    """
    from scorewise.config.identity import plain

    config = plain(cfg)
    given = config["run"]
    if isinstance(given, str) and not given.strip():
        raise UserError("run= is empty: give the folder of a run, or one that holds a single run.")
    if isinstance(given, str) and Path(given).is_dir() and not (Path(given) / "config.yaml").is_file():
        from scorewise.comparison.loading import only_run

        config["run"] = str(only_run(Path(given)))
    return config
