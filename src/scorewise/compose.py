"""From a config to parts that fit each other: what does not compose is refused in one sentence."""

import inspect
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import yaml
from hydra.errors import CompactHydraException

from scorewise.backbones.layers import ACTIVATIONS, PIECEWISE_LINEAR
from scorewise.capabilities import (
    PLAIN_NAMES,
    DiscreteDensity,
    GivenCausalFeatures,
    GivenFeatures,
    InitialisedByData,
    NoisyConditionalScoreModel,
    NoisyScoreModel,
)
from scorewise.conf_dir import conf_dir
from scorewise.data.source import Labelled, Source
from scorewise.data.tables import Tabular
from scorewise.errors import UserError
from scorewise.heads.model import LiftedModel, Model, Trained
from scorewise.latent import SCORE_OBJECTIVES, VAE, encoder_for, mismatch, reads_conditionals
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.multiscale import Multiscale
from scorewise.objectives.objective import Objective
from scorewise.ordering import Ordering
from scorewise.runs import is_vae
from scorewise.store import assemble, import_class

if TYPE_CHECKING:  # tasks import Lightning, which takes seconds
    from scorewise.tasks.optimisation import Optimisation

Config = dict[str, Any]
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
BATCHING = ("smoothing", "batch_size", "epochs")
"""Settings of the data group that are not the data set's own."""

ORDERING_EXAMPLES = 2000
"""How many training examples ordering=data_driven looks at, at most."""
INITIALISING_EXAMPLES = 64
"""How many training examples backbone.init=data looks at, at most."""


class IncompatibleChoice(UserError, CompactHydraException):
    """Two choices do not fit each other."""


@cache
def _targets(group: str) -> dict[str, str]:
    """This is option name -> target of a config group."""
    files = sorted((conf_dir() / group).glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text())["_target_"] for file in files}


def option_name(group: str, target: str) -> str:
    """This is the option that a user types for a target; the target itself for a class of their own."""
    return next((name for name, known in _targets(group).items() if known == target), target)


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


def _part(group: str, name: str) -> Config:
    settings: Config = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    return settings


def _class(config: Config, group: str, kind: type | None = None) -> type:
    target = config[group].get("_target_")
    found = import_class(str(target))
    if kind is not None and not issubclass(found, kind):
        raise IncompatibleChoice(
            f"{group}._target_={target} is not a subclass of scorewise's {kind.__name__}: "
            f"use {group}={_or(_targets(group))}."
        )
    return found


def _needs(cls: Any) -> tuple[type, ...]:
    return tuple(getattr(cls, "needs", ()))


def _of_objective(config: Config, method: str) -> Any:
    """This is what the objective class says about itself under its settings."""
    settings = {key: value for key, value in config["objective"].items() if key != "_target_"}
    return getattr(_class(config, "objective", Objective), method)(**settings)


def _has_any(cls: type, needs: tuple[type, ...]) -> bool:
    return any(issubclass(cls, need) for need in needs) if needs else True


def _has_levels(head: type) -> bool:
    return issubclass(head, NoisyScoreModel) or issubclass(head, NoisyConditionalScoreModel)


def _multiscale_objectives() -> list[str]:
    return [name for name, target in _targets("objective").items() if issubclass(import_class(target), Multiscale)]


def _named(needs: tuple[type, ...]) -> str:
    return " or ".join(PLAIN_NAMES[need] for need in needs)


def _or(names: Any) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _that_have(group: str, needs: tuple[type, ...]) -> list[str]:
    """This is the options of a group whose classes have at least one of the capabilities."""
    real = {name: target for name, target in _targets(group).items() if target != "auto"}
    return [name for name, target in real.items() if _has_any(import_class(target), needs)]


