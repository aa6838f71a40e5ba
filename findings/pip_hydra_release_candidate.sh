#!/usr/bin/env bash
# pip installs a release candidate of Hydra and of OmegaConf for hydra-submitit-launcher, also beside `hydra-core>=1.3.2`.
#
# One would expect: without --pre, pip takes a release candidate only where no release fits; Hydra 1.3.8 fits. And if the
#   plug-in's own requirement let candidates in, a second one without them, hydra-core>=1.3.2, would keep them out.
# What happens: the plug-in, 1.2.0 of 2022, requires hydra-core>=1.1.0.dev7. A version with "dev" in any requirement of a
#   package, of whoever it is, allows all its pre-releases, and then the newest is best: Hydra 1.4.0rc3, which in turn
#   brings OmegaConf 2.4.1rc1. Further lower bounds change nothing. uv takes 1.3.8 and 2.3.1, of the same requirements.
# Why it matters: sweeps on a cluster run with another Hydra than on the laptop, by which of two installers was used.
# Instead: an upper bound, hydra-core<1.4, which by its definition leaves out the candidates of 1.4 as well.
# Versions: pip 26.3, hydra-submitit-launcher 1.2.0, hydra-core 1.3.8 and 1.4.0rc3, Python 3.11; as the index was in
#   November 2026: a later release of Hydra changes what is shown.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" pip==26.3
cd "$work"
venv/bin/python - <<'PY'
import json
import subprocess
import sys

PLUGIN, LOWER, UPPER = "hydra-submitit-launcher==1.2.0", "hydra-core>=1.3.2", "hydra-core<1.4"


def by_pip(*wanted):
    command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--report", "-", *wanted]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    packages = [one["metadata"] for one in json.loads(said)["install"]]
    chosen = {package["name"].lower(): package["version"] for package in packages}
    return chosen["hydra-core"], chosen["omegaconf"]


def by_uv(*wanted):
    command = ["uv", "pip", "compile", "-q", "--no-config", "--no-annotate", "--no-header", "-"]
    said = subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, check=True).stdout
    chosen = dict(line.split("==") for line in said.split())
    return chosen["hydra-core"], chosen["omegaconf"]


found = {}
for wanted in ((LOWER,), (PLUGIN,), (PLUGIN, LOWER), (PLUGIN, LOWER, "omegaconf>=2.3"), (PLUGIN, UPPER)):
    found[wanted] = by_pip(*wanted), by_uv(*wanted)
    for name, (hydra, omegaconf) in zip(("pip", "uv"), found[wanted]):
        print(f"{name:4} Hydra {hydra:9} OmegaConf {omegaconf:9} of {' '.join(wanted)}")
candidates = {wanted: ["rc" in hydra for hydra, _ in chosen] for wanted, chosen in found.items()}
as_found = all(by == [PLUGIN in wanted and UPPER not in wanted, False] for wanted, by in candidates.items())
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
