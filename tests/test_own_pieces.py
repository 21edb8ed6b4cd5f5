"""Pieces of one's own, outside the repository, work with every command; what they lack is said before training."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Outcome

import scorewise
from scorewise.errors import UserError

OWN = Path(__file__).parents[1] / "examples" / "own"
Command = Callable[..., Outcome]
QUICK = ("debug=fast", "callbacks.progress=false", "callbacks.samples=4")
TRAINED = {
    "rcsm-gru-iris": ("objective=rcsm", "sampler=cooled"),
    "mle-gru-sech-iris": ("objective=mle", "head=sech"),
}
"""Runs of everything under examples/own, by the names that they get."""
CLASSES = "classes=[mydata.Iris,mynet.GRUBackbone,mysampler.Cooled,myhead.Sech,rcsm.RegularisedCSM]"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the setting that finds the files of examples/own, whose modules are importable meanwhile."""
    monkeypatch.syspath_prepend(str(OWN))
    names = [file.stem for file in OWN.glob("*.py")]
    for name in names:
        sys.modules.pop(name, None)
    yield f"hydra.searchpath=[file://{OWN / 'conf'}]"
    for name in names:
        sys.modules.pop(name, None)


def test_every_example_is_trained_and_used(command: Command, examples: str, tmp_path: Path) -> None:
    for name, words in TRAINED.items():
        ended = command(examples, *QUICK, "backbone=gru", "data=iris", *words, f"paths.runs={tmp_path / 'runs'}")
        assert ended.status == 0, ended.err
        (run,) = (tmp_path / "runs" / name).iterdir()
        refused = command(f"run={run}", name="eval")
        assert "classes=[mydata.Iris,my" in refused.err
        for command_name in ("eval", "sample"):
            used = command(f"run={run}", CLASSES, *(["n=3"] if command_name == "sample" else []), name=command_name)
            assert used.status == 0, used.err
        assert len((run / "samples/samples.csv").read_text().splitlines()) == 4
    assert {f"_target_: {one}" for one in CLASSES[9:-1].split(",")} == {
        file.read_text().splitlines()[0] for file in OWN.glob("conf/*/*.yaml")
    }


def test_sampling_needs_neither_data_nor_objective(command: Command, examples: str, tmp_path: Path) -> None:
    ended = command(examples, *QUICK, "backbone=gru", "data=iris", "objective=rcsm", f"paths.runs={tmp_path / 'runs'}")
    assert ended.status == 0, ended.err
    (run,) = (tmp_path / "runs").glob("*/*")
    assert "classes=[mynet.GRUBackbone] to" in command(f"run={run}", name="sample").err
    assert command(f"run={run}", "classes=[mynet.GRUBackbone]", "n=2", name="sample").status == 0
    assert command(f"run={run.parent}", "classes=[mynet.GRUBackbone]", "n=2", name="sample").status == 0
    from mynet import GRUBackbone  # type: ignore[import-not-found]

    assert scorewise.load(run, classes=[GRUBackbone]).sample(2).shape == (2, 4)
    with pytest.raises(UserError, match=r"mynet\.GRUBackbone"):
        scorewise.load(run)


def test_rows_are_predicted_and_runs_compared(command: Command, examples: str, tmp_path: Path) -> None:
    from scorewise import comparison

    words = ("backbone=gru", "data=iris", "objective=mle", "head=sech")
    ended = command(examples, *QUICK, *words, f"paths.runs={tmp_path / 'runs'}")
    assert ended.status == 0, ended.err
    (run,) = (tmp_path / "runs").glob("*/*")
    rows = tmp_path / "rows.csv"
    rows.write_text("x_1,x_2,x_3,x_4\n5.1,3.5,1.4,0.2\n")
    used = command(f"run={run}", f"input={rows}", CLASSES, name="predict")
    assert used.status == 0, used.err
    assert "1 rows given their log-density" in used.out
    assert len(comparison.compare_folders([str(tmp_path / "runs")]).compared.records) == 1


def test_a_folder_that_is_not_there_is_refused(command: Command, tmp_path: Path) -> None:
    ended = command(f"hydra.searchpath=[file://{tmp_path / 'nowhere'}]", "backbone=gru")
    assert ended.status == 1
    assert ended.err.startswith(f"hydra.searchpath names {tmp_path / 'nowhere'}, which is no folder here")
    assert len(ended.err.splitlines()) == 1
    assert "hydra.searchpath=[file://...]" in command("backbone=gru").err
    assert "must be a list of folders" in command(f"hydra.searchpath=file://{tmp_path}").err
    empty = command(f"hydra.searchpath=[file://{tmp_path}]")
    assert (empty.status, "which has no folder of a group" in empty.err) == (1, True)


@pytest.mark.parametrize(("content", "refused"), [("_target_: mynet.GRUBackbone\nhidden: 8\n", True), (None, False)])
def test_an_option_with_a_name_of_ours_is_not_passed_over(
    content: str | None, refused: bool, command: Command, tmp_path: Path
) -> None:
    ours = (OWN.parents[1] / "conf/backbone/made.yaml").read_text()
    (tmp_path / "my/backbone").mkdir(parents=True)
    (tmp_path / "my/backbone/made.yaml").write_text(content or ours)
    ended = command(
        f"hydra.searchpath=[file://{tmp_path / 'my'}]", *QUICK, "data=gaussian", f"paths.runs={tmp_path / 'runs'}"
    )
    assert (ended.status == 1) is refused, ended.err
    assert ("backbone=made would take Scorewise's own made" in ended.err) is refused
    assert (tmp_path / "runs").exists() is not refused


