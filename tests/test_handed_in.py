"""What users hand to loaded models: arrays, lists, images, one example; of every kind of model."""

import shutil
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

import scorewise
from scorewise import denoising, heads, outliers, sampling
from scorewise.capabilities import NoisyBlockScoreModel, protocols
from scorewise.denoising.single_step import parallel_blocks, sequential_blocks
from scorewise.errors import UserError
from scorewise.heads.described import CALLS
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.latent import DenseVAE
from scorewise.likelihood import BlockFlowODE
from scorewise.noise import Draws
from scorewise.objectives import (
    CSM,
    CSMDSM,
    DSM,
    FDSSM,
    MLE,
    SM,
    SSM,
    SSMVR,
    BlockMLE,
    CSMAnnealed,
    DSMMultiscale,
    Objective,
)
from scorewise.store import assemble, import_class

IMAGE, ROW = (1, 4, 4), (3,)
EARLIER = Path(__file__).parent / "runs_of_0_1_0"
MADE = {"_target_": "scorewise.backbones.made.MADE", "hidden": [8], "activation": "silu"}
MLP = {"_target_": "scorewise.backbones.mlp.MLP", "hidden": [8]}
LEVELS = (1.0, 0.6, 0.3)


def of(head: str, backbone: Mapping[str, Any], sampler: str, noise: float = 0.3, **settings: Any) -> dict[str, Any]:
    kinds = {"sampler": {"_target_": f"scorewise.sampling.{sampler}"}}
    target = {"_target_": f"scorewise.heads.{head}", **settings}
    return {"mean": 0.0, "std": 1.0, "noise": noise, "backbone": dict(backbone), "head": target, **kinds}


QUADRATURE = {"likelihood": {"_target_": "scorewise.likelihood.quadrature.Quadrature", "low": -8.0, "high": 8.0}}
BLOCKS: Mapping[str, Any] = {"block": 2, "hidden": 8, "layers": 1}
LANGEVIN = {"sampler": {"_target_": "scorewise.sampling.blockwise.BlockLangevin", "steps": 3}}
INVERSE, EXACT = "inverse_cdf.InverseCDF", "ancestral.Exact"
NOISY = {"_target_": "scorewise.backbones.noisy_mlp.NoisyMLP", "hidden": [8]}
GLOW = {"_target_": "scorewise.backbones.glow.Glow", "levels": 1, "steps": 1, "filters": 4, "init": "default"}
SMALL: Mapping[str, Any] = {"hidden": [8, 8]}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "conditional_score": of("conditional_score.ConditionalScore", MADE, INVERSE, **SMALL) | QUADRATURE,
    "noisy_conditional_score": of("noisy_conditional_score.NoisyConditionalScore", MADE, INVERSE, **SMALL)
    | {"levels": list(LEVELS)}
    | QUADRATURE,
    "mixture": of("mixture.Mixture", MADE, EXACT, components=2),
    "gaussian": of("gaussian.Gaussian", MADE, EXACT),
    "cosine": of("cosine.Cosine", MADE, INVERSE, low=-4.0, high=4.0, terms=6),
    "discretised_mixture": of("discretised_mixture.DiscretisedMixture", MADE, EXACT, noise=0.0, components=2),
    "by_column": of("by_column.ByColumn", MADE, EXACT, noise=0.0, components=2, columns=[{"kind": "continuous"}] * 3),
    "conditional_energy": of("conditional_energy.ConditionalEnergy", MADE, INVERSE, **SMALL, components=2) | QUADRATURE,
    "block_score": of("block_score.BlockScore", MADE, "", **BLOCKS) | LANGEVIN,
    "block_energy": of("block_energy.BlockEnergy", MADE, "", **BLOCKS) | LANGEVIN,
    "noisy_block_score": of("noisy_block_score.NoisyBlockScore", MADE, "", **BLOCKS)
    | {
        "levels": list(LEVELS),
        "sampler": {"_target_": "scorewise.sampling.blockwise.BlockFlow", "steps": 2, "particles": 2},
        "likelihood": {"_target_": "scorewise.likelihood.block_flow_ode.BlockFlowODE", "steps": 2},
    },
    "energy": of("energy.Energy", MLP, "langevin.Langevin", confining=True),
    "score": of("score.Score", MLP, "langevin.Langevin"),
    "noisy_score": of("noisy_score.NoisyScore", NOISY, "langevin.Langevin") | {"levels": list(LEVELS)},
    "flow": of("flow.NormalisingFlow", GLOW, "pushforward.Pushforward"),
}
NOT_OF = {"flow": ROW, "by_column": IMAGE}
LADDER: Mapping[str, Any] = {"sigma_max": 1.0, "sigma_min": 0.3, "levels": 3, "smoothing": 0.3}
OBJECTIVES: tuple[Objective, ...] = (CSM(), SM(), SSM(), SSMVR(), FDSSM(), DSM(0.3), CSMDSM(0.3), CSMAnnealed(**LADDER))
OBJECTIVES += (CSMAnnealed(target="dsm", **LADDER), BlockMLE(**LADDER), DSMMultiscale(**LADDER), MLE())
CASES = [(name, shape) for name in RECIPES for shape in (IMAGE, ROW) if NOT_OF.get(name) != shape]
WHOLE = ("log_prob", "score", "energy", "context", "denoise", "outlier_score", "quadrature_error", "unchecked_log_prob")


