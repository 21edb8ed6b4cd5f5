"""Pictures: what is on the axes, and how it looks."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from scorewise import plots
from scorewise.backbones import MADE
from scorewise.heads import BlockScore, DiscretisedMixture
from scorewise.plots.columns import MOST
from scorewise.plots.plane import STEP, Window, score_of
from scorewise.plots.style import BLUE, MODEL

pytestmark = pytest.mark.pictures

CENTRE = torch.tensor([2.0, -1.0])


class Normal:
    """N(CENTRE, I), by its log-density alone."""

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return it in nats, shape (B,)."""
        return -0.5 * (x_BD - CENTRE).square().sum(-1) - math.log(2 * math.pi)


class Energy:
    """N(CENTRE, I) without its constant."""

    def energy(self, x_BD: Tensor) -> Tensor:
        """Return it, shape (B,)."""
        return 0.5 * (x_BD - CENTRE).square().sum(-1)


class Score:
    """The score of N(CENTRE, I)."""

    def score(self, x_BD: Tensor) -> Tensor:
        """Return it, shape (B, 2)."""
        return CENTRE - x_BD


def points(n: int = 500) -> Tensor:
    return CENTRE + torch.randn(n, 2, generator=torch.Generator().manual_seed(0))


def pixels(figure: Any, tmp_path: Path) -> np.ndarray[Any, Any]:
    (tmp_path / "p.png").write_bytes(figure.png())
    return np.asarray(Image.open(tmp_path / "p.png").convert("RGB"), dtype=float) / 255


@pytest.mark.parametrize("model", [Normal(), Energy()])
def test_a_density_map_is_darkest_at_the_mode(model: object) -> None:
    (axes,) = plots.density(model, points()).axes
    q_KK = np.asarray(axes.images[0].get_array())
    left, right, bottom, top = axes.images[0].get_extent()
    row, column = np.unravel_index(q_KK.argmax(), q_KK.shape)
    cell = (right - left) / q_KK.shape[0]
    assert left + (column + 0.5) * cell == pytest.approx(2, abs=1.5 * cell)
    assert bottom + (row + 0.5) * cell == pytest.approx(-1, abs=1.5 * cell)
    assert axes.get_xlim() == (left, right)
    assert axes.get_ylim() == (bottom, top)


def test_arrows_point_to_the_mode_and_long_ones_are_shortened() -> None:
    (axes,) = plots.scores(Score(), points()).axes
    arrows: Any = axes.collections[-1]
    places = torch.as_tensor(arrows.get_offsets())
    arrow_N2 = torch.as_tensor(np.stack([arrows.U, arrows.V], -1))
    cosine_N = torch.nn.functional.cosine_similarity(arrow_N2, CENTRE - places)
    assert cosine_N[(places - CENTRE).norm(dim=-1) > 0.3].min() > 0.999
    spacing = np.unique(places[:, 0].numpy().round(6))[:2]
    assert arrow_N2.norm(dim=-1).max() <= 1.5 * (spacing[1] - spacing[0]) + 1e-6


@pytest.mark.usefixtures("double")
def test_a_density_without_a_score_has_its_gradient() -> None:
    found = score_of(Normal())
    assert found is not None
    assert found[0] == "scores, grad log q"
    x_N2 = points().double()
    torch.testing.assert_close(found[1](x_N2), CENTRE - x_N2, rtol=0, atol=STEP**2)


def test_what_is_no_image_and_no_point_is_one_sentence() -> None:
    for x, shape in ((np.zeros((0, 9)), (1, 3, 3)), (np.zeros((2, 8)), (1, 3, 3)), (np.zeros((2, 9)), None)):
        with pytest.raises(ValueError, match=r"^digits has the shape .* give one at least"):
            plots.images({"digits": x}, shape=shape)
    for x in (np.zeros((5, 3)), np.zeros((0, 2))):
        with pytest.raises(ValueError, match=r"are no points of the plane"):
            plots.plane(None, {"data": x})


@pytest.mark.parametrize("draw", [plots.density, plots.scores])
def test_a_model_without_either_is_refused(draw: Any) -> None:
    with pytest.raises(ValueError, match="object has n"):
        draw(object(), points())


def test_what_is_proposed_in_place_of_a_picture_can_be_drawn() -> None:
    blocks = BlockScore(MADE((2,), 8, (8,), "silu"), block=2, hidden=8, noise=0.3)
    with pytest.raises(ValueError, match=r"to draw: try plots\.scores$"):
        plots.density(blocks, points())
    assert plots.scores(blocks, points()).axes[0].get_title() == "scores of the blocks"
    levels = DiscretisedMixture(MADE((2,), 6, (8,)), components=2)
    with pytest.raises(ValueError, match=r"no scores to draw: try plots\.density$"):
        plots.scores(levels, points())
    plots.density(levels, points().clamp(-1, 1))
    for draw in (plots.density, plots.scores):
        with pytest.raises(ValueError, match=r"to draw$"):
            draw(object(), points())


