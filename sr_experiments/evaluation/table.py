"""A report as tables on the terminal."""

import math

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sr_experiments.evaluation.results import Report, Result

MOST_IMAGES = 25  # of more than these only the means are shown


def show(report: Report, console: Console) -> None:
    """Print values, differences, costs, conventions, and what was not measured."""
    console.print(values_table(report))
    images = len(report.results[0].per_image)
    if images > MOST_IMAGES:
        console.print(f"  means over {images} {report.unit}s; each one's values are in --json and --csv", style="dim")
    if report.differences:
        console.print(differences_table(report))
    if any(result.parameters is not None for result in report.results):
        console.print(cost_table(report))
    _lines(console, {"data": f"HR {report.data['hr']}, LR {report.data['lr']}", **report.conventions}, "dim")
    for what, why in report.left_out.items():
        console.print(f"not measured: {what}: {why}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def values_table(report: Report) -> Table:
    """Make the table of every image's values and the means, metric by metric; the best are bold."""
    table = _table(report.unit, "metric", *(result.name for result in report.results), left=2)
    images = list(report.results[0].per_image)
    rows: list[str | None] = [*(images if len(images) <= MOST_IMAGES else []), None]
    for image in rows:
        for position, metric in enumerate(report.higher_is_better):
            best = report.best(metric, image)
            digits = report.digits[metric]
            cells = [_bold(_value(result, image, metric, digits), result.name in best) for result in report.results]
            name = "mean" if image is None else image
            table.add_row(_escaped(name) if position == 0 else "", metric, *cells)
        table.add_section()
    return table


def differences_table(report: Report) -> Table:
    """Make the table of mean differences with their confidence intervals, model by model."""
    table = _table("difference", "metric", "mean", "95 % interval", f"{report.unit}s", left=2)
    above = ""  # the pair is named once, in the first of its rows
    for d in report.differences:
        pair = f"{d.model} - {d.against}"
        digits = report.digits[d.metric]
        interval = "-" if d.low is None else f"{d.low:+.{digits}f} ... {d.high:+.{digits}f}"
        table.add_row(
            _escaped(pair) if pair != above else "", d.metric, f"{d.mean:+.{digits}f}", interval, str(d.images)
        )
        above = pair
    return table


def cost_table(report: Report) -> Table:
    """Make the table of parameters, operations and speed of the networks."""
    table = _table("network", "parameters", "MACs/LR pixel", "s/image (rough)", "images/s", "on", left=1)
    for result in report.results:
        if result.parameters is None:
            continue
        seconds = result.seconds_per_image
        table.add_row(
            _escaped(result.name),
            f"{result.parameters:,}",
            "-" if result.macs is None else _large(result.macs),
            "-" if seconds is None else f"{seconds:.4f}",
            "-" if not seconds else f"{1 / seconds:.2f}",
            f"{result.device}, {result.precision}",
        )
    return table


def _table(*columns: str, left: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(_escaped(column), justify="left" if number < left else "right", overflow="fold")
    return table


def _lines(console: Console, lines: dict[str, str], style: str) -> None:
    for key, text in lines.items():
        console.print(f"  {key:<18}{text}", style=style, markup=False, highlight=False, soft_wrap=True)


def _value(result: Result, image: str | None, metric: str, digits: int) -> str:
    value = (result.mean if image is None else result.per_image.get(image, {})).get(metric)
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if math.isfinite(value) else str(value)


def _bold(text: str, best: bool) -> str:
    return f"[bold]{text}[/bold]" if best else text


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _large(number: float) -> str:
    return f"{number / 1e6:.3f} M" if number >= 1e5 else f"{number:,.0f}"