def settle(config: Config) -> Config:
    """This is the config with head=auto and sampler=auto replaced by what they stand for.

    Only a VAE keeps the group latent, and of its other groups only those that it has a use for.

    Raises:
        IncompatibleChoice: no head of the objective's list fits the backbone; latents without a VAE.
    """
    config = dict(config)
    if is_vae(config):
        return _settle_vae(config)
    latent, default = config.pop("latent", {}), _part("latent", "dense")
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
        head = _class(config, "head", Model)
        conditional = reads_conditionals(head, config["objective"].get("field", "auto"))
    else:
        config |= {"objective": NONE, "backbone": NONE, "head": NONE}
    if latent["encoder"] == "auto":
        latent["encoder"] = encoder_for(latent["method"], conditional)
    return config


def _settle_model(config: Config) -> Config:
    backbone = _class(config, "backbone")
    if config["head"]["_target_"] == "auto":
        wanted = {name: import_class(_targets("head")[name]) for name in _of_objective(config, "heads_with")}
        fitting = [name for name, cls in wanted.items() if _has_any(backbone, _needs(cls))]
        if not fitting:
            needs = tuple(dict.fromkeys(need for cls in wanted.values() for need in _needs(cls)))
            raise IncompatibleChoice(
                f"objective={option_name('objective', config['objective']['_target_'])} needs a backbone with "
                f"{_named(needs)}; backbone={option_name('backbone', config['backbone']['_target_'])} has none. "
                f"Use backbone={_or(_that_have('backbone', needs))}."
            )
        config["head"] = _part("head", fitting[0])
    if config["sampler"]["_target_"] == "auto":
        head = _class(config, "head", Model)
        for name in AUTO_SAMPLERS:
            if _has_any(head, _needs(import_class(_targets("sampler")[name]))):
                config["sampler"] = _part("sampler", name)
                break
    head = _class(config, "head", Model)
    if not issubclass(head, LiftedModel):
        config["likelihood"] = _part("likelihood", "none")
    elif config.get("likelihood", {"_target_": "auto"})["_target_"] == "auto":
        fitting = [n for n in AUTO_LIKELIHOODS if _has_any(head, _needs(import_class(_targets("likelihood")[n])))]
        config["likelihood"] = _part("likelihood", fitting[0])
    return config


def refuse_incompatible(config: Config) -> None:
    """This refuses choices that do not fit, before any data is read or weight allocated.

    Walks data -> backbone -> head -> objective, sampler and task on the classes alone.

    Raises:
        IncompatibleChoice: what was chosen, what it lacks, what to choose instead.
    """
    _class(config, "data", Source)
    if "fsdp" in str(config.get("trainer", {}).get("strategy", "")):
        raise IncompatibleChoice(
            "trainer.strategy=fsdp cannot take the derivative of a gradient, which score matching needs, nor average "
            "weights: use trainer=ddp."
        )
    if is_vae(config):
        _refuse_vae(config)
        return
    objective, head = _class(config, "objective", Objective), _class(config, "head", Model)
    backbone, sampler, task = (_class(config, group) for group in ("backbone", "sampler", "task"))
    _refuse_numbers(config)
    chosen = {
        group: option_name(group, config[group]["_target_"])
        for group in ("objective", "head", "backbone", "sampler", "task")
    }

    def require(who: str, needs: tuple[type, ...], group: str, has: type) -> None:
        if not _has_any(has, needs):
            thing = "backbone" if group == "backbone" else "model"
            raise IncompatibleChoice(
                f"{who}={chosen[who]} needs a {thing} with {_named(needs)}; {group}={chosen[group]} has none. "
                f"Use {group}={_or(_that_have(group, needs))}."
            )

    require("head", _needs(head), "backbone", backbone)
    require("objective", _of_objective(config, "needs_with"), "head", head)
    if _has_levels(head) and not issubclass(objective, Multiscale):
        raise IncompatibleChoice(
            f"head={chosen['head']} learns scores at a ladder of noise levels, and objective={chosen['objective']} has "
            f"none. Use objective={_or(_multiscale_objectives())}."
        )
    require("sampler", _needs(sampler), "head", head)
    require("task", _needs(task), "head", head)
    _refuse_task(config, task, head)
    if issubclass(head, LiftedModel):
        chosen["likelihood"] = option_name("likelihood", config["likelihood"]["_target_"])
        if chosen["likelihood"] == "none":
            raise IncompatibleChoice(
                f"likelihood=none leaves head={chosen['head']} without the normaliser that its log-density, its exact "
                f"draws and its nll rest on. Use likelihood=auto."
            )
        require("likelihood", _needs(_class(config, "likelihood")), "head", head)
    _refuse_kinks(config, objective, chosen)
    _refuse_off_levels(config, head, chosen)
    dropout = config["backbone"].get("dropout", 0)
    if dropout and _of_objective(config, "several_passes_with"):
        raise IncompatibleChoice(
            f"objective={chosen['objective']} compares several passes over an example, and with backbone.dropout="
            f"{dropout} every pass is another function: use backbone.dropout=0."
        )
    trainer = config.get("trainer", {})
    if objective.remembers and (trainer.get("devices", 1), trainer.get("num_nodes", 1)) != (1, 1):  # type: ignore[attr-defined]
        raise IncompatibleChoice(
            f"objective={chosen['objective']} keeps its chains in one process, and trainer.devices="
            f"{trainer.get('devices')} would start several: use trainer.devices=1."
        )


