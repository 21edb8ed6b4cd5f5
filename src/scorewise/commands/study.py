"""A study of Optuna's whose trials are ordinary runs, judged by what their task monitors in validation."""

import hashlib
import json
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import optuna
from hydra import compose as hydra_compose
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from scorewise import catalog
from scorewise.catalog import Config
from scorewise.commands.implied import with_options
from scorewise.commands.matched import refuse_other_examples, refuse_other_scores
from scorewise.commands.search_space import space_of
from scorewise.commands.sweeps import Row, write_table
from scorewise.commands.unvalidated import refuse_more_of_them, refuse_no_validation, refuse_to_end_so
from scorewise.config import compatibility
from scorewise.config.choices import build_source
from scorewise.config.identity import differences, identity, plain, storable
from scorewise.config.refusals import one_sentence
from scorewise.config.settings import refuse_settings
from scorewise.config.settle import names, settle
from scorewise.errors import Held, Stopped, UserError, first_line, machine_told
from scorewise.files import make_folder, refuse_no_folder
from scorewise.run.folder import RunFolder, claim
from scorewise.tracking import console

DATABASE: tuple[type[Exception], ...] = (SQLAlchemyError, StorageInternalError)
"""What a database raises that is damaged or cannot be written."""
STATUS = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def run_study(cfg: DictConfig, typed: Sequence[str]) -> Path:
    """Begin a study, or go on with it, and return its table.

    Args:
        cfg: of tune.yaml.
        typed: the overrides that were typed.

    Raises:
        UserError: what the user can mend, or no trial has finished.
        Held: another process is at this study.
        Stopped: by Ctrl-C or SIGTERM; the same command goes on.
    """
    study = Study(plain(cfg), [word for word in typed if not re.match(r"[+~]*(study[.=]|hydra[./]|study$)", word)])
    with study.stored(), RunFolder(study.place, study.name).held():
        rows = study.run_trials()
    path = study.place / "trials.csv"
    console.show_cells(
        rows,
        f"{len(rows)} trials: {study.monitor} is the smallest of a trial, on validation data",
        [study.monitor.replace("/", "_")],
    )
    if best := study.best():
        console.say(f"best: trial {best.number}, {study.monitor}={best.value:.6g}; to train it again:")
        console.say(" ".join(["python src/train.py", *map(quote, study.words(best))]))
        console.show_paths({"its run": study.place / best.user_attrs["folder"], "trials": path})
        return path
    raise UserError(f"none of {len(rows)} trials has finished, see {path}: the first one says why.")


