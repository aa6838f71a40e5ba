"""What the configuration may say: the knobs of each group, of which kind they are and within which bounds.

What has a `name` (a network, a loss, data, a degradation) takes the arguments of its constructor, whose types
`registry.build` checks; the bounds of numbers among them stand here by their own name. Everything else is listed.
"""

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sr_experiments.errors import SRError

FOREVER = 10**12  # steps that no run reaches
WIDEST = 512  # features of a layer: twice EDSR's, the widest of the well-known networks
LARGEST = 2**63 - 1  # of whole numbers
SET_NAMES = ("data.val", "stage", "metrics")  # whose keys become parts of files' names


@dataclass(frozen=True)
class Knob:
    """One setting.

    Attributes:
        kind: "whole", "number", "flag", "text", "list", "pair" (a list of two), "some" (a whole number, or a list of
            them), "word" (one of `words`) or "group".
        low: least number; of a list, of each in it.
        high: greatest.
        above: whether the least is out, too.
        below: whether the greatest is.
        null: whether it may be null.
        words: what it may be instead of a number or a flag; None for any text.
    """

    kind: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    null: bool = False
    words: tuple[str, ...] | None = ()

    def takes(self, value: Any) -> bool:
        """Whether the setting may have this value."""
        if value is None or isinstance(value, str):
            return self.null if value is None else self.kind == "text" or self.words is None or value in self.words
        if self.kind == "group":
            return isinstance(value, Mapping)
        if isinstance(value, list):
            each = Knob("whole" if self.kind == "some" else "number", self.low, self.high)
            listed = self.kind in ("list", "pair", "some") and (len(value) == 2 or self.kind != "pair")
            return listed and all(each.takes(one) for one in value)
        if isinstance(value, bool) or self.kind == "flag":
            return isinstance(value, bool) and self.kind == "flag"
        number = isinstance(
            value, int if self.kind in ("whole", "some") else int | float if self.kind == "number" else ()
        )
        return (
            number
            and self.low <= value <= self.high
            and not (self.above and value == self.low)
            and not (self.below and value == self.high)
        )

    def __str__(self) -> str:
        kinds = {"whole": "a whole number", "number": "a number", "flag": "true or false", "text": "text",
                 "list": "a list of numbers", "pair": "two numbers, [a, b],", "some": "one or several whole numbers",
                 "group": "a group of settings", "word": ""}  # fmt: skip
        said = kinds[self.kind]
        if self.above and self.below:
            return f"{said} between {self.low:g} and {self.high:g}"
        if self.low > -math.inf:
            said += f" above {self.low:g}" if self.above else f" of at least {self.low:g}"
        if self.high < FOREVER:
            said += f" and at most {self.high:.10g}"
        return " or ".join([*([said] if said else []), *(self.words or ()), *(["null"] if self.null else [])])


GROUP, FLAG, TEXT, WEIGHT = Knob("group"), Knob("flag"), Knob("text"), Knob("number", 0)
TEXT_OR_NULL = Knob("text", null=True)
PIXELS = Knob("whole", 16, FOREVER)  # of a picture's side: one LR pixel at the largest scale
COUNT, COUNT_OR_0 = Knob("whole", 1, FOREVER), Knob("whole", 0, FOREVER)
RATE = Knob("number", 0, above=True)
SHARE = Knob("number", 0, 1)

