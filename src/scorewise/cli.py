"""The commands, from train to dashboard. Importing this imports neither torch nor Lightning."""

import functools
import gc
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from scorewise import sweeps
from scorewise.conf_dir import conf_dir
from scorewise.errors import Stopped, UserError
from scorewise.refusals import one_sentence

COMMAND = "SCOREWISE_COMMAND"
"""Where the processes that a command starts find its name."""


def console() -> None:
    """This is the command scorewise: scorewise train objective=csm is python src/train.py objective=csm."""
    if "LOCAL_RANK" in os.environ and COMMAND in os.environ:  # started by Lightning with the words of another process
        run(os.environ[COMMAND])
    known, typed = ", ".join((*commands(), "compare")), sys.argv[1] if len(sys.argv) > 1 else ""
    if typed in ("", "-h", "--help"):
        print(f"usage: scorewise COMMAND [setting=value ...]; COMMAND is one of {known}. More: scorewise train --help")
        sys.exit(0 if typed else 2)
    if typed == "compare":
        sys.exit(compare(sys.argv[2:]))
    if typed not in commands():
        print(f"scorewise has no command {typed}: use one of {known}.", file=sys.stderr)
        sys.exit(2)
    os.environ[COMMAND] = typed
    sys.argv = [sys.argv[0], *sys.argv[2:]]
    run(typed)


def run(command: str) -> None:
    """This runs a command with its arguments, and ends the process with a sentence where the user can help it."""
    from dotenv import load_dotenv

    load_dotenv(Path.cwd() / ".env")
    sys.exit(main(command))


def commands() -> dict[str, Callable[[DictConfig], Any]]:
    """This is every command by name."""
    return {
        "train": train,
        "eval": evaluate,
        "predict": predict,
        "sample": sample,
        "reproduce": reproduce,
        "features": features,
        "tune": tune,
        "dashboard": dashboard,
    }


def main(command: str) -> int:
    """This is a command's exit status; what it has to say is printed."""
    conf, task = conf_dir(), commands()[command]
    _failed.clear()
    sweeps.announced.clear()
    debugging = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to here, where they become one sentence
    try:
        _refuse_several_sweeps(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(conf), config_name=command)(_one_job(task))()
    except SweepStopped as stopped:
        _failed.append(stopped.exit_code)
    except KeyboardInterrupt:
        print("Stopped: the same command goes on.", file=sys.stderr)
        _failed.append(130)
    except Exception as error:
        sentence = None if debugging else one_sentence(error, conf, command)
        if sweeps.announced and _leads():  # a launcher that lost one of its processes: what the others did is kept
            _show_sweep(sweeps.announced.pop())
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return getattr(error, "exit_code", 1)
    finally:
        if debugging is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
    status = _failed[-1] if _failed else 0
    if sweeps.announced and _show_sweep(sweeps.announced.pop()):
        status = status or 1
    return status


_failed: list[int] = []
"""Exit statuses of jobs that ended with a sentence; the other jobs of a sweep go on."""


class SweepStopped(BaseException):
    """A sweep was asked to stop, so that none of its other runs may start; no Exception, or Hydra would keep it.

    Args:
        exit_code: of the process.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def _one_job(task: Callable[[DictConfig], Path | None]) -> Callable[[DictConfig], sweeps.Outcome | None]:
    @functools.wraps(task)
    def job(cfg: DictConfig) -> sweeps.Outcome | None:
        try:
            folder = task(cfg)
        except UserError as error:
            if _leads():
                print(error, file=sys.stderr)
            if isinstance(error, Stopped) and _sweeping():
                raise SweepStopped(error.exit_code) from None
            _failed.append(error.exit_code)
            return _noted(sentence=str(error))
        except KeyboardInterrupt:
            print("Stopped before training: nothing is lost.", file=sys.stderr)
            if _sweeping():
                raise SweepStopped(130) from None
            _failed.append(130)
            return None
        except Exception as error:
            if not _sweeping():
                raise
            traceback.print_exc()  # and the other runs go on
            _failed.append(1)
            return _noted(sentence=f"{type(error).__name__}: {error}")
        return _noted(folder=str(folder)) if folder else None

    return job


def _sweeping() -> bool:
    """This says whether this run is one of several of a command."""
    return str(HydraConfig.get().mode) == "RunMode.MULTIRUN"


def _noted(**how: str) -> sweeps.Outcome | None:
    return sweeps.Outcome(**how) if _leads() else None


def _leads() -> bool:
    """This says whether this process speaks for all processes of a run, which may be on several machines."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


