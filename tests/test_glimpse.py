"""Validation curves that compare runs: csm, nll by quadrature, and DSM's loss without its constant."""

import csv
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from scorewise.backbones import MADE
from scorewise.heads import ConditionalScore
from scorewise.likelihood import Quadrature
from scorewise.noise import Draws
from scorewise.objectives import CSM, DSM
from scorewise.tasks.glimpse import Glimpse, first_examples
from scorewise.tasks.measures import CompositeScores
from scorewise.tasks.quadrature import QuadratureCurve

Command = Callable[..., Any]
SHORT = ("debug=tiny", "trainer.max_steps=-1", "trainer.max_epochs=12", "trainer.limit_train_batches=2")


def curves(run: Any) -> dict[str, list[tuple[int, float]]]:
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    return {name: [(int(row["step"]), float(row[name])) for row in rows if row[name]] for name in rows[0]}


def test_every_model_with_conditional_scores_has_csm_and_nll(command: Command) -> None:
    ended = command(*SHORT, "data=gaussian", "objective=csm")
    assert ended.status == 0, ended.err
    found = curves(ended.run)
    assert len(found["val/loss"]) == 12
    csm, loss = ([value for _, value in found[f"val/{name}"]] for name in ("csm", "loss"))
    assert csm == pytest.approx(loss), "all of the 32 examples are among the first"
    assert [step for step, _ in found["val/nll"]] == [2 * epoch - 1 for epoch in (2, 4, 6, 8, 10, 12)]


def test_epochs_are_counted_where_gradients_of_several_batches_make_a_step(command: Command) -> None:
    ended = command(*SHORT, "data=gaussian", "objective=csm", "test=false", "+trainer.accumulate_grad_batches=2")
    assert ended.status == 0, ended.err
    assert [step for step, _ in curves(ended.run)["val/nll"]] == [epoch - 1 for epoch in (2, 4, 6, 8, 10, 12)]


def test_dsm_has_an_axis_in_common_with_csm_and_with_itself(command: Command) -> None:
    words = ("objective=dsm", "objective.sigma=0.5", "objective.sigma_power=2")
    ended = command(*SHORT, "data=gaussian", *words)
    assert ended.status == 0, ended.err
    found = curves(ended.run)
    assert {"val/csm", "val/nll"} <= set(found)
    gaps = [
        loss / 0.5**2 - less
        for (_, less), (_, loss) in zip(found["val/loss_without_constant"], found["val/loss"], strict=True)
    ]
    assert gaps == pytest.approx([gaps[0]] * 12, rel=1e-5), "the same draws at every validation"
    dims, examples = 10, 32
    assert gaps[0] == pytest.approx(dims / (2 * 0.5**2), rel=5 * (2 / (dims * examples)) ** 0.5)


class MinusX:
    """The score of N(0, 1)."""

    def score(self, x_BD: torch.Tensor) -> torch.Tensor:
        return -x_BD


def test_without_its_constant_dsm_is_score_matching_on_the_blurred_law() -> None:
    sigma = 0.1
    x_BD = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(1))
    objective: Any = DSM(sigma, field="joint")
    draws = Draws.of(0, 0, torch.arange(len(x_BD)))
    loss_B = objective.per_example(MinusX(), x_BD, draws)
    less_B = objective.without_constant(loss_B, x_BD, draws)
    assert float(less_B.var()) < 0.5 * float(loss_B.var())
    known = 3 * (0.5 * (1 + sigma**2) - 1)  # E |x|^2 / 2 + tr d(-x)/dx under N(0, 1 + sigma^2)
    assert float(less_B.mean()) == pytest.approx(known, abs=5 * float(less_B.std()) / len(x_BD) ** 0.5)
    scaled: Any = DSM(sigma, sigma_power=3, field="joint")
    torch.testing.assert_close(scaled.without_constant(loss_B * sigma**3, x_BD, draws), less_B, rtol=1e-3, atol=1e-3)
    assert CSM().without_constant(loss_B, x_BD, draws) is None


def test_a_glimpse_is_of_the_first_examples_at_some_validations() -> None:
    model = ConditionalScore(MADE((2,), 4, (8,), "silu"), hidden=(8,), std=1.0, noise=0.5)
    glimpse = Glimpse(CompositeScores(model), 3, 10)
    assert [epoch for epoch in range(1, 8) if glimpse.due(epoch, 7)] == [1, 2, 3, 4, 5, 6, 7]
    assert [epoch for epoch in range(1, 46) if glimpse.due(epoch, 45)] == [*range(5, 46, 5)]
    assert [epoch for epoch in range(1, 44) if glimpse.due(epoch, 43)] == [*range(5, 44, 5), 43]
    assert glimpse.due(3, math.inf)
    x_BD, index_B = torch.randn(4, 2), torch.tensor([7, 2, 3, 0])
    whole = CompositeScores(model).of(x_BD)["csm"]
    torch.testing.assert_close(glimpse.of(x_BD, index_B)["csm"], whole[[1, 3]])
    assert glimpse.of(x_BD, index_B + 3) == {}
    assert [first_examples(2048, dims) for dims in (2, 64, 3072)] == [128, 32, 16]


def test_the_curve_of_a_quadrature_is_its_likelihood_or_nothing() -> None:
    model = ConditionalScore(MADE((2,), 4, (8,), "silu"), hidden=(8,), std=1.0, noise=0.5, form="edm")
    model.likelihood = Quadrature(-8, 8)
    source: Any = type("TwoNumbers", (), {"dims": 2, "log_volume": 0.3})
    x_BD = torch.randn(4, 2)
    curve = QuadratureCurve(model, model.likelihood, source)
    found = curve.of(x_BD)
    torch.testing.assert_close(found["nll"], -model.log_prob(x_BD))
    torch.testing.assert_close(found["bits_per_dim"], (found["nll"] + 0.3) / (2 * math.log(2)))
    model.likelihood.largest_tail = -1.0
    assert curve.of(x_BD)["nll"].isnan().all()
