"""From a settled config to parts that fit each other."""

import math
import warnings
from typing import NamedTuple

from scorewise.capabilities import InitialisedByData
from scorewise.catalog import Config, option_name
from scorewise.config.choices import build_source, built, class_of
from scorewise.config.column_blocks import names_groups, put_blocks_of_columns
from scorewise.config.column_kinds import refuse_kinds
from scorewise.data.source import Source
from scorewise.data.tabular.source import Tabular
from scorewise.errors import UserError
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.heads.trained import Trained
from scorewise.noise import Draws, OwnNumbers, smoothing_noise
from scorewise.objectives.multiscale import Multiscale
from scorewise.objectives.objective import Objective
from scorewise.ordering import Ordering
from scorewise.store import assemble, import_class

ORDERING_EXAMPLES = 2000
"""How many training examples ordering=data_driven looks at, at most."""
INITIALISING_EXAMPLES = 64
"""How many training examples backbone.init=data looks at, at most."""


class Parts(NamedTuple):
    """Everything that a run is built from."""

    source: Source
    model: Trained
    objective: Objective | None
    recipe: Config


def _order_of(source: Source, seed: int) -> Ordering:
    """Return the order of ordering=data_driven; a model is loaded without its data, so its recipe holds the result."""
    import torch

    source.prepare()
    index_N = torch.arange(min(ORDERING_EXAMPLES, source.count("train")))
    try:
        return Ordering.data_driven(source.examples("train", index_N, 0, seed).nan_to_num(nan=source.mean))
    except ValueError as error:
        raise UserError(f"this data has no order of its own: {error}.") from error


def initialise(config: Config, parts: "Parts", seed: int) -> None:
    """Set a backbone's scales from the first training examples, the same ones in every process, if it wants it.

    Only training needs it, so `build` reads no data.
    """
    import torch

    source, model, smoothing = parts.source, parts.model, float(config["data"]["smoothing"])
    if config["backbone"].get("init") != "data" or not isinstance(model, Model):
        return
    if not isinstance(model.backbone, InitialisedByData):
        return
    source.prepare()
    index_N = torch.arange(min(INITIALISING_EXAMPLES, source.count("train")))
    x_ND = source.examples("train", index_N, 0, seed)
    if smoothing:
        x_ND = x_ND + smoothing * smoothing_noise(Draws.of(seed, 0, index_N), x_ND)
    model.backbone.initialise(model.standardise(x_ND))


def _range_of(source: Source, noise: float, seed: int) -> tuple[float, float]:
    """Return the range of the training data with six noise levels around it, or a standard deviation without noise."""
    low, high = source.extent(seed)
    margin = 6 * noise if noise > 0 else source.std
    return low - margin, high + margin


def build(config: Config, seed: int) -> Parts:
    """Return the parts of a settled config; weights are drawn with the seed.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    if "latent" in config:
        return _build_vae(config, seed)
    source = build_source(config)
    objective: Objective = built(config, "objective")
    smoothing = float(config["data"]["smoothing"])
    noise = math.hypot(smoothing, objective.noise)
    parts = {part: dict(config[part]) for part in ("backbone", "head", "sampler")}
    if issubclass(class_of(config, "head"), WithLikelihood):
        parts["likelihood"] = dict(config["likelihood"])
    if any(part.get("low", 0) is None or part.get("high", 0) is None for part in parts.values()):
        low, high = _range_of(source, noise, seed)
        for part in parts.values():
            part.update({key: end for key, end in (("low", low), ("high", high)) if part.get(key, 0) is None})
    if names_groups(config):
        put_blocks_of_columns(parts, source)
    if parts["head"].get("levels", 0) is None:
        parts["head"]["levels"] = source.levels
    laws = source.laws() if isinstance(source, Tabular) else None
    refuse_kinds(config, laws is not None, "columns" in parts["head"])
    if laws is not None:
        parts["head"]["columns"] = laws
        if parts["backbone"].get("levels", 0) is None:
            parts["backbone"]["levels"] = [law.get("levels", 0) for law in laws]
    levels = {"levels": list(objective.levels)} if isinstance(objective, Multiscale) else {}
    recipe: Config = {
        "shape": list(source.shape),
        "mean": source.mean,
        "std": source.std,
        "noise": noise,
        **levels,
        **parts,
    }
    if isinstance(source, Tabular):
        recipe["columns"] = source.table.plain()
    if recipe["backbone"].get("ordering") == "data_driven":
        recipe["backbone"]["ordering"] = list(_order_of(source, seed).sequence)
    with OwnNumbers(seed):
        model = assemble(recipe, import_class)
    if noise == 0 and source.repeats and objective.derivatives:
        name = option_name("objective", config["objective"]["_target_"])
        warnings.warn(
            f"data.smoothing=0 on data with repeated values: objective={name} has no minimum there (its loss falls "
            "without bound where the density has spikes or jumps, and dequantising does not help); "
            "use data.smoothing=0.3, say.",
            stacklevel=2,
        )
    if warning := objective.warning(source.dims):
        warnings.warn(warning, stacklevel=2)
    return Parts(source, model, objective, recipe)


def _build_vae(config: Config, seed: int) -> Parts:

    source = build_source(config)
    of_score = config["latent"]["method"] == "score"
    parts = {part: dict(config[part]) for part in ("latent", *(("backbone", "head") if of_score else ()))}
    recipe: Config = {"shape": list(source.shape), **parts}
    with OwnNumbers(seed):
        model = assemble(recipe, import_class)
    return Parts(source, model, built(config, "objective") if of_score else None, recipe)
