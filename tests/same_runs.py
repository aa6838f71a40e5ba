"""Whether two runs are the same to the bit."""

import json
from pathlib import Path

import torch


def state(folder: Path) -> dict:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "sr_experiments")}


def assert_same(a: object, b: object, where: str = "") -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def logged_step(root: Path) -> int:
    files = list(root.glob("*/*/metrics.csv"))
    rows = files[0].read_text().splitlines() if files else []
    return max((int(row.split(",")[0]) for row in rows[1:-1]), default=0)


def assert_same_run(one: Path, other: Path) -> None:
    """Checkpoints, logged values, metrics and pictures of two runs are the same to the bit."""
    names = {path.name for path in (one / "checkpoints").iterdir()}
    assert names == {path.name for path in (other / "checkpoints").iterdir()}
    assert {"last.ckpt", "best.ckpt"} <= names
    for name in names:
        a, b = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (one, other))
        for key in ("state_dict", "optimizer_states", "sr_experiments"):
            assert_same(a[key], b[key], f"{name}:{key}")
        assert_same(a["callbacks"]["Checkpoints"], b["callbacks"]["Checkpoints"], name)
    assert rows(one) == rows(other)
    a, b = (json.loads((folder / "summary.json").read_text()) for folder in (one, other))
    for key in ("state", "step", "max_steps", "final", "best", "skipped_images"):
        assert a[key] == b[key], key
    stages = [{k: {**v, "seconds": 0} for k, v in of.get("stages", {}).items()} for of in (a, b)]
    assert stages[0] == stages[1]
    pictures = [
        {p.relative_to(of): p.read_bytes() for p in of.glob("samples/**/*") if p.is_file()} for of in (one, other)
    ]
    assert pictures[0].keys() == pictures[1].keys()
    # Not of clips: x264's choices depend on how its threads are scheduled.
    assert not [str(p) for p, of in pictures[0].items() if p.suffix == ".png" and of != pictures[1][p]]


def rows(folder: Path) -> list[tuple[str, ...]]:
    """Step, metric and value of metrics.csv, without what tells of time."""
    lines = [tuple(line.split(",")) for line in (folder / "metrics.csv").read_text().splitlines()]
    return [(step, metric, value) for step, _, metric, value in lines if not metric.startswith("speed/")]