class Study:
    """A search space, the trials so far and the runs that they are.

    Args:
        config: plain.
        base: what was typed for all trials.

    Raises:
        UserError: a bad space or setting, several processes, or another study in this place.
    """

    def __init__(self, config: Config, base: list[str]) -> None:
        self.settings, self.base = config["study"], base
        refuse_settings(config, "study")
        self.space = space_of(self.settings["space"])
        if not {*self.space} & {*catalog.groups()}:  # what a setting implies is the same for all trials
            words = self._words({name: part.ends[0] for name, part in self.space.items()})
            self.base += [word for word in with_options("train", words) if word not in words]
        if config["resume"] or config["rerun"] or not config["train"]:
            raise UserError("a study trains, and finds its own runs again: leave resume, rerun and train as they are.")
        first = self._refuse_corners()
        trainer = first["trainer"]
        if (trainer["devices"], trainer["num_nodes"]) != (1, 1) or str(trainer["strategy"]).startswith("ddp"):
            raise UserError(
                "a study trains every trial in one process: use trainer.devices=1 and trainer.strategy=auto."
            )
        self.monitor, self.trainer = first["task"]["monitor"], trainer
        if not self.monitor:
            task = catalog.option_name("task", first["task"]["_target_"])
            raise UserError(f"task={task} monitors no number in validation that a study could compare.")
        refuse_no_validation(trainer, self.monitor)
        refuse_other_examples(self.space, trainer)
        given = self.settings["name"]
        self.name = f"study-{'-'.join(names(first))}" if given is None else str(given)
        refuse_no_folder("study.name", self.name)
        self.place = Path(config["paths"]["multirun"]).absolute() / self.name
        build_source(first).prepare()
        refuse_other_scores(first, self._neighbours())
        if both := sorted({word.lstrip("+").partition("=")[0] for word in base} & {*self.space}):
            said = f"{', '.join(both)} of study.space is typed as well, which has no effect (~study.space.{both[0]})."
            warnings.warn(said, stacklevel=2)
        self.study = self._open(identity(first))

    def _refuse_corners(self) -> Config:
        """Compose every end and every choice of the space, and return the config of the first ones."""
        corner = self._settled({name: part.ends[0] for name, part in self.space.items()})
        for _, neighbour in self._neighbours():
            compatibility.refuse_incompatible(neighbour)
        compatibility.refuse_incompatible(corner)
        return corner

    def _neighbours(self) -> Iterator[tuple[str, Config]]:
        """Return the configs that differ from the first one in one setting, each beside its name."""
        first = {name: part.ends[0] for name, part in self.space.items()}
        for name, part in self.space.items():
            for value in part.ends[1:]:
                yield name, self._settled({**first, name: value})

    def _settled(self, chosen: Mapping[str, str]) -> Config:
        """Return the config of a trial; Hydra prints a heading above errors of its own from inside a command."""
        try:
            return settle(plain(hydra_compose("train", self._words(chosen))))
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(one_sentence(error, "train")) from error

    def _words(self, chosen: Mapping[str, str]) -> list[str]:
        """Return what is typed for a trial; whole options before settings of theirs."""
        words = sorted(
            (f"{name}={value}" for name, value in chosen.items()), key=lambda word: "." in word.split("=")[0]
        )
        return [*self.base, *words]

    def _open(self, base: str) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner, _ = self._pruner(), self._sampler(0)
        make_folder(self.place)
        asked = {"trainings": base, **{key: value for key, value in self.settings.items() if key != "trials"}}
        with self.stored(RuntimeError, LookupError, ValueError):
            study = optuna.create_study(
                storage=f"sqlite:///{self.place / 'study.db'}",
                study_name=self.name,
                pruner=pruner,
                load_if_exists=True,
            )
            before = study.user_attrs.setdefault("asked", asked)
            len(study.trials)  # reads all of them
        if changed := differences(before, json.loads(json.dumps(asked))):
            raise UserError(
                f"{self.place} is a study with another {', '.join(changed)}: a study goes on only with its own, so "
                "change that back or give it another study.name."
            )
        study.set_user_attr("asked", asked)
        return study

    @contextmanager
    def stored(self, *also: type[Exception]) -> Iterator[None]:
        """Turn what the database of the study refuses into a sentence.

        Args:
            also: what Optuna raises besides while it reads a damaged one.

        Raises:
            UserError: which file, and what to do.
        """
        try:
            yield
        except (*DATABASE, *also) as error:
            path, reason = self.place / "study.db", first_line(error.__cause__ or error)
            raise UserError(
                f"{path} cannot be used ({reason}): mend that, or remove it, and the study begins again and finds its "
                "finished runs."
            ) from error

    def _pruner(self) -> BasePruner:
        match self.settings["pruner"]:
            case "median":
                return MedianPruner(self.settings["startup"], self.settings["warmup"])
            case _:
                return NopPruner()

    def _sampler(self, number: int) -> BaseSampler:
        """Return the sampler of one trial, seeded by its number: a study that goes on suggests what it would have."""
        digest = hashlib.sha256(f"{self.settings['seed']}/{number}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        match self.settings["sampler"]:
            case "tpe":
                return TPESampler(n_startup_trials=self.settings["startup"], seed=seed)
            case _:
                return RandomSampler(seed=seed)

    def run_trials(self) -> list[Row]:
        """Run the trials that are missing, the one first that was killed, and return the table."""
        for number in range(self.settings["trials"]):
            if number < len(self.study.trials) and self.study.trials[number].state.is_finished():
                continue
            refuse_more_of_them(self.study.trials, self.space, self.trainer, self.monitor)
            self.study.sampler = self._sampler(number)
            if number < len(self.study.trials):
                trial = Trial(self.study, self.study.trials[number]._trial_id)  # goes on with what it was given
            else:
                trial = self.study.ask()
            self._try(trial)
            rows = list(self.rows())
            write_table(self.place / "trials.csv", rows)
        rows = list(self.rows())
        write_table(self.place / "trials.csv", rows)
        refuse_more_of_them(self.study.trials, self.space, self.trainer, self.monitor)
        return rows

    def _try(self, trial: Trial) -> None:
        chosen = {name: part.suggest(trial, name) for name, part in self.space.items()}
        console.say(f"trial {trial.number} of {self.settings['trials']}: {' '.join(map('='.join, chosen.items()))}")
        try:
            with machine_told():
                value = self._trained(trial, chosen)
        except (Stopped, Held):
            raise
        except DATABASE:
            raise
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except UserError as error:
            console.say(str(error))
            self._note_failure(trial, str(error))
        except Exception as error:
            traceback.print_exc()  # and the other trials go on
            self._note_failure(trial, f"{type(error).__name__}: {error}")
        else:
            self.study.tell(trial, value)

    def _note_failure(self, trial: Trial, sentence: str) -> None:
        trial.set_user_attr("sentence", sentence)
        self.study.tell(trial, state=TrialState.FAIL)

    def _trained(self, trial: Trial, chosen: Mapping[str, str]) -> float:
        """Return the smallest monitored number of a trial, whose run is found finished, resumed, or run now."""
        from scorewise.run import training
        from scorewise.run.callbacks import Reports
        from scorewise.tracking.metrics_table import read_metrics

        def report(value: float, validation: int) -> None:
            trial.report(value, validation)
            if trial.should_prune():
                raise optuna.TrialPruned

        cfg = hydra_compose("train", self._words(chosen))
        config, stored = (settle(view(cfg)) for view in (plain, storable))
        folder = claim(config, stored, self.place / identity(config), None)
        trial.set_user_attr("folder", folder.path.name)
        if not folder.finished:
            compatibility.refuse_incompatible(config)
            training.train_run(config, stored, folder, self.name, [Reports(self.monitor, report)])
        rows = read_metrics(folder.path / "metrics.csv").get(self.monitor, [])
        if not rows:
            refuse_to_end_so(trial, self.monitor)
        values = [value for _, value in rows if abs(value) < float("inf")]
        if not values:
            raise UserError(f"its {self.monitor} was finite in no validation: use a smaller optim.lr.")
        return min(values)

    def words(self, trial: FrozenTrial) -> list[str]:
        """Return what is typed to train a trial again."""
        return self._words({name: str(value) for name, value in trial.params.items()})

    def best(self) -> FrozenTrial | None:
        """Return the finished trial with the smallest number, if there is one."""
        finished = [trial for trial in self.study.trials if trial.state == TrialState.COMPLETE]
        return min(finished, key=lambda trial: trial.value or 0.0) if finished else None

    def rows(self) -> Iterator[Row]:
        """Return one row per trial: what was chosen, how it ended, its numbers, its run folder."""
        for trial in self.study.trials:
            folder = trial.user_attrs.get("folder", "")
            summary = RunFolder(self.place / folder, folder).summary() if folder else {}
            yield {
                "trial": trial.number,
                **trial.params,
                "status": STATUS.get(trial.state, "unfinished"),
                self.monitor.replace("/", "_"): "" if trial.value is None else trial.value,
                **summary.get("metrics", {}),
                "folder": folder,
                "sentence": trial.user_attrs.get("sentence", ""),
            }
