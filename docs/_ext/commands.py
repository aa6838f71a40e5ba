"""`{command} upscale`: usage, description, arguments and options of `sr upscale`, read from the command itself."""

from docutils import nodes
from settings import cell, joined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer import Context
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from sr_experiments.cli import app


def rows(command: TyperCommand, context: Context) -> list[str]:
    """Return the rows of the table: arguments first, options with their defaults."""
    records = [parameter.get_help_record(context) for parameter in command.params]
    return [f"| `{joined(name)}` | {cell(meaning)} |" for name, meaning in filter(None, records)]


class Command(SphinxDirective):
    """The help of one command."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the command, and return its description and table."""
        group = get_command(app)
        assert isinstance(group, TyperGroup)
        [name] = self.arguments
        command = group.commands[name]
        assert isinstance(command, TyperCommand)
        context = Context(command, info_name=name, parent=Context(group, info_name="sr"))
        usage = " ".join(command.collect_usage_pieces(context))
        lines = [
            f"    sr {name} {usage}", "", command.help or "", "",
            "| argument or option | meaning |", "|---|---|", *rows(command, context),
        ]  # fmt: skip
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command", Command)
    return {"parallel_read_safe": True}
