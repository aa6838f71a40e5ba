"""`sr schema`: write conf/schema.json and its parts for editors, or check a YAML file."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None, typer.Argument(help="File to check: a run's config.yaml, or your own complete configuration.")
]


def schema(
    file: Config = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit code 1 if conf/schema.json or a part of it is out of date."),
    ] = False,
) -> None:
    """Write conf/schema.json, which describes the settings to editors and --help; or check a configuration.

    Editors find it through .vscode/settings.json, which maps each folder of conf/ to its part in .vscode/schemas.
    """
    from sr_experiments.config.schema_file import check_file, write_schema

    if file is not None:
        check_file(file)
        typer.echo(f"{file}: ok")
    elif not write_schema(Path("conf/schema.json"), check):
        typer.echo("conf/schema.json or .vscode/schemas is out of date: run sr schema", err=True)
        raise typer.Exit(1)
