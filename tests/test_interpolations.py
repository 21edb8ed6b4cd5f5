"""Texts with ${: refused before anything is computed that could not be read again, and how the text itself is typed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome
from PIL import Image

Command = Callable[..., Outcome]
TYPED = 'data.path="a \\${y}.csv"'


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((TYPED, "experiment=table"), "data.path=a ${y}.csv has ${ in it, which no stored config may hold"),
        (('tags=["x \\${q}"]',), "tags[0]=x ${q} has ${ in it, which no stored config may hold"),
        (('name="x\\${oc.env:HOME}"',), "which no stored config may hold"),
    ],
)
def test_a_run_that_could_not_be_read_again_is_refused(words: tuple[str, ...], sentence: str, command: Command) -> None:
    Path("a ${y}.csv").write_text("a,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(200)))
    ended = command(*words, "debug=tiny")
    assert ended.status == 1
    assert sentence in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not list(ended.folder.glob("*runs/*/*/*"))


def test_a_setting_that_is_not_there_says_how_the_text_is_typed(command: Command) -> None:
    ended = command('data.path="a ${y}.csv"', "experiment=table")
    assert ended.status == 1
    assert ended.err.strip() == "data.path has ${y}, and there is no setting y: for the text itself write \\${y}"
    proposed = command("data.path=a ${y} [x].csv", "experiment=table").err
    assert 'data.path="a \\${y} [x].csv"' in proposed


def test_images_of_such_a_folder_are_scored(command: Command) -> None:
    run = command("objective=mle", "debug=tiny", "callbacks.progress=false").run
    Path("a ${y}").mkdir()
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save("a ${y}/b.png")
    ended = command(f"run={run}", 'input="a \\${y}"', "task=ood", name="predict")
    assert ended.status == 0, ended.err
    assert "1 scored" in ended.out
