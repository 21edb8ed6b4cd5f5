"""From a config to parts that fit each other."""

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from scorewise.capabilities import InitialisedByData
from scorewise.choices import (
    NONE,
    Config,
    IncompatibleChoice,
    build_source,
    built,
    class_of,
    either,
    has_any,
    named,
    needs_of,
    of_objective,
    option_name,
    part_of,
    targets,
    that_have,
)
from scorewise.data.source import Source
from scorewise.data.tables import Tabular
from scorewise.errors import UserError
from scorewise.heads.model import LiftedModel, Model, Trained
from scorewise.latent import encoder_for, reads_conditionals
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.multiscale import Multiscale
from scorewise.objectives.objective import Objective
from scorewise.ordering import Ordering
from scorewise.outlier_sets import entries_of, outside_sources
from scorewise.runs import is_vae
from scorewise.store import assemble, import_class

if TYPE_CHECKING:  # tasks import Lightning, which takes seconds
    from scorewise.tasks.optimisation import Optimisation

AUTO_SAMPLERS = (
    "exact",
    "pushforward",
    "reverse_diffusion_1d",
    "annealed_langevin",
    "inverse_cdf",
    "langevin_1d",
    "langevin",
)
"""What sampler=auto tries, in order."""
AUTO_LIKELIHOODS = ("flow_ode", "quadrature")
"""What likelihood=auto tries, in order, for heads without a closed form."""
ORDERING_EXAMPLES = 2000
"""How many training examples ordering=data_driven looks at, at most."""
INITIALISING_EXAMPLES = 64
"""How many training examples backbone.init=data looks at, at most."""


def names(config: Config) -> list[str]:
    """This is the choices that name a run, such as csm, made, digits, of a settled config."""
    if "latent" in config:
        method = config["latent"]["method"]
        groups = ("objective", "backbone") if method == "score" else ()
        chosen = [option_name(group, config[group]["_target_"]) for group in groups] or [method]
        return ["vae", *chosen, option_name("data", config["data"]["_target_"])]
    head = option_name("head", config["head"]["_target_"])
    parts = [option_name(group, config[group]["_target_"]) for group in ("objective", "backbone", "data")]
    if head in ("gaussian", "mixture", "energy"):
        parts.insert(2, head)
    if "name" in config["data"]:
        parts[-1] = str(config["data"]["name"])
    return parts


def settle(config: Config) -> Config:
    """This is the config with head=auto and sampler=auto replaced by what they stand for.

    Only a VAE keeps the group latent, and of its other groups only those that it has a use for.

    Raises:
        IncompatibleChoice: no head of the objective's list fits the backbone; latents without a VAE.
    """
    config = dict(config)
    if is_vae(config):
        return _settle_vae(config)
    latent, default = config.pop("latent", {}), part_of("latent", "dense")
    if changed := [name for name, value in latent.items() if value != default.get(name)]:
        raise IncompatibleChoice(
            f"task={option_name('task', config['task']['_target_'])} has no latents, and latent.{changed[0]}="
            f"{latent[changed[0]]} sets some: use task=implicit_vae."
        )
    return _settle_model(config)


def _settle_vae(config: Config) -> Config:
    if "latent" not in config:
        raise IncompatibleChoice("task=implicit_vae tests runs that it has trained, and this run is of another task.")
    config |= {"latent": dict(config["latent"]), "sampler": NONE, "likelihood": NONE}
    latent = config["latent"]
    conditional = False
    if latent["method"] == "score":
        config = _settle_model({**config, "sampler": NONE}) | {"likelihood": NONE}
        head = class_of(config, "head", Model)
        conditional = reads_conditionals(head, config["objective"].get("field", "auto"))
    else:
        config |= {"objective": NONE, "backbone": NONE, "head": NONE}
    if latent["encoder"] == "auto":
        latent["encoder"] = encoder_for(latent["method"], conditional)
    return config


