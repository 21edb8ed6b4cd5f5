"""The commands, from train to dashboard. Importing this imports neither torch nor Lightning."""

import atexit
import gc
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from scorewise import catalog
from scorewise.catalog import Config
from scorewise.commands import job
from scorewise.commands.chosen_run import of_one_run
from scorewise.errors import UserError, machine_told
from scorewise.files import refuse_no_folder
from scorewise.run.folder import RunFolder, claim, is_rank_zero


def commands() -> dict[str, Callable[[DictConfig], Path | None]]:
    """Return every command by name."""
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


@contextmanager
def _importing() -> Iterator[None]:
    """Import in less time, which is most of what a short command takes.

    Garbage collection pauses, because importing makes many objects and drops few; what the first imports made is left
    out of it until the end. And torchmetrics finds the name in `scipy.signal` that it would import that for.
    """
    first = "lightning" not in sys.modules
    gc.disable()
    later = {"scipy.signal": _Later("scipy.signal")} if "scipy.signal" not in sys.modules else {}
    sys.modules.update(later)
    try:
        yield
    finally:
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        if first:
            gc.freeze()
            atexit.register(gc.unfreeze)  # or compiled modules take what is left for lost
        gc.enable()


class _Later(ModuleType):
    """A module that is imported when something of it is asked for, but for the name that torchmetrics looks for."""

    hamming = None

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _show_warning(message: object, *_: object, **__: object) -> None:
    if is_rank_zero():
        print(f"warning: {message}", file=sys.stderr)


def train(cfg: DictConfig) -> Path:
    """Train one model, or say that this very run is finished, and return its folder."""
    warnings.showwarning = _show_warning
    with _importing():
        from scorewise.comparison import typed_again
        from scorewise.config import compatibility
        from scorewise.config.identity import plain, storable
        from scorewise.config.settings import OfTraining, refuse_of_command, refuse_unread
        from scorewise.config.settle import names, settle
        from scorewise.tracking import console

    typed_config = plain(cfg)
    refuse_unread(typed_config, OfTraining)
    refuse_of_command(typed_config, OfTraining, ("paths",))
    config, stored = (settle(view(cfg)) for view in (plain, storable))
    typed = HydraConfig.get().runtime.choices
    name = "-".join(names(config, typed)) if config["name"] is None else str(config["name"])
    folder = claim(config, stored, _place(config, name), config["resume"])
    if folder.finished and config["train"] and not config["rerun"]:
        with _importing():
            from scorewise.config import choices
            from scorewise.run import same_examples
        same_examples.refuse_others_if_there(folder.path, choices.build_source(config))
        if config["test"] and not folder.summary().get("metrics"):
            if is_rank_zero():
                console.say("This run is finished and was not tested, which follows.")
            config = {**config, "train": False}
        else:
            drawn = folder.section("sampler")
            same = all(drawn.get(key, value) == value for key, value in config["sampler"].items())
            how = "" if same else " Its samples were drawn by another sampler than the one that is given now."
            again = "rerun=true runs it again, train=false tests and samples it again"
            _show(folder, f"This run is finished ({again}).{how}")
            return folder.path
    with _importing():
        compatibility.refuse_incompatible(config)
        _refuse_impossible_launch(config)
        importlib.import_module("torch._dynamo")  # optimisers do it otherwise, while garbage is collected
        from scorewise.run import training

    def announce() -> None:
        if is_rank_zero():
            if which := job.which():
                console.say(which)
            if job.first():
                console.show_config(typed_again.chosen(stored), f"{name}/{folder.identity}")
            resuming = config["train"] and folder.last.is_file() and not folder.finished
            console.say(f"{'resuming' if resuming else 'run folder'}: {folder.path}")

    training.train_run(config, stored, folder, name, announce=announce)
    if is_rank_zero():
        _show(folder, "")
    return folder.path


def evaluate(cfg: DictConfig) -> None:
    """Test a finished run again, on this machine's data."""
    warnings.showwarning = _show_warning
    from scorewise.run import evaluation
    from scorewise.tracking import console

    metrics, conventions, picture = evaluation.evaluate(of_one_run(cfg))
    if is_rank_zero():
        console.show_results(metrics, conventions)
    if picture:
        console.show_paths({"picture": picture})


def predict(cfg: DictConfig) -> None:
    """Restore, encode or score images with a finished run, or give rows of a table their log-densities."""
    warnings.showwarning = _show_warning
    from scorewise.run import prediction
    from scorewise.tracking import console

    made = prediction.predict(of_one_run(cfg))
    if is_rank_zero():
        console.say(f"{made.done} {made.what}, {made.left_out} left out: {made.path}")
        if made.page:
            console.show_paths({"why": made.page})


