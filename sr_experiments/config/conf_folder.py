"""Where the YAML files of the configuration are."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def conf_folder() -> Path:
    """Return the folder `conf` beside the package, or its copy within the package where that was installed."""
    beside = PACKAGE.parent / "conf"
    return beside if (beside / "train.yaml").is_file() else PACKAGE / "conf"