def test_several_models_have_a_panel_each_on_the_axes_of_the_data() -> None:
    figure = plots.scores({"by its score": Score(), "by its density": Normal()}, points(), title="N(CENTRE, I)")
    assert [axes.get_title() for axes in figure.axes] == ["by its score", "by its density"]
    assert figure.get_suptitle() == "N(CENTRE, I)"
    arrows: Any = [axes.collections[-1] for axes in figure.axes]
    by_score, by_density = arrows
    np.testing.assert_allclose(by_score.U, by_density.U, atol=1e-3)
    with pytest.raises(ValueError, match="object has no scores"):
        plots.scores({"one": Score(), "other": object()}, points())


def test_all_panels_of_the_plane_have_the_axes_of_the_data() -> None:
    far = torch.cat([points(), torch.full((100, 2), 1e4), torch.full((3, 2), math.nan)])
    figure = plots.plane(Normal(), {"data": points(), "samples": far})
    assert [axes.get_title() for axes in figure.axes] == [
        "data\n500 points",
        "samples\n603 points, 104 outside",
        "density",
        "scores, grad log q",
    ]
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    assert figure.axes[0].get_xlim()[1] < 10


def test_a_window_holds_what_is_not_outermost() -> None:
    x_N2 = np.random.default_rng(0).normal(size=(1000, 2)) * [1, 3]
    window = Window.around(x_N2)
    assert window.holds(x_N2).mean() > 0.98
    assert not window.holds(np.array([[50.0, 0.0], [math.nan, 0.0]])).any()


def test_columns_have_their_names_and_the_rest_is_said() -> None:
    rng = np.random.default_rng(0)
    names = ["$price$", "x" * 60, *(f"column {d}" for d in range(20))]
    figure = plots.table(rng.normal(size=(50, 22)), rng.normal(size=(40, 22)), names, labels=("rows", "drawn"))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "$price$"
    assert len(titles[1]) < 30
    assert titles[:MOST][2:] == names[2:MOST]
    assert titles[MOST:][:2] == ["correlations: rows", "correlations: drawn"]
    assert figure.get_suptitle() == f"the first {MOST} of 22 columns"
    figure.png()


def test_densities_of_columns_integrate_to_one_and_show_both_modes() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-2, 0.2, 800), rng.normal(2, 0.5, 1200)])[:, None]
    axes = plots.table(x, x).axes[0]
    place, density = map(np.asarray, axes.lines[0].get_data())
    assert np.trapezoid(density, place) == pytest.approx(1, abs=0.02)
    truth = 0.4 / (0.2 * math.sqrt(2 * math.pi))
    assert density.max() == pytest.approx(truth, rel=0.35)
    assert density[np.abs(place) < 0.3].max() < 0.02


@pytest.mark.parametrize(
    "samples",
    [np.full((5, 3), np.nan), np.full((5, 3), np.inf), np.zeros((5, 3)), np.ones((1, 3)), np.full((9, 3), 1e30)],
)
def test_odd_samples_of_a_table_are_drawn(samples: Any) -> None:
    data = np.random.default_rng(0).normal(size=(30, 3))
    data[:, 1] = 7.0
    assert plots.table(samples, data).png()


def test_curves_show_a_running_mean_and_the_value_of_the_test() -> None:
    rng = np.random.default_rng(0)
    training = [(step, 100.0 if step < 50 else 1 + float(rng.normal())) for step in range(0, 1000, 5)]
    values = {"train/loss": training, "val/loss": [(500, 1.5), (999, 1.2)], "test/loss": [(1000, 1.25)]}
    (axes,) = plots.curves(values, labels={"train/loss": "training", "val/loss": "validation", "val/no": "none"}).axes
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["training, mean over 45 steps", "validation", "test 1.25"]
    faint, mean = (np.asarray(line.get_ydata()) for line in axes.lines[:2])
    assert mean[40:].std() < 0.5 * faint[40:].std()
    assert mean[100] == pytest.approx(np.mean([value for _, value in training[96:105]]))
    assert axes.get_ylim()[1] < 10
    assert (axes.lines[0].get_alpha() or 1) < 0.5


@pytest.mark.parametrize(
    "values",
    [{}, {"train/loss": []}, {"train/loss": [(0, math.nan)]}, {"val/loss": [(0, 1.0)], "test/loss": [(0, math.nan)]}],
)
def test_curves_of_little_are_drawn(values: Any) -> None:
    assert plots.curves(values).png()


