"""Which law a run models: numbers of different laws are not numbers of the same thing."""

import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scorewise.comparison.record import Record, number
from scorewise.comparison.settings import as_key, shown
from scorewise.comparison.typed_again import option_or_class
from scorewise.config.identity import PLUMBING, of_a_test
from scorewise.errors import printable
from scorewise.ranges import is_whole, mapping_in

NOT_THE_LAW = (
    *("_target_", "smoothing", "batch_size", "epochs", "fresh", "examples_per_epoch", "held_out"),
    *PLUMBING["data"],
)
"""Settings of the data group that do not change the law of an example."""


class Law(NamedTuple):
    """A law that runs model.

    Args:
        letter: A, B ...
        text: the data and the noise.
        members: places of its runs in the list that is compared.
    """

    letter: str
    text: str
    members: tuple[int, ...]


def _key(config: Mapping[str, Any]) -> dict[str, Any]:
    data = config["data"]
    key = {f"data.{name}": value for name, value in data.items() if name not in NOT_THE_LAW}
    smoothing = data.get("smoothing")
    key |= {"data": data["_target_"], "smoothing": smoothing if number(smoothing) is None else number(smoothing)}
    latent = mapping_in(config.get("latent"))
    if latent:
        binary = latent.get("likelihood") == "bernoulli"  # images are drawn black and white; else dequantised
        key |= {
            f"latent.{name}": latent.get(name) for name in ("likelihood", *(() if binary else ("log_std", "width")))
        }
    return key


def laws_of(records: Sequence[Record]) -> list[Law]:
    """Return the laws of runs, in the order in which they first come."""
    keys = [_key(record.config) for record in records]
    members: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        members.setdefault(as_key(key), []).append(place)
    every = [keys[places[0]] for places in members.values()]
    names = dict.fromkeys(name for key in every for name in key if name not in ("data", "smoothing"))
    differing = [name for name in names if any(key.get(name) != every[0].get(name) for key in every)]
    return [Law(_letter(i), _text(every[i], differing), tuple(places)) for i, places in enumerate(members.values())]


def _letter(place: int) -> str:
    letters = string.ascii_uppercase
    return letters[place] if place < 26 else _letter(place // 26 - 1) + letters[place % 26]


def _text(key: Mapping[str, Any], differing: Sequence[str]) -> str:
    data = option_or_class("data", str(key["data"]))
    if "data.name" in key:
        data = f"{data} {key['data.name']}"
    more = [
        f"{name.removeprefix('data.')}={shown(key[name])}" for name in differing if name in key and name != "data.name"
    ]
    if "latent.likelihood" in key and "latent.likelihood" not in differing:
        more.append(f"{key['latent.likelihood']} likelihood")
    noise = f"+ N(0, {shown(key['smoothing'])}^2)" if key["smoothing"] else "as it is"
    return " ".join([data, *([f"({', '.join(more)})"] if more else []), noise])


def other_examples(records: Sequence[Record]) -> list[str]:
    """Return sentences about settings by which runs are measured on other examples."""
    tested = "were tested on different examples"
    measured = {"limit_test_batches": tested, "limit_val_batches": "have validation curves over different examples"}
    found = []
    for key, consequence in measured.items():
        if len({_share(record.config, key) for record in records}) > 1:
            same = len({shown(record.config["trainer"].get(key)) for record in records}) == 1
            name = f"trainer.{key} x data.batch_size" if same else f"trainer.{key}"
            found.append(f"Runs differ in {name}: they {consequence}.")
    held_out = [shown(record.config["data"].get("held_out")) for record in records]
    if any(len({held_out[place] for place in law.members}) > 1 for law in laws_of(records)):
        found.append(f"Runs differ in data.held_out: they {tested}.")
    return found


def other_tests(records: Sequence[Record]) -> list[str]:
    """Return sentences about the settings by which later tests of one name differ between runs."""
    found = []
    for test in dict.fromkeys(name for record in records for name in record.later):
        tests = [record.later[test] for record in records if test in record.later]
        asked = [of_a_test(one) for one in tests]
        known = [key for key in asked[0] if all(key in one for one in asked)]  # others came with a later version
        if names := [key for key in known if any(one[key] != asked[0][key] for one in asked)]:
            what = ", ".join("the examples tested" if name == "tested" else f"task.{name}" for name in names)
            found.append(f"Runs differ in {printable(what)} of {printable(test)}: its numbers are not of one test.")
    return found


def _share(config: Mapping[str, Any], key: str) -> str:
    """Return how many examples a limit of the trainer lets through: a whole number counts batches, another a share."""
    limit = config["trainer"].get(key)
    batches, size = number(limit), number(config["data"].get("batch_size"))
    if is_whole(limit) and batches is not None and size is not None:
        return f"{batches * size:.0f} examples"
    return shown(limit)
