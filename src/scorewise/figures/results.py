"""What a figure found, and the text of its config that says it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scorewise.errors import UserError

Facts = Mapping[str, Any]
"""What stands for the fields in braces of a text, by name."""


class ResultTable:
    """Rows of numbers, whose caption and columns the figure's config has.

    Args:
        name: of the table in the config.
        rows: of cells.
        columns: where they depend on what was found; None: those of the config.
        facts: for its caption and columns alone.
    """

    def __init__(
        self, name: str, rows: Sequence[Sequence[Any]], columns: Sequence[str] | None = None, /, **facts: Any
    ) -> None:
        self.name, self.rows, self.columns, self.facts = name, rows, columns, facts


class Claim:
    """Whether a sentence of the figure's config holds.

    Args:
        name: of the claim in the config.
        holds: what the numbers say.
        facts: for its sentence and what was measured, alone.
    """

    def __init__(self, name: str, holds: bool, /, **facts: Any) -> None:
        self.name, self.holds, self.facts = name, holds, facts


@dataclass(frozen=True)
class Results:
    """Everything that a figure found.

    Args:
        tables, claims: in their order.
        facts: for all texts, beside the settings of the budget.
        notes: of notes that are said once for each of several things, or only now and then: the facts of each time.
            Every other note of the config is said once.
        data: further numbers that the picture is drawn from.
        arrays: what the picture shows and no file of numbers should hold, such as samples.
    """

    tables: Sequence[ResultTable]
    claims: Sequence[Claim]
    facts: Facts = field(default_factory=dict)
    notes: Mapping[str, Sequence[Facts]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Text:
    """What a figure's config says; fields in braces are as `str.format` has them.

    Args:
        title: of the figure.
        tables: a caption by name, and columns where they are always the same.
        claims: a sentence by name, and what was measured.
        notes: for readers, by name.
        panels: labels of the picture.
    """

    title: str
    tables: Mapping[str, Mapping[str, Any]]
    claims: Mapping[str, Mapping[str, str]]
    notes: Mapping[str, str]
    panels: Mapping[str, str]

    @classmethod
    def of(cls, figure: Mapping[str, Any]) -> "Text":
        """Return the text of a figure's config."""
        return cls(figure["title"], *(figure.get(part, {}) for part in ("tables", "claims", "notes", "panels")))

    def said(self, found: Results, settings: Facts) -> dict[str, Any]:
        """Return tables, claims, notes and data as a file of JSON holds them, every field filled.

        Args:
            found: of the figure.
            settings: of the budget.

        Raises:
            UserError: a table, claim or field that the config or the results lack.
        """
        facts = {**settings, **found.facts}
        notes = [
            _filled(note, {**facts, **more})
            for name, note in self.notes.items()
            for more in found.notes.get(name, [{}])
        ]
        said: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "tables": [self._table(table, facts) for table in found.tables],
                    "claims": [self._claim(claim, facts) for claim in found.claims],
                    "notes": notes,
                    "data": found.data,
                }
            )
        )
        return said

    def _table(self, table: ResultTable, facts: Facts) -> dict[str, Any]:
        of_config, facts = _named(self.tables, table.name, "tables"), {**facts, **table.facts}
        columns = table.columns or [_filled(column, facts) for column in _named(of_config, "columns", table.name)]
        return {"caption": _filled(of_config["caption"], facts), "columns": columns, "rows": table.rows}

    def _claim(self, claim: Claim, facts: Facts) -> dict[str, Any]:
        of_config, facts = _named(self.claims, claim.name, "claims"), {**facts, **claim.facts}
        sentence, measured = (_filled(_named(of_config, part, claim.name), facts) for part in ("sentence", "measured"))
        return {"sentence": sentence, "holds": bool(claim.holds), "measured": measured}


def _named(part: Mapping[str, Any], name: str, of: str) -> Any:
    if name not in part:
        raise UserError(f"the figure's config has no {name} under {of}: add it there, beside {', '.join(part)}.")
    return part[name]


def _filled(text: str, facts: Facts) -> str:
    try:
        return text.format(**facts)
    except KeyError as missing:
        known = ", ".join(facts)
        raise UserError(f"'{text}' has the field {missing}, which was not found: use one of {known}.") from missing