@cache
def loaded(name: str, shape: tuple[int, ...]) -> Any:
    torch.manual_seed(1)
    recipe: dict[str, Any] = {**RECIPES[name], "shape": list(shape)}
    if shape == ROW:
        columns = {"numeric": ["a", "b", "c"], "categories": [], "mean": [0.0] * 3, "scale": [1.0] * 3, "index": None}
        recipe["columns"] = columns
    with TemporaryDirectory() as folder:
        assemble(recipe, import_class).save(folder)
        return scorewise.load(folder)


def examples(shape: tuple[int, ...], count: int = 4) -> Tensor:
    return 0.4 * torch.randn(count, *shape, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)


def calls(model: Any) -> list[tuple[str, Callable[[Any], Tensor]]]:
    found: list[tuple[str, Callable[[Any], Tensor]]] = []
    for name in WHOLE:
        if callable(getattr(type(model), name, None)) and not (name == "denoise" and model.noise == 0):
            found.append((name, getattr(model, name)))
    kind = type(model)
    if callable(getattr(kind, "conditional_score", None)):
        found.append(("conditional_score", lambda x: model.conditional_score(x, model.context(x))))
    if callable(getattr(kind, "conditional_energy", None)):
        found.append(("conditional_energy", lambda x: model.conditional_energy(x, model.context(x))))
    if callable(getattr(kind, "noisy_score", None)):
        found.append(("noisy_score", lambda x: model.noisy_score(x, 0.6)))
    if callable(getattr(kind, "noisy_conditional_score", None)):
        found.append(("noisy_conditional_score", lambda x: model.noisy_conditional_score(x, model.context(x), 0.6)))
    if callable(getattr(kind, "complete", None)):
        known = np.arange(model.dims) < 2
        seeded = torch.Generator
        found.append(("complete", lambda x: model.complete(x, known, seeded().manual_seed(0))))
    return found


