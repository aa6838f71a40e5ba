"""`sr compare`: read runs, compare them, and print a table or JSON, or write the page."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from sr_experiments.display.terminal import stdout_console
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing
from sr_experiments.report.comparison import Comparison, compare
from sr_experiments.report.differences import MISSING
from sr_experiments.report.studies import studies_of
from sr_experiments.report.table import print_comparison
from sr_experiments.runs.reading import NoRun, find_runs, names_of, read_run


def read_all(places: Sequence[Path]) -> Comparison:
    """Read and compare the runs in `places`; an SRError if a place has none, or one can't be read."""
    folders = find_runs(places)
    return compare([read_run(folder, name) for folder, name in zip(folders, names_of(folders), strict=True)])


def print_table(places: Sequence[Path]) -> None:
    """Print the comparison as a table; errors as of `read_all`."""
    comparison, console = read_all(places), stdout_console()
    print_comparison(comparison, console)
    for study in studies_of(comparison.runs):
        for line in study.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_json(places: Sequence[Path]) -> None:
    """Print the comparison as JSON; errors as of `read_all`."""
    comparison = read_all(places)
    rows = []
    for i in range(len(comparison.runs)):
        values = {setting.key: setting.values[i] for setting in comparison.settings}
        settings = {key: None if value is MISSING else value for key, value in values.items()}
        rows.append({**comparison.run_fields(i), "settings": settings})
    content = {
        "runs": rows,
        "higher_is_better": comparison.higher_is_better,
        "notes": comparison.notes,
        "studies": [asdict(study) for study in studies_of(comparison.runs)],
    }
    _print(json.dumps(content, indent=2, default=str))


def write_page(
    places: Sequence[Path], output: Path, evaluations: Sequence[Path], pictures: int, most_megabytes: int
) -> None:
    """Write the comparison as an HTML page to `output`, and print its name and size; the options are those of `page`.

    Raises:
        SRError: as of `read_all` and `page`; `output` can't be written.
    """
    output = output.expanduser()
    if output.is_dir():
        raise SRError(f"{output} is a folder: name the file to write, {output / 'report.html'}")
    _require_plotly()
    from sr_experiments.report.page import page

    comparison = read_all(places)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SRError(f"cannot make the folder {output.parent} ({error.strerror}): choose another with -o") from error
    html = page(comparison, evaluations, pictures, most_megabytes)
    with replacing(output) as temporary:
        temporary.write_text(html, encoding="utf-8")
    count = len(comparison.runs)
    _print(f"{output}: {count} run{'s' if count > 1 else ''}, {len(html) / 1e6:.1f} MB; open it in a browser")


def serve_page(
    places: Sequence[Path], evaluations: Sequence[Path], pictures: int, most_megabytes: int, port: int
) -> None:
    """Serve the page to this machine until Ctrl-C, fresh while runs train; wait for the first if there is none yet.

    Raises:
        SRError: as of `read_all` and `page`; the port is taken.
    """
    _require_plotly()
    from sr_experiments.report.live import LiveRuns, serve_runs

    _wait_for_runs(places)
    serve_runs(LiveRuns(places, evaluations, pictures, most_megabytes), port)


def _wait_for_runs(places: Sequence[Path]) -> None:
    said = False
    while True:
        try:
            find_runs(places)
            return
        except NoRun as error:
            if not said:
                _print(f"{str(error).partition(':')[0]} yet: the page begins with the first; Ctrl-C ends this")
            said = True
        time.sleep(0.5)


def _require_plotly() -> None:
    try:
        import plotly  # noqa: F401
    except ModuleNotFoundError as error:
        raise SRError("the page needs Plotly: pip install plotly; --table works without it") from error


def _print(text: str) -> None:
    Console().print(text, soft_wrap=True, markup=False, highlight=False)
