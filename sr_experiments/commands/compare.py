"""`sr compare`: compare runs, as an HTML page, a table or JSON."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Run folders, or folders of runs such as a sweep.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    table: Annotated[bool, typer.Option("--table", help="Print a table instead of writing a page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of writing a page.")] = False,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--evaluation", "-e", help="File written by sr evaluate --json, to compare image by image."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Number of validation crops to show.")] = 8,
    max_mb: Annotated[int, typer.Option(min=0, help="Maximum total size of images and clips in the page, in MB.")] = 60,
    live: Annotated[
        bool, typer.Option("--live", help="Serve the page on this machine and keep it up to date, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for --live; 0: any free port.")] = 0,
) -> None:
    """Compare runs: settings that differ, metrics, curves and images side by side."""
    from sr_experiments.errors import SRError
    from sr_experiments.report.command import print_json, print_table, serve_page, write_page

    if live:
        if as_json or table:
            raise SRError(f"--live serves a page: leave out {'--json' if as_json else '--table'}")
        serve_page(runs, evaluation or [], pictures, max_mb, port)
    elif as_json:
        print_json(runs)
    elif table:
        print_table(runs)
    else:
        write_page(runs, output, evaluation or [], pictures, max_mb)
