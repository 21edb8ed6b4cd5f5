"""What was measured of the finished trainings of a figure, kept so that more seeds can be added on another day."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scorewise.errors import UserError
from scorewise.files import make_folder, put_text


@dataclass(frozen=True)
class KeptSeed:
    """One finished training: what it says of itself and what a figure measured of it.

    Args:
        training: its name in the figure.
        seed: of the training.
        summary: its summary.json, with the identity of its config.
        measured: results of measurements by their keys, see `Bench.once_of`.
    """

    training: str
    seed: int
    summary: Mapping[str, Any]
    measured: Mapping[str, Any]


class NotKept(Exception):
    """Something is asked of a training that is not here, and was not kept of it."""

    def __init__(self, kept: KeptSeed) -> None:
        super().__init__(f"{kept.training} seed={kept.seed}: what is asked of it was not kept")
        self.kept = kept


class KeptSeeds:
    """A file with a line per training and seed, and beside it the feature extractors that images were judged by.

    Args:
        path: of the file, which need not be there.

    Raises:
        UserError: a line that is none of these.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.is_file() else []
        self._by_identity: dict[str, KeptSeed] = {}
        for i, line in enumerate(lines, 1):
            try:
                kept = KeptSeed(**json.loads(line))
                self._by_identity[kept.summary["identity"]] = kept
            except (ValueError, TypeError, KeyError) as error:
                raise UserError(f"{path}, line {i}, is no kept training ({error}): remove the line.") from error

    @property
    def features(self) -> Path:
        """Where the feature extractors are: FID and KID of two seeds compare by the same one only."""
        return self.path.parent / "features"

    def forget(self, kept: KeptSeed) -> None:
        """Take a training for one that has no line, until it is added again."""
        del self._by_identity[kept.summary["identity"]]

    def of(self, identity: str) -> KeptSeed | None:
        """Return what is kept of the training whose config has this identity, or nothing."""
        return self._by_identity.get(identity)

    def add(self, finished: Sequence[KeptSeed]) -> None:
        """Write the file with these trainings; to a line of the same config goes what was measured besides."""
        for each in finished:
            known = self._by_identity.get(identity := each.summary["identity"])
            measured = {**(known.measured if known else {}), **each.measured}
            self._by_identity[identity] = replace(each, measured=measured)
        make_folder(self.path.parent)
        put_text(self.path, "".join(json.dumps(asdict(each)) + "\n" for each in self._by_identity.values()))
