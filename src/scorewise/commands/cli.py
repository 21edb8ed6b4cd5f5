"""A command as typed, and the exit status it ends with. Importing this imports neither torch nor Lightning."""

import os
import shlex
import sys
from pathlib import Path

import hydra

from scorewise import catalog
from scorewise.commands import job, searched, sweeps
from scorewise.commands.commands import commands, compare
from scorewise.commands.implied import with_options
from scorewise.commands.usage import overview, usage
from scorewise.config.refusals import one_sentence
from scorewise.errors import UserError, machine_told
from scorewise.run.folder import is_rank_zero
from scorewise.version import __version__

COMMAND = "SCOREWISE_COMMAND"
"""Where the processes that a command starts find its name."""


def console() -> None:
    """Run the command `scorewise`: scorewise train objective=csm is python src/train.py objective=csm."""
    if "LOCAL_RANK" in os.environ and COMMAND in os.environ:  # started by Lightning with the words of another process
        run(os.environ[COMMAND])
    known, typed = ", ".join((*commands(), "compare")), sys.argv[1] if len(sys.argv) > 1 else ""
    if typed in ("", "-h", "--help"):
        print(overview())
        sys.exit(0 if typed else 2)
    if typed == "--version":
        print(f"scorewise {__version__}")
        sys.exit(0)
    if typed == "compare":
        sys.exit(compare(sys.argv[2:]))
    if typed not in commands():
        print(f"scorewise has no command {typed}: use one of {known}.", file=sys.stderr)
        sys.exit(2)
    os.environ[COMMAND] = typed
    sys.argv = [sys.argv[0], *sys.argv[2:]]
    run(typed)


def run(command: str) -> None:
    """Run a command with its arguments, and end the process with a sentence where the user can help it."""
    from scorewise.commands.environment import load_environment

    try:
        load_environment()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    try:
        status = main(command)
        sys.stdout.flush()
    except BrokenPipeError:  # what reads it has seen enough: head, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)


def main(command: str) -> int:
    """Run a command, print what it has to say, and return its exit status."""
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(usage(command))
        return 0
    conf, task = catalog.folder(), commands()[command]
    job.failed.clear()
    sweeps.announced.clear()
    given = os.environ.get("HYDRA_FULL_ERROR")
    debugging = given == "1"  # as Hydra reads it
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to here, where they become one sentence
    try:
        _refuse_several_sweeps(sys.argv[1:])
        sys.argv[1:] = with_options(command, sys.argv[1:])
        with searched.folders_told():
            hydra.main(version_base="1.3", config_path=str(conf), config_name=command)(
                job.ending_well(task, command, debugging)
            )()
    except job.SweepStopped as stopped:
        job.failed.append(stopped.exit_code)
    except KeyboardInterrupt:
        print("Stopped: the same command goes on.", file=sys.stderr)
        job.failed.append(130)
    except Exception as error:
        sentence = None if debugging else one_sentence(error, command) or sweeps.launcher_told(error)
        if sweeps.announced and is_rank_zero():
            sweep = sweeps.announced.pop()
            if any(sweep.outcomes()):  # a launcher that lost one of its processes: what the others did is kept
                _show_sweep(sweep)
            else:
                sweep.end()
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return getattr(error, "exit_code", 1)
    finally:
        if given is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = given
    status = job.failed[-1] if job.failed else 0
    if sweeps.announced and _show_sweep(sweeps.announced.pop()):
        status = status or 1
    return status


def _refuse_several_sweeps(arguments: list[str]) -> None:
    if several := [word for word in arguments if word.startswith("sweep=") and "," in word]:
        raise UserError(f"{several[0]} names several sweeps: run them one after another, each in its own folder.")


def _compared(sweep: sweeps.Sweep, folders: list[str]) -> dict[str, Path | str]:
    """Return the page of a sweep's runs, which is made here, and the command that compares them with others."""
    from scorewise.comparison import compare_runs

    runs = [path for name in dict.fromkeys(folders) if (path := sweep.place / name).is_dir()]
    if len(runs) < 2:
        return {}
    place, above = (shlex.quote(os.path.relpath(path)) for path in (sweep.place, sweep.place.parent))
    try:
        with machine_told():
            made = compare_runs(runs, sweep.place, f"python src/compare.py {place}")
    except UserError as error:
        print(error, file=sys.stderr)
        return {}
    return {"compared": made.files["page"], "with others": f"python src/compare.py {above}"}


def _show_sweep(sweep: sweeps.Sweep) -> bool:
    """End a sweep with its table, and return whether it or a cell in it is missing."""
    from scorewise.tracking import console

    rows = sweep.rows()
    console.show_cells(rows, f"sweep of {len(rows)} runs")
    try:
        with machine_told():
            sweep.end()
    except UserError as error:
        print(error, file=sys.stderr)
        return True
    if sweep.table.is_file():
        console.show_paths({"table": sweep.table, **_compared(sweep, [row["folder"] for row in rows if row["folder"]])})
    return any(row["status"] != sweeps.FINISHED for row in rows)
