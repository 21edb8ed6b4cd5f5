"""Choices that do not fit each other, refused in one sentence before any data is read or weight allocated."""

from collections.abc import Mapping
from typing import Any

from scorewise.backbones.layers import Activation
from scorewise.capabilities import (
    BlockScoreModel,
    DiscreteDensity,
    GivenCausalFeatures,
    GivenFeatures,
    NoisyBlockScoreModel,
    NoisyConditionalScoreModel,
    NoisyScoreModel,
    RefusesModels,
)
from scorewise.capabilities.plain_names import named
from scorewise.catalog import NONE, Config, option_name, targets
from scorewise.config.choices import (
    IncompatibleChoice,
    class_of,
    has_any,
    has_none,
    needs_of,
    of_objective,
    that_have,
)
from scorewise.config.column_kinds import refuse_scores_of_probabilities
from scorewise.config.one_order import refuse_one_order
from scorewise.config.outlier_sets import entries_of, entry_of
from scorewise.config.settings import refuse_out_of_range
from scorewise.config.trainer import refuse_trainer_settings
from scorewise.data.source import Labelled, Source
from scorewise.errors import either
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.latent import SCORE_OBJECTIVES, VAE, mismatch, reads_conditionals
from scorewise.objectives.multiscale import Multiscale
from scorewise.objectives.objective import Objective
from scorewise.ranges import kinds
from scorewise.store import import_class


def refuse_incompatible(config: Config, *, training: bool = True) -> None:
    """Refuse choices that do not fit, before any data is read or weight allocated.

    Walks data -> backbone -> head -> objective, sampler and task on the classes alone.

    Args:
        config: settled.
        training: whether the run is to be trained; a finished one is not held to what only its training asks for.

    Raises:
        IncompatibleChoice: what was chosen, what it lacks, what to choose instead.
    """
    class_of(config, "data", Source)
    if training:
        refuse_trainer_settings(config)
        _refuse_half_weights(config)
    if "fsdp" in str(config.get("trainer", {}).get("strategy", "")):
        raise IncompatibleChoice(
            "trainer.strategy=fsdp cannot take the derivative of a gradient, which score matching needs, nor average "
            "weights: use trainer=ddp."
        )
    if "latent" in config:
        _refuse_vae(config)
        return
    objective, head = class_of(config, "objective", Objective), class_of(config, "head", Model)
    classes = {group: class_of(config, group) for group in ("backbone", "sampler", "task")}
    refuse_out_of_range(config)
    chosen = {
        group: option_name(group, config[group]["_target_"])
        for group in ("objective", "head", "backbone", "sampler", "task", "likelihood")
    }
    _refuse_what_lacks(chosen, "head", needs_of(head), "backbone", classes["backbone"])
    _refuse_what_lacks(chosen, "objective", of_objective(config, "needs_with"), "head", head)
    refuse_scores_of_probabilities(config)
    if has_any(head, OF_LEVELS) and not has_any(objective, (Multiscale,)):
        raise IncompatibleChoice(
            f"head={chosen['head']} learns scores at a ladder of noise levels, and objective={chosen['objective']} has "
            f"none. Use objective={either(that_have('objective', (Multiscale,)))}."
        )
    refuse_one_order(objective, head, classes["backbone"], chosen)
    for group in ("sampler", "task"):
        _refuse_what_lacks(chosen, group, needs_of(classes[group]), "head", head)
    _refuse_task(config, classes["task"], head)
    if has_any(head, (WithLikelihood,)):
        if config["likelihood"] == NONE:
            raise IncompatibleChoice(
                f"likelihood=none leaves head={chosen['head']} without the normaliser that its log-density, its exact "
                f"draws and its nll rest on. Use likelihood=auto."
            )
        _refuse_what_lacks(chosen, "likelihood", needs_of(class_of(config, "likelihood")), "head", head)
    if training:
        _refuse_kinks(config, objective, head, chosen)
    _refuse_off_levels(config, head, chosen)
    _refuse_conditions(config, objective, chosen)


HALF_WEIGHTS = ("bf16-true", "16-true", "transformer-engine", "transformer-engine-float16")
"""Precisions of `lightning.Trainer` whose weights are in half precision."""
OF_LEVELS = (NoisyScoreModel, NoisyConditionalScoreModel, NoisyBlockScoreModel)
"""What models of a ladder of noise levels have."""


