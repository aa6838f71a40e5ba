"""Progress bars at any width: numbers stay, texts and the bar shrink."""

import io

import pytest
from rich.console import Console
from rich.progress import MofNCompleteColumn

from sr_experiments.display.terminal import WHOLE, gain_text, job_progress, make_progress, print_table


def shown(width: int, **task: object) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    progress = make_progress(console, MofNCompleteColumn(table_column=WHOLE))
    progress.add_task("a_photograph_with_a_rather_long_name_" * 3, total=120, completed=45, **task)
    with console.capture() as capture:
        console.print(progress.get_renderable())
    (line,) = capture.get().splitlines()
    return line


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_stay_and_texts_shrink(width: int) -> None:
    line = shown(width)

    assert " 45/120" in line and line.count(":") == 4  # 0:00:00 spent, -:--:-- left
    assert "━" in line and "a_photograph" in line and "…" in line


def test_parts_are_shown_whole_as_many_as_fit() -> None:
    parts = ["best psnr_y 30.12", "pixel 0.0123", "12.3 samples/s", "data wait 3%"]

    counts = {width: sum(part in shown(width, parts=parts) for part in parts) for width in (60, 80, 120, 200)}

    assert list(counts.values()) == sorted(counts.values()) and counts[60] >= 1 and counts[200] == 4
    assert all("…" not in shown(width, parts=parts) for width in counts)


def test_a_name_with_markup_is_text() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)

    with job_progress(console) as progress:
        progress.add_task("[red]a[/b]", total=3)

    assert isinstance(console.file, io.StringIO) and "[red]a[/b]" in console.file.getvalue()


def test_a_gain_is_positive_where_better_and_zero_has_no_sign() -> None:
    assert [gain_text(value, 2) for value in (0.5, -0.5, -0.001)] == ["[green]+0.50[/]", "[red]-0.50[/]", "0.00"]


@pytest.mark.parametrize("width", [60, 80, 120, 400])
def test_a_table_that_is_too_wide_is_printed_in_parts(width: int) -> None:
    columns = ["run", "state", *(f"div2k_validation/metric_{i}" for i in range(12))]
    names = ["short", "a_long_name_of_a_run_with_many_words_in_it_" * 2]
    rows = [[name, "finished", *(f"{i}.1234 (+0.0123)" for i in range(12))] for name in names]
    console = Console(file=io.StringIO(), width=width)

    print_table(console, columns, rows, left=2)

    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    parts = [line.split() for line in lines if line.strip().startswith("short")]
    assert [value for part in parts for value in part if "." in value and "(" not in value] == [
        f"{i}.1234" for i in range(12)
    ]
    assert sum(part.count("(+0.0123)") for part in parts) == 12  # no number is folded
    assert all(len(line.rstrip()) <= width for line in lines) and (len(parts) == 1) == (width == 400)