def _settle_model(config: Config) -> Config:
    backbone = class_of(config, "backbone")
    if config["head"]["_target_"] == "auto":
        wanted = {name: import_class(targets("head")[name]) for name in of_objective(config, "heads_with")}
        fitting = [name for name, cls in wanted.items() if has_any(backbone, needs_of(cls))]
        if not fitting:
            needs = tuple(dict.fromkeys(need for cls in wanted.values() for need in needs_of(cls)))
            raise IncompatibleChoice(
                f"objective={option_name('objective', config['objective']['_target_'])} needs a backbone with "
                f"{named(needs)}; backbone={option_name('backbone', config['backbone']['_target_'])} has none. "
                f"Use backbone={either(that_have('backbone', needs))}."
            )
        config["head"] = part_of("head", fitting[0])
    if config["sampler"]["_target_"] == "auto":
        head = class_of(config, "head", Model)
        for name in AUTO_SAMPLERS:
            if has_any(head, needs_of(import_class(targets("sampler")[name]))):
                config["sampler"] = part_of("sampler", name)
                break
    head = class_of(config, "head", Model)
    if not issubclass(head, LiftedModel):
        config["likelihood"] = part_of("likelihood", "none")
    elif config.get("likelihood", {"_target_": "auto"})["_target_"] == "auto":
        fitting = [n for n in AUTO_LIKELIHOODS if has_any(head, needs_of(import_class(targets("likelihood")[n])))]
        config["likelihood"] = part_of("likelihood", fitting[0])
    return config


class Parts(NamedTuple):
    """This is everything that a run is built from."""

    source: Source
    model: Trained
    objective: Objective | None
    recipe: Config


def _order_of(source: Source, seed: int) -> Ordering:
    """This is the order of ordering=data_driven; a model is loaded without its data, so its recipe holds the result."""
    import torch

    source.prepare()
    index_N = torch.arange(min(ORDERING_EXAMPLES, source.count("train")))
    try:
        return Ordering.data_driven(source.examples("train", index_N, 0, seed))
    except ValueError as error:
        raise UserError(f"this data has no order of its own: {error}.") from error


def initialise(config: Config, parts: "Parts", seed: int) -> None:
    """This sets a backbone's scales from the first training examples, the same ones in every process, if it wants it.

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
    """This is the range of the training data with six noise levels around it, or a standard deviation without noise."""
    low, high = source.extent(seed)
    margin = 6 * noise if noise > 0 else source.std
    return low - margin, high + margin


def build(config: Config, seed: int) -> Parts:
    """This is the parts of a settled config; weights are drawn with the seed.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    import torch

    if is_vae(config):
        return _build_vae(config, seed)
    source = build_source(config)
    objective: Objective = built(config, "objective")
    smoothing = float(config["data"]["smoothing"])
    noise = math.hypot(smoothing, objective.noise)
    parts = {part: dict(config[part]) for part in ("backbone", "head", "sampler")}
    if issubclass(class_of(config, "head"), LiftedModel):
        parts["likelihood"] = dict(config["likelihood"])
    if any(part.get("low", 0) is None or part.get("high", 0) is None for part in parts.values()):
        low, high = _range_of(source, noise, seed)
        for part in parts.values():
            part.update({key: end for key, end in (("low", low), ("high", high)) if part.get(key, 0) is None})
    if parts["head"].get("levels", 0) is None:
        parts["head"]["levels"] = source.levels
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = assemble(recipe, import_class)
    if smoothing == 0 and source.repeats and objective.differentiates_query:
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
    import torch

    source = build_source(config)
    of_score = config["latent"]["method"] == "score"
    parts = {part: dict(config[part]) for part in ("latent", *(("backbone", "head") if of_score else ()))}
    recipe: Config = {"shape": list(source.shape), **parts}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = assemble(recipe, import_class)
    return Parts(source, model, built(config, "objective") if of_score else None, recipe)


def build_optimisation(config: Config) -> "Optimisation":
    """This is the settings of optimisation of a config.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    optimisation: Optimisation = built(config, "optim")
    return optimisation


def build_task(config: Config, parts: Parts, seed: int) -> Any:
    """This is the LightningModule of a settled config."""
    settings = {key: value for key, value in config["task"].items() if key != "_target_"}
    if "out" in settings:
        source = parts.source
        columns = source.table.plain() if isinstance(source, Tabular) else None
        settings["out"] = outside_sources(entries_of(settings["out"]), source.shape, config["paths"], columns)
    optimisation = build_optimisation(config)
    try:
        return import_class(config["task"]["_target_"])(
            parts.model,
            parts.objective,
            optimisation,
            parts.source,
            smoothing=float(config["data"]["smoothing"]),
            seed=seed,
            **settings,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"task={option_name('task', config['task']['_target_'])} cannot be built: {error}.") from error