def _refuse_half_weights(config: Config) -> None:
    if (precision := str(config.get("trainer", {}).get("precision", "32-true"))) in HALF_WEIGHTS:
        raise IncompatibleChoice(
            f"trainer.precision={precision} keeps the weights in half precision, in which averages of them stand "
            "still and nll is rounded to 1/16 nat: use trainer.precision=bf16-mixed, or 32-true."
        )


def _refuse_what_lacks(chosen: Mapping[str, str], who: str, needs: tuple[type, ...], group: str, has: type) -> None:
    """Refuse a choice whose needs another one does not meet."""
    if not has_any(has, needs):
        thing = "backbone" if group == "backbone" else "model"
        raise IncompatibleChoice(
            f"{who}={chosen[who]} needs a {thing} with {named(needs)}; {has_none(group, chosen[group])}. "
            f"Use {group}={either(that_have(group, needs))}."
        )


def _refuse_conditions(config: Config, objective: Any, chosen: Mapping[str, str]) -> None:
    """Refuse dropout and several processes where an objective cannot have them."""
    dropout, trainer = config["backbone"].get("dropout", 0), config.get("trainer", {})
    if dropout and of_objective(config, "several_passes_with"):
        raise IncompatibleChoice(
            f"objective={chosen['objective']} compares several passes over an example, and with backbone.dropout="
            f"{dropout} every pass is another function: use backbone.dropout=0."
        )
    if objective.remembers and (trainer.get("devices", 1), trainer.get("num_nodes", 1)) != (1, 1):
        raise IncompatibleChoice(
            f"objective={chosen['objective']} keeps its chains in one process, and trainer.devices="
            f"{trainer.get('devices')} would start several: use trainer.devices=1."
        )


