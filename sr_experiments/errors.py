"""The one exception that is meant for the user's eyes."""


class SRError(Exception):
    """A mistake the user can mend: the message is one line that names the thing and the fix.

    Commands print the message alone and exit with code 2; anything else that is raised is a bug
    and keeps its traceback.
    """


class NotFinite(SRError):
    """A loss or a gradient became NaN or infinite."""
