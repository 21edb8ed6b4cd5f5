"""What refuses a command does so before anything is shown or written, whatever is wrong and whichever command it is."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

Command = Callable[..., Outcome]
SMALL = ("debug=tiny", "head=mixture")
GAUSSIAN = ("data=gaussian", "data.examples_per_epoch=64", "data.held_out=16")
TRAINING = [
    ("trainer.acelerator=cpu", "trainer.acelerator is no setting of trainer; did you mean accelerator?"),
    ("objectiv=csm", "objectiv is no setting of Scorewise; did you mean objective?"),
    ("objective=cms", "objective=cms is no option of objective: use one of"),
    ("optim.lr=-1", "optim.lr=-1 must be a positive number."),
    ("seed=-1", "seed=-1 must be a whole number of at least 0."),
    ("tags=5", "tags=5 must be a list of words"),
    ("trainer.devices=[]", "trainer.devices=[] must be a whole number of at least 1, or -1 for all or auto"),
    ("trainer.devices=abc", "trainer.devices=abc must be a whole number of at least 1"),
    ("trainer.strategy=abc", "the trainer refuses these settings"),
    ("trainer.accelerator=abc", "trainer.accelerator=abc is none of cpu, gpu,"),
    ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1 has no effect on a run: use optim.clip."),
    ("backbone=mlp", "head=mixture needs a backbone with causal features"),
    ("task.monitor=val/foo", "task=density cannot be built"),
    ("data.batch_size=1000", "data.batch_size=1000 does not fit 64 training examples"),
    ("data=table data.path=none.csv", "none.csv"),
    ("data=images data.path=none", "none"),
    ("data=mnist paths.data=none", "data=mnist is not in"),
    ("trainer.limit_train_batches=0.2", "trainer.limit_train_batches=0.2 is less than one of 4 batches: use 0.25"),
    ("trainer.limit_val_batches=0.5", "trainer.limit_val_batches=0.5 is less than one of 1 batches"),
    ("trainer.limit_test_batches=0.5", "trainer.limit_test_batches=0.5 is less than one of 1 batches"),
    (
        "trainer.overfit_batches=0.1 trainer.limit_train_batches=null trainer.limit_val_batches=null",
        "trainer.overfit_batches=0.1 is less than one of 4 batches",
    ),
    ("name=a/b", "name=a/b is no name of a folder"),
    ("resume=nowhere", "nowhere is not a folder"),
    ("train=false", "train=false tests a finished run"),
    ("paths.runs=file", "file"),
    ("logger=wandb logger.mode=abc", "logger.mode=abc is none of online, offline, disabled."),
]
"""What is typed besides, and what the sentence begins with or names."""
OF_RUNS = [
    ("eval", "run=nowhere", "nowhere is not a folder"),
    ("eval", "run=5", "run=5 must be a path"),
    ("eval", "run=one task=denoising task.mode=abc", "task"),
    ("eval", "run=one task.monitor=5", "task.monitor"),
    ("eval", "run=one task=ood task.images=-1", "task.images=-1 must be a whole number of at least"),
    ("eval", "run=one task=implicit_vae", "task=implicit_vae tests runs that it has trained"),
    ("eval", "run=one data.path=a.csv", "data.path=a.csv is for runs of data=table"),
    ("eval", "run=one task=dens", "task=dens is no option of task"),
    ("eval", "run=one trainer.strategy=abc", "the trainer refuses these settings"),
    ("eval", "run=one trainer.limit_test_batches=0.5", "trainer.limit_test_batches=0.5 is less than one of 1 batches"),
    ("eval", "run=nowhere hydra.run.dir=here/it/is", "nowhere is not a folder"),
    ("predict", "run=one input=none.csv", "none.csv"),
    ("predict", "run=one input=5", "input=5 must be a path"),
    ("predict", "run=one input=rows.csv header=3", "header=3 must be true or false or null."),
    ("predict", "run=one input=rows.csv encoding=abc", "abc"),
    ("predict", "run=one", "input must be given"),
    ("sample", "run=one n=0", "n=0 must be a whole number of at least 1."),
    ("sample", "run=one seed=1e30", "seed=1e+30 must be a whole number of at least 0."),
    ("sample", "run=one m=3", "m is no setting of Scorewise"),
    (
        "sample",
        "run=one sampler=exact",
        "sampler is no setting of sample, which takes the sampler of the run: give it to train",
    ),
    ("eval", "run=one backbone.hidden=3", "backbone.hidden is no setting of eval, which takes the backbone of the run"),
    ("sample", "run=one denoise=2", "denoise=2 must be true or false."),
    ("sample", "run=nowhere", "nowhere is not a folder"),
    ("sample", "run=nowhere hydra.run.dir=here/it/is", "nowhere is not a folder"),
    ("tune", "study.trials=-1", "study.trials=-1 must be a whole number of at least 1."),
    ("tune", "study.name=[]", "study.name=[] must be a name or null."),
    ("tune", "study.name=a/b", "study.name=a/b is no name of a folder"),
    ("tune", "optim.clip=-1", "optim.clip=-1 must be a number above 0"),
    ("tune", "data=mnist paths.data=none", "data=mnist is not in"),
    ("tune", "paths.multirun=5", "paths.multirun=5 must be a path"),
    ("reproduce", "figure=fig1b budget=abc", "budget=abc is no budget of figure=fig1b"),
    ("reproduce", "figure=fig1b budget=5", "budget=5 must be the name of a budget."),
    ("reproduce", "figure=fig99", "figure=fig99 is no option of figure"),
    ("reproduce", "figure=fig1b trainer.compile=true", "trainer.compile is no setting of reproduce: the trainings"),
    ("reproduce", "figure=fig1b figure.shared=[a=1]", "figure.shared=[a=1] has characters that"),
    ("reproduce", "figure=fig1b budget=tiny paths.runs=[]", "paths.runs=[] must be a path"),
    ("reproduce", "figure=fig99 hydra.run.dir=here/it/is", "figure=fig99 is no option of figure"),
    ("features", "data=digits trainer.limit_val_batches=0.001", "trainer.limit_val_batches=0.001 is less than one of"),
    ("features", "data=gaussian", "data=gaussian has no labels"),
    ("features", "data=digits extractor.channels=0", "extractor.channels=0 must be a whole number of at least 1."),
    ("features", "data=digits trainer.devices=2", "trains on one device"),
    ("features", "data=mnist paths.data=none", "data=mnist is not in"),
    ("features", "data=digits trainer.strategy=abc", "the trainer refuses these settings"),
]


def words_of(typed: str) -> tuple[str, ...]:
    """Return a training with what is typed, on Gaussian data where that names no other."""
    return (*SMALL, *(() if typed.startswith("data=") else GAUSSIAN), *typed.split())


@pytest.fixture
def refused(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that is refused, and return its sentence."""
    from test_data import no_network

    no_network(monkeypatch)
    monkeypatch.setenv("SCOREWISE_CACHE", "cache")
    (tmp_path / "file").write_text("no folder")

    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "cache"))

    def run(*words: str, name: str = "train") -> str:
        before = files()
        ended = command(*words, name=name)
        assert ended.status == 1, ended.out
        assert ended.out == ""
        assert len(ended.err.splitlines()) == 1, ended.err
        sentence = ended.err.strip()
        assert files() == before
        return sentence

    return run


