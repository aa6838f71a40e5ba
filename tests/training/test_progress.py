"""What a terminal of 80 columns shows while a run trains, and after it was stopped."""

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

BAR = re.compile(r"step +(\d+)/(\d+) [━╸╺ ]+ \d:\d\d:\d\d eta [-\d]:[-\d]{2}:[-\d]{2}")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines that a terminal of 80 columns got, each state of the bar as one."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")

    def lines() -> list[str]:
        return [line.rstrip() for line in re.split(r"[\r\n]", re.sub(r"\x1b\[[\d;?]*\w", "", capsys.readouterr().err))]

    return lines


def test_the_bar_keeps_its_numbers(train: Callable[..., Path], terminal: Callable[[], list[str]]) -> None:
    train()

    bars = [line for line in terminal() if " eta " in line]
    assert bars
    assert [line for line in bars if not BAR.search(line)] == []
    assert any("best psnr_y" in line for line in bars)


def test_nothing_of_the_bar_follows_the_last_lines_of_a_stopped_run(
    train: Callable[..., Path], terminal: Callable[[], list[str]], tmp_path: Path
) -> None:
    ended = threading.Event()

    def interrupt() -> None:
        while not ended.wait(0.02):
            if any((tmp_path / "run").glob("*/*/checkpoints/last.ckpt")):
                os.kill(os.getpid(), signal.SIGINT)
                return

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(SystemExit) as stop:
            train("trainer.max_steps=100000", "trainer.val_every=100000")
    finally:
        ended.set()
    assert stop.value.code == 128 + signal.SIGINT

    lines = terminal()
    last = next(i for i, line in enumerate(lines) if line.startswith("  resume"))
    assert any(" eta " in line for line in lines[:last])
    assert not any(" eta " in line for line in lines[last:])


@pytest.mark.usefixtures("with_weights")
def test_lpips_weights_print_no_warnings(recwarn: pytest.WarningsRecorder) -> None:
    from sr_experiments.metrics.lpips import LPIPS

    LPIPS("alex")

    assert [str(warning.message) for warning in recwarn] == []
