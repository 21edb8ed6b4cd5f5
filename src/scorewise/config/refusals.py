"""What Hydra and our own code refuse, as one sentence each."""

import difflib
import re
from collections.abc import Iterable

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from scorewise import catalog
from scorewise.errors import UserError, printable, refused_by_machine, typed


def one_sentence(error: BaseException, command: str) -> str | None:
    """Return what to tell the user about an error, or None where it is not theirs to mend.

    Args:
        error: what was raised.
        command: train or eval.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _of_hydra(error, command)
    told = refused_by_machine(error)
    return None if told is None else str(told)


def _close(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _of_hydra(error: BaseException, command: str) -> str:
    text = "\n".join(str(part) for part in (error, error.__cause__) if part)
    if unread := _unread(error, text):
        return unread
    if match := re.search(r"Could not find '(?:.*/)?([\w.-]+)/([\w.-]+)'", text):
        group, option = match.groups()
        if f"hydra/launcher/{option}" in text:
            return f"hydra/launcher={option} is not installed: pip install 'scorewise[launchers]' brings it"
        known = sorted(catalog.options(group))
        listed = f"use one of {', '.join(known)}{_close(option, known) or '.'}"
        own = "Options of your own are found by hydra.searchpath=[file://...] (docs/extending.md)."
        return f"{group}={option} is no option of {group}: {listed} {own}"
    if "hydra.searchpath must be a list of strings" in text:
        return "hydra.searchpath must be a list of folders: write hydra.searchpath=[file:///home/me/my/conf]."
    if match := re.search(r"Could not override '([^']+)'", text):
        absent = re.search(r"No match in the defaults list|Key '(\w+)' is not in struct\n *full_key: \1\n", f"{text}\n")
        brought = catalog.companions().get(match.group(1).partition(".")[0])
        if absent and brought and match.group(1).partition(".")[0] in catalog.default_options(command):
            return f"{match.group(1)} is of {brought[0]} alone, and another task is chosen: choose that first."
        return _unknown_key(match.group(1), command)
    if match := re.search(r"(?:Key|key) '([^']+)' (?:is )?not in", text):
        return _unknown_key(match.group(1), command)
    if match := re.search(r"No match in the defaults list|Could not load '([^']+)'", text):
        name = match.group(1) or text.split("'")[1] if "'" in text else text
        return _unknown_key(str(name), command)
    if match := re.search(r"Interpolation key '([^']+)' not found\s+full_key: (\S+)", text):
        key, where = match.groups()
        return f"{where} has ${{{key}}}, and there is no setting {key}: for the text itself write \\${{{key}}}"
    if match := re.search(r"[Mm]issing mandatory value: ?(\S*)", text):
        return f"{match.group(1) or 'run'} must be given: python src/{command}.py {match.group(1) or 'run'}=..."
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line)


def _unread(error: BaseException, text: str) -> str | None:
    """Return how to write a setting that Hydra's grammar does not read as it was meant, None for other errors."""
    ambiguous = re.search(r"Ambiguous value for argument '(.*)'\n", text)
    refused = next((found for one in (error, error.__cause__) if (found := getattr(one, "override", None))), None)
    override = ambiguous[1] if ambiguous else refused
    if override is None:
        return None
    key, equals, value = str(override).partition("=")
    if not equals or not re.fullmatch(r"[\w.@/+~-]+", key):
        return f"{printable(str(override))} is no setting: write name=value."
    spelled = typed(key, value)
    if ambiguous:
        several = typed(key, [part.strip() for part in value.split(",")])
        return f"{printable(override)} has a comma in it: as one text {spelled}, as a list {several}."
    what = "has characters that mean something to Hydra: if the value is a text, quote it"
    listed = ", and if it is a list, quote its texts" if value.startswith("[") else ""
    return f"{printable(str(override))} {what}, {spelled}{listed}."


def _unknown_key(key: str, command: str) -> str:
    root, _, rest = key.partition(".")
    groups, main = catalog.groups(), catalog.settings_beside_groups(command)
    top, own = sorted({*groups, *main}), main.get(root)
    if root in groups and root not in catalog.default_options(command):  # it is the run's
        if isinstance(own, dict):
            return f"{key} is no setting of {command}: there is {' and '.join(f'{root}.{name}' for name in own)}"
        if "run" in main:
            return f"{key} is no setting of {command}, which takes the {root} of the run: give it to train"
        return f"{key} is no setting of {command}: the trainings of a figure have theirs in its file in conf/figure"
    if root not in top or not rest:
        return f"{key} is no setting of Scorewise{_close(root, top) or ': the groups are ' + ', '.join(groups) + '.'}"
    settings = {name: set(option) - {"_target_"} for name, option in catalog.options(root).items()}
    if having := [option for option, names in settings.items() if rest.partition(".")[0] in names]:
        return f"{key} is no setting of the chosen {root}: choose {root}={' or '.join(having)} first"
    known = sorted(set().union(*settings.values(), own if isinstance(own, dict) else ()))
    return f"{key} is no setting of {root}{_close(rest, known) or ': there are ' + ', '.join(known)}"
