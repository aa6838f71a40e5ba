"""`sr init`: create a project with its own configuration and network."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to create; its name becomes the project's name.")
    ],
) -> None:
    """Create a project: a folder with a recipe, a network of your own, and a README with the commands."""
    from sr_experiments.config.quoting import shell_path, sr_command
    from sr_experiments.project.lay_out import lay_out

    lay_out(folder)
    typer.echo(f"{folder} is ready; its README.md has more commands. Next:", err=True)
    pip = "uv pip" if sr_command([]).startswith("uv") else "pip"
    for line in (
        f"cd {shell_path(folder)}",
        f"{pip} install -e .",
        sr_command(["train", "--config-dir", "conf", "experiment=mine"]),
    ):
        typer.echo(f"  {line}", err=True)