WAYS: Mapping[str, Callable[[Tensor], Any]] = {
    "tensor in the data's shape": lambda x: x,
    "float64 tensor": lambda x: x.double(),
    "float32 array": lambda x: x.numpy(),
    "float64 array": lambda x: x.numpy().astype(np.float64),
    "big-endian array": lambda x: x.numpy().astype(">f4"),
    "array in Fortran's order": lambda x: np.asfortranarray(x.numpy()),
    "array with negative strides": lambda x: x.numpy()[::-1][::-1],
    "nested lists": lambda x: x.tolist(),
    "list of arrays": lambda x: list(x.numpy()),
    "list of tensors": lambda x: list(x),
    "flat array": lambda x: x.flatten(1).numpy(),
    "longer numbers": lambda x: x.numpy().astype(np.longdouble),
    "two leading axes": lambda x: x.reshape(2, 2, *x.shape[1:]).numpy(),
}


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_examples_are_taken_where_their_meaning_is_plain(name: str, shape: tuple[int, ...]) -> None:
    model, x = loaded(name, shape), examples(shape)
    ways = dict(WAYS) | ({"without the axis of length one": lambda x: x[:, 0].numpy()} if shape == IMAGE else {})
    for call, of_model in calls(model):
        expected = of_model(x.flatten(1)).detach()
        for way, make in ways.items():
            given = make(x)
            found = of_model(given)
            where = f"{call} of {way}"
            assert isinstance(found, Tensor), where
            axes = np.shape(given) if not isinstance(given, list) else np.shape(x)
            per_entry = expected.shape == x.flatten(1).shape
            lead = (2, 2) if way.startswith("two") else (4,)
            assert tuple(found.shape) == (tuple(axes) if per_entry else (*lead, *expected.shape[1:])), where
            torch.testing.assert_close(found.reshape(expected.shape).detach(), expected, msg=where)
            if not isinstance(given, Tensor):
                assert not found.requires_grad, where
                np.asarray(found)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_one_example_is_answered_without_a_batch_axis(name: str, shape: tuple[int, ...]) -> None:
    model, x = loaded(name, shape), examples(shape, 1)
    for call, of_model in calls(model):
        expected = of_model(x.flatten(1)).detach()
        for one in (x[0], x[0].numpy(), x[0].flatten().tolist()):
            found = of_model(one)
            per_entry = expected.shape == (1, model.dims)
            assert tuple(found.shape) == (np.shape(one) if per_entry else tuple(expected.shape[1:])), call
            torch.testing.assert_close(found.detach().reshape(expected.shape[1:]), expected[0], msg=call)


def test_whole_numbers_are_numbers() -> None:
    model = loaded("gaussian", ROW)
    expected = model.log_prob(torch.tensor([[1.0, 0.0, -2.0]]))
    for kind in (np.int64, np.int8, np.uint16, np.float16):
        with np.errstate(over="ignore"):
            x = np.array([[1, 0, -2]]).astype(kind)
        if kind != np.uint16:
            torch.testing.assert_close(model.log_prob(x), expected.detach())
    torch.testing.assert_close(model.log_prob(torch.tensor([[1, 0, -2]])), expected)
    torch.testing.assert_close(model.log_prob([[1, 0, -2]]), expected.detach())


def test_gradients_go_through_tensors_in_any_shape() -> None:
    model = loaded("gaussian", IMAGE)
    x = examples(IMAGE).requires_grad_()
    model.log_prob(x).sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


