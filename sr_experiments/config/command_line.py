"""The command line of a training before Hydra reads it: paths as they are, mistakes that Hydra explains badly, resume=.

Hydra's grammar has no place for a letter outside ASCII, brackets, commas or `=` in a value without quotes. What a shell
takes as a path is taken here, and quoted for Hydra.
"""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from sr_experiments.config.declared import NULL, Declared, is_path, is_text, takes
from sr_experiments.config.quoting import hydra_text, hydra_value, override, shell_text, unescaped
from sr_experiments.errors import SRError, one_line

OVERRIDE = re.compile(r"(?P<sign>\+\+|\+|~|)(?P<key>[\w./@:$-]+)=(?P<value>.*)", re.DOTALL)
# Options of Hydra's, and those that are followed by a value.
SHORT = ("-h", "-c", "-p", "-r", "-m", "-i", "-sc", "-cp", "-cn", "-cd")
LONG = ("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun", "--info",
        "--shell-completion", "--config-path", "--config-name", "--config-dir")  # fmt: skip
WITH_VALUE = ("-c", "-p", "-cp", "-cn", "-cd", "-i", "--cfg", "--package", "--config-path", "--config-name",
              "--config-dir", "--info")  # fmt: skip
FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(")
DELETED = "???"  # value that stands for ~key on the way to the resumed run


def prepared(arguments: Sequence[str], folder: Path) -> list[str]:
    """Return the arguments as Hydra can read them; preparing them once more changes nothing.

    Args:
        arguments: of the command line.
        folder: of the YAML files.

    Raises:
        SRError: an argument is none that Hydra takes, or the run to resume is not there.
    """
    declared, sweep = Declared(folder), any(map(_is_sweep, arguments))
    words = [_word(*word, sweep, declared, folder) for word in _words(list(arguments))]
    resumed = [word for word in words if word.startswith("resume=")]
    place = parsed(resumed[-1]).value() if resumed else None
    if place is None or (isinstance(place, str) and place.lower() in NULL):
        return words
    if isinstance(place, str) and not re.search(r"(?<!\\)\$\{", place):
        check_resumable(Path(unescaped(place)))
    chosen = chosen_groups(words, folder)
    return [word if word.startswith("-") else _for_resume(word, chosen, folder) for word in words]


def parsed(argument: str) -> Override:
    """Return an override as Hydra reads it; a HydraException if it can't."""
    return OverridesParser.create().parse_override(argument)


def check_resumable(run: Path) -> None:
    """Refuse a folder that holds nothing to resume."""
    if not (run / "config.yaml").is_file():
        runs = sorted(run.glob("*/config.yaml"), key=lambda path: path.stat().st_mtime)
        near = run.parents[1] if run.parent.name == "checkpoints" else runs[-1].parent if runs else run
        hint = (
            f"did you mean {override('resume', near)}?"
            if (near / "config.yaml").is_file()
            else ("give a run folder, outputs/<name>/<timestamp>")
        )
        raise SRError(f"resume={run}: no config.yaml there; {hint}")
    if not (run / "checkpoints" / "last.ckpt").is_file():
        raise SRError(
            f"nothing to resume: {run / 'checkpoints' / 'last.ckpt'} does not exist; start a new run without resume="
        )


def is_group(key: str, folder: Path) -> bool:
    """Return whether a key chooses a file of a group rather than a value."""
    return (folder / key.split("@")[0]).is_dir()


def no_group(key: str, folder: Path) -> str:
    """Say that there is no group of a key with a slash, and which was meant."""
    groups = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*/") if path.is_dir())
    near = difflib.get_close_matches(key.split("@")[0], groups, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(groups)}"
    return f"there is no group {key}: {hint}"


def _words(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each argument with the one before it; an option with its value is one step."""
    before = ""
    for number, argument in enumerate(arguments):
        if before in WITH_VALUE:
            before = ""  # the value of an option
            yield "--", argument
            continue
        if argument.startswith("-") and not _is_option(argument):
            following = arguments[number + 1 : number + 2]
            raise SRError(_with_dashes(argument, following[0] if following else ""))
        if not argument.startswith("-") and (spaced := _with_spaces(arguments, number)):
            raise SRError(spaced)
        yield before, argument
        before = argument


def _is_sweep(argument: str) -> bool:
    return argument in ("-m", "hydra.mode=MULTIRUN") or (len(argument) > 3 and "--multirun".startswith(argument))


def _is_option(argument: str) -> bool:
    name = argument.split("=")[0]
    if name.startswith("--"):
        return len(name) > 3 and any(option.startswith(name) for option in LONG)
    return name in SHORT and name == argument


def _with_dashes(argument: str, following: str) -> str:
    """Say how a setting is written that was given like another program's option."""
    key, equals, value = argument.lstrip("-").partition("=")
    if not equals:
        value = "..." if not following or following.startswith("-") or "=" in following else following
    given = argument if equals or value == "..." else f"{argument} {value}"
    return f"{given}: settings have no dashes, write {shell_text(f'{key}={value}')}; --help lists them"


def _with_spaces(arguments: Sequence[str], number: int) -> str:
    """Say how a setting is written that was given with spaces around its `=`; empty if this one was not."""
    argument = arguments[number]
    if spaced := re.fullmatch(r"([\w./@+~-]+)\s*=\s*(.*)", argument, re.DOTALL):
        if re.fullmatch(r"[\w./@+~-]+(\s+=|=\s+\S).*", argument, re.DOTALL):
            return f"{argument}: leave out the spaces, {shell_text(f'{spaced[1]}={spaced[2]}')}"
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        if not spaced[2] and following and "=" not in following and following[0] not in "-~+":
            return f"{argument} {following}: leave out the spaces, {shell_text(f'{spaced[1]}={following}')}"
        return ""
    following = "".join(arguments[number + 1 : number + 3])
    if re.fullmatch(r"[\w./@+~-]+", argument) and following.startswith("="):
        value = following[1:] or "..."
        return f"{argument} = {value}: leave out the spaces, {shell_text(f'{argument}={value}')}"
    return ""


def _word(before: str, argument: str, sweep: bool, declared: Declared, folder: Path) -> str:
    """Return one argument as Hydra can read it."""
    if before == "--" or argument.startswith("-"):
        return argument
    match = OVERRIDE.fullmatch(argument)
    if match is None:
        if re.fullmatch(r"~[\w./@-]+", argument):
            return argument
        raise SRError(_no_setting(before, argument, declared, folder))
    key, value = match["key"], match["value"]
    if value == "{}" and not argument.startswith("+"):
        raise SRError(f"{argument} changes nothing, since mappings are merged: take parts out with ~{key}.<name>")
    if is_group(key, folder):
        _refuse_several(key, value, [], sweep)
        return argument
    if "/" in key and not key.startswith("hydra/"):
        raise SRError(no_group(key, folder))
    schemas = declared.setting(key)
    start = argument[: -len(value)] if value else argument
    if is_path(schemas):
        several = sweep and not key.startswith("hydra.")  # Hydra's own settings are one for all jobs
        return start + _path(key, value, takes(schemas, "null"), takes(schemas, "boolean"), several)
    try:
        read = parsed(argument)
    except HydraException:
        if value.startswith(("[", "{")) and (items := _collection(value)) is not None:
            return start + hydra_value(items)
        return start + (",".join(map(hydra_text, value.split(","))) if sweep else hydra_text(value))
    if read.is_sweep_override():
        _refuse_several(key, value, schemas, sweep)
    return argument


def _no_setting(before: str, argument: str, declared: Declared, folder: Path) -> str:
    """Say what is wrong with an argument that sets nothing."""
    if (match := OVERRIDE.fullmatch(before)) and is_text(declared.setting(match["key"])):
        return f"{argument} sets nothing: if it belongs to {match['key']}, write {shell_text(f'{before} {argument}')}"
    key = argument.lstrip("+")
    if declared.setting(key) or is_group(key, folder):
        return f"{argument} sets nothing: write {argument}=..."
    files = sorted(folder.rglob(f"{argument}.yaml")) if re.fullmatch(r"[\w-]+", argument) else []
    group = next((str(path.parent.relative_to(folder)) for path in files), "")
    hint = f"did you mean {group}={argument}?" if group not in ("", ".") else "settings are written as key=value"
    return f"{argument} sets nothing: {hint}"


def _refuse_several(key: str, value: str, schemas: Sequence[Any], sweep: bool) -> None:
    """Refuse several values where no sweep is wanted."""
    if sweep or not ("," in value or FUNCTION.match(value)):
        return
    try:
        if not parsed(f"{key}={value}").is_sweep_override():
            return
    except HydraException:
        return
    hint = f"add -m to train one run with each, or for a text write {_quoted(key, value)}"
    if takes(schemas, "array"):
        hint = f"write {shell_text(f'{key}=[{value}]')}, or add -m to train one run with each"
    elif not is_text(schemas):
        hint = "add -m to train one run with each"
    raise SRError(f"{key}={value} is several values: {hint}")


def _path(key: str, value: str, null: bool, truth: bool, sweep: bool) -> str:
    """Return the value of a path, quoted for Hydra where it must be.

    Raises:
        SRError: it is empty, as an unset variable of the shell is: that would be the current folder.
    """
    if value in ("", "''", '""'):
        raise SRError(f"{key}= is empty: give a path{', or null for none' if null else ''}")
    try:
        given = parsed(f"{key}={value}")
    except HydraException:
        if value.startswith("{") and isinstance(parts := _collection(value), dict):
            return hydra_value(parts)
        if not sweep:
            return hydra_text(_home(value)) if "${" not in value else hydra_text(value).replace("\\${", "${")
        if os.path.lexists(value) and "," in value:
            raise SRError(_one_path(key, value)) from None
        return ",".join(_path(key, part, null, truth, False) for part in value.split(","))
    if given.is_sweep_override():
        if not sweep:
            return hydra_text(_home(value))
        if os.path.lexists(value) and not FUNCTION.match(value):
            raise SRError(_one_path(key, value))
        return value
    read = given.value()
    if isinstance(given._value, QuotedString) or isinstance(read, dict):
        return value
    if isinstance(read, str):
        return hydra_text(_home(read)) if read.startswith("~") else value
    if value == "null" or (null and value.lower() in NULL) or (truth and isinstance(read, bool)):
        return value
    return hydra_text(value)  # a folder of the name 2024, which Hydra takes for a number


def _one_path(key: str, value: str) -> str:
    return f"{key}={value}: with -m a comma separates values; for this one path write {_quoted(key, value)}"


def _home(path: str) -> str:
    """Return a path with the user's home folder for a ~, which a shell leaves where it stands after an =."""
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


def _collection(text: str) -> dict[str, Any] | list[Any] | None:
    """Return what YAML makes of a mapping or a list that Hydra can't read."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return content if isinstance(content, dict | list) else None


def _quoted(key: str, value: str) -> str:
    """Return how to give a text that Hydra would take for something else."""
    return shell_text(f'{key}="{value}"' if not re.search(r'["\\]', value) else f"{key}={hydra_text(value)}")


def chosen_groups(words: Sequence[str], folder: Path) -> set[str]:
    """Return the groups that Hydra can override: those that train.yaml chooses, and that its choices choose."""
    chosen: dict[str, str] = {}
    given = dict(word.split("=", 1) for word in words if "=" in word and not word.startswith("-"))

    def add(group: str, option: str) -> None:
        option = str(given.get(group, option))
        chosen[group] = option
        for name, inner in _defaults(folder / group / f"{option}.yaml"):
            add(f"{group}/{name}", inner)

    for name, option in _defaults(folder / "train.yaml"):
        add(name, option)
    return set(chosen)


def _defaults(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the groups of a defaults list that stand below its own, with their options."""
    if path.is_file():
        for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", ()):
            if isinstance(entry, dict):
                for name, option in entry.items():
                    name = name.removeprefix("optional ")
                    if not name.startswith(("override ", "/")):
                        yield name, str(option)


def _for_resume(word: str, chosen: set[str], folder: Path) -> str:
    """Return an override of a resumed run, which is one of its own configuration and not of train.yaml's.

    Hydra composes train.yaml all the same, and must not miss what only the run has.
    """
    key = word.lstrip("+~").split("=")[0]
    if key == "resume" or key.startswith("hydra"):
        return word
    if key == "experiment":
        raise SRError(f"{one_line(word)}: a recipe is for a new run; leave it out, or leave out resume=")
    if is_group(key, folder):
        return f"+{key}={word.split('=', 1)[1]}" if "=" in word and key.split("@")[0] not in chosen else word
    if word.startswith("~"):
        return f"++{key}={DELETED}"
    return f"++{key}={word.split('=', 1)[1]}"
