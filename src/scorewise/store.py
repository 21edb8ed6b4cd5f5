"""Building models from recipes, and loading them from folders without executing anything in them."""

import importlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from scorewise import catalog
from scorewise.errors import UserError, names_of, own_code_told, printable
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.heads.trained import Trained
from scorewise.ranges import AtLeast, has_shape, is_list, is_number, is_whole, kinds
from scorewise.stored import Unreadable, leaves, read_yaml, weights_in
from scorewise.version import renamed
from scorewise.weights import fill

SMALL = 100_000
"""What a size may be whatever the weights."""
SEED = AtLeast(0)
"""The range of a number that is no size."""

OF_TRAINING = ("data", "objective", "task", "optim")
"""Sections of a run's config that its model is not built from."""

FindClass = Callable[[str], type]
Check = Callable[..., None]
"""Refuses names of classes, given one by one as arguments."""


def qualified_name(cls: type) -> str:
    """Return a class's name as a `_target_` spells it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def import_class(target: str) -> type:
    """Return the class at an exact module path; only for names that are trusted.

    Raises:
        UserError: there is no class of that name.
    """
    module, _, name = catalog.current(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"_target_={target} cannot be imported ({error}): name a class as package.module.Class, with the folder of "
            "the package or module on PYTHONPATH."
        ) from error
    if not isinstance(found, type):
        raise UserError(f"_target_={target} is not a class: name a class as package.module.Class.")
    return found


def refuse_unknown(*targets: str, classes: Sequence[type] = ()) -> None:
    """Refuse names that are neither of Scorewise's classes nor of those handed in; it imports nothing.

    Raises:
        UserError: the names.
    """
    known = {*catalog.classes(), *map(qualified_name, classes)}
    if unknown := [printable(one) for one in dict.fromkeys(targets) if catalog.current(one) not in known]:
        raise UserError(
            f"this config names {names_of(unknown)}, none of Scorewise's classes, so nothing was loaded: if that is "
            f"yours, add classes=[{','.join(unknown[:5])}] to the command, with PYTHONPATH as in training; in Python, "
            "load(folder, classes=[...])."
        )


def class_finder(classes: Sequence[type] = ()) -> FindClass:
    """Return a look-up in Scorewise's own classes and those handed in; it imports no other name.

    Args:
        classes: a user's own classes.
    """
    own = {qualified_name(cls): cls for cls in classes}

    def find(target: str) -> type:
        refuse_unknown(target, classes=classes)
        return own[target] if target in own else import_class(target)

    return find


def refuse_unsafe(config: object, check: Check, origin: str, unused: Sequence[str] = ()) -> None:
    """Refuse a stored config that names a class that is not known, or holds an interpolation.

    Raises:
        UserError: what was found, and where.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"{origin} is not a Scorewise config (a mapping was expected): give another folder.")
    named: list[tuple[bool, str]] = []
    for path, value in leaves(config):
        if "${" in str(value):
            raise UserError(f"{origin} holds the interpolation {value!r} at {path}: stored configs are plain values.")
        if (
            (key := re.search(r"(?:^|\.)(_\w+_)(?:\[|$)", path))
            and catalog.current(str(value)) not in catalog.names_only()
            and path.partition(".")[0] not in unused
        ):
            named.append((key[1] != "_target_", str(value)))
    # Hydra's own keys (_target_, _args_ ...) hold a name of the table and nothing else
    for other in (False, True):
        check(*sorted(target for key, target in named if key == other))


def assemble(recipe: Mapping[str, Any], find: FindClass) -> Any:
    """Return an untrained model from its recipe: shape, mean, std, noise, levels, backbone, head, sampler, likelihood.

    That of a VAE is shape and latent, and backbone and head of its score network where it has one.

    Args:
        recipe: plain values; latent, backbone, head, sampler and likelihood (optional) are mappings with a `_target_`.
        find: turns a target into a class.

    Returns:
        a `Model` or a `VAE`.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    try:
        return _assemble_vae(recipe, find) if "latent" in recipe else _assemble_model(recipe, find)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"this model cannot be built ({type(error).__name__}): {reason}.") from error


def _built(cls: type, *on: nn.Module, **settings: Any) -> Any:
    """Return an object of a class, a user's own perhaps, on other modules."""
    own = [one for one in (cls, *map(type, on)) if catalog.is_own(qualified_name(one))]
    call = [*(type(one).__name__ for one in on), *(f"{name}={str(value)[:60]}" for name, value in settings.items())]
    with own_code_told(printable(f"{cls.__name__}({', '.join(call)})"), own):
        return cls(*on, **settings)


def _assemble_vae(recipe: Mapping[str, Any], find: FindClass) -> Trained:
    latent, score = dict(recipe["latent"]), None
    if "head" in recipe:

        def score(z: int, condition: int) -> Model:
            backbone, head = dict(recipe["backbone"]), dict(recipe["head"])
            backbone_class, head_class = find(backbone.pop("_target_")), find(head.pop("_target_"))
            width = head_class.width_needed(**head)  # type: ignore[attr-defined]
            given = {} if width is None else {"width": width}
            model: Model = _built(
                head_class, _built(backbone_class, shape=[z], condition=condition, **given, **backbone), **head
            )
            return model

    vae: Trained = find(latent.pop("_target_"))(recipe["shape"], score=score, **latent)
    vae.recipe = dict(recipe)
    return vae


