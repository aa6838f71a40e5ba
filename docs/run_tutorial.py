"""Run the commands of the tutorial as they are written, in order, in one folder.

    uv run docs/run_tutorial.py outputs/tutorial

The site shows the images that they produce. A failing command stops the script, and its output is printed.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = ("first_run", "own_images", "gan", "video", "sweep", "deploy")  # as docs/index.md has them


def commands() -> list[str]:
    """Return the commands in the order of the pages: what is between ```sh and ```."""
    text = "\n".join((DOCS / f"tutorial/{page}.md").read_text(encoding="utf-8") for page in PAGES)
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to run them in; existing contents are removed")
    folder = parser.parse_args().folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    for number, command in enumerate(found := commands(), 1):
        print(f"[{number}/{len(found)}] {command}", flush=True)
        start = time.monotonic()
        done = subprocess.run(["bash", "-ec", command], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{done.stdout}{done.stderr}\nexit code {done.returncode}")
        print(f"    {time.monotonic() - start:.0f} s", flush=True)
    print(f"all {len(found)} commands in {(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