def _refuse_several_sweeps(arguments: list[str]) -> None:
    if several := [word for word in arguments if word.startswith("sweep=") and "," in word]:
        raise UserError(f"{several[0]} names several sweeps: run them one after another, each in its own folder.")


def _show_sweep(sweep: sweeps.Sweep) -> bool:
    """This ends a sweep with its table, and says whether a cell is missing in it."""
    from scorewise import console

    rows = sweep.end()
    console.show_cells(rows, f"sweep of {len(rows)} runs")
    console.show_paths({"table": sweep.table})
    return any(row["status"] != sweeps.FINISHED for row in rows)


@contextmanager
def _importing() -> Iterator[None]:
    """This pauses garbage collection: importing makes many objects and drops few, and a tenth of it was collecting."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def train(cfg: DictConfig) -> Path:
    """This trains one model, or says that this very run is finished, and is its folder."""
    warnings.showwarning = _show_warning
    with _importing():
        from scorewise import compatibility, compose, console, runs

    config, stored = (compose.settle(view(cfg)) for view in (runs.plain, runs.storable))
    name = str(config["name"] or "-".join(compose.names(config)))
    folder = runs.claim(config, stored, _place(config, name), config["resume"])
    leads = _leads()
    if folder.finished and config["train"] and not config["rerun"]:
        _refuse_another_table(config, folder)
        drawn = folder.section("sampler")
        same = all(drawn.get(key, value) == value for key, value in config["sampler"].items())
        how = "" if same else " Its samples were drawn by another sampler than the one that is given now."
        _show(folder, f"This run is finished (rerun=true runs it again, train=false tests and samples it again).{how}")
        return folder.path
    with _importing():
        compatibility.refuse_incompatible(config)
        _refuse_impossible_launch(config)
        from scorewise import training
    if config["rerun"] and config["train"] and leads and folder.finished:
        folder.clear()

    if leads:
        console.show_config(stored, f"{name}/{folder.identity}")
        resuming = config["train"] and folder.last.is_file()
        console.say(f"{'resuming' if resuming else 'run folder'}: {folder.path}")
    training.run(config, stored, folder, name)
    if leads:
        _show(folder, "")
    return folder.path


def evaluate(cfg: DictConfig) -> None:
    """This tests a finished run again, on this machine's data."""
    warnings.showwarning = _show_warning
    from scorewise import console, evaluation, runs

    metrics, conventions, picture = evaluation.run(runs.plain(cfg))
    console.show_results(metrics, conventions)
    if picture:
        console.show_paths({"picture": picture})


def predict(cfg: DictConfig) -> None:
    """This restores, encodes or scores images with a finished run, or gives rows of a table their log-densities."""
    warnings.showwarning = _show_warning
    from scorewise import console, prediction, runs

    made = prediction.run(runs.plain(cfg))
    console.say(f"{made.done} {made.what}, {made.left_out} left out: {made.path}")


def sample(cfg: DictConfig) -> None:
    """This draws examples from a finished run: rows of a table, or images."""
    warnings.showwarning = _show_warning
    from scorewise import console, runs, synthesis

    for path in synthesis.run(runs.plain(cfg)):
        console.say(f"wrote {path}")


def reproduce(cfg: DictConfig) -> None:
    """This reproduces one figure or table of the sources."""
    warnings.showwarning = _show_warning
    with _importing():
        from scorewise import reproduce as figures

    figures.run(cfg, HydraConfig.get().overrides.task)


