"""Options that settings imply whose group was left at auto. Importing this imports neither torch nor Lightning."""

import re
from collections.abc import Sequence
from contextlib import nullcontext

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from scorewise import catalog
from scorewise.errors import UserError

SETTLED = ("head", "sampler", "likelihood")
"""Groups that can be left at auto."""
WITH_SETTINGS = re.compile(rf"({'|'.join(SETTLED)})\.\w")
SWEPT_ELSEWHERE = ("sweep", "hydra.sweeper")
"""What sweeps options without naming them in a word of their own."""


def with_options(command: str, words: Sequence[str]) -> list[str]:
    """Return the words of a command with the option that auto stands for, for groups whose settings are typed.

    `objective=csm head.hidden=[32,32]` becomes `objective=csm head=conditional_score head.hidden=[32,32]`. Words stay
    as they are where options are swept, and where they cannot be composed, which the command itself refuses.

    Args:
        command: train or tune.
        words: as typed.
    """
    open_groups = {found[1] for word in words if (found := WITH_SETTINGS.match(word))}
    open_groups -= {word.partition("=")[0] for word in words}
    if not open_groups or not open_groups <= {*catalog.default_options(command)}:
        return list(words)
    first = next(i for i, word in enumerate(words) if WITH_SETTINGS.match(word))  # all words stand together
    try:
        return [*words[:first], *_options(command, words, sorted(open_groups)), *words[first:]]
    except (HydraException, OmegaConfBaseException, UserError):
        return list(words)


def _options(command: str, words: Sequence[str], open_groups: Sequence[str]) -> list[str]:
    """Return the options that auto comes to in groups, where it stands for one."""
    from scorewise.config.identity import plain
    from scorewise.config.settle import settle

    typed = OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")])
    if any(_sweeps_options(one) for one in typed):
        return []
    fixed = [str(one.input_line) for one in typed if not _is_of(one, open_groups) and not one.is_sweep_override()]
    inside = GlobalHydra.instance().is_initialized()
    with nullcontext() if inside else initialize_config_dir(str(catalog.folder()), version_base="1.3"):
        config = plain(compose(command, overrides=fixed))
    settled = settle(config)
    return [
        f"{group}={catalog.option_name(group, settled[group]['_target_'])}"
        for group in open_groups
        if config[group]["_target_"] == "auto"
    ]


def _is_of(override: Override, groups: Sequence[str]) -> bool:
    return override.key_or_group.partition(".")[0] in groups


def _sweeps_options(override: Override) -> bool:
    key = override.key_or_group
    return key.startswith(SWEPT_ELSEWHERE) or (key in catalog.groups() and override.is_sweep_override())
