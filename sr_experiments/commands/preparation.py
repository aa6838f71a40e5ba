"""Commands that prepare a training: `sr pack`, `sr degrade`, `sr doctor` and `sr schema`."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def pack(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder of images or clips; with --verify, the pack to check.")
    ],
    destination: Annotated[
        Path | None, typer.Argument(metavar="DST", help="Folder to write; data.train.root=DST trains from it.")
    ] = None,
    lr: Annotated[
        list[Path] | None,
        typer.Option("--lr", help="Folder of the LR of SRC, can be repeated; DST then has HR and each LR by name."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes; by default one per core, at most 8.", show_default=False),
    ] = None,
    on_error: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="At a file that can't be read: stop, or skip it, also in training."),
    ] = "stop",
    verify: Annotated[bool, typer.Option("--verify", help="Read a pack and check it against its checksums.")] = False,
) -> None:
    """Decode images and videos once, into a pack that training reads crops from without decoding."""
    from sr_experiments.data.packs.command import make, verify_all
    from sr_experiments.errors import SRError

    if verify:
        verify_all(destination or source)
    elif destination is None:
        raise SRError("sr pack SRC DST: say where to write the pack")
    else:
        make(source, destination, lr or [], "auto" if workers is None else workers, on_error)


def degrade(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A sharp image.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: HR and several LR.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Its settings: usm=false 'stages.3.quality=[10, 30]'"),
    ] = None,
    config: Annotated[
        str, typer.Option(help="Name of a degradation in conf/degradation, or a YAML file.")
    ] = "real_esrgan",
    scale: Annotated[int, typer.Option(min=1, max=16, help="Downsampling factor.")] = 4,
    count: Annotated[int, typer.Option(min=1, max=64, help="Number of LR images.")] = 8,
    crop: Annotated[int, typer.Option(min=16, help="Side of the centre crop that is shown, in HR pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Degrade an image several times, and show the results beside it, with the parameters that were drawn."""
    from sr_experiments.data.preview import preview

    preview(source, output, config, overrides or [], scale, count, crop, seed)
    typer.echo(f"wrote {output}")


def doctor(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OVERRIDES]...", help="As for train.py: model=rrdbnet data=images ..."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of training images to decode.")] = 2000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each stage to time.")] = 8,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings to this file too.")] = None,
) -> None:
    """Check data, pairing, duplicates, speed and memory of a training run; exit code 1 if something is wrong."""
    from dataclasses import asdict

    from rich.console import Console

    from sr_experiments.doctor.examine import examine
    from sr_experiments.doctor.findings import findings_table
    from sr_experiments.files import write_json

    findings = examine(overrides or [], limit, steps, Console(stderr=True))
    Console().print(findings_table(findings))
    if json_file is not None:
        write_json(json_file, {"findings": [asdict(finding) for finding in findings]})
    raise typer.Exit(int(any(finding.status == "fail" for finding in findings)))


def schema(
    file: Annotated[
        Path | None, typer.Argument(help="A run's config.yaml, or a whole configuration of your own: check it.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if conf/schema.json or a part of it is old.")
    ] = False,
) -> None:
    """Write conf/schema.json, from which editors and --help know the settings; or check a configuration.

    Editors read it by way of .vscode/settings.json, which gives each folder of conf/ its part in .vscode/schemas.
    """
    from sr_experiments.config.schema_file import check_file, write_schema

    if file is not None:
        check_file(file)
        typer.echo(f"{file}: ok")
    elif not write_schema(Path("conf/schema.json"), check):
        typer.echo("conf/schema.json or .vscode/schemas is out of date: run sr schema", err=True)
        raise typer.Exit(1)