BAD: Mapping[str, Callable[[Tensor], Any]] = {
    "a column more": lambda x: torch.cat([x.flatten(1), x.flatten(1)[:, :1]], 1),
    "a column less": lambda x: x.flatten(1)[:, 1:],
    "an array with a column less": lambda x: x.flatten(1)[:, 1:].numpy(),
    "channels last": lambda x: x.flatten(1)[:, None, :, None].expand(-1, 3, -1, 2).numpy(),
    "a number": lambda _: 3.0,
    "nothing": lambda _: [],
    "None": lambda _: None,
    "text": lambda _: "x.csv",
    "rows of text": lambda x: [["a"] * x.flatten(1).shape[1]],
    "ragged rows": lambda _: [[1.0, 2.0], [1.0]],
    "a missing value": lambda x: np.where(np.arange(4)[:, None] == 2, np.nan, x.flatten(1).numpy()),
    "infinity": lambda x: np.where(np.arange(4)[:, None] == 2, np.inf, x.flatten(1).numpy()),
    "too large a number": lambda x: np.where(np.arange(4)[:, None] == 2, 1e300, x.flatten(1).double().numpy()),
    "bytes of pixels": lambda x: (x.flatten(1).numpy() * 9).astype(np.uint8),
    "true and false": lambda x: x.flatten(1) > 0,
    "complex numbers": lambda x: x.flatten(1).numpy() + 1j,
    "dates": lambda x: np.zeros(x.flatten(1).shape, dtype="datetime64[D]"),
    "a mapping": lambda _: {"a": 1.0},
    "a path": lambda _: Path("x.csv"),
}


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_what_cannot_be_taken_is_one_sentence(name: str, shape: tuple[int, ...]) -> None:
    model = loaded(name, shape)
    for call, of_model in calls(model):
        if call == "complete":  # what is missing may be of no matter there
            continue
        for way, make in BAD.items():
            with pytest.raises(UserError) as refused:
                of_model(make(examples(shape)))
            sentence = str(refused.value)
            assert isinstance(refused.value, ValueError), (call, way)
            assert "\n" not in sentence, (call, way)
            assert sentence.endswith("."), (call, way)
            if way.startswith(("a column", "an array", "channels", "a number", "nothing", "text", "ragged", "None")):
                assert f"(B, {model.dims})" in sentence, (call, way, sentence)
            if way in ("a missing value", "infinity", "too large a number"):
                assert "row 2" in sentence, (call, way, sentence)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_tensor_with_a_missing_value_gets_no_number(name: str, shape: tuple[int, ...]) -> None:
    model, x = loaded(name, shape), examples(shape).flatten(1)
    x[1, 0] = torch.nan
    for call in ("log_prob", "energy", "outlier_score"):
        if callable(getattr(type(model), call, None)):
            if call == "outlier_score" or isinstance(model, (NumericallyNormalised, NoisyBlockScoreModel)):
                with pytest.raises(ValueError, match="row 1"):
                    getattr(model, call)(x)
                continue
            found = getattr(model, call)(x)
            assert not found[1].isfinite(), call
            assert found[0].isfinite(), call


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_samples_have_the_shape_of_the_data(name: str, shape: tuple[int, ...]) -> None:
    model = loaded(name, shape)
    x = model.sample(np.int64(2), torch.Generator().manual_seed(0))
    assert x.shape == (2, *shape)
    assert model.outlier_score(x).shape == (2,)
    for bad in (-1, 0, 2.5, 2.0, "3", None, np.nan, [2]):
        with pytest.raises(ValueError, match=r"whole number of at least 1\.$") as refused:
            model.sample(bad)
        assert isinstance(refused.value, UserError)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_completions(name: str, shape: tuple[int, ...]) -> None:
    model = loaded(name, shape)
    if "complete" not in model.calls():
        return
    known = (torch.arange(model.dims) < 2).reshape(shape)
    x = examples(shape).numpy().astype(np.float64)
    x[:, ~known.numpy()] = np.nan  # what is not known is not read
    for mask in (known, known.numpy(), known.flatten().tolist()):
        found = model.complete(x, mask, torch.Generator().manual_seed(0))
        assert found.shape == x.shape
        assert found.isfinite().all()
        np.testing.assert_allclose(found.numpy()[:, known.numpy()], x[:, known.numpy()], rtol=1e-6)
    assert model.complete(x[0], known).shape == shape
    x[2, known.numpy()] = np.nan
    with pytest.raises(UserError, match="row 2"):
        model.complete(x, known)
    for bad in (known.flatten()[:-1], known.int(), [0, 1], "ab", np.ones((4, model.dims), bool)):
        with pytest.raises(UserError, match=r"true or false|no array of numbers"):
            model.complete(examples(shape), bad)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_outlier_scores_are_those_of_the_room(name: str, shape: tuple[int, ...]) -> None:
    model, x = loaded(name, shape), examples(shape).flatten(1)
    statistics = outliers.statistics_of(type(model))
    which = next(one for one in ("nll", "energy", "score_norm") if one in statistics)
    found = outliers.outlier_scores(outliers.quantities(model, x, [which]), None)[which]
    torch.testing.assert_close(model.outlier_score(x).double(), found)
    far = torch.cat([x, 3 + 0 * x])
    if name in ("gaussian", "mixture", "conditional_energy", "energy"):
        assert model.outlier_score(far)[4:].min() > model.outlier_score(x).median()


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_noise_is_removed_in_the_way_of_the_model(name: str, shape: tuple[int, ...]) -> None:
    model, y = loaded(name, shape), examples(shape).flatten(1)
    if model.noise == 0:
        with pytest.raises(UserError, match="trained without noise"):
            model.denoise(y)
        return
    way: Any = denoising.parallel if "context" in model.calls() else denoising.joint
    way = {
        "noisy_conditional_score": denoising.sequential,
        "noisy_block_score": sequential_blocks,
        "block_score": parallel_blocks,
        "block_energy": parallel_blocks,
    }.get(name, way)
    torch.testing.assert_close(model.denoise(y), way(model, y, 0.3))
    several = name.startswith("noisy")
    if several:
        torch.testing.assert_close(model.denoise(y, 0.6), way(model, y, 0.6))
    for same in (torch.tensor(0.3), np.float64(0.3), np.float32(0.3)):
        torch.testing.assert_close(model.denoise(y, same), way(model, y, 0.3))
    with pytest.raises(UserError, match=r"sigma='0\.3' is no number"):
        model.denoise(y, "0.3")
    for bad in (0.0, -1.0, 2.0, np.nan, *(() if several else (0.6,))):
        with pytest.raises(UserError, match=r"is not the noise that this model was trained on, which is .*\."):
            model.denoise(y, bad)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_seed_is_no_generator(name: str, shape: tuple[int, ...]) -> None:
    model, x = loaded(name, shape), examples(shape)
    draws: list[Callable[[], Tensor]] = [lambda: model.sample(2, generator=0)]
    if callable(getattr(type(model), "complete", None)):
        draws.append(lambda: model.complete(x, np.arange(model.dims) < 2, 0))
    for draw in draws:
        with pytest.raises(UserError, match="generator=0 is no generator: give torch"):
            draw()


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_model_says_what_it_is_and_what_it_has(name: str, shape: tuple[int, ...]) -> None:
    model = loaded(name, shape)
    text = repr(model)
    assert text == str(model)
    assert len(text.splitlines()) < 10
    parameters = sum(parameter.numel() for parameter in model.parameters())
    for part in (type(model).__name__, type(model.backbone).__name__, str(list(shape)), f"{parameters:,}"):
        assert part in text
    assert ("standardised columns (a, b, c)" in text) == (shape == ROW)
    for call in CALLS:
        if call in model.calls():
            assert callable(getattr(model, call))
            assert call in text.splitlines()[-1]
            continue
        with pytest.raises(AttributeError) as refused:
            getattr(model, call)
        assert all(one in str(refused.value) for one in model.calls())
        assert "\n" not in str(refused.value)
        assert not hasattr(model, call)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        model.nonsense  # noqa: B018


