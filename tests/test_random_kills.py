"""Kills at any moment of a run: what a resumed run ends with is what one run ends with, to the bit.

Every command is a fork of this process. A timer of the processor time that it has used ends it like `kill -9`, with no
word to it, so that the moment does not depend on what else the machine does.
"""

import os
import random
import signal
import sys
from pathlib import Path

import pytest
from test_resume import same_results

pytestmark = pytest.mark.slow
KILLS = 17
PLAIN = (
    "debug=tiny", "trainer.max_steps=-1", "trainer.max_epochs=3", "trainer.limit_train_batches=6",
    "trainer.limit_val_batches=null", "callbacks.samples=4",
)  # fmt: skip
KINDS = {
    "csm": (*PLAIN, "objective=csm"),
    "csm_annealed with averages": (*PLAIN, "objective=csm_annealed", "optim.ema_decay=0.9", "optim.schedule=cosine"),
    "pcd": (*PLAIN, "objective=pcd", "backbone=mlp"),
    "implicit VAE": (
        "debug=tiny", "trainer.max_epochs=2", "trainer.max_steps=-1", "trainer.limit_train_batches=6",
        "task=implicit_vae", "latent=dense", "objective=csm", "data.smoothing=0",
    ),
    "early stopping": (*PLAIN, "objective=csm", "callbacks.patience=1", "trainer.max_epochs=30", "optim.lr=0.05"),
    "accumulation": (*PLAIN, "objective=csm", "+trainer.accumulate_grad_batches=4"),
}  # fmt: skip


def typed(folder: Path, arguments: tuple[str, ...], until: float | None = None) -> tuple[int, float]:
    """Run `train.py` in a fork, return how it ended and the processor seconds that it used."""
    child = os.fork()
    if not child:
        code = 70
        try:
            os.chdir(folder)
            with (folder / "output").open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["train.py", *arguments]
            from scorewise.commands.cli import main

            if until is not None:
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_PROF, until)
            code = main("train")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_at_any_moment_ends_as_if_nothing_had_happened(kind: str, tmp_path: Path) -> None:
    given, moments = (*KINDS[kind], "hydra.run.dir=here"), random.Random(kind)
    typed(empty(tmp_path / "first"), given)  # imports
    one = empty(tmp_path / "one")
    whole, length = typed(one, given)
    assert whole == 0, (one / "output").read_text()
    wrong, kills, runs = [], 0, 0
    while kills < KILLS:
        folder, until = empty(tmp_path / str(runs)), [moments.uniform(0, length)]
        while typed(folder, given, until[-1])[0] == -signal.SIGPROF:
            until.append(moments.uniform(0, 2 * length))  # what is resumed may be killed again
        ended, _ = typed(folder, given)
        kills, runs = kills + len(until) - 1, runs + 1
        try:
            assert ended == 0, (folder / "output").read_text()
            same_results(one / "here", folder / "here")
        except AssertionError as error:
            wrong.append(f"killed after {until[:-1]} s of {length:.3f}: {error}")
    print(f"{kind}: {kills} kills of {runs} runs, {len(wrong)} runs differ")
    assert not wrong, "\n".join(wrong)


def empty(folder: Path) -> Path:
    """Return a new folder."""
    folder.mkdir()
    return folder