def test_images_stand_beside_each_other(tmp_path: Path) -> None:
    panels = {"data": torch.ones(4, 1, 8, 8), "samples": -torch.ones(4, 8, 8), "flat": torch.zeros(2, 3, 8, 8)}
    figure = plots.images(panels, tmp_path / "images.png", columns={"flat": 2})
    assert [axes.get_title() for axes in figure.axes] == [*panels]
    assert np.asarray(figure.axes[0].images[0].get_array()).min() == 1
    assert np.asarray(figure.axes[1].images[0].get_array()).min() == 0
    assert np.asarray(figure.axes[2].images[0].get_array()).shape == (10, 19, 3)
    assert Image.open(tmp_path / "images.png").size[0] > 500


@pytest.mark.parametrize(("shape", "titles"), [((1, 2, 2), ["a"]), ((2,), ["a\n9 points"]), ((1,), ["x_1"])])
def test_samples_are_drawn_by_their_shape(shape: tuple[int, ...], titles: list[str]) -> None:
    figure = plots.samples({"a": torch.rand(9, math.prod(shape))}, shape)
    assert [axes.get_title() for axes in figure.axes] == titles


def test_earlier_names_draw_to_a_file(tmp_path: Path) -> None:
    plots.loss_curves(
        {"train/loss": [(0, 1.0), (1, 0.5)]}, tmp_path / "c.png", "title", [("train/loss", "loss")], "nats"
    )
    plots.histograms(
        {"score": {"in": torch.randn(50), "out": torch.tensor([1.0, math.inf])}}, tmp_path / "h.png", "title"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"c.png", "h.png"}


def test_a_picture_is_in_our_style_in_a_notebook_too(tmp_path: Path) -> None:
    figure = plots.plane(None, {"data": points(), "samples": points()})
    assert figure._repr_png_()[:4] == b"\x89PNG"
    colours = pixels(figure, tmp_path).reshape(-1, 3)
    expected = 0.45 * np.array(to_rgb(MODEL)) + 0.55
    assert np.abs(colours - expected).max(-1).min() < 0.02
    assert plots.curves({"val/loss": [(0, 1.0)], "train/loss": [(0, 1.0)]}).axes[0].lines[1].get_color() == BLUE


def test_a_run_draws_what_is_typed(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    plane = plots.plane

    def noting(model: Any, sets: Any, path: Path) -> Any:
        drawn.append((plane(model, sets, path), sets))
        return drawn[-1][0]

    monkeypatch.setattr("scorewise.plots.plane", noting)
    ended: Outcome = command(
        *("objective=mle", "data=toy2d", "data.examples_per_epoch=64", "data.held_out=600", "data.batch_size=32"),
        *("trainer.max_epochs=1", "callbacks.samples=4", "callbacks.progress=false"),
    )
    assert ended.status == 0, ended.err
    ((figure, sets),) = drawn
    assert [*sets] == ["test data + noise of 0.1", "samples, sampler=exact"]
    assert [len(x) for x in sets.values()] == [600, 2000]
    assert len(figure.axes) == 4
    assert (ended.run / "samples.png").stat().st_size > 10_000


def test_a_column_of_categories_has_their_shares_and_no_correlations() -> None:
    data = torch.tensor([[0.1, 0.0, 3.0], [0.2, 0.0, 2.0], [0.4, 1.0, 1.0], [0.3, math.nan, 1.5]])
    samples = torch.tensor([[0.1, 2.0, 1.0], [0.2, 1.0, 2.0]])
    picture = plots.table(samples, data, ["a", "colour", "b"], categories={1: ("red", "green", "blue")})
    panels = {axes.get_title(): axes for axes in picture.axes}
    colours = panels["colour"]
    assert [label.get_text() for label in colours.get_xticklabels()] == ["red", "green", "blue"]
    heights = [bar.get_height() for bar in colours.patches if isinstance(bar, Rectangle)]
    assert heights == pytest.approx([2 / 3, 1 / 3, 0, 0, 0.5, 0.5])
    correlated = panels["correlations: data"]
    assert [label.get_text() for label in correlated.get_xticklabels()] == ["a", "b"]
    assert not panels["a"].patches


@pytest.mark.parametrize("data", ["digits", "gaussian", "toy2d"])
def test_every_kind_of_data_has_its_pictures(data: str, command: Any) -> None:
    """Images, the columns of tables and the plane, as the other tests of commands do not draw them."""
    ended: Outcome = command("debug=tiny", "objective=mle", f"data={data}")
    assert ended.status == 0, ended.err
    assert "could not be drawn" not in ended.err
    for picture in ("samples.png", "curves.png"):
        assert np.asarray(Image.open(ended.run / picture).convert("L")).std() > 5, picture
