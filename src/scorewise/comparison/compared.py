"""Runs side by side: everything that the terminal, the CSV files and the page show, found once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from scorewise.comparison.labels import label_of, short_names, telling
from scorewise.comparison.law import Law, laws_of, other_examples, other_tests
from scorewise.comparison.metrics import Metric, metrics_of, objective_of
from scorewise.comparison.record import Record
from scorewise.comparison.seeds import Group, groups_of
from scorewise.comparison.settings import Settings, differing, settings_of, shown
from scorewise.comparison.typed_again import NotTyped, retyped
from scorewise.errors import names_of, printable

MOST = 1_000
"""Columns of metrics, and of settings, over all runs."""
NAMED = 3
"""Runs that a sentence names before it says how many more there are."""


class Compared(NamedTuple):
    """Runs side by side, with everything that terminal, CSV files and page show of them.

    Args:
        records: runs whose config could be read.
        unreadable: run folders whose config could not be read.
        settings: of every run.
        differing: names of the settings in which runs differ.
        telling: those of them that tell runs apart, as far as any do.
        short: what their columns are called.
        groups: runs that differ in the seed only.
        laws: that they model.
        metrics: that they have.
        left_out: metrics and settings beyond those that are shown, how many by what they are.
        commands: how each is run again, or why that is not known.
    """

    records: list[Record]
    unreadable: list[Record]
    settings: list[Settings]
    differing: list[str]
    telling: list[str]
    short: dict[str, str]
    groups: list[Group]
    laws: list[Law]
    metrics: list[Metric]
    left_out: dict[str, int]
    commands: list[str]

    @property
    def seeds_repeat(self) -> bool:
        """Whether any runs differ in the seed only."""
        return any(len(group.members) > 1 for group in self.groups)

    def law_of(self, place: int) -> Law:
        """Return the law that a run models."""
        return next(law for law in self.laws if place in law.members)

    def group_of(self, place: int) -> int:
        """Return the place of the group that a run is in."""
        return next(i for i, group in enumerate(self.groups) if place in (*group.members, *group.repeated))

    def label_of(self, group: Group) -> str:
        """Return what a group is called: its run, or what tells its runs from those of other groups, and how many."""
        first = group.members[0]
        if len(group.members) == 1:
            return self.records[first].label
        settings = label_of(self.settings[first], self.telling, self.short)
        return f"{settings} ({len(group.members)} seeds)".lstrip()

    def setting(self, place: int, name: str) -> str:
        """Return a run's setting as it is typed; empty where it has none."""
        return printable(shown(self.settings[place][name])) if name in self.settings[place] else ""


def compare_records(records: Sequence[Record]) -> Compared:
    """Compare runs; those whose config could not be read are set aside."""
    known = [record for record in records if record.comparable]
    settings, metrics = differing(known), metrics_of(known)
    known = _called(known, groups_of(known), settings[:MOST])
    every = [settings_of(record) for record in known]
    counts = {"metrics": len(metrics) - MOST, "settings in which they differ": len(settings) - MOST}
    return Compared(
        records=known,
        unreadable=[record for record in records if not record.comparable],
        settings=every,
        differing=settings[:MOST],
        telling=telling(every, settings[:MOST]),
        short=short_names(settings[:MOST]),
        groups=groups_of(known),
        laws=laws_of(known),
        metrics=metrics[:MOST],
        left_out={what: count for what, count in counts.items() if count > 0},
        commands=[_command(record) for record in known],
    )


def _called(records: Sequence[Record], groups: Sequence[Group], differing: Sequence[str]) -> list[Record]:
    """Return runs under the settings that tell them apart, their seeds, and where that is not enough their folders."""
    settings, short = [settings_of(record) for record in records], short_names(differing)
    names, labels = telling(settings, differing), [""] * len(records)
    for group in groups:
        for place in (*group.members, *group.repeated):
            seed = [f"seed={records[place].seed}"] if len(group.members) > 1 else []
            labels[place] = " ".join(filter(None, [label_of(settings[place], names, short), *map(printable, seed)]))
    count = Counter(labels)
    found = []
    for record, label in zip(records, labels, strict=True):
        label = record.label if not label else label if count[label] == 1 else f"{label} ({record.label})"
        found.append(replace(record, label=label, folder=record.where))
    return found


def _command(record: Record) -> str:
    try:
        return retyped(record.config)
    except NotTyped as reason:
        return f"not known: {printable(str(reason))}"


class Caveat(NamedTuple):
    """What must be known before two numbers are compared.

    Args:
        sentence: what it is.
        parts: of what it is, one line each.
    """

    sentence: str
    parts: list[str]


def caveats(compared: Compared, most: int = NAMED) -> list[Caveat]:
    """Return what must be known before two numbers are compared.

    Args:
        compared: runs.
        most: runs of each kind that are named.
    """
    found = []
    if len(compared.laws) > 1:
        sentence = (
            f"These runs model {len(compared.laws)} different laws (data or noise), so their nll, bits_per_dim, losses "
            "and errors are not of the same thing: compare only runs of the same letter."
        )
        labels = {law: [compared.records[place].label for place in law.members] for law in compared.laws}
        parts = [f"{law.letter}: {printable(law.text)}: {names_of(labels[law], most)}" for law in labels]
        found.append(Caveat(sentence, parts))
    sentences = [
        *(f"{count:,} more {what} are left out: only {MOST:,} are shown." for what, count in compared.left_out.items()),
        *_scales(compared),
        *other_examples(compared.records),
        *other_tests(compared.records),
    ]
    found += [Caveat(sentence, []) for sentence in sentences]
    if repeated := _repeated(compared):
        found.append(Caveat("Runs have the settings and the seed of others, and are counted once.", repeated))
    return found


def _scales(compared: Compared) -> list[str]:
    """Return sentences about objectives whose runs differ in the objective's own settings."""
    own = [name for name in compared.differing if name.startswith("objective.")]
    found = []
    for objective in sorted({objective_of(record) for record in compared.records}):
        mine = [place for place, record in enumerate(compared.records) if objective_of(record) == objective]
        if changed := [name for name in own if len({compared.setting(place, name) for place in mine}) > 1]:
            what = f"{', '.join(map(printable, changed))}, so their losses need not be on one scale: other numbers are."
            found.append(f"Runs of objective={printable(objective)} differ in {what}")
    return found


def _repeated(compared: Compared) -> list[str]:
    records, found = compared.records, []
    for group in compared.groups:
        for place in group.repeated:
            twin = next(one for one in group.members if repr(records[one].seed) == repr(records[place].seed))
            found.append(f"{records[place].where} repeats {records[twin].where}")
    return found