def _refuse_vae(config: Config) -> None:
    """This refuses what does not fit a VAE: its data, its score network, or the encoder that those scores train."""
    latent, source = config["latent"], _class(config, "data", Source)
    _class(config, "latent", VAE)
    _refuse_numbers(config)
    conditional = latent["method"] == "score" and _refuse_score_network(config)
    if sentence := mismatch(latent["method"], latent["encoder"], conditional):
        raise IncompatibleChoice(f"{sentence}.")
    if source.levels is None:  # type: ignore[attr-defined]
        images = [name for name, target in _targets("data").items() if import_class(target).levels]  # type: ignore[attr-defined]
        raise IncompatibleChoice(
            f"task=implicit_vae needs images in [-1, 1]; data={option_name('data', config['data']['_target_'])} has "
            f"none. Use data={_or(images)}."
        )
    if config["data"]["smoothing"] > 0:
        raise IncompatibleChoice(
            f"task=implicit_vae is a model of images without noise, which it binarises or dequantises itself, and "
            f"data.smoothing={config['data']['smoothing']}: use data.smoothing=0, or experiment=vae_mnist."
        )
    trainer, patience = config.get("trainer", {}), config.get("callbacks", {}).get("patience")
    if (trainer.get("devices", 1), trainer.get("num_nodes", 1)) != (1, 1):
        raise IncompatibleChoice(
            f"task=implicit_vae trains in one process, and trainer.devices={trainer.get('devices')} would start "
            "several: use trainer.devices=1."
        )
    if str(trainer.get("precision", "32-true")) not in ("32-true", "64-true"):
        raise IncompatibleChoice(
            f"task=implicit_vae trains in full precision, and trainer.precision={trainer['precision']} is not: use "
            "trainer.precision=32-true."
        )
    if patience is not None:
        raise IncompatibleChoice(
            f"task=implicit_vae has no held-out number to stop by, and callbacks.patience={patience}: use "
            "callbacks.patience=null."
        )


