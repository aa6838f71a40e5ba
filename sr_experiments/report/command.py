"""`sr compare`: read runs, put them side by side, write or print."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from sr_experiments.errors import SRError
from sr_experiments.files import replacing
from sr_experiments.report.comparison import Comparison, as_dict, compare
from sr_experiments.report.studies import studies_of
from sr_experiments.report.table import show, terminal
from sr_experiments.runs.reading import find_runs, names_of, read_run


def read_all(places: Sequence[Path]) -> Comparison:
    """The runs in places, side by side.

    Raises:
        SRError: a place without runs, a run that can't be read.
    """
    folders = find_runs(places)
    return compare([read_run(folder, name) for folder, name in zip(folders, names_of(folders), strict=True)])


def print_table(places: Sequence[Path]) -> None:
    """The table on stdout; errors as of `read_all`."""
    comparison, console = read_all(places), terminal()
    show(comparison, console)
    for study in studies_of(comparison.runs):
        for line in study.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_json(places: Sequence[Path]) -> None:
    """The same as JSON; errors as of `read_all`."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    comparison = read_all(places)
    content = {**as_dict(comparison), "studies": [asdict(study) for study in studies_of(comparison.runs)]}
    console.print(json.dumps(content, indent=2, default=str))


def write_page(
    places: Sequence[Path], output: Path, evaluations: Sequence[Path], pictures: int, most_megabytes: int
) -> None:
    """Write the page, and say what to do with it.

    Args:
        places: run folders, or folders of runs.
        output: the HTML file.
        evaluations: files of `sr evaluate --json`.
        pictures: how many validation crops to show.
        most_megabytes: of pictures and clips together.

    Raises:
        SRError: as `read_all`; `output` can't be written; an evaluation is none.
    """
    output = output.expanduser()
    if output.is_dir():
        raise SRError(f"{output} is a folder: name the file to write, {output / 'report.html'}")
    try:
        import plotly  # noqa: F401
    except ModuleNotFoundError as error:
        raise SRError("the page needs Plotly: pip install plotly; --table works without it") from error
    from sr_experiments.report.page import page

    comparison = read_all(places)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SRError(f"cannot make the folder {output.parent} ({error.strerror}): choose another with -o") from error
    html = page(comparison, evaluations, pictures, most_megabytes)
    with replacing(output) as temporary:
        temporary.write_text(html, encoding="utf-8")
    runs = f"{len(comparison.runs)} run{'s' if len(comparison.runs) > 1 else ''}"
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(f"{output}: {runs}, {len(html) / 1e6:.1f} MB; open it in a browser")
