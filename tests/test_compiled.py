"""trainer.compile=true: the compiled step against the eager one, and machines without a compiler."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import Outcome
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.errors import UserError
from scorewise.heads import ConditionalScore, NoisyConditionalScore, fused_csm
from scorewise.noise import Draws
from scorewise.objectives import CSM, CSMAnnealed
from scorewise.run.compiler import require_compiler

Command = Callable[..., Outcome]
TINY = ("debug=tiny", "objective=csm", "trainer.compile=true")


@pytest.mark.slow
def test_compiled_is_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a batch that the chunks do not divide: 60 rows of 64, and 80 rows in two chunks."""
    monkeypatch.setattr(fused_csm, "ROWS", 64)
    model = ConditionalScore(MADE((20,), 4, (16,)), hidden=(8, 8), noise=0.5)
    compiled, calls = fused_csm.compiled_pass(), []

    def counted(*arguments: Any) -> list[Tensor]:
        calls.append(arguments[1].shape)
        return compiled(*arguments)

    monkeypatch.setattr(fused_csm, "compiled_pass", lambda: counted)
    for batch in (3, 4):
        x, weight = torch.randn(batch, 20), torch.rand(batch)
        results = []
        for model.compiles in (False, True):
            loss = CSM()(model, x, Draws.of(0, 0, torch.arange(batch)), weight)
            results.append((loss.total, loss.per_example, *torch.autograd.grad(loss.total, list(model.parameters()))))
        for eager, found in zip(*results, strict=True):
            torch.testing.assert_close(found, eager, rtol=1e-5, atol=1e-5)
    assert calls == 3 * [(64,)]


@pytest.mark.slow
def test_compiled_is_eager_at_many_levels() -> None:
    objective = CSMAnnealed(2.0, None, 3, 0.5, draws=2)
    model = NoisyConditionalScore(MADE((20,), 4, (16,)), levels=(2.0, 1.0, 0.5), hidden=(8, 8), noise=0.5)
    x, results = torch.randn(3, 20), []
    for model.compiles in (False, True):
        loss = objective(model, x, Draws.of(0, 0, torch.arange(3)))
        results.append((loss.total, loss.per_example, *torch.autograd.grad(loss.total, list(model.parameters()))))
    for eager, found in zip(*results, strict=True):
        torch.testing.assert_close(found, eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("compiler", "why"), [("/nowhere/g++", "was not found"), ("false", "cannot compile")])
def test_no_compiler_is_one_sentence(
    command: Command, monkeypatch: pytest.MonkeyPatch, compiler: str, why: str
) -> None:
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(UserError, match=why):
        require_compiler()
    ended = command(*TINY)
    assert ended.status == 1
    assert (
        ended.err.strip()
        .splitlines()[-1]
        .startswith(f"trainer.compile=true needs a C++ compiler, and {compiler} {why}")
    )
    assert "Traceback" not in ended.err


def test_nothing_to_compile_is_one_sentence(command: Command) -> None:
    ended = command("debug=tiny", "objective=dsm", "trainer.compile=true")
    assert ended.status == 1
    assert "use objective=csm head=conditional_score or objective=csm_annealed" in ended.err


def test_it_is_no_part_of_what_a_run_computes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_csm, "compiled_pass", lambda: fused_csm.rows_and_gradients)
    first = command(*TINY)
    assert first.status == 0, first.err
    again = command("debug=tiny", "objective=csm")
    assert again.status == 0, again.err
    assert first.run == again.run  # found finished