DENSITIES: tuple[str, ...] = (
    "conditional_score",
    "noisy_conditional_score",
    "mixture",
    "gaussian",
    "cosine",
    "by_column",
)
DENSITIES += ("conditional_energy", "noisy_block_score")


@pytest.mark.parametrize("name", DENSITIES)
def test_the_joint_score_is_the_slope_of_the_log_density(name: str) -> None:
    model, x, step = deepcopy(loaded(name, ROW)).double(), examples(ROW).double(), 1e-4
    if name == "noisy_block_score":
        model.likelihood = BlockFlowODE(steps=20)
    found = denoising.joint_score(model, x)
    if name == "noisy_block_score":
        model.likelihood = BlockFlowODE(steps=7)  # COARSE of the steps
    for d, moved in enumerate(step * torch.eye(3, dtype=torch.float64)):
        with torch.no_grad():
            slope = (model.log_prob(x + moved) - model.log_prob(x - moved)) / (2 * step)
        torch.testing.assert_close(found[:, d], slope, rtol=1e-6, atol=1e-6)


def test_levels_have_no_score() -> None:
    model = loaded("discretised_mixture", ROW)
    with pytest.raises(AttributeError, match=r"outlier_score\.$"):
        model.score(examples(ROW))
    with pytest.raises(ValueError, match="constant around each, so it has no score"):
        denoising.joint_score(model, examples(ROW))


