"""Keys and passwords stay in the environment: a setting that holds one is refused before anything is written."""

import os
import re
from collections.abc import Iterator
from typing import Any

from sr_experiments.errors import SRError

SHORTEST = 8  # characters; what is shorter is in other values by chance
SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|PWD|CREDENTIAL|WEBHOOK", re.IGNORECASE)
SECRET_SETTING = re.compile(
    r"(^|[._])(api_?key|access_?key|token|secret|password|passphrase|credentials?)$", re.IGNORECASE
)
URL_WITH_PASSWORD = re.compile(r"\w://[^/@\s]*:([^/@\s]+)@")
PLACES = ("PWD", "OLDPWD")  # working directories


def refuse_secrets(settings: Any) -> None:
    """Refuse settings with a secret in them: all settings are written to files, W&B and reports.

    Secret are the values of environment variables with names like WANDB_API_KEY, passwords in URLs, and settings with
    names like `api_key`. References such as `${oc.env:WANDB_API_KEY}` that are not resolved are none.

    Args:
        settings: a configuration as plain dictionaries, lists and values.

    Raises:
        SRError: there is one; the message has its name alone.
    """
    secrets = _of_environment()
    for key, value in _texts(settings):
        for name, secret in secrets.items():
            if secret in value or secret in key:
                where = value.split("=")[0].lstrip("+~") if ".overrides." in key else key
                where = "a setting's name" if secret in where else where
                raise SRError(
                    f"{where} holds the value of the environment variable {name}, and settings are written to files: "
                    "leave it out; what needs it finds it in the environment"
                )
        if value and "${" not in value and SECRET_SETTING.search(key):
            raise SRError(
                f"{key} would be written to files with the other settings: leave it out, and have it in the "
                "environment alone, as WANDB_API_KEY is"
            )
        if URL_WITH_PASSWORD.search(value):
            raise SRError(f"{key} holds a URL with a password, and settings are written to files: leave it out")


def _of_environment() -> dict[str, str]:
    """{name: value} of the variables that hold secrets; of a URL with a password, the password."""
    found = {}
    for name, value in os.environ.items():
        if SECRET_VARIABLE.search(name) and name not in PLACES:
            found[name] = value
        elif url := URL_WITH_PASSWORD.search(value):
            found[name] = url[1]
    return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def _texts(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and value of all that is text; of other values the key."""
    if isinstance(settings, dict):
        for name, inner in settings.items():
            yield from _texts(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(settings, list):
        for number, inner in enumerate(settings):
            yield from _texts(inner, f"{key}[{number}]")
    else:
        yield key, settings if isinstance(settings, str) else ""
