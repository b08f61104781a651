"""What became of the molecules of a data set when they were encoded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

EXAMPLES = 3  # that are kept of each kind


@dataclass
class Tally:
    """How many molecules something happened to, and the first of them as (line, SMILES, detail)."""

    count: int = 0
    examples: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, line: int, smiles: str, detail: str = "") -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append((line, smiles, detail))


@dataclass
class EncodingReport:
    """Counts of molecules, with examples.

    Attributes:
        source: name of the data.
        vocabulary: the atom classes.
        dropped_atoms: (class, molecules with it) that an "auto" vocabulary left out as too rare or unknown.
        total: molecules in the data.
        encoded: of these.
        distinct: different constitutions among the encoded graphs.
        skipped: by reason, see `flowsuite.molecules.chemistry.REASONS`.
        losses: what encoding took from the encoded ones, see `flowsuite.molecules.encoder.LOSSES`.
        window: W, the longest bond.
        misfits: of the `encoded` random orders drawn, those with a bond longer than that, to be drawn again.
        checked: molecules decoded again.
        same: those that came back with the same constitution (canonical SMILES without stereochemistry).
        changed: those that came back as another molecule; detail: as which.
        refused: those whose graph RDKit refuses.
        sizes: molecules of each number of heavy atoms.
    """

    source: str = ""
    vocabulary: tuple[str, ...] = ()
    dropped_atoms: list[tuple[str, int]] = field(default_factory=list)
    total: int = 0
    encoded: int = 0
    distinct: int = 0
    skipped: dict[str, Tally] = field(default_factory=dict)
    losses: dict[str, Tally] = field(default_factory=dict)
    window: int = 0
    misfits: int = 0
    checked: int = 0
    same: int = 0
    changed: Tally = field(default_factory=Tally)
    refused: Tally = field(default_factory=Tally)
    sizes: dict[int, int] = field(default_factory=dict)

    def skip(self, reason: str, line: int, smiles: str | None, detail: str = "") -> None:
        self.skipped.setdefault(reason, Tally()).add(line, smiles or "", detail)

    def check(self, line: int, smiles: str, encoded: str, again: str | None) -> None:
        """Notes how a molecule came back from its graph; `encoded` and `again` are canonical."""
        self.checked += 1
        if again is None:
            self.refused.add(line, smiles)
        elif again == encoded:
            self.same += 1
        else:
            self.changed.add(line, smiles, again)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EncodingReport:
        values = json.loads(text)
        for name in ("skipped", "losses"):
            values[name] = {key: tally(value) for key, value in values[name].items()}
        for name in ("changed", "refused"):
            values[name] = tally(values[name])
        values["vocabulary"] = tuple(values["vocabulary"])
        values["dropped_atoms"] = [tuple(pair) for pair in values["dropped_atoms"]]
        values["sizes"] = {int(size): count for size, count in values["sizes"].items()}
        return cls(**values)

    def summary(self) -> str:
        """One line: how many were encoded, and why the others were not."""
        reasons = ", ".join(f"{tally.count} {reason}" for reason, tally in self.by_count(self.skipped))
        return f"{self.source}: {self.encoded:,} of {self.total:,} molecules encoded" + (
            f" ({reasons})" if reasons else ""
        )

    @staticmethod
    def by_count(tallies: dict[str, Tally]) -> list[tuple[str, Tally]]:
        return sorted(tallies.items(), key=lambda pair: -pair[1].count)

    def rows(self) -> list[tuple[str, int, str, str]]:
        """(what, molecules, share, examples) of the table."""
        kept, checked = f"of {self.encoded:,} encoded", f"of {self.checked:,} decoded again"
        rows = [("molecules", self.total, "", ""), ("encoded", self.encoded, percent(self.encoded, self.total), "")]
        rows.append(("  distinct constitutions", self.distinct, percent(self.distinct, self.encoded), kept))
        for reason, each in self.by_count(self.skipped):
            rows.append((f"skipped: {reason}", each.count, percent(each.count, self.total), shown(each)))
        for what, each in self.by_count(self.losses):
            rows.append((f"lost: {what}", each.count, percent(each.count, self.encoded), shown(each)))
        if self.checked:
            rows.append(("came back the same", self.same, percent(self.same, self.checked), checked))
            for name, each in (("came back changed", self.changed), ("refused by RDKit", self.refused)):
                rows.append((name, each.count, percent(each.count, self.checked), shown(each)))
        rows.append(
            (f"orders beyond window {self.window}", self.misfits, percent(self.misfits, self.encoded), "drawn again")
        )
        for name, count in self.dropped_atoms:
            rows.append((f"atom class left out: {name}", count, percent(count, self.total), "rare or unknown"))
        return rows

    def print(self) -> None:
        """The table, and the sizes, on stdout."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        console = Console()
        if not console.is_terminal:
            console = Console(width=140)
        table = Table(title=f"{self.source}: {', '.join(self.vocabulary)}", title_justify="left")
        table.add_column("")
        table.add_column("molecules", justify="right")
        table.add_column("share", justify="right")
        table.add_column("first examples (line: SMILES)", overflow="fold")
        for what, count, part, note in self.rows():
            table.add_row(escape(what), f"{count:,}", part, escape(note))
        console.print(table)
        sizes = ", ".join(f"{size}: {count:,}" for size, count in sorted(self.sizes.items()))
        console.print(f"heavy atoms: {sizes or 'none'}", highlight=False)


def tally(values: dict) -> Tally:
    return Tally(values["count"], [tuple(example) for example in values["examples"]])


def percent(count: int, total: int) -> str:
    return f"{100 * count / total:.2f} %" if total else ""


def shown(each: Tally) -> str:
    return "; ".join(
        f"{line}: {smiles or '(nothing)'}" + (f" ({detail})" if detail else "")
        for line, smiles, detail in each.examples
    )
