"""Every exception that occystrap raises on purpose, in one tree.

    OccystrapError                 exit code 1
    ├── UsageError                 exit code 2: the command line or a URI is wrong
    │   ├── UnknownScheme          no installed plugin brings this scheme
    │   └── UnknownOption          a scheme or filter has no such option
    ├── InvalidReceipt             a receipt is damaged, was edited, or leaves something out
    ├── PluginError                a plugin is broken, or two claim one name
    ├── ImageError                 the image at the source
    │   ├── ImageNotFound          the source has no such image, tag or platform
    │   └── InvalidImage           what the source has is no image that can be trusted
    │       └── DigestMismatch     bytes that are not what their digest or size says
    │           └── SizeMismatch   fewer or more of them
    ├── ServiceError               a registry or daemon did not do what it was asked
    │   ├── ServiceUnavailable     nobody answers, or only with errors
    │   └── AccessDenied           credentials are missing or refused
    └── OutputError                the destination could not be written

    Cancelled                      exit code 130: the run was interrupted; no Exception, as it is no finding of anybody

A message is one line which names the thing and says what to do about it.
"""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self


class OccystrapError(Exception):
    """Root of all that occystrap raises on purpose; `exit_code` is what the command line ends with."""

    exit_code = 1

    def __str__(self) -> str:
        """The message, and the notes that were added on the way up."""
        return '; '.join([super().__str__(), *getattr(self, '__notes__', ())])


class UsageError(OccystrapError):
    """The command line, a URI, a filter or the environment asks for something that does not exist."""

    exit_code = 2

    @classmethod
    def unknown(cls, what: str, name: str, known: Mapping[str, object] | Sequence[str]) -> Self:
        """Return the error that there is no `what` of this name; it says which of `known` is the nearest."""
        return cls(f'{what} {name!r}{nearest(name, known)}')


class UnknownScheme(UsageError):
    """No installed plugin brings this scheme or filter."""


class UnknownOption(UsageError):
    """A scheme or filter has no option of this name."""


class InvalidReceipt(OccystrapError):
    """What should be a receipt is none, was changed since it was written, or does not cover its image."""


class PluginError(OccystrapError):
    """A plugin could not be loaded, breaks its contract, or claims a name that another one has."""


class ImageError(OccystrapError):
    """The image at the source is missing or unfit.

    `rule` is the id that `occystrap check` has for what is wrong (docs/checks.md), empty where nobody said what part of
    the image it concerns; `problem` is the second half of such an id.
    """

    problem = 'unfit'

    def __init__(self, message: str = '', rule: str = '', problem: str = '') -> None:
        super().__init__(message)
        self.rule = rule
        self.problem = problem or self.problem

    def renamed(self, message: str) -> Self:
        """Return the same error with another message."""
        return type(self)(message, self.rule, self.problem)


def system_text(error: OSError) -> str:
    """Return what to tell of an error of the system that nobody has explained: what it concerns, what is wrong."""
    return f'{error.filename or "input or output"}: {error.strerror or error}'


@contextmanager
def set_error_rule(part: str) -> Iterator[None]:
    """Have an ImageError that comes up in the with block say what part of an image it concerns, unless it does."""
    try:
        yield
    except ImageError as error:
        error.rule = error.rule or f'{part}-{error.problem}'
        raise


@contextmanager
def prefix_errors(place: str) -> Iterator[None]:
    """Put the place of an image before an ImageError that comes up in the with block and does not name it."""
    try:
        yield
    except ImageError as error:
        if place in str(error):
            raise
        raise error.renamed(f'{place}: {error}') from None


class ImageNotFound(ImageError):
    """The source has no image of this name, tag, digest or platform."""

    problem = 'missing'


class InvalidImage(ImageError):
    """A manifest, config, archive or layer breaks the rules of its format."""

    problem = 'invalid'


class DigestMismatch(InvalidImage):
    """Bytes whose digest or size is not the one that was promised."""

    problem = 'digest'


class SizeMismatch(DigestMismatch):
    """Bytes that are fewer or more than was promised."""

    problem = 'size'


class ServiceError(OccystrapError):
    """A registry or daemon did not do what it was asked."""


class ServiceUnavailable(ServiceError):
    """A registry or daemon cannot be reached, or answers only with errors of its own."""


class AccessDenied(ServiceError):
    """A registry or daemon wants credentials that are missing or wrong, or permission is refused."""


class OutputError(OccystrapError):
    """The destination cannot be written."""


class Cancelled(BaseException):
    """The run was interrupted by the user, or what was done was given up because another part of it failed.

    It says nothing about an image, so that no `except Exception` may take it for a failure: clean up, and let it pass.
    """

    exit_code = 130


def nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Return `; did you mean …?` with the nearest of `known`, or the list of what there is."""
    import difflib
    close = difflib.get_close_matches(name, list(known), n=1)
    if close:
        return f'; did you mean {close[0]!r}?'
    return f'; there is: {", ".join(sorted(known))}' if known else '; it has none'
