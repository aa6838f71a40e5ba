"""`sr doctor`: check a training configuration before a long run."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OVERRIDES]...", help="Overrides as for sr train: model=rrdbnet data=images ..."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Decode at most this many training images.")] = 2000,
    steps: Annotated[int, typer.Option(min=1, help="Number of steps to time in each stage.")] = 8,
    config_dir: Annotated[
        Path | None, typer.Option("--config-dir", help="Folder with your own YAML files, as in sr train.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the findings to this file.")] = None,
) -> None:
    """Check data, pairing, duplicates, speed and memory of a training run; exit code 1 if something is wrong."""
    from dataclasses import asdict

    from rich.console import Console

    from sr_experiments.doctor.examine import examine
    from sr_experiments.doctor.findings import findings_table
    from sr_experiments.files.writing import write_json

    findings = examine(overrides or [], limit, steps, Console(stderr=True), config_dir)
    Console().print(findings_table(findings))
    if json_file is not None:
        write_json(json_file, {"findings": [asdict(finding) for finding in findings]})
    raise typer.Exit(int(any(finding.status == "fail" for finding in findings)))