# Patterns of dotted keys. A group that is listed, and has no `name`, has no other keys than those listed.
KNOBS: dict[str, Knob] = {
    "scale": Knob("whole", 1, 16),
    "channels": Knob("whole", 1, 3),
    "seed": Knob("whole", 0, 2**32 - 1),
    "name": TEXT,
    "output_dir": TEXT,
    "resume": TEXT_OR_NULL,
    "offline": Knob("flag"),
    "init_from": Knob("group", null=True, words=None),
    "init_from.*": TEXT,
    "val": GROUP,
    "val.compare_with": TEXT_OR_NULL,
    "model": GROUP,
    "degradation": GROUP,
    "metrics": GROUP,
    "metrics.*": GROUP,
    "data": GROUP,
    "data.batch_size": Knob("whole", 1, 2**20),
    "data.crop": Knob("whole", 1, 2**16),
    "data.num_workers": Knob("whole", 0, 256, words=("auto",)),
    "data.cache": Knob("flag", words=None),
    "data.train": GROUP,
    "data.val": GROUP,
    "data.val.*": GROUP,
    "loss": GROUP,
    "loss.name": TEXT,
    "loss.terms": GROUP,
    "loss.terms.*": GROUP,
    "loss.terms.*.weight": Knob("number", 0, words=("auto",)),
    "loss.terms.*.start": COUNT_OR_0,
    "loss.terms.*.ramp": COUNT_OR_0,
    "loss.terms.*.ramp_shape": Knob("word", words=("linear", "cosine")),
    "loss.terms.*.every": COUNT,
    "loss.terms.*.required": FLAG,
    "loss.terms.*.layers.*": Knob("number", 0, null=True),
    "loss.discriminator": GROUP,
    "loss.discriminator.every": COUNT,
    "loss.discriminator.update_margin": Knob("number", null=True),
    "metrics.*.required": FLAG,
    "optim": GROUP,
    "optim.name": TEXT,
    "optim.schedule": GROUP,
    "optim.learning_rate": RATE,
    "optim.discriminator_learning_rate": RATE,
    "optim.betas": Knob("pair", 0, 0.999999),
    "optim.weight_decay": WEIGHT,
    "optim.warmup_steps": COUNT_OR_0,
    "optim.clip_norm": Knob("number", 0, above=True, null=True),
    "optim.accumulate": Knob("whole", 1, 2**20),
    "optim.ema_decay": Knob("number", 0, 1, null=True),
    "trainer": GROUP,
    "trainer.max_steps": COUNT,
    "trainer.val_every": COUNT,
    "trainer.checkpoint_every": COUNT,
    "trainer.log_every": COUNT,
    "trainer.accelerator": TEXT,
    "trainer.devices": Knob("some", -1, 1023, words=("auto",)),
    "trainer.num_nodes": Knob("whole", 1, 4096),
    "trainer.strategy": TEXT,
    "trainer.precision": Knob("whole", words=None),
    "trainer.channels_last": FLAG,
    "trainer.compile": FLAG,
    "trainer.checkpoint_activations": FLAG,
    "trainer.monitor": TEXT,
    "trainer.rollback": GROUP,
    "trainer.rollback.tries": COUNT_OR_0,
    "trainer.rollback.factor": Knob("number", 0, 1, above=True, below=True),
    "logger": GROUP,
    "callbacks": GROUP,
    "callbacks.samples": GROUP,
    "callbacks.samples.count": COUNT_OR_0,
    "callbacks.samples.size": PIXELS,
    "callbacks.clips": GROUP,
    "callbacks.clips.count": COUNT_OR_0,
    "callbacks.clips.size": PIXELS,
    "callbacks.clips.frames": COUNT,
    "callbacks.clips.fps": Knob("whole", 1, 1000),
    "callbacks.gan_health": GROUP,
    "callbacks.gan_health.patience": COUNT,
    "callbacks.gan_health.won": SHARE,
    "callbacks.gan_health.lost": SHARE,
    "stage": GROUP,
    "stage.*": GROUP,
    "stage.*.steps": COUNT,
    "stage.*.batch_size": Knob("whole", 1, 2**20),
    "stage.*.clip_length": Knob("whole", 1, 10_000),
    "stage.*.update_margin": Knob("number", null=True),
    "stage.*.trains": GROUP,
    "stage.*.losses": GROUP,
    "stage.*.gan_losses": GROUP,
    "stage.*.schedule": GROUP,
    "stage.*.trains.*": WEIGHT,
    "stage.*.losses.*": WEIGHT,
    "stage.*.gan_losses.*": WEIGHT,
}

# Bounds of numbers in what has a name, by their own name.
BOUNDS: dict[str, Knob] = {
    "features": Knob("whole", 1, WIDEST),
    "growth": Knob("whole", 1, WIDEST),
    "blocks": Knob("whole", 1, 1000),
    "layers": Knob("whole", 1, 8),
    "eps": SHARE,
    "label_smoothing": SHARE,
    "penalty_weight": WEIGHT,
    "cycles": Knob("whole", 1, FOREVER),
    "floor": SHARE,
    "gamma": Knob("number", 0, above=True),
    "milestones": Knob("list", 0),
    "moving_frame": SHARE,
    "limit": Knob("whole", 1, FOREVER, null=True),
    "frames": Knob("whole", 1, FOREVER, null=True),
    "size": COUNT,
    "pool": Knob("whole", 0, 100_000),
    "turn": Knob("number", -360, 360),
}
OPTIONAL = ("resume", "stage", "data.cache", "data.val", "data.num_workers", "trainer.rollback*",
            "callbacks.gan_health*", "loss.discriminator*")  # fmt: skip
