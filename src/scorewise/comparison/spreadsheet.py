"""The CSV files: one row per run, and one row per set of seeds, with all digits."""

import csv
import io
from collections.abc import Iterable, Sequence

from scorewise.comparison.columns import FACTS, Value
from scorewise.comparison.compared import Compared
from scorewise.comparison.metrics import about
from scorewise.comparison.record import number
from scorewise.comparison.table import mean_over_seeds
from scorewise.errors import printable
from scorewise.files import harmless


def safe(value: Value) -> str:
    """Return a cell: numbers as they are, and a text that a spreadsheet would compute behind an apostrophe."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    return harmless(printable(value))


def _write(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([safe(name) for name in header])
    writer.writerows([safe(value) for value in row] for row in rows)
    return file.getvalue()


def _setting(compared: Compared, place: int, name: str) -> Value:
    value = compared.settings[place].get(name)
    return compared.setting(place, name) if number(value) is None else value


def runs_csv(compared: Compared) -> str:
    """Return comparison.csv; damaged folders are rows as well."""
    shown = {metric.name for metric in compared.metrics}
    names = dict.fromkeys(name for record in compared.records for name in record.metrics)
    metrics = [name for name in names if name in shown or about(name, shown)]
    facts = [fact for fact in FACTS if fact.name not in compared.differing]
    header = [
        *("run", "status", "problems", "group", "law", "seed", *compared.differing, *metrics),
        *(fact.name for fact in facts),
    ]
    rows: list[list[Value]] = []
    for place, record in enumerate(compared.records):
        problems = "; ".join(record.problems)
        seed = number(record.seed)
        rows.append(
            [
                *(record.where, record.status, problems, compared.group_of(place) + 1),
                compared.law_of(place).text,
                record.seed if seed is not None else str(record.seed),
                *(_setting(compared, place, name) for name in compared.differing),
                *(record.metrics.get(name) for name in metrics),
                *(fact.of(compared, place) for fact in facts),
            ]
        )
    for record in compared.unreadable:
        rows.append([record.label, record.status, "; ".join(record.problems), *[None] * (len(header) - 3)])
    return _write(header, rows)


def seeds_csv(compared: Compared) -> str:
    """Return comparison_seeds.csv: for every metric mean, ends of its 95 % interval, and number of seeds."""
    endings = ("mean", "low", "high", "n")
    titles = [f"{metric.title} {ending}" for metric in compared.metrics for ending in endings]
    header = ["group", "runs", "law", "seeds", *compared.differing, *titles]
    rows: list[list[Value]] = []
    for i, group in enumerate(compared.groups):
        first = group.members[0]
        found: list[Value] = []
        for metric in compared.metrics:
            mean = mean_over_seeds(compared, group, metric)
            found += (
                [None, None, None, 0]
                if mean is None
                else [mean.mean, *((mean.low, mean.high) if mean.n > 1 else (None, None)), mean.n]
            )
        seeds = " ".join(str(compared.records[place].seed) for place in group.members)
        settings = [_setting(compared, first, name) for name in compared.differing]
        rows.append([i + 1, compared.label_of(group), compared.law_of(first).text, seeds, *settings, *found])
    return _write(header, rows)
