"""A config with every auto replaced by the option that it stands for."""

from collections.abc import Callable, Mapping

from scorewise.capabilities.plain_names import named
from scorewise.catalog import NONE, Config, is_own, option_name, options, settings_of, targets
from scorewise.config.choices import (
    IncompatibleChoice,
    build_source,
    class_of,
    has_any,
    has_none,
    needs_of,
    of_objective,
    that_have,
)
from scorewise.data.source import Source
from scorewise.errors import WHAT_IT_MUST_HAVE, UserError, either
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.latent import encoder_for, reads_conditionals
from scorewise.store import import_class

AUTO_SAMPLERS = (
    "exact",
    "pushforward",
    "reverse_diffusion_1d",
    "annealed_langevin",
    "block_flow",
    "inverse_cdf",
    "langevin_1d",
    "block_langevin",
    "langevin",
)
"""What sampler=auto tries, in order."""
AUTO_LIKELIHOODS = ("flow_ode", "block_flow_ode", "quadrature")
"""What likelihood=auto tries, in order, for heads without a closed form."""


def names(config: Config, typed: Mapping[str, str] | None = None) -> list[str]:
    """Return the choices that name a run, such as csm, made, digits, of a settled config.

    Args:
        config: settled.
        typed: the options as chosen, which name a user's own classes.
    """

    def name_of(group: str) -> str:
        option = (typed or {}).get(group, "")
        target = config[group]["_target_"]
        return option if is_own(target) and option and option not in options(group) else option_name(group, target)

    if "latent" in config:
        method = config["latent"]["method"]
        groups = ("objective", "backbone") if method == "score" else ()
        return ["vae", *([name_of(group) for group in groups] or [method]), name_of("data")]
    parts = [name_of(group) for group in ("objective", "backbone", "data")]
    if class_of(config, "head", Model).tells_runs_apart:  # type: ignore[attr-defined]
        parts.insert(2, name_of("head"))
    if "name" in config["data"]:
        parts[-1] = str(config["data"]["name"])
    return parts


def settle(config: Config) -> Config:
    """Return the config with head=auto and sampler=auto replaced by what they stand for, and sizes that follow from D.

    A config with latents is of a VAE, which keeps of the other groups only those that it has a use for.

    Raises:
        IncompatibleChoice: no head of the objective's list fits the backbone.
    """
    config = dict(config)
    return _settle_vae(config) if "latent" in config else _settle_model(config, lambda: _dims(config))


def _settle_vae(config: Config) -> Config:
    config |= {"latent": dict(config["latent"]), "sampler": NONE, "likelihood": NONE}
    latent = config["latent"]
    conditional = False
    if latent["method"] == "score":
        config = _settle_model({**config, "sampler": NONE}, lambda: latent.get("z")) | {"likelihood": NONE}
        head = class_of(config, "head", Model)
        conditional = reads_conditionals(head, config["objective"].get("field", "auto"))
    else:
        config |= {"objective": NONE, "backbone": NONE, "head": NONE}
    if latent.get("likelihood") == "gaussian" and latent.get("width") is None:
        latent["width"] = _distance_of_levels(config)
    if latent["encoder"] == "auto":
        latent["encoder"] = encoder_for(latent["method"], conditional)
    return config


def _distance_of_levels(config: Config) -> float | None:
    """Return how far apart the values of an entry are, evenly spaced from -1 to 1; None where they are not so."""
    levels: int | None = class_of(config, "data", Source).levels  # type: ignore[attr-defined]
    return None if levels is None else 2 / (levels - 1)


def _preferred_heads(config: Config) -> dict[str, type]:
    names, known = of_objective(config, "heads_with"), targets("head")
    if not names:
        raise IncompatibleChoice(
            f"objective={option_name('objective', config['objective']['_target_'])} names no heads for head=auto: "
            f"choose one, head=conditional_score say, or let the class name some; {WHAT_IT_MUST_HAVE}."
        )
    if missing := [name for name in names if name not in known]:
        raise IncompatibleChoice(
            f"objective={option_name('objective', config['objective']['_target_'])} prefers head={missing[0]}, "
            f"which is none of Scorewise's options, so head=auto cannot find it: type head={missing[0]}."
        )
    return {name: import_class(known[name]) for name in names}


def _dims(config: Config) -> int | None:
    """Return how many numbers an example has, None where only a table tells."""
    if class_of(config, "data", Source).of_columns:  # type: ignore[attr-defined]
        return None
    try:
        return build_source(config).dims
    except UserError:  # which building says in its place
        return None


def _settle_model(config: Config, dims: Callable[[], int | None]) -> Config:
    backbone = class_of(config, "backbone")
    if config["head"]["_target_"] == "auto":
        wanted = _preferred_heads(config)
        fitting = [name for name, cls in wanted.items() if has_any(backbone, needs_of(cls))]
        if not fitting:
            needs = tuple(dict.fromkeys(need for cls in wanted.values() for need in needs_of(cls)))
            raise IncompatibleChoice(
                f"objective={option_name('objective', config['objective']['_target_'])} needs a backbone with "
                f"{named(needs)}; {has_none('backbone', option_name('backbone', config['backbone']['_target_']))}. "
                f"Use backbone={either(that_have('backbone', needs))}."
            )
        config["head"] = settings_of("head", fitting[0])
    sizes = getattr(class_of(config, "head", Model), "hidden_for", None)
    if sizes is not None and config["head"].get("hidden") is None:
        config["head"] = {**config["head"], "hidden": list(sizes(dims()))}
    if config["sampler"]["_target_"] == "auto":
        head = class_of(config, "head", Model)
        for name in AUTO_SAMPLERS:
            if has_any(head, needs_of(import_class(targets("sampler")[name]))):
                config["sampler"] = settings_of("sampler", name)
                break
        else:
            raise IncompatibleChoice(
                f"sampler=auto finds none that draws from models of head="
                f"{option_name('head', config['head']['_target_'])}: choose a sampler of yours; {WHAT_IT_MUST_HAVE}."
            )
    head = class_of(config, "head", Model)
    if not issubclass(head, WithLikelihood):
        config["likelihood"] = settings_of("likelihood", "none")
    elif config.get("likelihood", {"_target_": "auto"})["_target_"] == "auto":
        config["likelihood"] = settings_of("likelihood", likelihood_for(head))
    return config


def likelihood_for(head: type) -> str:
    """Return the likelihood that likelihood=auto stands for, of a head without a closed form."""
    return next(n for n in AUTO_LIKELIHOODS if has_any(head, needs_of(import_class(targets("likelihood")[n]))))
