"""What can follow on the command line of `sr train`, by Hydra's own completion; it loads no PyTorch."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.completion_plugin import DefaultCompletionPlugin

from sr_experiments.config.declared import conf_folder

OPENED = ("=", ".", "/")  # what follows a candidate that ends so belongs to the same word


def completions(arguments: Sequence[str], incomplete: str) -> list[str]:
    """Return what the last word can become: groups, their options, settings, and the values they have now.

    Args:
        arguments: the words before. Bash gives "model=rr" as three, "model", "=" and "rr", and wants the rest of it.
        incomplete: the beginning of the last word.
    """
    words = _joined(arguments)
    split = ""
    if words and words[-1].endswith("=") and arguments[-1] == "=":
        split = words.pop()
    elif not incomplete and words and not words[-1].startswith("-") and "=" not in words[-1]:
        split = f"{words.pop()}="
    try:
        found = _asked(words, split + incomplete)
    except (Exception, SystemExit):  # whatever is wrong with the words: pressing Tab is no time to say it
        return []
    return [word.removeprefix(split) for word in found if word.startswith(split)]


def _asked(words: Sequence[str], word: str) -> list[str]:
    """Ask Hydra; where there is one answer that is not a whole word, what it becomes: a shell would add a space."""
    version.setbase("1.3")
    search_path = create_config_search_path(str(conf_folder()))
    if own := get_args(list(words)).config_dir:
        search_path.prepend("command-line", Path(own).absolute().as_uri(), anchor=SearchPathQuery(provider="schema"))
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stderr(nothing):
        hydra = Hydra.create_main_hydra2(task_name="train", config_search_path=search_path)
        try:
            plugin = DefaultCompletionPlugin(hydra.config_loader)
            found = plugin._query("train", " ".join((*words, word)))
            while len(found) == 1 and found[0].endswith(OPENED):
                further = plugin._query("train", " ".join((*words, found[0])))
                if further in ([], found):
                    break
                found = further
        finally:
            GlobalHydra.instance().clear()
    return found


def _joined(arguments: Sequence[str]) -> list[str]:
    words: list[str] = []
    for argument in arguments:
        if words and (argument == "=" or words[-1].endswith("=")):
            words[-1] += argument
        else:
            words.append(argument)
    return words