LOGGERS = {"wandb": ("project", "entity", "group", "tags", "tables", "watch")}  # which settings each has


def check_knobs(config: Mapping[str, Any]) -> None:
    """Refuse what no knob takes.

    Raises:
        SRError: an unknown key, a missing one, or a value of the wrong kind or out of bounds, named with what is
            possible.
    """
    given = dict(_walk(config))
    if missing := [key for key in _needed(given) if key not in given]:
        raise SRError(f"{missing[0]} is not set: give it on the command line as {missing[0]}=...")
    for key, value in given.items():
        knob = _knob(key)
        if isinstance(value, float) and not math.isfinite(value):
            raise SRError(f"{key} is {value}: give {knob or 'a finite number'}")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise SRError(f"{key} is {_short(value)}: no computer counts so far")
        if knob is not None and not knob.takes(value):
            raise SRError(f"{key} is {_short(value)}: give {knob}")
        if knob is None and not isinstance(value, Mapping) and (bound := _bound(key, value)) is not None:
            raise SRError(f"{key} is {_short(value)}: give {bound}")
        if isinstance(value, Mapping):
            _check_keys(key, value)
    _check_keys("logger", config["logger"])
    folder = config["name"]
    if not folder or folder.startswith(("/", "~")) or ".." in folder.split("/") or "\0" in folder:
        raise SRError(f"name is {_short(folder)}: it becomes a folder below output_dir; give a plain name")


def _walk(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every group and setting."""
    entries = config.items() if isinstance(config, Mapping) else enumerate(config)
    for name, value in entries:
        key = f"{prefix}{name}"
        yield key, value
        if isinstance(value, Mapping | list):
            yield from _walk(value, f"{key}.")


def _needed(given: Mapping[str, Any]) -> list[str]:
    """The keys that a configuration must have."""
    keys = [key for key in KNOBS if "*" not in key and not any(fnmatchcase(key, pattern) for pattern in OPTIONAL)]
    keys += ["logger.name"]
    keys += [f"{key}.name" for key in given if key.count(".") == 1 and key.startswith("metrics.")]
    return keys


def _knob(key: str) -> Knob | None:
    depth = key.count(".")
    return next((k for p, k in KNOBS.items() if p.count(".") == depth and fnmatchcase(key, p)), None)


def _bound(key: str, value: Any) -> Knob | None:
    """The bounds that a number is out of."""
    parts = key.split(".")
    knob = BOUNDS.get(parts[-1])
    if parts[0] in ("hydra", "degradation") and parts[-1] != "pool" and parts[-1] != "turn":
        return None  # a degradation's steps know their own
    numbers = value if isinstance(value, list) else [value]
    if knob is None or isinstance(value, str | bool | None) or not all(isinstance(n, int | float) for n in numbers):
        return None  # of the wrong kind, if at all, for its constructor
    return None if knob.takes(value) else knob


def _check_keys(key: str, group: Mapping[str, Any]) -> None:
    """Refuse unknown keys of a group, and names that can't be part of a file's."""
    if key in SET_NAMES:
        for name in group:
            if not re.fullmatch(r"[\w+@ -][\w+@. -]*", str(name)):
                raise SRError(f"{key}.{_short(name)[1:-1]} can't be a file's name: use letters, digits, _ and -")
        return
    if key == "logger":
        known = ["name", *LOGGERS["wandb"]]
    else:
        knobs = [p for p in KNOBS if p.count(".") == key.count(".") + 1 and fnmatchcase(key, p.rpartition(".")[0])]
        if not knobs or any(p.endswith("*") for p in knobs) or (("name" in group) and f"{key}.name" not in KNOBS):
            return
        known = [p.rpartition(".")[2] for p in knobs]
    for name in group:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise SRError(f"{key} has no {_short(name)[1:-1]}: {hint}")


def _short(value: Any) -> str:
    return text if len(text := repr(value)) < 80 else text[:77] + "..."
