"""What the doctor found, and how it is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was looked at.
        status: "pass", "warn" or "fail".
        found: what was seen.
        todo: what to do about it; empty where nothing is to be done.
    """

    check: str
    status: str
    found: str
    todo: str = ""


def findings_table(findings: Sequence[Finding]) -> Table:
    """One row a check."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("check", "", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        mark = f"[{COLOURS[finding.status]}]{finding.status}[/]"
        table.add_row(finding.check, mark, *(text.replace("[", "\\[") for text in (finding.found, finding.todo)))
    return table
