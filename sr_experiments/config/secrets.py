"""Refuse settings that hold a key or a password before they are written: secrets belong in the environment."""

import os
import re
from collections.abc import Iterator
from typing import Any

from sr_experiments.errors import SRError

SHORTEST = 8  # characters; shorter values occur in other settings by chance
SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|PWD|CREDENTIAL|WEBHOOK", re.IGNORECASE)
SECRET_SETTING = re.compile(
    r"(^|[._])(api_?key|access_?key|token|secret|password|passphrase|credentials?)$", re.IGNORECASE
)
URL_WITH_PASSWORD = re.compile(r"\w://[^/@\s]*:([^/@\s]+)@")
WORKING_DIRECTORIES = ("PWD", "OLDPWD")  # named like passwords, PWD


def refuse_secrets(settings: Any) -> None:
    """Refuse settings with a secret in them: all settings are written to files, to W&B and to reports.

    Secrets are the values of environment variables with names like WANDB_API_KEY, passwords in URLs, and settings with
    names like `api_key`. Unresolved references such as `${oc.env:WANDB_API_KEY}` are allowed.

    Args:
        settings: a configuration as plain dictionaries, lists and values.

    Raises:
        SRError: a setting holds a secret; the message names it without its value.
    """
    secrets = _secrets_in_environment()
    for key, value in _texts(settings):
        for name, secret in secrets.items():
            if secret in value or secret in key:
                # Overrides are listed as "key=value": the setting is named, and not its place in the list.
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


def _secrets_in_environment() -> dict[str, str]:
    """Return {name: secret} of the environment variables that hold one; of a URL with a password, the password."""
    found = {}
    for name, value in os.environ.items():
        if SECRET_VARIABLE.search(name) and name not in WORKING_DIRECTORIES:
            found[name] = value
        elif url := URL_WITH_PASSWORD.search(value):
            found[name] = url[1]
    return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def _texts(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key of every setting, and its value if it is text, else an empty one."""
    if isinstance(settings, dict):
        for name, inner in settings.items():
            yield from _texts(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(settings, list):
        for number, inner in enumerate(settings):
            yield from _texts(inner, f"{key}[{number}]")
    else:
        yield key, settings if isinstance(settings, str) else ""