def _refuse_moments(recipe: Mapping[str, Any]) -> None:
    """Refuse a scale of the data that is none."""
    for name, fine in (
        ("mean", math.isfinite),
        ("std", lambda std: 0 < std < math.inf),
        ("noise", lambda s: 0 <= s < math.inf),
    ):
        if not (is_number(recipe[name]) and fine(recipe[name])):
            raise ValueError(f"{name}={recipe[name]} of the data is none")


def _assemble_model(recipe: Mapping[str, Any], find: FindClass) -> Model:
    _refuse_moments(recipe)
    backbone, head, sampler = (dict(recipe[part]) for part in ("backbone", "head", "sampler"))
    backbone_class, head_class, sampler_class = (find(part.pop("_target_")) for part in (backbone, head, sampler))
    width = head_class.width_needed(**head)  # type: ignore[attr-defined]
    given = {} if width is None else {"width": width}
    levels = {"levels": recipe["levels"]} if "levels" in recipe else {}
    model: Model = _built(
        head_class,
        _built(backbone_class, shape=recipe["shape"], **given, **backbone),
        mean=recipe["mean"],
        std=recipe["std"],
        noise=recipe["noise"],
        **levels,
        **head,
    )
    model.sampler = _built(sampler_class, **sampler)
    if isinstance(model, WithLikelihood) and "likelihood" in recipe:
        likelihood = dict(recipe["likelihood"])
        model.likelihood = find(likelihood.pop("_target_"))(**likelihood)  # type: ignore[assignment]
    model.recipe = dict(recipe)
    return model


def read_config(folder: Path, check: Check, unused: Sequence[str] = ()) -> dict[str, Any]:
    """Return the config.yaml of a folder; every class that it names has passed the check.

    Args:
        folder: of a run or of a saved model.
        check: refuses a class.
        unused: sections from which nothing is built, whose classes are not checked.

    Raises:
        UserError: no such file, not YAML, or unsafe.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder} holds no config.yaml: give the folder of a run or of a saved model.")
    try:
        config = read_yaml(path)
    except Unreadable as error:
        raise UserError(
            f"{path} cannot be read as plain YAML ({printable(str(error))}): nothing was loaded."
        ) from error
    refuse_unsafe(config, check, str(path), unused)
    if "model" not in config:
        raise UserError(f"{path} has no model section: give the folder of a run or of a saved model.")
    return dict(catalog.updated(config))


def refuse_larger(recipe: Mapping[str, Any], weights: int, find: FindClass) -> None:
    """Refuse a recipe with a size that so many weights cannot be of, before anything of it is allocated.

    Raises:
        UserError: the size.
    """
    shape = recipe.get("shape")
    sizes = [("shape", size) for size in (shape if is_list(shape) else ())]
    for part in ("backbone", "head", "latent"):
        if not has_shape(recipe, {part: {"_target_": str}}):
            continue  # broken ones are refused where they are built
        ranges = kinds(find(recipe[part]["_target_"]))
        for name, value in recipe[part].items():
            if SEED not in [one for kind in ranges.get(name, ()) for one in kind.ranges]:
                sizes += [(f"{part}.{name}", one) for one in (value if is_list(value) else [value])]
    for name, size in sizes:
        if is_whole(size, weights + 1) and size > SMALL:
            raise UserError(f"this config has {name}={size:,}, and {weights:,} weights beside it: nothing was loaded.")


def local_folder(folder: str | Path) -> Path:
    """Return a folder on this machine.

    Raises:
        UserError: a URL, or no such folder.
    """
    if not isinstance(folder, str | PathLike):
        raise UserError(f"{folder!r} is no path: give the folder of a run or of a saved model.")
    if "://" in str(folder):
        raise UserError(f"{folder} is an address, and Scorewise loads from folders only: download it first.")
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder of a run or of a saved model.")
    return path


def load(folder: str | Path, classes: Sequence[type] = ()) -> Any:
    """Return a trained model from a run folder or a folder written by `model.save`.

    It reads config.yaml (plain values; only classes of Scorewise's own table or handed in) and
    weights.safetensors (plain numbers). Nothing in the folder is executed.

    Args:
        folder: on this machine.
        classes: your own classes that the config names.

    Returns:
        a `Model` with the methods of its head: conditional_score, score, log_prob, sample ...

    Raises:
        UserError: what is missing, damaged or refused.
    """
    path, find = local_folder(folder), class_finder(classes)
    config = read_config(path, lambda *targets: refuse_unknown(*targets, classes=classes), OF_TRAINING)
    weights = path / "weights.safetensors"
    if not weights.is_file():
        pickled = sorted(
            str(file.relative_to(path)) for file in path.rglob("*") if file.suffix in (".pt", ".pth", ".bin")
        )
        raise UserError(
            f"{path} holds no weights.safetensors"
            + (f", and pickled weights ({pickled[0]}) are not loaded" if pickled else "")
            + ": finish the run first, or give a folder written by model.save."
        )
    try:
        refuse_larger(config["model"], weights_in(weights), find)
        model = assemble(config["model"], find)
        fill(model, weights)
    except Unreadable as error:
        reason = printable(str(error))
        raise UserError(f"{weights} does not fit its config or is damaged ({reason}): nothing was loaded.") from error
    return model.eval()


__getattr__ = renamed(__name__, {"table": "class_finder"})
