"""Findings of `sr doctor`, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from sr_experiments.display.terminal import make_table

COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    check: str  # what was checked
    status: str  # "pass", "warn" or "fail"
    found: str  # what was found
    todo: str = ""  # what to do about it; empty where nothing is to be done


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return a table with a row per check."""
    rows = [
        (f.check, f"[{COLOURS[f.status]}]{f.status}[/]", *(text.replace("[", "\\[") for text in (f.found, f.todo)))
        for f in findings
    ]
    return make_table(("check", "", "found", "what to do"), rows, left=4)