def test_a_conditional_model_says_how_to_get_the_joint_score() -> None:
    with pytest.raises(AttributeError, match=r"no score, which is the joint score: it has .*joint_score\(model, x\)"):
        loaded("conditional_score", IMAGE).score(examples(IMAGE))


def test_a_vae_takes_the_same() -> None:
    model, x = DenseVAE(IMAGE, z=2, hidden=(8,)).eval(), examples(IMAGE).clamp(-1, 1)
    draws = scorewise.noise.Draws.of(0, 0, torch.arange(4))
    expected = model.encode(x.flatten(1), 3, draws)
    assert expected.shape == (3, 4, 2)
    for way, make in WAYS.items():
        leading = (2, 2) if way.startswith("two") else (4,)
        found = model.encode(make(x), 3, draws)
        assert found.shape == (3, *leading, 2), way
        torch.testing.assert_close(found.reshape(expected.shape), expected)
        assert model.reconstruct(make(x), draws).shape == np.shape(x.reshape(np.shape(make(x)))), way
    assert model.encode(x[0]).shape == (1, 2)
    assert model.sample(2).shape == (2, *IMAGE)
    assert "DenseVAE, 2 latents" in repr(model)
    for make in BAD.values():
        with pytest.raises(UserError):
            model.encode(make(x))
    for bad in (-1, 0, 2.5):
        with pytest.raises(UserError, match="whole number"):
            model.sample(bad)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="no log_prob, which is a normalised density: it has sample, encode"):
        model.log_prob  # noqa: B018


def test_an_ensemble_takes_the_same() -> None:
    members = [loaded("gaussian", IMAGE), loaded("mixture", IMAGE)]
    model, x = scorewise.Ensemble(members), examples(IMAGE)
    expected = model.log_prob(x.flatten(1))
    torch.testing.assert_close(model.log_prob(x.tolist()), expected.detach())
    assert model.log_prob(x[0].numpy()).shape == ()
    assert model.score(x.numpy()).shape == x.shape
    assert model.sample(3).shape == (3, *IMAGE)


def test_every_head_takes_examples_in_all_that_its_capabilities_name() -> None:
    """A method of a new head that forgets it is found here."""
    public = {"score", "noisy_score", "energy", "context", "log_prob", "conditional_score", "conditional_energy"}
    public |= {"noisy_conditional_score", "quadrature_error", "unchecked_log_prob"}
    assert public <= {name for kind in vars(protocols).values() if isinstance(kind, type) for name in vars(kind)}
    for name in heads.__all__:
        for call in public & set(dir(getattr(heads, name))):
            assert "__wrapped__" in vars(getattr(getattr(heads, name), call)), (name, call)