BACKBONE = (OWN / "mynet.py").read_text()
LACKING = {
    "width": (("width: int, ", ""), "Net(shape=[4], width=12, hidden=8) fails (TypeError"),
    "shape": (
        ("self.shape, self.width = tuple(shape), width", "self.width = width"),
        "object has no attribute 'shape'",
    ),
    "shift": (
        ("torch.cat([torch.zeros_like(u_BD[:, :1]), u_BD[:, :-1]], 1)", "u_BD"),
        "may only see what comes before",
    ),
    "features": (("return h_BDF", "return h_BDF[:, 1:]"), "has shape [2, 3, 12] and not [2, 4, 12]"),
    "a fault": (("return h_BDF", "return h_BDF @ h_BDF"), "(RuntimeError in net.py, line 21"),
    "a method": (
        ("causal_features", "other_features"),
        "needs a backbone with causal features or features of blocks; backbone=net.Net has none",
    ),
}
"""What is changed in the backbone of the examples, and what is said."""


@pytest.mark.parametrize("what", LACKING)
def test_what_a_backbone_lacks_is_said_before_training(
    what: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old, new), sentence = LACKING[what]
    assert old in BACKBONE
    (tmp_path / "my/conf/backbone").mkdir(parents=True)
    (tmp_path / "my/net.py").write_text(BACKBONE.replace("GRUBackbone", "Net").replace(old, new))
    (tmp_path / "my/conf/backbone/net.yaml").write_text("_target_: net.Net\nhidden: 8\n")
    monkeypatch.syspath_prepend(str(tmp_path / "my"))
    sys.modules.pop("net", None)
    data = ("data=gaussian", "data.dims=4")
    ended = command(f"hydra.searchpath=[file://{tmp_path / 'my/conf'}]", *QUICK, *data, "backbone=net")
    sys.modules.pop("net", None)
    assert ended.status == 1
    assert sentence in ended.err
    assert len(ended.err.splitlines()) == 1
    assert "docs/extending.md" in ended.err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["my"]


def test_the_backbone_of_the_page(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (OWN.parents[1] / "docs/extending.md").read_text()
    (tmp_path / "my/conf/backbone").mkdir(parents=True)
    for language, file in (("python", "mynet.py"), ("yaml", "conf/backbone/gru.yaml")):
        (tmp_path / "my" / file).write_text(page.partition(f"```{language}\n")[2].partition("```")[0])
    monkeypatch.syspath_prepend(str(tmp_path / "my"))
    sys.modules.pop("mynet", None)
    shown = [
        line.partition("src/")[2].replace("$PWD", str(tmp_path))
        for line in page.splitlines()
        if line[:13] == "PYTHONPATH=my"
    ]
    words = {line.split(".py ")[0]: line.split(".py ")[1].replace('"', "").split() for line in reversed(shown)}
    ended = command(*words["train"], "debug=tiny")
    assert ended.status == 0, ended.err
    assert ended.run.parent.name == words["sample"][0].split("/")[1]
    for name in ("eval", "sample"):
        few = ["trainer.limit_test_batches=2"] if name == "eval" else []
        used = command(f"run={ended.run}", *words[name][1:], *few, name=name)
        assert used.status == 0, used.err
    sys.modules.pop("mynet", None)


OTHERS = {
    "no mean": (
        "mydata.py",
        ("    mean, std = 3.46, 1.97", "    std = 1.97"),
        "saying shape, mean and std of Iris fails",
    ),
    "tensors": ("mydata.py", ("3.46, 1.97", "torch.ones(1), 2.0"), "whole numbers and two numbers are needed"),
    "no split": ("mydata.py", (', "test": x_ND[test]', ""), "reading two training examples fails (KeyError"),
    "no draw": ("mysampler.py", ("def draw_block", "def draw_all"), "Cooled(steps=50, first=1.0, last=0.01) fails"),
    "NaN": ("mysampler.py", ("        return q_BD", "        return q_BD / 0 * 0"), "a draw is not finite"),
    "loss": ("rcsm.py", (".sum(-1)", ".sum(-1, keepdim=True)"), "the loss has shape [2, 1] and not [2]"),
    "weights": (
        "rcsm.py",
        ("return (", "return (0 * x_BD + 0).sum(-1)\n        return ("),
        "does not depend on any weight",
    ),
    "heads": ("rcsm.py", ('    heads = ("conditional_score",)', "    some = 0"), "names no heads for head=auto"),
    "not derived": ("rcsm.py", ("(Objective[ConditionalScores])", ""), "is not a subclass of scorewise's Objective"),
}
"""A file of the examples, what is changed in it, and what is said."""


@pytest.mark.parametrize("what", OTHERS)
def test_what_other_pieces_lack_is_said_before_training(
    what: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, (old, new), sentence = OTHERS[what]
    (tmp_path / "my").mkdir()
    for file in OWN.glob("*.py"):
        text = file.read_text()
        assert old in text or file.name != changed
        (tmp_path / "my" / file.name).write_text(text.replace(old, new) if file.name == changed else text)
        sys.modules.pop(file.stem, None)
    monkeypatch.syspath_prepend(str(tmp_path / "my"))
    words = ("data=iris", "objective=rcsm", "sampler=cooled", "backbone.hidden=[8]")
    ended = command(f"hydra.searchpath=[file://{OWN / 'conf'}]", *QUICK, *words)
    for file in OWN.glob("*.py"):
        sys.modules.pop(file.stem, None)
    assert ended.status == 1
    assert sentence in ended.err
    assert len(ended.err.splitlines()) == 1
    assert "docs/extending.md" in ended.err
    assert [one.name for one in tmp_path.iterdir()] == ["my"]
