"""One HTML file that needs no other files and no network: styles, scripts and data in it."""

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any


def html_page(title: str, scripts: Sequence[str], content: Any, plotly: str = "", live: bool = False) -> str:
    """Return a page that draws its content by these scripts of the folder `assets`.

    The scripts become one, in this order, and their functions see each other. Where they plot, they need `plotly`.
    A `live` page may ask where it came from for what has changed since.
    """
    assets = files(__package__) / "assets"
    script = "\n".join((assets / f"{name}.js").read_text(encoding="utf-8") for name in scripts)
    parts = {
        "TITLE": title,
        "STYLE": (assets / "style.css").read_text(encoding="utf-8"),
        "PLOTLY": plotly,
        "CONNECT": "; connect-src 'self'" if live else "",
        "DATA": json_for_script(content),
        "SCRIPT": f'(() => {{\n"use strict";\n{script}\n}})();',
    }
    # A function as the replacement: in a string, re.sub would interpret the backslashes of the scripts.
    template = (assets / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def json_for_script(content: Any) -> str:
    """Write JSON that is safe inside a script element: nothing in it can end the element or open another."""
    written = json.dumps(content, allow_nan=False, separators=(",", ":"))  # ASCII, so no U+2028 either
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