def _refuse_score_network(config: Config) -> bool:
    """This refuses a score network that does not fit, and says whether it gives conditional scores."""
    objective, head = _class(config, "objective", Objective), _class(config, "head", Model)
    backbone = _class(config, "backbone")
    chosen = {g: option_name(g, config[g]["_target_"]) for g in ("objective", "head", "backbone")}
    if not issubclass(objective, SCORE_OBJECTIVES):
        fitting = [
            name for name, target in _targets("objective").items() if issubclass(import_class(target), SCORE_OBJECTIVES)
        ]
        raise IncompatibleChoice(
            f"task=implicit_vae needs an objective that fits a score as it is; objective={chosen['objective']} does "
            f"something else. Use objective={_or(fitting)}."
        )
    if not _has_any(backbone, _needs(head)):
        raise IncompatibleChoice(
            f"head={chosen['head']} needs a backbone with {_named(_needs(head))}; backbone={chosen['backbone']} has "
            f"none. Use backbone={_or(_that_have('backbone', _needs(head)))}."
        )
    given = (GivenFeatures, GivenCausalFeatures)
    if not _has_any(backbone, given):
        raise IncompatibleChoice(
            f"task=implicit_vae needs a backbone with {_named(given)}; backbone={chosen['backbone']} has none. "
            f"Use backbone={_or(_that_have('backbone', given))}."
        )
    needs = _of_objective(config, "needs_with")
    if not _has_any(head, needs) or _has_levels(head):
        raise IncompatibleChoice(
            f"objective={chosen['objective']} needs a model with {_named(needs)}; head={chosen['head']} has none. "
            f"Use head={_or(_that_have('head', needs))}."
        )
    if config["backbone"].get("ordering", "raster") != "raster":
        raise IncompatibleChoice(
            f"backbone.ordering={config['backbone']['ordering']} is not the order in which the encoder draws z: use "
            "backbone.ordering=raster."
        )
    _refuse_kinks(config, objective, chosen)
    return reads_conditionals(head, config["objective"].get("field", "auto"))


def refuse_unlabelled(config: Config) -> None:
    """This refuses data that a classifier cannot learn, and numbers that are none, before any data is read.

    Raises:
        IncompatibleChoice: what was chosen, what it lacks, what to choose instead.
    """
    if not issubclass(_class(config, "data", Source), Labelled):
        raise IncompatibleChoice(
            f"data={option_name('data', config['data']['_target_'])} has no labels that a classifier could learn: "
            f"use data={_or(_that_have('data', (Labelled,)))}."
        )
    if (config["trainer"]["devices"], config["trainer"]["num_nodes"]) != (1, 1):
        raise IncompatibleChoice("the classifier is small and trains on one device: use trainer=cpu or trainer=gpu.")
    _refuse_numbers(config)


def _refuse_task(config: Config, task: type, head: type) -> None:
    from scorewise.tasks.score_task import ScoreTask

    for entry in _entries(config["task"].get("out")):
        _entry(entry)
    settings = {key: value for key, value in config["task"].items() if key not in ("_target_", "monitor")}
    if issubclass(task, ScoreTask) and (sentence := task.refusal(head, **settings)):
        raise IncompatibleChoice(f"{sentence}.")