def stored(folder: Path, seed: int, **changed: Any) -> Path:
    """Make a run of 0.1.0 that has weights."""
    shutil.copytree(EARLIER / "table", folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["seed"] = seed
    config["optim"] |= changed
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assemble(config["model"], import_class).save_weights(folder / "weights.safetensors")
    return folder


def test_a_folder_of_one_run_stands_for_it_and_several_are_listed(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "table"
    first = stored(runs / "one", 0)
    model = scorewise.load(tmp_path / "runs")
    assert repr(model) == repr(scorewise.load(first))
    for part in ("data: table", "objective: mle", "seed: 0", "trained: 6 steps", "held out: nll 4.", "columns ("):
        assert part in repr(model), part
    stored(runs / "two", 3, lr=0.01)
    (stored(runs / "three", 3) / "summary.json").unlink()
    (stored(runs / "four", 3) / "config.yaml").write_text("a: [")
    with pytest.raises(UserError) as refused:
        scorewise.load(runs)
    sentence = str(refused.value)
    assert "holds 4 runs, so give the folder of one" in sentence
    assert "\n" not in sentence
    for part in ("one (seed=0; optim.lr=0.0015; nll 4.", "two (seed=3; optim.lr=0.01; ", "four (damaged)"):
        assert part in sentence, part
    assert "three (seed=3; optim.lr=0.0015; unfinished)" in sentence
    for i in range(9):
        stored(runs / f"x{i}", i)
    with pytest.raises(UserError, match=r"holds 13 runs.* and 5 more\.$"):
        scorewise.load(runs)


def test_folders_without_a_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "summary.json").write_text("{}")
    for folder in ("empty", "other"):
        with pytest.raises(UserError, match=r"holds no config.yaml: give the folder"):
            scorewise.load(tmp_path / folder)
    with pytest.raises(UserError, match="not a folder"):
        scorewise.load(tmp_path / "nothing")


def test_a_damaged_summary_is_no_hindrance(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", 0)
    for text in ("", "null", "[]", "{", '{"metrics": 3}', '{"metrics": {"nll": "a"}, "steps": [1]}'):
        (run / "summary.json").write_text(text)
        assert "objective: mle" in repr(scorewise.load(run))


def test_a_saved_model_has_no_facts(tmp_path: Path) -> None:
    model = loaded("gaussian", ROW)
    assert "objective" not in repr(scorewise.load(model.save(tmp_path / "mine")))


@pytest.mark.parametrize("shape", [(1, 4), (1, 1, 4), (2, 2), (4, 1)])
@pytest.mark.parametrize("name", ["conditional_score", "mixture", "gaussian", "cosine", "conditional_energy"])
def test_queries_in_the_shape_of_the_data_are_no_repetition(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    model: Any = assemble({**RECIPES[name], "shape": list(shape)}, import_class)
    asked = model.conditional_energy if name == "conditional_energy" else model.conditional_score
    for count in (1, 3, 4):
        x = examples(shape, count)
        c = model.context(x)
        flat = asked(x.flatten(1), c)
        assert flat.shape == (count, 4)
        found = asked(x, c)
        assert found.shape == x.shape
        torch.testing.assert_close(found.flatten(1), flat)
        torch.testing.assert_close(asked(x.flatten(1)[:, None].transpose(0, 1), c)[0], flat)  # a leading axis repeats


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_examples_made_in_inference_mode_are_examples(name: str, shape: tuple[int, ...]) -> None:
    model, x = loaded(name, shape), examples(shape, 2)
    with torch.inference_mode():
        made = x.clone()
    for what, call in calls(model):
        assert torch.allclose(call(made), call(x)), what


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "flow"])
def test_losses_of_longer_numbers_are_those_of_the_model(name: str) -> None:
    """What trains in plain PyTorch on arrays of numpy: rows in float64, weights in float32."""
    model, x, draws = loaded(name, ROW), examples(ROW).clamp(-1, 1), Draws.of(0, 0, torch.arange(4))
    fitted = 0
    for objective in OBJECTIVES:
        if any(isinstance(model, need) for need in objective.needs):
            found, expected = objective.per_example(model, x.double(), draws), objective.per_example(model, x, draws)
            torch.testing.assert_close(found, expected.to(found.dtype), rtol=1e-4, atol=1e-4)
            fitted += 1
    assert fitted


def test_a_sampler_that_needs_what_a_model_has_not_is_refused_when_it_is_set() -> None:
    model: Any = deepcopy(loaded("conditional_score", ROW))
    kept = model.sampler
    with pytest.raises(UserError, match=r"^BlockFlow needs a model with scores of blocks at every noise level, and "):
        model.sampler = sampling.BlockFlow()
    with pytest.raises(ValueError, match=r"has none: set model\.likelihood to another one of scorewise\.likelihood\.$"):
        model.likelihood = BlockFlowODE()
    assert model.sampler is kept
    model.sampler = None
    model.sampler = sampling.Langevin1d(steps=3)
    assert model.sample(2).shape == (2, *ROW)

    class Zeros:
        def draw(self, model: Any, n: int, generator: Any) -> Tensor:
            return torch.zeros(n, model.dims)

    model.sampler = Zeros()
    assert not model.sample(2).any()
