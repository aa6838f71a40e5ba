"""Where a package index has a file: asked through uv or pip, so that the user's own configuration decides.

Mirrors, local folders and credentials are set up for these tools (uv.toml, pip.conf, UV_DEFAULT_INDEX,
PIP_INDEX_URL and others), so the address is theirs to find. Nothing of the package is installed, built or run.
"""

import contextlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from sr_experiments.errors import SRError
from sr_experiments.pretrained.catalogue import Package

log = logging.getLogger(__name__)

TIMEOUT = 40.0  # seconds for one tool, which waits for its index and tries again by itself
# Settings of the project that `uv run` was started in, which are not for the question asked here.
OF_ANOTHER_PROJECT = ("UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_FROZEN", "UV_LOCKED", "UV_NO_BUILD", "VIRTUAL_ENV")
# With these uv does not read its settings in a project's pyproject.toml.
CONFIG_FILE, NO_CONFIG = "UV_CONFIG_FILE", "UV_NO_CONFIG"

PROJECT = """
[project]
name = "question"
version = "0"
requires-python = ">=3.10"
dependencies = ["{name}=={version}"]
"""
# What the package depends on is none of our business; and uv, which is told, does not build it to know.
METADATA = """
[[{table}dependency-metadata]]
name = "{name}"
version = "{version}"
requires-dist = []
"""


def archive_url(package: Package) -> str:
    """Return the address of a package's archive, as https, http or file.

    Raises:
        SRError: neither uv nor pip is there, or none finds it; the message says what each said.
    """
    asked: list[tuple[str, Callable[[Package, Path], str]]] = []
    if uv := os.environ.get("UV") or shutil.which("uv"):
        asked.append(("uv", lambda package, folder: _ask_uv(uv, package, folder)))
    if pip := _pip():
        asked.append(("pip", lambda package, folder: _ask_pip(pip, package, folder)))
    if find_spec("pip") is not None:  # an environment that pip made and not uv
        asked.reverse()
    if not asked:
        raise SRError("neither uv nor pip is installed")
    reasons = []
    for tool, ask in asked:
        with tempfile.TemporaryDirectory() as folder:
            try:
                said = ask(package, Path(folder))
            except (OSError, subprocess.TimeoutExpired) as error:
                reasons.append(f"{tool} does not answer ({type(error).__name__})")
                continue
        if url := _url_in(said, package.archive):
            return url
        reasons.append(f"{tool} does not find {package}")
    raise SRError(", ".join(reasons))


def _ask_uv(uv: str, package: Package, folder: Path) -> str:
    """Have uv lock a project that depends on the package; return its lock file."""
    known = {"name": package.name, "version": package.version}
    project = PROJECT.format(**known) + METADATA.format(table="tool.uv.", **known)
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    settings = {}
    if os.environ.get(NO_CONFIG) or os.environ.get(CONFIG_FILE):
        config = os.environ.get(CONFIG_FILE) if not os.environ.get(NO_CONFIG) else None
        text = Path(config).read_text(encoding="utf-8") if config else ""
        settings = {CONFIG_FILE: str(folder / "uv.toml"), NO_CONFIG: ""}
        (folder / "uv.toml").write_text(text + METADATA.format(table="", **known), encoding="utf-8")
    _run([uv, "lock", "--project", str(folder), "--python", sys.executable, "--no-progress"], settings)
    lock = folder / "uv.lock"
    return lock.read_text(encoding="utf-8") if lock.is_file() else ""


def _ask_pip(pip: list[str], package: Package, folder: Path) -> str:
    """Have pip look for a wheel of the package, and return what it says of each file that it finds."""
    wanted = f"{package.name}=={package.version}"
    options = ["-vv", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--retries=1"]
    return _run([*pip, "download", *options, "--dest", str(folder), wanted])


def _pip() -> list[str] | None:
    """The pip of this Python, or else that of another."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    pip = shutil.which("pip") or shutil.which("pip3")
    return [pip] if pip else None


def _run(command: list[str], settings: Mapping[str, str] | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in OF_ANOTHER_PROJECT}
    environment = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "10", **environment}
    environment = {key: value for key, value in {**environment, **(settings or {})}.items() if value}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
    )
    log.debug("%s: %s%s", command[0], done.stdout, done.stderr)
    return done.stdout + done.stderr


def _url_in(said: str, archive: str) -> str | None:
    """The address that ends with the archive's name, or the path of a local folder as an address."""
    name = re.escape(archive)
    for pattern in (rf'"([^"\n]*[/\\]{name})"', rf"(\S*[/\\]{name})"):
        if found := re.search(pattern, said):
            url = found.group(1)
            with contextlib.suppress(ValueError):  # of a relative path, which is of no use
                return url if re.match(r"(https?|file)://", url) else Path(url).as_uri()
    return None