WHOLE_NUMBERS = {
    "seed": 0,
    "data.batch_size": 1,
    "data.epochs": 1,
    "data.dims": 1,
    "data.held_out": 2,
    "data.examples_per_epoch": 1,
    "backbone.ordering_seed": 0,
    "objective.steps": 1,
    "objective.buffer": 1,
    "objective.samples": 1,
    "objective.held_out_samples": 1,
    "objective.projections": 1,
    "objective.chunk": 1,
    "objective.references": 2,
    "objective.levels": 1,
    "sampler.steps": 1,
    "sampler.settle": 0,
    "sampler.proposals": 1,
    "likelihood.panels": 1,
    "likelihood.order": 2,
    "likelihood.values": 1,
    "optim.warmup_steps": 0,
    "head.components": 1,
    "head.terms": 1,
    "backbone.filters": 1,
    "backbone.resnets": 1,
    "backbone.levels": 1,
    "backbone.steps": 1,
    "backbone.features": 1,
    "backbone.size": 1,
    "backbone.heads": 1,
    "head.levels": 2,
    "head.context": 1,
    "callbacks.save_every_n_steps": 1,
    "callbacks.sample_every_n_epochs": 0,
    "callbacks.samples": 1,
    "callbacks.patience": 1,
    "latent.z": 1,
    "latent.particles": 2,
    "latent.conditional_hidden": 1,
    "extractor.channels": 1,
    "extractor.num_features": 1,
    "task.steps": 1,
    "task.test_size": 1,
    "task.temperatures": 2,
    "task.chains": 1,
    "task.leapfrog": 1,
    "task.rows": 1,
    "task.importance": 1,
    "task.simulated": 0,
    "task.checked": 0,
    "task.val_size": 0,
    "task.val_temperatures": 2,
    "task.val_chains": 1,
    "task.encodings": 2,
    "task.draws": 1,
    "task.images": 1,
    "task.likelihood_images": 1,
    "task.resamples": 1,
    "task.shown": 1,
    "task.samples": 4,
    "task.batch": 1,
    "task.subsets": 1,
    "task.subset_size": 2,
    "trainer.max_epochs": 1,
    "trainer.max_steps": -1,
    "trainer.check_val_every_n_epoch": 1,
}
"""Whole numbers and the least they may be, where they are given; that the others are whole, their classes say."""
SIZES = ("backbone.hidden", "backbone.channels", "head.hidden", "latent.hidden", "latent.channels")
SWITCHES = ("train", "test", "rerun", "trainer.compile", "callbacks.progress")
"""Settings of no class of ours that are true or false."""
FROM_DATA = ("low", "high", "levels")
"""Numbers of classes that `build` takes from the data where they are null."""
BUILT = ("data", "backbone", "head", "objective", "sampler", "likelihood", "latent", "task", "optim")
"""Groups whose options are classes that we build."""
NONE = {"_target_": "none"}
"""What a group of a settled config holds that the run has no use for."""


def _setting(config: Config, path: str) -> Any:
    section, _, key = path.partition(".")
    return config.get(section, {}).get(key) if key else config.get(section)


def _kinds(cls: Any) -> dict[str, tuple[type, ...]]:
    """This is the parameters of a class that are numbers or switches by their annotations, and what each may be."""
    takes_rest = any(one.kind is Parameter.VAR_KEYWORD for one in signature(cls).parameters.values())
    hints: dict[str, Any] = {}
    try:
        for one in reversed(cls.__mro__) if takes_rest else (cls,):
            hints |= get_type_hints(one.__init__)
    except NameError:  # a class of the user's own, which imports what it names for type checkers only
        return {}
    kinds = {
        name: get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,) for name, hint in hints.items()
    }
    return {
        name: kind
        for name, kind in kinds.items()
        if name != "return" and all(one in (int, float, bool, NoneType) for one in kind)
    }


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    whole_is_fine = type(value) is int and float in kinds
    return whole_is_fine or (type(value) in kinds and value == value)  # no NaN


def _refuse_kinds(config: Config) -> None:
    for group in BUILT:
        part = config.get(group, {})
        if part.get("_target_", "none") == "none":
            continue
        for name, kinds in _kinds(_class(config, group)).items():
            if name not in part or _is_of(part[name], kinds) or (part[name] is None and name in FROM_DATA):
                continue
            what = "a number" if float in kinds else "a whole number" if int in kinds else "true or false"
            or_null = " or null" if NoneType in kinds else ""
            raise UserError(f"{group}.{name}={part[name]} must be {what}{or_null}.")


def _refuse_numbers(config: Config) -> None:
    for path, least in WHOLE_NUMBERS.items():
        value = _setting(config, path)
        given = value is not None or path == "seed"
        if given and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise UserError(f"{path}={value} must be a whole number of at least {least}.")
    for path in ("sampler.step", "objective.step", "objective.sigma", "objective.sigma_max"):
        value = _setting(config, path)
        if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
            raise UserError(f"{path}={value} must be a positive number.")
    for path in SIZES:
        sizes = _setting(config, path)
        if sizes is not None and not (
            isinstance(sizes, list) and sizes and all(isinstance(n, int) and n > 0 for n in sizes)
        ):
            raise UserError(f"{path}={sizes} must be a list of positive whole numbers, one per hidden layer.")
    smoothing = config["data"]["smoothing"]
    if not isinstance(smoothing, int | float) or not 0 <= smoothing < math.inf:
        raise UserError(f"data.smoothing={smoothing} must be a number of at least 0: it is a standard deviation.")
    for path in SWITCHES:
        if not isinstance(value := _setting(config, path), bool | None):
            raise UserError(f"{path}={value} must be true or false.")
    _refuse_kinds(config)


