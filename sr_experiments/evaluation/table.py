"""A report as tables on the terminal."""

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sr_experiments.display.terminal import Row, make_table, print_conventions, print_table
from sr_experiments.evaluation.results import Report

MOST_IMAGES = 25  # of more than these only the means are shown


def show(report: Report, console: Console) -> None:
    """Print values, differences, costs, conventions, and what was not measured."""
    print_values(report, console)
    images = len(report.results[0].per_image)
    if images > MOST_IMAGES:
        console.print(f"  means over {images} {report.unit}s; each one's values are in --json and --csv", style="dim")
    if report.differences:
        console.print(differences_table(report))
    if any(result.parameters is not None for result in report.results):
        console.print(cost_table(report))
    conventions = {"data": f"HR {report.data['hr']}, LR {report.data['lr']}", **report.conventions}
    print_conventions(console, conventions)
    lines = [(f"not measured: {what}: {why}", "yellow") for what, why in report.left_out.items()]
    lines += [(f"note: {note}", "yellow") for note in report.notes]
    for line, style in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def print_values(report: Report, console: Console) -> None:
    """Print the table of every image's values and the means, metric by metric; the best are bold."""
    table: list[Row] = []
    images = list(report.results[0].per_image)
    rows: list[str | None] = [*(images if len(images) <= MOST_IMAGES else []), None]
    for image in rows:
        name = "mean" if image is None else escape(image)
        for metric in report.higher_is_better:
            best, cells = report.best(metric, image), []
            for result in report.results:
                values = result.mean if image is None else result.per_image.get(image, {})
                text = _number(values.get(metric), report.digits[metric])
                cells.append(f"[bold]{text}[/bold]" if result.name in best else text)
            table.append((name, metric, *cells))
            name = ""  # shown in the first of its rows
        table.append(None)
    columns = [report.unit, "metric", *(escape(result.name) for result in report.results)]
    print_table(console, columns, table, left=2, repeated=2)


def differences_table(report: Report) -> Table:
    """Make the table of mean differences with their confidence intervals, model by model."""
    rows, above = [], ""  # the pair is named once, in the first of its rows
    for d in report.differences:
        pair, digits = f"{d.model} - {d.against}", report.digits[d.metric]
        interval = "-" if d.low is None else f"{d.low:+.{digits}f} ... {d.high:+.{digits}f}"
        rows.append((escape(pair) if pair != above else "", d.metric, f"{d.mean:+.{digits}f}", interval, str(d.images)))
        above = pair
    return make_table(("difference", "metric", "mean", "95 % interval", f"{report.unit}s"), rows, left=2)


def cost_table(report: Report) -> Table:
    """Make the table of parameters, operations and speed of the networks."""
    rows = []
    for result in report.results:
        if result.parameters is not None:
            seconds, macs = result.seconds_per_image, result.macs or 0
            rows.append(
                (
                    escape(result.name),
                    f"{result.parameters:,}",
                    f"{macs / 1e6:.3f} M" if macs >= 1e5 else f"{macs:,.0f}",
                    _number(seconds, 4),
                    f"{1 / seconds:.2f}" if seconds else "-",
                    f"{result.device}, {result.precision}",
                )
            )
    return make_table(("network", "parameters", "MACs/LR pixel", "s/image (rough)", "images/s", "on"), rows)


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if math.isfinite(value) else str(value)