def sample(cfg: DictConfig) -> None:
    """Draw examples from a finished run: rows of a table, or images."""
    warnings.showwarning = _show_warning
    from scorewise.run import synthesis
    from scorewise.tracking import console

    for path in synthesis.synthesise(of_one_run(cfg)):
        console.say(f"wrote {path}")


def reproduce(cfg: DictConfig) -> None:
    """Reproduce one figure or table of the sources."""
    warnings.showwarning = _show_warning
    with _importing():
        from scorewise.figures import reproduce as figures

    figures.reproduce_figure(cfg, HydraConfig.get().overrides.task)


def tune(cfg: DictConfig) -> None:
    """Run the trials of a study that are missing."""
    warnings.showwarning = _show_warning
    if job.sweeping():
        raise UserError("a study is one command by itself: leave out -m and sweep=, its settings are study.space.")
    with _importing():
        from scorewise.commands.study import run_study

    run_study(cfg, HydraConfig.get().overrides.task)


def features(cfg: DictConfig) -> None:
    """Train the classifier whose features FID and KID compare."""
    warnings.showwarning = _show_warning
    with _importing():
        from scorewise.config.identity import plain
        from scorewise.run import features as extractors
        from scorewise.tracking import console

    trained = extractors.train_extractor(plain(cfg))
    console.say(f"held-out accuracy: {100 * trained.accuracy:.1f} % of {trained.images:,} test images")
    console.say(f"{trained.extractor.num_features} features of {trained.extractor.name}, hash {trained.extractor.hash}")
    console.show_paths({"extractor": trained.folder})


def dashboard(cfg: DictConfig) -> None:
    """Lay out the comparison of a group of runs in Weights & Biases."""
    warnings.showwarning = _show_warning
    from scorewise.config.identity import plain
    from scorewise.config.settings import OfDashboard, refuse_of_command
    from scorewise.tracking import console
    from scorewise.tracking.dashboard import build_dashboard

    refuse_of_command(plain(cfg), OfDashboard)
    known = sorted(catalog.options("objective"))
    console.show_paths({"dashboard": build_dashboard(plain(cfg), known)})


def compare(arguments: list[str]) -> int:
    """Compare runs, given as folders; the exit status says whether there was anything to compare."""
    with _importing():
        from scorewise import comparison
        from scorewise.tracking import console

    if {"-h", "--help"} & set(arguments):
        console.say(comparison.USAGE)
        return 0
    try:
        with machine_told():
            made = comparison.compare_folders(arguments)
            comparison.show(made.compared, console.console)
            console.show_paths(made.files)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0 if made.compared.records else 1


def _place(config: Config, name: str) -> Path:
    """Return where a run goes: a given hydra.run.dir, else runs/<name>/<hash8> or runs/<sweep>/<hash8>.

    Raises:
        UserError: the name is no name of a folder.
    """
    from scorewise.config.identity import identity

    refuse_no_folder("name", name)

    given = HydraConfig.get()
    if job.sweeping():
        return Path(given.sweep.dir).absolute() / identity(config)
    if given.run.dir != ".":
        return Path(given.runtime.output_dir)
    return Path(config["paths"]["runs"]).absolute() / name / identity(config)


def _refuse_impossible_launch(config: Config) -> None:
    """Refuse what starts the whole command again, once per process, inside a sweep.

    Raises:
        UserError: what to use instead.
    """
    own_nodes, trainer = "partition" in HydraConfig.get().launcher, config["trainer"]  # as SLURM's has
    strategy, devices = str(trainer["strategy"]), trainer["devices"]
    several = (devices, trainer["num_nodes"]) != (1, 1)
    relaunches = strategy.startswith("ddp") and not strategy.startswith(("ddp_fork", "ddp_notebook", "ddp_spawn"))
    if job.sweeping() and (relaunches or (several and strategy == "auto")) and not own_nodes:
        what = f"trainer.strategy={strategy}" + ("" if relaunches else f" with trainer.devices={devices}")
        raise UserError(
            f"{what} inside a sweep would start the whole sweep once per process: give every run one device "
            "(trainer.devices=1, side by side with launcher=local or launcher=slurm), or use "
            "trainer.strategy=ddp_fork on CPUs."
        )


def _show(folder: RunFolder, sentence: str) -> None:
    from scorewise.tracking import console

    if sentence:
        console.say(sentence)
    summary = folder.summary()
    console.show_results(summary.get("metrics", {}), summary.get("conventions", {}))
    written = {"loss curve": "curves.png", "samples": "samples.png", "run folder": ""}
    places = {name: folder.path / file for name, file in written.items()}
    if gone := [path.name for path in places.values() if not path.exists()]:
        console.say(f"Not there: {' and '.join(gone)} (train=false draws what can be drawn).")
    console.show_paths({name: path for name, path in places.items() if path.exists()})
