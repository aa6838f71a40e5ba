"""Settings that a resume changed, and from which step on: in the header of config.yaml, one JSON object a line."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LISTED = re.compile(r"^#   (\{.*\})$", re.MULTILINE)
MISSING: Any = "(none)"  # value of a setting that was not there


@dataclass(frozen=True)
class Change:
    """A setting that a resume changed."""

    step: int  # the first that was trained with it, counted from 0
    setting: str  # dotted key
    before: Any  # value until then; "(none)" where it was not set
    now: Any  # value from then on; "(none)" where it was removed

    def __str__(self) -> str:
        return f"from step {self.step} {self.setting}={_short(self.now)} instead of {_short(self.before)}"


def read_changes(folder: Path) -> list[Change]:
    """Return the changes that the config.yaml of a run lists."""
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    changes = []
    for line in LISTED.findall(text.split("\ndefaults:")[0]):
        try:
            changes.append(Change(**json.loads(line)))
        except (ValueError, TypeError):  # edited by hand
            continue
    return changes


def listed(changes: Sequence[Change]) -> str:
    """Return the lines of config.yaml's header that list changes."""
    return "".join(f"#   {json.dumps(asdict(change), ensure_ascii=False, default=str)}\n" for change in changes)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