def _refuse_vae(config: Config) -> None:
    """Refuse what does not fit a VAE: its data, its score network, or the encoder that those scores train."""
    latent, source = config["latent"], class_of(config, "data", Source)
    class_of(config, "latent", VAE)
    refuse_out_of_range(config)
    conditional = latent["method"] == "score" and _refuse_score_network(config)
    if sentence := mismatch(latent["method"], latent["encoder"], conditional):
        raise IncompatibleChoice(f"{sentence}.")
    if source.levels is None:  # type: ignore[attr-defined]
        raise IncompatibleChoice(
            f"task=implicit_vae needs images in [-1, 1]; data={option_name('data', config['data']['_target_'])} has "
            f"none. Use data={either(_on_levels())}."
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
    if trainer.get("compile"):
        raise IncompatibleChoice(
            "trainer.compile=true compiles the fused step of composite score matching, which task=implicit_vae does "
            "not take: use trainer.compile=false."
        )
    if (batches := trainer.get("accumulate_grad_batches", 1)) != 1:
        raise IncompatibleChoice(
            f"task=implicit_vae takes its steps itself, one per batch, and trainer.accumulate_grad_batches={batches}: "
            "leave it out, or use a larger data.batch_size."
        )
    if patience is not None:
        raise IncompatibleChoice(
            f"task=implicit_vae has no held-out number to stop by, and callbacks.patience={patience}: use "
            "callbacks.patience=null."
        )


def _refuse_score_network(config: Config) -> bool:
    """Refuse a score network that does not fit, and say whether it gives conditional scores."""
    objective, head = class_of(config, "objective", Objective), class_of(config, "head", Model)
    backbone = class_of(config, "backbone")
    chosen = {g: option_name(g, config[g]["_target_"]) for g in ("objective", "head", "backbone")}
    if not has_any(objective, SCORE_OBJECTIVES):
        raise IncompatibleChoice(
            f"task=implicit_vae needs an objective that fits a score as it is; objective={chosen['objective']} does "
            f"something else. Use objective={either(that_have('objective', SCORE_OBJECTIVES))}."
        )
    if not has_any(backbone, needs_of(head)):
        raise IncompatibleChoice(
            f"head={chosen['head']} needs a backbone with {named(needs_of(head))}; backbone={chosen['backbone']} has "
            f"none. Use backbone={either(that_have('backbone', needs_of(head)))}."
        )
    given = (GivenFeatures, GivenCausalFeatures)
    if not has_any(backbone, given):
        raise IncompatibleChoice(
            f"task=implicit_vae needs a backbone with {named(given)}; backbone={chosen['backbone']} has none. "
            f"Use backbone={either(that_have('backbone', given))}."
        )
    needs = of_objective(config, "needs_with")
    if not has_any(head, needs) or has_any(head, (*OF_LEVELS, BlockScoreModel)):
        raise IncompatibleChoice(
            f"objective={chosen['objective']} needs a model with {named(needs)}; head={chosen['head']} has none. "
            f"Use head={either(that_have('head', needs))}."
        )
    if missing := [name for name in ("low", "high", "levels") if config["head"].get(name, 0) is None]:
        raise IncompatibleChoice(
            f"head={chosen['head']} needs the range of its data (head.{missing[0]}), and latents have none: use "
            "head=conditional_score."
        )
    if config["backbone"].get("ordering", "raster") != "raster":
        raise IncompatibleChoice(
            f"backbone.ordering={config['backbone']['ordering']} is not the order in which the encoder draws z: use "
            "backbone.ordering=raster."
        )
    _refuse_kinks(config, objective, head, chosen)
    return reads_conditionals(head, config["objective"].get("field", "auto"))


def refuse_unlabelled(config: Config) -> None:
    """Refuse data that a classifier cannot learn, and numbers that are none, before any data is read.

    Raises:
        IncompatibleChoice: what was chosen, what it lacks, what to choose instead.
    """
    if not has_any(class_of(config, "data", Source), (Labelled,)):
        raise IncompatibleChoice(
            f"data={option_name('data', config['data']['_target_'])} has no labels that a classifier could learn: "
            f"use data={either(that_have('data', (Labelled,)))}."
        )
    if (config["trainer"]["devices"], config["trainer"]["num_nodes"]) != (1, 1):
        raise IncompatibleChoice("the classifier is small and trains on one device: use trainer=cpu or trainer=gpu.")
    refuse_out_of_range(config)


def _refuse_task(config: Config, task: type, head: type) -> None:
    for entry in entries_of(config["task"].get("out")):
        entry_of(entry)
    settings = {key: value for key, value in config["task"].items() if key not in ("_target_", "monitor")}
    if issubclass(task, RefusesModels) and (sentence := task.refusal(head, **settings)):
        raise IncompatibleChoice(f"{sentence}.")


def _on_levels() -> list[str]:
    """Return the options of data whose values lie on a grid of levels, as those of images do."""
    return [name for name, target in targets("data").items() if import_class(target).levels]  # type: ignore[attr-defined]


def _refuse_off_levels(config: Config, head: type, chosen: Mapping[str, str]) -> None:
    if not has_any(head, (DiscreteDensity,)):
        return
    source = class_of(config, "data", Source)
    if config["head"].get("levels", 0) is None and source.levels is None:  # type: ignore[attr-defined]
        raise IncompatibleChoice(
            f"head={chosen['head']} needs data on a grid of levels in [-1, 1]; "
            f"data={option_name('data', config['data']['_target_'])} has none. Use data={either(_on_levels())}."
        )
    if config["data"]["smoothing"] > 0:
        raise IncompatibleChoice(
            f"head={chosen['head']} models the levels themselves, and data.smoothing={config['data']['smoothing']} "
            "takes the data off them: use data.smoothing=0."
        )


TIMES = {2: "twice", 3: "three times"}
ORDINALS = {2: "second", 3: "third"}


def _refuse_kinks(config: Config, objective: Any, head: type, chosen: Mapping[str, str]) -> None:
    """Refuse activations that have fewer derivatives than training takes: the loss's and one in the weights."""
    settings = {key: value for key, value in config["objective"].items() if key != "_target_"}
    for group, taken in objective.differentiates(head, **settings)._asdict().items():
        for name, names in _activations(class_of(config, group)):
            smooth, given = names.smooth_enough(taken), config[group].get(name)
            if given not in names.names or given in smooth:
                continue
            missing = next(n for n in range(1, taken + 1) if given not in names.smooth_enough(n)) + 1
            raise IncompatibleChoice(
                f"objective={chosen['objective']} with head={chosen['head']} differentiates {TIMES[taken + 1]}, and "
                f"{group}.{name}={given} has no {ORDINALS[missing]} derivative, so its gradient would be wrong without "
                f"any error. Use {group}.{name}={either(smooth)}."
            )


def _activations(cls: type) -> list[tuple[str, Activation]]:
    """Return the parameters of a class that are names of activations."""
    told = [(name, one) for name, kinds_ in kinds(cls).items() for kind in kinds_ for one in kind.ranges]
    return [(name, one) for name, one in told if isinstance(one, Activation)]
