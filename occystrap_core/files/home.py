"""The home directory of the user who runs the program, which containers and services may lack."""
import os


def home_path(below: str) -> str | None:
    """Return a path below the home directory; None if the user has none, since HOME is not set and no account exists.

    `os.path.expanduser` then returns `~/…`, which is a directory named `~` in the current one.
    """
    path = os.path.expanduser(f'~/{below}')
    return path if os.path.isabs(path) else None