def tune(cfg: DictConfig) -> None:
    """This runs the trials of a study that are missing."""
    warnings.showwarning = _show_warning
    if _sweeping():
        raise UserError("a study is one command by itself: leave out -m and sweep=, its settings are study.space.")
    with _importing():
        from scorewise import tuning

    tuning.run(cfg, HydraConfig.get().overrides.task)


def features(cfg: DictConfig) -> None:
    """This trains the classifier whose features FID and KID compare."""
    warnings.showwarning = _show_warning
    with _importing():
        from scorewise import console, runs
        from scorewise import features as extractors

    trained = extractors.run(runs.plain(cfg))
    console.say(f"held-out accuracy: {100 * trained.accuracy:.1f} % of {trained.images:,} test images")
    console.say(f"{trained.extractor.num_features} features of {trained.extractor.name}, hash {trained.extractor.hash}")
    console.show_paths({"extractor": trained.folder})


def dashboard(cfg: DictConfig) -> None:
    """This lays out the comparison of a group of runs in Weights & Biases."""
    warnings.showwarning = _show_warning
    from scorewise import console, runs
    from scorewise import dashboard as layout

    known = sorted(path.stem for path in (conf_dir() / "objective").glob("*.yaml"))
    console.show_paths({"dashboard": layout.run(runs.plain(cfg), known)})


def compare(arguments: list[str]) -> int:
    """This compares runs, given as folders; the exit status says whether there was anything to compare."""
    with _importing():
        from scorewise import comparison, console

    if {"-h", "--help"} & set(arguments):
        console.say(comparison.USAGE)
        return 0
    try:
        made = comparison.run(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    comparison.show(made.compared, console.console)
    console.show_paths(made.files)
    return 0


def _place(config: dict[str, Any], name: str) -> Path:
    """This is where a run goes: a given hydra.run.dir, else runs/<name>/<hash8> or multirun/<sweep>/<hash8>."""
    from scorewise import runs

    job = HydraConfig.get()
    if _sweeping():
        return Path(job.sweep.dir).absolute() / runs.identity(config)
    if job.run.dir != ".":
        return Path(job.runtime.output_dir)
    return Path(config["paths"]["runs"]).absolute() / name / runs.identity(config)


def _refuse_another_table(config: dict[str, Any], folder: Any) -> None:
    """This refuses to show the results of a table that has changed since; where it is gone they are shown.

    Raises:
        UserError: it has changed.
    """
    if config["data"]["_target_"] != "scorewise.data.tables.Table":
        return
    with _importing():
        from scorewise import choices, store
        from scorewise.data import tables

    source: Any = choices.build_source(config)
    if source.path.is_file():
        trained = store.read_config(folder.path, lambda _: None)["model"]
        tables.refuse_another_table(trained, {"columns": source.table.plain()})


def _refuse_impossible_launch(config: dict[str, Any]) -> None:
    """This refuses what starts the whole command again, once per process, inside a sweep.

    Raises:
        UserError: what to use instead.
    """
    job, trainer = HydraConfig.get(), config["trainer"]
    strategy, devices = str(trainer["strategy"]), trainer["devices"]
    several = (devices, trainer["num_nodes"]) != (1, 1)
    relaunches = strategy.startswith("ddp") and not strategy.startswith(("ddp_fork", "ddp_notebook", "ddp_spawn"))
    if _sweeping() and (relaunches or (several and strategy == "auto")) and "Slurm" not in job.launcher._target_:
        what = f"trainer.strategy={strategy}" + ("" if relaunches else f" with trainer.devices={devices}")
        raise UserError(
            f"{what} inside a sweep would start the whole sweep once per process: give every run one device "
            "(trainer.devices=1, side by side with launcher=local or launcher=slurm), or use "
            "trainer.strategy=ddp_fork on CPUs."
        )


def _show(folder: Any, sentence: str) -> None:
    from scorewise import console

    if sentence:
        console.say(sentence)
    summary = folder.summary()
    console.show_results(summary.get("metrics", {}), summary.get("conventions", {}))
    written = {"loss curve": "curves.png", "samples": "samples.png", "run folder": ""}
    console.show_paths({name: folder.path / file for name, file in written.items()})
