"""Orders: by name, by hand and from data."""

from pathlib import Path
from typing import Any

import pytest
import torch
from laws import gaussian_law
from test_backbones import assert_causal
from test_compose import settled

from scorewise.backbones import MADE
from scorewise.config.build import build
from scorewise.noise import Draws
from scorewise.ordering import Ordering
from scorewise.store import load

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("name", ["raster", "pixels", "reverse", "random", "spiral"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (1, 4, 4), (3, 2, 7)])
def test_named_orders_are_permutations(name: str, shape: tuple[int, ...]) -> None:
    order = Ordering.named(name, shape, 4)
    dims = torch.Size(shape).numel()
    assert sorted(order.sequence) == list(range(dims)) == [order.sequence[p] for p in order.positions()]


def test_a_spiral_runs_from_the_middle_outwards() -> None:
    assert Ordering.named("spiral", (3, 3)).sequence == (4, 3, 6, 7, 8, 5, 2, 1, 0)
    of_four = (9, 10, 6, 5, 4, 8, 12, 13, 14, 15, 11, 7, 3, 2, 1, 0)
    assert Ordering.named("spiral", (1, 4, 4)).sequence == of_four
    assert Ordering.named("spiral", (2, 2, 3)).sequence == (3, 9, 4, 10, 5, 11, 2, 8, 1, 7, 0, 6)


def test_a_spiral_takes_neighbours_one_after_the_other() -> None:
    sequence = torch.tensor(Ordering.named("spiral", (28, 28)).sequence)
    row, column = sequence // 28, sequence % 28
    assert (row.diff().abs() + column.diff().abs()).eq(1).all()
    ring = torch.maximum((2 * row - 27).abs(), (2 * column - 27).abs())
    assert ring.diff().ge(0).all()


def test_pixels_takes_the_channels_of_a_pixel_together() -> None:
    assert Ordering.named("pixels", (3, 1, 2)).sequence == (0, 2, 4, 1, 3, 5)
    for shape in (5, (4,), (3, 2), (1, 3, 2)):
        assert Ordering.named("pixels", shape) == Ordering.named("raster", shape)


@pytest.mark.parametrize("shape", [4, (4,), (2, 2, 2, 2)])
def test_what_is_no_image_has_no_spiral(shape: Any) -> None:
    with pytest.raises(ValueError, match="spiral needs images"):
        Ordering.named("spiral", shape)


@pytest.mark.parametrize("sequence", [[0, 1], [0, 1, 1], [1, 2, 3], [0, 1, 2, 3], [False, True, 2], [0.0, 1.0, 2.0], 3])
def test_a_sequence_must_hold_every_dimension_once(sequence: Any) -> None:
    with pytest.raises(ValueError, match=r"ordering.*sequence"):
        MADE((3,), 2, (8,), ordering=sequence)


def test_an_unresolved_data_driven_order_is_refused() -> None:
    with pytest.raises(ValueError, match="found from data"):
        MADE((3,), 2, (8,), ordering="data_driven")


def test_made_is_causal_in_any_given_order() -> None:
    order = torch.randperm(12).tolist()
    made = MADE((12,), 3, (30, 20), "tanh", order)
    assert made.ordering.sequence == tuple(order)
    assert_causal(made, 12)


def test_the_order_of_a_chain_grows_from_neighbour_to_neighbour() -> None:
    place = torch.randperm(9).tolist()
    x_ND = gaussian_law(9, 1.0, 0.8).sample(Draws.of(0, 0, torch.arange(4000)))[:, place]
    placed: set[int] = set()
    for dim in Ordering.data_driven(x_ND).sequence:
        assert not placed or {place[dim] - 1, place[dim] + 1} & placed
        placed.add(place[dim])
    assert placed == set(range(9))


def test_a_data_driven_order_is_the_greedy_one() -> None:
    """Against determinants, one by one."""
    x_ND = torch.randn(500, 6) @ torch.randn(6, 6)
    covariance = torch.cov(x_ND.T, correction=0)
    covariance = covariance + 1e-3 * covariance.diagonal().mean() * torch.eye(6)
    sequence = [int(covariance.diagonal().argmax())]
    while len(sequence) < 6:
        inside = covariance[sequence][:, sequence]
        gain = torch.full((6,), -1.0)
        for d in set(range(6)) - set(sequence):
            across = covariance[sequence, d]
            gain[d] = -0.5 * (1 - across @ inside.inverse() @ across / covariance[d, d]).log()
        sequence.append(int(gain.argmax()))
    assert Ordering.data_driven(x_ND).sequence == tuple(sequence)


def test_constant_and_repeated_dimensions_break_nothing() -> None:
    x_ND = torch.randn(50, 5)
    x_ND[:, 1], x_ND[:, 2], x_ND[:, 4] = 3.0, -1.0, 2 * x_ND[:, 0]
    sequence = Ordering.data_driven(x_ND).sequence
    assert set(sequence[:2]) == {0, 4}
    assert sequence[-2:] == (1, 2)
    assert Ordering.data_driven(torch.zeros(3, 4)).sequence == (0, 1, 2, 3)
    assert sorted(Ordering.data_driven(torch.randn(3, 40)).sequence) == list(range(40))
    for bad in (torch.zeros(1, 4), torch.full((3, 4), torch.nan), torch.zeros(4)):
        with pytest.raises(ValueError, match="at least two examples"):
            Ordering.data_driven(bad)


@pytest.mark.parametrize("order", ["data_driven", "spiral", "[2,0,1]"])
def test_an_order_goes_through_build_save_and_load(order: str, tmp_path: Path) -> None:
    data = ("data=gaussian", "data.dims=3", "data.correlation=.7") if order.startswith("[") else ("data=digits",)
    parts = build(settled("objective=mle", *data, "backbone.hidden=[80]", f"backbone.ordering={order}"), 0)
    model: Any = parts.model
    again = load(model.save(tmp_path))
    assert again.ordering == model.ordering
    assert sorted(again.ordering.sequence) == list(range(model.dims))
    if order == "data_driven":
        assert parts.recipe["backbone"]["ordering"] == list(model.ordering.sequence)
        x_ND = parts.source.examples("train", torch.arange(parts.source.count("train")), 0, 0)
        assert model.ordering == Ordering.data_driven(x_ND)
        assert model.ordering.sequence[0] == int(x_ND.var(0).argmax())
    one, two = (m.sample(3, torch.Generator().manual_seed(1)) for m in (model, again))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