@pytest.mark.parametrize(("typed", "said"), TRAINING)
def test_a_training_that_is_refused_leaves_nothing(refused: Callable[..., str], typed: str, said: str) -> None:
    assert said in refused(*words_of(typed))


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "said"), [row for row in TRAINING if row[0].split("=")[0] != "paths.runs"])
def test_nor_where_hydra_makes_its_folder(refused: Callable[..., str], typed: str, said: str) -> None:
    if not typed.startswith("name="):  # which is not asked for then
        assert said in refused(*words_of(typed), "hydra.run.dir=here/it/is")


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "said"), [row for row in TRAINING if row[0].split("=")[0] != "paths.runs"])
def test_nor_does_a_sweep_in_which_nothing_runs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, said: str
) -> None:
    monkeypatch.setenv("SCOREWISE_CACHE", "cache")
    ended = command("-m", "optim.warmup_steps=0,1", *words_of(typed))
    assert ended.status == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert set(tmp_path.iterdir()) <= {tmp_path / "cache"}


LAUNCHES = [
    ("launcher=local hydra.launcher.n_jobs=0", "the launcher refuses (n_jobs == 0 in Parallel has no meaning)"),
    ("launcher=local hydra.launcher.batch_size=abc", "the launcher refuses (batch_size must be 'auto'"),
    ("launcher=local hydra.launcher.pre_dispatch=abc", "the launcher refuses ('abc' is not a valid"),
    ("launcher=local hydra.launcher.prefer=abc", "the launcher refuses (prefer=abc is not a valid backend hint"),
    ("launcher=local hydra.launcher.require=abc", "the launcher refuses (require=abc is not a valid backend"),
    ("launcher=local hydra.launcher.max_nbytes=abc", "the launcher refuses (Invalid literal for size"),
    ("launcher=slurm", "the launcher refuses (Could not detect"),
]
"""What a launcher does not take, and what the sentence begins with."""


@pytest.mark.parametrize(("typed", "said"), LAUNCHES)
def test_a_launcher_that_refuses_leaves_nothing(refused: Callable[..., str], typed: str, said: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    assert refused("-m", "seed=0,1", *words_of(typed)).startswith(said)


@pytest.mark.parametrize("name", ["eval", "predict", "sample", "tune", "reproduce", "features"])
def test_other_commands_that_are_refused_leave_nothing(
    command: Command, refused: Callable[..., str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "rows.csv").write_text("".join(",".join(f"{r + d}.5" for d in range(10)) + "\n" for r in range(4)))
    if name in ("eval", "predict", "sample"):
        assert command(*SMALL, *GAUSSIAN, "hydra.run.dir=one").status == 0
    for which, typed, said in OF_RUNS:
        if which == name:
            assert said in refused(*(words_of(typed) if name == "tune" else typed.split()), name=name), typed


def test_a_refused_repetition_keeps_what_is_there(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("a,b\n" + "".join(f"{i % 7}.{i},{i % 5}.{i}\n" for i in range(300)))
    words = ("experiment=table", "backbone.hidden=[8]", "trainer.max_steps=3", "data.path=mine.csv")
    run = command(*words).run
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    table.unlink()
    ended = command(*words, "rerun=true")
    assert ended.status == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