def _refuse_off_levels(config: Config, head: type, chosen: Mapping[str, str]) -> None:
    if not issubclass(head, DiscreteDensity):
        return
    source = _class(config, "data", Source)
    if config["head"].get("levels", 0) is None and source.levels is None:  # type: ignore[attr-defined]
        on_levels = [name for name, target in _targets("data").items() if import_class(target).levels]  # type: ignore[attr-defined]
        raise IncompatibleChoice(
            f"head={chosen['head']} needs data on a grid of levels in [-1, 1]; "
            f"data={option_name('data', config['data']['_target_'])} has none. Use data={_or(on_levels)}."
        )
    if config["data"]["smoothing"] > 0:
        raise IncompatibleChoice(
            f"head={chosen['head']} models the levels themselves, and data.smoothing={config['data']['smoothing']} "
            "takes the data off them: use data.smoothing=0."
        )


def _refuse_kinks(config: Config, objective: Any, chosen: Mapping[str, str]) -> None:
    smooth = [name for name in ACTIVATIONS if name not in PIECEWISE_LINEAR]
    # The joint field of a normalised density is a gradient through the whole network, as the score of an energy is.
    joint = objective.joint or config["objective"].get("field") == "joint"
    scored_density = chosen["head"] == "flow" and objective.reads_scores
    gradient = chosen["head"] == "energy" or scored_density or (joint and chosen["head"] != "score")
    through_backbone = gradient or (objective.differentiates_backbone and chosen["head"] == "score")
    # The score of a conditional energy is a derivative already.
    in_head = objective.differentiates_query or (objective.reads_scores and chosen["head"] == "conditional_energy")
    for group, differentiated in (("head", in_head), ("backbone", through_backbone)):
        activation = config[group].get("activation")
        if differentiated and activation in PIECEWISE_LINEAR:
            raise IncompatibleChoice(
                f"objective={chosen['objective']} with head={chosen['head']} differentiates twice, and "
                f"{group}.activation={activation} has no second derivative, so its gradient would be wrong without any "
                "error. "
                f"Use {group}.activation={_or(smooth)}."
            )


class Parts(NamedTuple):
    """This is everything that a run is built from."""

    source: Source
    model: Trained
    objective: Objective | None
    recipe: Config


def _built(config: Config, group: str, without: tuple[str, ...] = ()) -> Any:
    settings = {key: value for key, value in config[group].items() if key != "_target_" and key not in without}
    try:
        return import_class(config[group]["_target_"])(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"{group}={option_name(group, config[group]['_target_'])} cannot be built: {error}.") from error


def build_source(config: Config) -> Source:
    """This is the data set of a config; it reads nothing yet."""
    source: Source = _built(config, "data", BATCHING)
    return source


def _entries(out: Any) -> list[Any]:
    """This is the entries of task.out.

    Raises:
        UserError: it is no list.
    """
    if not isinstance(out, list | NoneType):
        raise UserError(f"task.out={out} must be a list of data options: task.out=[uniform] say.")
    return out or []


