"""What a command takes from its environment."""

import os
from collections.abc import Callable

import pytest
from conftest import Outcome

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
