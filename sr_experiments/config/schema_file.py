"""conf/schema.json, and configurations that are checked without a run."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sr_experiments.config.json_schema import json_schema
from sr_experiments.config.schema import check
from sr_experiments.errors import SRError
from sr_experiments.files import replacing

OF_HYDRA = ("defaults", "hydra")


def write_schema(path: Path, only_check: bool = False) -> bool:
    """Write the schema, or only look; return whether the file was the schema's already, or is now.

    Raises:
        SRError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise SRError(f"no folder {path.parent} here: run sr schema in the project's folder")
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    if only_check:
        return path.is_file() and path.read_text(encoding="utf-8") == text
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def check_file(path: Path) -> None:
    """Check the YAML file of a whole configuration.

    Raises:
        SRError: it can't be read, or no run can have it.
    """
    try:
        loaded = OmegaConf.load(path)
        config: Any = OmegaConf.to_container(loaded, resolve=True, throw_on_missing=True)
    except FileNotFoundError as error:
        raise SRError(f"no file {path}; check the path") from error
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise SRError(f"{path}: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(config, dict):
        raise SRError(f"{path} holds no settings: give the YAML file of a whole configuration")
    try:
        check({key: value for key, value in config.items() if key not in OF_HYDRA})
    except SRError as error:
        raise SRError(f"{path}: {error}") from None
