"""conf/schema.json with its parts for editors, and configurations that are checked without a run."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sr_experiments.config.json_schema import FOLDERS, json_schema, part_name
from sr_experiments.config.schema import check
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing

OF_HYDRA = ("defaults", "hydra")


def write_schema(path: Path, only_check: bool = False) -> bool:
    """Write the schema and its parts, or only look; return whether the files were the schema's already, or are now.

    The parts lie in .vscode/schemas beside the folder: editors can't follow "schema.json#/$defs/..." in their settings.

    Raises:
        SRError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise SRError(f"no folder {path.parent} here: run sr schema in the project's folder")
    parts = path.parent.parent / ".vscode/schemas"
    names = sorted({part_name(place) for place in FOLDERS.values()})
    files = {
        path: json_schema(),
        **{parts / f"{name}.json": {"$ref": f"../../conf/schema.json#/$defs/file-{name}"} for name in names},
    }
    texts = {file: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for file, schema in files.items()}
    others = [file for file in parts.glob("*.json") if file not in texts]
    if only_check:
        same = all(file.is_file() and file.read_text(encoding="utf-8") == text for file, text in texts.items())
        return same and not others
    parts.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for file in others:
        file.unlink()
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
    if not isinstance(config, dict) or not {"scale", "model", "loss", "data"} <= set(config):
        raise SRError(f"{path} is no whole configuration, as a run's config.yaml is: editors check the files of conf/")
    try:
        check({key: value for key, value in config.items() if key not in OF_HYDRA})
    except SRError as error:
        raise SRError(f"{path}: {error}") from None
