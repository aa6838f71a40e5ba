"""Components of other installed packages, which name their module in the entry point group `sr_experiments`.

Code is imported because the user installed it with such an entry point, and never because a checkpoint or the
configuration in a run folder names it: these hold names of components, which must be registered by then.
"""

from functools import lru_cache
from importlib.metadata import entry_points

from sr_experiments.errors import SRError, one_line

GROUP = "sr_experiments"


@lru_cache(maxsize=1)
def load_plugins() -> None:
    """Import the modules of all such packages, which register their components.

    Raises:
        SRError: one of them can't be imported, or registers a name that is taken.
    """
    for entry in sorted(entry_points(group=GROUP)):
        try:
            entry.load()
        except Exception as error:  # any that another's code may raise
            package = entry.dist.name if entry.dist else entry.name
            raise SRError(
                f"the installed package {package} can't be loaded ({entry.value}: {one_line(error)}): mend it, or "
                f"pip uninstall {package}"
            ) from error