def _entry(entry: Any) -> tuple[str, str, Config]:
    """This is the name, the data option and the settings of an entry of task.out.

    Raises:
        UserError: it is neither an option nor a mapping with one.
    """
    from scorewise.tasks.ood import ENDINGS, RESERVED

    settings = dict(entry) if isinstance(entry, Mapping) else {"data": entry}
    option = settings.pop("data", None)
    name = settings.pop("name", option)
    if not isinstance(option, str) or option not in _targets("data"):
        raise UserError(f"task.out: {option} is no option of data: use {_or(_targets('data'))}.")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name) or name.endswith(ENDINGS) or name in RESERVED:
        raise UserError(
            f"task.out: {name} cannot be the name of a set: use letters, digits, points and dashes, none of "
            f"{', '.join(RESERVED)}, and no end in {', '.join(ENDINGS)}."
        )
    return name, option, settings


def outside_sources(
    entries: Iterable[Any], shape: Sequence[int], paths: Config, columns: Config | None = None
) -> dict[str, Source]:
    """This is data sets by name, in the shape of other data where they can have it; nothing is read yet.

    Args:
        entries: data options, or mappings with `data` (the option), its settings, and a name where that is another.
        shape: of the other data.
        paths: of this machine: data and cache.
        columns: of the other data where it is a table: other tables are read in these columns, in their scale.

    Raises:
        UserError: no such option or setting, or a name that is given twice.
    """
    found: dict[str, Source] = {}
    for entry in entries:
        name, option, settings = _entry(entry)
        if name in found:
            raise UserError(
                f"task.out names {name} twice: give one of them another name, {{data: {option}, name: ...}}."
            )
        part = _part("data", option)
        accepted = inspect.signature(import_class(part["_target_"])).parameters
        if unknown := sorted(set(settings) - (set(part) & set(accepted))):
            known = [key for key in part if key in accepted]
            raise UserError(
                f"task.out: {unknown[0]} is no setting of {option}: there are {', '.join(known) or 'none'}."
            )
        fitted: Config = {"root": paths["data"], "cache": paths["cache"], "shape": list(shape)}
        fitted |= {"val": 0, "test": 1}  # of a folder, all images
        fitted |= {"channels": shape[0], "size": shape[-1]} if len(shape) == 3 else {"dims": shape[0]}
        part |= {key: value for key, value in fitted.items() if key in part} | settings
        if columns is not None and "columns" in accepted:
            part["columns"] = columns
        try:
            _refuse_kinds({"data": part})
            found[name] = build_source({"data": part})
        except UserError as error:
            raise UserError(f"task.out: {name} cannot be had in the shape {list(shape)}: {error}") from error
    return found


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
    objective: Objective = _built(config, "objective")
    smoothing = float(config["data"]["smoothing"])
    noise = math.hypot(smoothing, objective.noise)
    parts = {part: dict(config[part]) for part in ("backbone", "head", "sampler")}
    if issubclass(_class(config, "head"), LiftedModel):
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
    return Parts(source, model, _built(config, "objective") if of_score else None, recipe)


def task_settings(name: str) -> Config:
    """This is the settings of a task as its option has them."""
    return _part("task", name)


def only_for_choosing(task: Config) -> Config:
    """This is a task's settings for prediction, which reads no set but the one that a statistic is chosen on.

    Raises:
        UserError: there is no such set.
    """
    if "out" not in task:
        return task
    named, wanted = {_entry(entry)[0]: entry for entry in _entries(task["out"])}, task.get("choose_on")
    if wanted is not None and wanted not in named:
        raise UserError(f"task.choose_on={wanted} is none of the outlier sets {', '.join(named)}.")
    return {**task, "out": [named[wanted]] if wanted else None}


def build_optimisation(config: Config) -> "Optimisation":
    """This is the settings of optimisation of a config.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    optimisation: Optimisation = _built(config, "optim")
    return optimisation


def build_task(config: Config, parts: Parts, seed: int) -> Any:
    """This is the LightningModule of a settled config."""
    settings = {key: value for key, value in config["task"].items() if key != "_target_"}
    if "out" in settings:
        source = parts.source
        columns = source.table.plain() if isinstance(source, Tabular) else None
        settings["out"] = outside_sources(_entries(settings["out"]), source.shape, config["paths"], columns)
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
