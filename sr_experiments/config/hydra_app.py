"""What training needs besides Hydra's own: help from the schema, and one line for a configuration that is wrong."""

import difflib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir, version
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sr_experiments.config.command_line import no_group, prepared
from sr_experiments.config.quoting import SCRIPT, train_command
from sr_experiments.config.settings_help import Settings, sweep_lines
from sr_experiments.errors import SRError, one_line

# For each group that --help lists Hydra copies its store of schemas, which gives out copies of them anyway.
ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]

TRACEBACKS = "HYDRA_FULL_ERROR"  # set, Hydra raises what is wrong, instead of writing it in many lines
WANTED = TRACEBACKS in os.environ
OF_SCRIPT = 'eval "$$(python train.py -sc install=bash)"; python train.py -sc install=fish | source'
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError)


def run_app(main: Callable[[Any], Any], folder: Path, arguments: Sequence[str], program: str) -> None:
    """Compose and run; a configuration that can't be composed is one line and exit code 2.

    This is what `hydra.main` does, with arguments that need not be `sys.argv`: that stays as the user typed it, for
    the processes that Lightning starts with it.

    Args:
        main: called with the configuration.
        folder: of the YAML files.
        arguments: overrides and options of Hydra's.
        program: its name in Hydra's usage line.
    """
    version.setbase("1.3")
    OmegaConf.register_new_resolver(
        "settings", lambda *, _root_: "\n".join(Settings.of(_root_, folder).lines()).replace("$", "$$"), replace=True
    )
    OmegaConf.register_new_resolver(
        "sweeps",
        lambda: "\n".join(sweep_lines(folder)).replace("python train.py", train_command([])).replace("$", "$$"),
        replace=True,
    )
    OmegaConf.register_new_resolver(
        "completion", lambda: OF_SCRIPT if SCRIPT in os.environ else "sr --install-completion", replace=True
    )
    OmegaConf.register_new_resolver("train_command", lambda: train_command([]), replace=True)
    os.environ.setdefault(TRACEBACKS, "1")
    words = list(arguments)
    try:
        words = read_arguments(words, folder)
        parser = get_args_parser()
        parser.prog = program
        _run_hydra(
            args=parser.parse_args(words),
            args_parser=parser,
            task_function=main,
            config_path=str(folder),
            config_name="train",
        )
    except KeyboardInterrupt:  # before training begins, or a second one
        sys.stderr.write("interrupted\n")
        raise SystemExit(128 + signal.SIGINT) from None
    except COMPOSITION_ERRORS as error:
        if WANTED or TRACEBACKS not in os.environ:
            raise
        sys.stderr.write(f"error: {composition_error(error, folder, words)}\n")
        raise SystemExit(2) from None


def read_arguments(arguments: Sequence[str], folder: Path) -> list[str]:
    """Return the arguments of a training as Hydra can read them; one that it can't take is one line and exit code 2."""
    try:
        return prepared(arguments, folder)
    except SRError as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        raise SystemExit(2) from None


def is_composed() -> None:
    """Let what goes wrong from here on be raised as it is: it is not Hydra's."""
    if not WANTED:
        os.environ.pop(TRACEBACKS, None)


def composition_error(error: Exception, folder: Path | None = None, arguments: list[str] | None = None) -> str:
    """Return in one line what Hydra or OmegaConf says of a configuration in several.

    Args:
        error: Hydra's or OmegaConf's.
        folder: of the YAML files, to say what was meant.
        arguments: of the command line.
    """
    if isinstance(error, TypeError):  # Hydra's own, at loss=[1,2]
        return "a group is chosen by the names of its files, as in model=rrdbnet: give no numbers"
    text = str(error).split("Config search path:")[0].split("\nKey '")[0].split("\nSee https://")[0]
    if again := re.search(r"Multiple values for ([\w/@-]+)\.|force-add of config groups .*'\+\+([\w/@-]+)=", text):
        group = again[1] or again[2]
        added = " (one more is added with +metrics@metrics.dists=dists)" if group == "metrics" else ""
        return f"{group} is chosen already: leave out the +, as in {group}=...{added}"
    if folder is not None:
        if unknown := re.search(r"Could not (?:override|delete from config\.|delete) '([\w./@-]+?)(?:=.*?)?'", text):
            return one_line(_unknown_setting(unknown[1], folder, arguments or []))[:800]
        if unfound := re.search(r"Could not find '([\w./-]+)/([^/']+)'", text):
            return one_line(_unknown_option(unfound[1], unfound[2], folder, arguments or []))[:800]
    return one_line(" ".join(text.split()))[:800]


def _unknown_setting(key: str, folder: Path, arguments: list[str]) -> str:
    """Say which setting or group was meant."""
    groups = sorted(str(path.relative_to(folder)) for path in folder.glob("**/") if path != folder)
    if "/" in key:
        chosen = dict(a.lstrip("+").split("=", 1) for a in arguments if "=" in a)
        if "experiment" in chosen and key not in chosen:  # Hydra reads the recipe's defaults after the command line's
            other = next((group for group in chosen if key.startswith(f"{group}/")), "")
            recipe = f"experiment={chosen['experiment']}"
            return f"{recipe} chooses {key}, which {other}={chosen.get(other)} doesn't have: leave out one of them"
        if key.split("@")[0] in groups:
            return f"{key} is not chosen yet: add it with +{key}=..."
        return no_group(key, folder)
    overrides = [a for a in arguments if not a.startswith("-") and a.lstrip("+~").split("=")[0] != key]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder.absolute()), version_base="1.3"):
        try:
            config = compose("train", overrides)
        except COMPOSITION_ERRORS:  # another of them is wrong, too
            config = compose("train")
    return Settings.of(config, folder).unknown(key, [group for group in groups if "/" not in group])


def _unknown_option(group: str, option: str, folder: Path, arguments: Sequence[str]) -> str:
    """Say which file of a group was meant."""
    own = get_args_parser().parse_known_args(list(arguments))[0].config_dir
    folders = [folder] if own is None else [folder, Path(own)]
    options = sorted({path.stem for place in folders for path in (place / group).glob("*.yaml")})
    near = difflib.get_close_matches(option, options, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"there is no {group}={option}: {hint}choose one of {', '.join(options)}"
