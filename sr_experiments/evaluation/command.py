"""`sr evaluate`: measure, write the files, show the tables."""

from pathlib import Path

from rich.console import Console

from sr_experiments.display.logging_setup import log_to_console
from sr_experiments.display.terminal import job_progress, stdout_console
from sr_experiments.evaluation.evaluate import Request, evaluate
from sr_experiments.evaluation.record import check_place, write_report_csv, write_report_json
from sr_experiments.evaluation.table import show


def run(request: Request, json_file: Path | None, csv_file: Path | None) -> None:
    """Measure, with a progress bar on stderr and the tables on stdout.

    Args:
        request: what to measure.
        json_file: for the whole report, or None.
        csv_file: for the values, or None.
    """
    json_file, csv_file = (None if file is None else file.expanduser() for file in (json_file, csv_file))
    for file in (json_file, csv_file):
        if file is not None:
            check_place(file)
    console = Console(stderr=True)
    log_to_console(console)
    with job_progress(console, transient=True) as bar:
        task = bar.add_task("measuring", total=None)
        report = evaluate(
            request, lambda done, total, name: bar.update(task, completed=done, total=total, description=name)
        )
    if json_file is not None:
        write_report_json(json_file, report)
    if csv_file is not None:
        write_report_csv(csv_file, report)
    show(report, stdout_console())
