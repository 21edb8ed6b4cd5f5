"""What a command takes from its environment."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

import scorewise
from scorewise.commands.cli import run
from scorewise.errors import UserError

Command = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("given", "traceback"), [(None, False), ("0", False), ("", False), ("false", False), ("1", True)]
)
def test_tracebacks_are_shown_where_hydra_would_show_them(
    given: str | None, traceback: bool, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    if given is not None:
        monkeypatch.setenv("HYDRA_FULL_ERROR", given)
    if traceback:
        with pytest.raises(Exception, match="Could not override"):
            command("objective.sigmma=3")
    else:
        ended = command("objective.sigmma=3")
        assert ended.status == 1
        assert "objective.sigmma is no setting" in ended.err
        assert "Traceback" not in ended.err
    assert os.environ.get("HYDRA_FULL_ERROR") == given


@pytest.mark.parametrize("content", ["\ufeffSCOREWISE_CACHE=x".encode("utf-16"), "# größe\n".encode("latin-1")])
def test_an_env_that_is_no_text(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(content)
    told = rf"^{tmp_path}/\.env is no text in UTF-8 \(.*\): save it as UTF-8, or remove it\.$"
    with pytest.raises(UserError, match=told):
        scorewise.fit("digits")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as ended:
        run("train")
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(told, line)
