"""The commands, from train to features. Importing this imports neither torch nor Lightning."""

import functools
import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from scorewise.errors import UserError
from scorewise.refusals import one_sentence


def console() -> None:
    """This is the command scorewise: scorewise train objective=csm is python src/train.py objective=csm."""
    known, typed = ", ".join((*commands(), "compare")), sys.argv[1] if len(sys.argv) > 1 else ""
    if typed in ("", "-h", "--help"):
        print(f"usage: scorewise COMMAND [setting=value ...]; COMMAND is one of {known}. More: scorewise train --help")
        sys.exit(0 if typed else 2)
    if typed == "compare":
        sys.exit(compare(sys.argv[2:]))
    if typed not in commands():
        print(f"scorewise has no command {typed}: use one of {known}.", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"{sys.argv[0]} {typed}", *sys.argv[2:]]
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
    }


def main(command: str) -> int:
    """This is a command's exit status; what it has to say is printed."""
    conf = Path(__file__).parent / "conf"
    conf = conf if conf.is_dir() else Path(__file__).parents[2] / "conf"
    task = commands()[command]
    _failed.clear()
    debugging = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to here, where they become one sentence
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name=command)(_one_job(task))()
    except Exception as error:
        sentence = None if debugging else one_sentence(error, conf, command)
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return getattr(error, "exit_code", 1)
    finally:
        if debugging is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
    return _failed[0] if _failed else 0


_failed: list[int] = []
"""Exit statuses of jobs that ended with a sentence; the other jobs of a sweep go on."""


def _one_job(task: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    @functools.wraps(task)
    def job(cfg: DictConfig) -> None:
        try:
            task(cfg)
        except UserError as error:
            if _leads():
                print(error, file=sys.stderr)
            _failed.append(error.exit_code)
        except KeyboardInterrupt:
            print("Stopped before training: nothing is lost.", file=sys.stderr)
            _failed.append(130)

    return job


def _leads() -> bool:
    """This says whether this process speaks for all processes of a run."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


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


def train(cfg: DictConfig) -> None:
    """This trains one model, or says that this very run is finished."""
    warnings.showwarning = _show_warning
    with _importing():
        from scorewise import compose, console, runs

    config, stored = (compose.settle(view(cfg)) for view in (runs.plain, runs.storable))
    name = str(config["name"] or "-".join(_typed(config)))
    folder = runs.claim(config, stored, _place(config, name), config["resume"])
    leads = _leads()
    if folder.finished and config["train"] and not config["rerun"]:
        _show(folder, "This run is finished (rerun=true runs it again, train=false tests and samples it again).")
        return
    with _importing():
        compose.refuse_incompatible(config)
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


def _typed(config: dict[str, Any]) -> list[str]:
    from scorewise.compose import option_name

    if "latent" in config:
        method = config["latent"]["method"]
        groups = ("objective", "backbone") if method == "score" else ()
        names = [option_name(group, config[group]["_target_"]) for group in groups] or [method]
        return ["vae", *names, option_name("data", config["data"]["_target_"])]
    head = option_name("head", config["head"]["_target_"])
    parts = [option_name(group, config[group]["_target_"]) for group in ("objective", "backbone", "data")]
    if head in ("gaussian", "mixture", "energy"):
        parts.insert(2, head)
    if "name" in config["data"]:
        parts[-1] = str(config["data"]["name"])
    return parts


def _place(config: dict[str, Any], name: str) -> Path:
    """This is where a run goes: a given hydra.run.dir, else runs/<name>/<hash8> or multirun/<sweep>/<hash8>."""
    from scorewise import runs

    job = HydraConfig.get()
    if str(job.mode) == "RunMode.MULTIRUN":
        return Path(job.sweep.dir).absolute() / runs.identity(config)
    if job.run.dir != ".":
        return Path(job.runtime.output_dir)
    return Path(config["paths"]["runs"]).absolute() / name / runs.identity(config)


def _refuse_impossible_launch(config: dict[str, Any]) -> None:
    multirun = str(HydraConfig.get().mode) == "RunMode.MULTIRUN"
    if multirun and str(config["trainer"]["strategy"]) == "ddp":
        raise UserError(
            "trainer.strategy=ddp inside a sweep would start the whole sweep once per process: "
            "use trainer.strategy=ddp_fork on CPUs, or one run per command on GPUs."
        )


def _show(folder: Any, sentence: str) -> None:
    from scorewise import console

    if sentence:
        console.say(sentence)
    summary = folder.summary()
    console.show_results(summary.get("metrics", {}), summary.get("conventions", {}))
    written = {"loss curve": "curves.png", "samples": "samples.png", "run folder": ""}
    console.show_paths({name: folder.path / file for name, file in written.items()})
