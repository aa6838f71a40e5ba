"""Print a comparison of runs as a table on the terminal."""

from rich.console import Console
from rich.markup import escape

from sr_experiments.display.terminal import gain_text, print_table, readable_seconds
from sr_experiments.report.comparison import Comparison, Measured, baselines_of
from sr_experiments.report.differences import short_texts
from sr_experiments.runs.listing import coloured
from sr_experiments.runs.metrics import gain


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the table and its notes. Runs are rows; up to four runs with many values each are columns."""
    rows = _cells(comparison)
    if len(comparison.runs) <= 4 and len(rows) > 8:
        columns = [(label, *cells) for label, cells in rows]
        print_table(console, columns[0], columns[1:])
    else:
        cells_of_runs = list(zip(*(cells for _, cells in rows), strict=True))
        print_table(console, [label for label, _ in rows], cells_of_runs, left=2 + len(comparison.settings))
    beside = baselines_of(comparison.runs)
    told = f"metrics are those of the best checkpoint, in brackets the gain over {beside}: + is better"
    console.print(told, style="dim")
    for run in comparison.runs:
        if error := run.summary.get("error"):
            line = f"{run.name} {run.state.state}: {error}"
            console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    for run, ways in zip(comparison.runs, comparison.ways, strict=True):
        for metric, values in ways.items():
            digits = comparison.digits.get(metric, 4)
            said = ", ".join(f"{way} {value:.{digits}f}" for way, value in values.items())
            console.print(f"{run.name} {metric}: {said}", markup=False, highlight=False, soft_wrap=True)
    for note in comparison.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for what, why in {k: v for run in comparison.runs for k, v in run.left_out().items()}.items():
        console.print(f"not measured or used: {what}: {why}", style="yellow", markup=False, soft_wrap=True)


def _cells(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Return (label, cell of each run) for every row of the table with runs as columns."""
    runs = comparison.runs
    rows: list[tuple[str, list[str]]] = [
        ("run", [escape(run.name) for run in runs]),
        ("state", [coloured(run.state.state) for run in runs]),
    ]
    rows += [(escape(s.label), [escape(text) for text in short_texts(s.values)]) for s in comparison.settings]
    # The name of the validation set is left out where there is only one.
    one_set = len({metric.rsplit("/", 1)[0] for metric in comparison.metrics}) == 1
    for metric in comparison.metrics:
        best = comparison.best(metric)
        shown = comparison.digits[metric], comparison.higher_is_better[metric]
        cells = [_value(measured.get(metric), *shown) for measured in comparison.measured]
        label = metric.rsplit("/", 1)[-1] if one_set else metric
        rows.append((escape(label), [f"[bold]{cell}[/]" if i in best else cell for i, cell in enumerate(cells)]))
    rows.append(("parameters", ["-" if run.parameters is None else f"{run.parameters:,}" for run in runs]))
    speeds = [run.speed() for run in runs]
    rows.append(("samples/s", ["-" if speed is None else f"{speed:.3g}" for speed in speeds]))
    rows.append(("time", [readable_seconds(run.seconds) for run in runs]))
    rows.append(("step", [f"{run.state.step}/{run.max_steps or '?'}" for run in runs]))
    rows.append(("best at", ["-" if run.best_step is None else str(run.best_step) for run in runs]))
    return rows


def _value(measured: Measured | None, digits: int, higher: bool) -> str:
    if measured is None or measured.shown is None:
        return "-"
    shown = f"{measured.shown:.{digits}f}"
    if measured.baseline is None:
        return shown
    return f"{shown} ({gain_text(gain(measured.shown, measured.baseline, higher), digits)})"
