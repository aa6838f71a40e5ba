"""The documentation site: `uv run --group docs sphinx-build -W -c docs . outputs/site`.

Sphinx reads the whole repository, so that links between pages, notebooks and CONTRIBUTING.md are the same here and in
the repository.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs/_ext"))

project = "sr_experiments"
author = copyright = "the sr_experiments developers"
version = release = version_of("sr-experiments")

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "commands", "settings", "tutorial",
]  # fmt: skip
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = ["docs/_ext", "outputs", ".venv"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # -D nb_execution_mode=force: run the notebooks, ten minutes
nb_execution_timeout = 600

default_role = "code"  # of `names` in docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

smartquotes = False  # "--option" stays as it is

html_theme = "furo"
html_title = "sr_experiments"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_extra_path = ["_root"]  # index.html, which leads to docs/index.html
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "
