"""`{made} first/sr.png`: an image produced by the commands of the tutorial, if `docs/run_tutorial.py` ran them.

The last image that matches the pattern in the folder is shown. If the commands were not run, the caption and the
pattern are shown instead.
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).resolve().parents[2] / "outputs/tutorial"


class Made(SphinxDirective):
    """A picture with a caption."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the figure, or what to look at once the commands ran."""
        caption = " ".join(self.content)
        found = sorted(FOLDER.glob(self.arguments[0]))
        if not found:
            return self.parse_text_to_nodes(f"*{caption.rstrip('.')}: `{self.arguments[0]}`.*")
        source = f"/{found[-1].relative_to(FOLDER.parents[1]).as_posix()}"
        return self.parse_text_to_nodes(f"```{{figure}} {source}\n:alt: {self.options['alt']}\n\n{caption}\n```")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("made", Made)
    return {"parallel_read_safe": True}
