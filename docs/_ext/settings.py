"""`{settings} trainer`: a group's settings with meaning, what they take and default, from conf/ and its schema.

Of a group like `trainer` the values are those of its YAML file. Of components, `{components} model generator`, they are
the defaults of the component's own signature; a YAML file in conf/ may set others.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CONF = Path(__file__).resolve().parents[2] / "conf"
SCHEMA = json.loads((CONF / "schema.json").read_text(encoding="utf-8"))["$defs"]
NOT_SET = ("name", "defaults")
GROUPS = ("model", "loss", "data", "degradation", "metrics", "optim", "trainer", "logger", "callbacks", "hydra")


def cell(value: Any) -> str:
    """Return a value or text as it can stand in a Markdown table."""
    return joined(str(value)).replace("<", "&lt;")


def code(value: Any) -> str:
    """Return a value as YAML has it; nothing of one that isn't there."""
    return "" if value is None else f"`{joined(value if isinstance(value, str) else json.dumps(value))}`"


def joined(text: str) -> str:
    """Return a text as it can stand between backticks in a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def inner(setting: Mapping[str, Any]) -> str | None:
    """Return the name of the group that a setting is; None of a value."""
    name = setting.get("$ref", "").removeprefix("#/$defs/")
    return name if name and "properties" in SCHEMA.get(name, {}) else None


def rows(definition: str, values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Give a row for each setting of a group, and of the groups in it."""
    for key, setting in SCHEMA[definition]["properties"].items():
        if key in NOT_SET or (definition == "run" and key in GROUPS):  # those have tables of their own
            continue
        if name := inner(setting):
            held = values.get(key)
            yield from rows(name, held if isinstance(held, Mapping) else {}, f"{prefix}{key}.")
            continue
        meaning = setting.get("description", "")
        default = values.get(key, setting.get("default"))
        takes = setting.get("takes", "")
        yield f"| `{prefix}{key}` | {cell(meaning[:1].upper() + meaning[1:])} | {cell(takes)} | {code(default)} |"


def table(definition: str, values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the Markdown table of a group."""
    found = list(rows(definition, values, prefix))
    return ["| setting | meaning | takes | default |", "|---|---|---|---|", *found] if found else ["No settings."]


class Settings(SphinxDirective):
    """Settings of a group that is always there: `{settings} trainer Trainer trainer/default.yaml`."""

    required_arguments = 2
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        key, definition, *file = self.arguments
        values = yaml.safe_load((CONF / file[0]).read_text(encoding="utf-8")) if file else {}
        prefix = "" if key == "run" else f"{key}."
        return self.parse_text_to_nodes("\n".join(table(definition, values, prefix)))


class Components(SphinxDirective):
    """All components of a kind, each with its settings: `{components} generator`."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a heading, a description and a table for each."""
        kind, ending = self.arguments[0], self.arguments[1] if len(self.arguments) > 1 else ""
        lines = []
        for definition, group in SCHEMA.items():
            if not (definition.startswith(f"{kind}-") and definition.endswith(ending)):
                continue
            if not ending and definition.endswith("Settings"):
                continue
            name = group["properties"].get("name", {}).get("const") or "a list of steps"
            lines += [f"### {name}", "", group.get("description", ""), "", *table(definition, {}), ""]
        assert lines, f"conf/schema.json has no {kind}"
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("settings", Settings)
    app.add_directive("components", Components)
    return {"parallel_read_safe": True}
