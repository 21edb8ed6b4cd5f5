"""A config with every auto replaced by the option that it stands for."""

from typing import TYPE_CHECKING

from scorewise.catalog import Config, option_name, settings_of, targets
from scorewise.config.choices import (
    NONE,
    IncompatibleChoice,
    class_of,
    has_any,
    named,
    needs_of,
    of_objective,
    that_have,
)
from scorewise.config.identity import is_vae
from scorewise.errors import either
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.latent import encoder_for, reads_conditionals
from scorewise.store import import_class

if TYPE_CHECKING:  # tasks import Lightning, which takes seconds
    pass

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


def names(config: Config) -> list[str]:
    """Return the choices that name a run, such as csm, made, digits, of a settled config."""
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
    """Return the config with head=auto and sampler=auto replaced by what they stand for.

    Only a VAE keeps the group latent, and of its other groups only those that it has a use for.

    Raises:
        IncompatibleChoice: no head of the objective's list fits the backbone; latents without a VAE.
    """
    config = dict(config)
    if is_vae(config):
        return _settle_vae(config)
    latent, default = config.pop("latent", {}), settings_of("latent", "dense")
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
        config["head"] = settings_of("head", fitting[0])
    if config["sampler"]["_target_"] == "auto":
        head = class_of(config, "head", Model)
        for name in AUTO_SAMPLERS:
            if has_any(head, needs_of(import_class(targets("sampler")[name]))):
                config["sampler"] = settings_of("sampler", name)
                break
    head = class_of(config, "head", Model)
    if not issubclass(head, NumericallyNormalised):
        config["likelihood"] = settings_of("likelihood", "none")
    elif config.get("likelihood", {"_target_": "auto"})["_target_"] == "auto":
        fitting = [n for n in AUTO_LIKELIHOODS if has_any(head, needs_of(import_class(targets("likelihood")[n])))]
        config["likelihood"] = settings_of("likelihood", fitting[0])
    return config
