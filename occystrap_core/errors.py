"""Every exception that occystrap raises on purpose, in one tree.

    OccystrapError                 exit code 1
    ├── UsageError                 exit code 2: the command line or a URI is wrong
    │   ├── UnknownScheme          no installed plugin brings this scheme
    │   └── UnknownOption          a scheme or filter has no such option
    ├── InvalidReceipt             a receipt is damaged, was edited, or is incomplete
    ├── PluginError                a plugin is broken, or two claim one name
    ├── ImageError                 the image at the source
    │   ├── ImageNotFound          the source has no such image, tag or platform
    │   └── InvalidImage           the image breaks the rules of its format
    │       ├── NoImage            an artifact, such as a chart, where an image is expected
    │       └── DigestMismatch     bytes with another digest or size than expected
    │           └── SizeMismatch   fewer or more bytes
    ├── ServiceError               a registry or daemon did not do what was requested
    │   ├── ServiceUnavailable     no answer, or only server errors
    │   │   └── TooManyRequests    it asks for fewer requests
    │   └── AccessDenied           credentials are missing or refused
    └── OutputError                the destination could not be written

    Cancelled                      exit code 130: the run was interrupted; not an Exception, since it is not a failure

A message is one line that names the item and says what to do about it.
"""
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self


class OccystrapError(Exception):
    """The base of all exceptions that occystrap raises on purpose; `exit_code` is that of the command line."""

    exit_code = 1

    def __str__(self) -> str:
        """The message, with the notes that were added to it."""
        return '; '.join([super().__str__(), *getattr(self, '__notes__', ())])


class UsageError(OccystrapError):
    """The command line, a URI, a filter or the environment asks for something that does not exist."""

    exit_code = 2

    @classmethod
    def unknown(cls, what: str, name: str, known: Mapping[str, object] | Sequence[str]) -> Self:
        """Return the error for an unknown `what`; it suggests the nearest of `known`."""
        return cls(f'{what} {name!r}{nearest(name, known)}')


class UnknownScheme(UsageError):
    """No installed plugin has this scheme or filter."""


class UnknownOption(UsageError):
    """A scheme or filter has no option of this name."""


class InvalidReceipt(OccystrapError):
    """A receipt is malformed, was changed after it was written, or does not cover its image."""


class PluginError(OccystrapError):
    """A plugin could not be loaded, breaks its contract, or claims a name that another plugin has."""


class ImageError(OccystrapError):
    """The image at the source is missing or invalid.

    `rule` is the id that `occystrap check` reports (docs/checks.md); empty if the affected part of the image is
    unknown. `problem` is the second half of such an id.
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
    """Return a text for an error of the system without an explanation of our own: the file, and what is wrong."""
    try:
        os.getcwd()
    except FileNotFoundError:
        if error.filename is None:
            return 'the current directory does not exist any more: change to another one'
    return f'{error.filename or "input or output"}: {error.strerror or error}'


@contextmanager
def set_error_rule(part: str) -> Iterator[None]:
    """Set `rule` of an ImageError raised in the with block to that of a part of an image, unless it has a rule."""
    try:
        yield
    except ImageError as error:
        error.rule = error.rule or f'{part}-{error.problem}'
        raise


@contextmanager
def prefix_errors(place: str) -> Iterator[None]:
    """Prefix the message of an ImageError raised in the with block with the image's place, unless it contains that."""
    try:
        yield
    except ImageError as error:
        if place in str(error):
            raise
        raise error.renamed(f'{place}: {error}') from None


class ImageNotFound(ImageError):
    """The source has no image of this name, tag, digest or platform."""

    problem = 'missing'
    nothing_matches = False
    """Whether a complete list of the source's names is known, and a pattern or selection matches none of them."""

    @classmethod
    def of_pattern(cls, message: str) -> Self:
        """Return the error for a pattern or a selection that matches none of all names."""
        error = cls(message, 'manifest-missing')
        error.nothing_matches = True
        return error


class InvalidImage(ImageError):
    """A manifest, config, archive or layer breaks the rules of its format."""

    problem = 'invalid'


class NoImage(InvalidImage):
    """An artifact, such as a chart, where an image is expected."""


class DigestMismatch(InvalidImage):
    """Bytes with another digest or size than expected."""

    problem = 'digest'


class SizeMismatch(DigestMismatch):
    """Fewer or more bytes than expected."""

    problem = 'size'


class ServiceError(OccystrapError):
    """A registry or daemon did not do what was requested."""


class ServiceUnavailable(ServiceError):
    """A registry or daemon cannot be reached, or returns only server errors."""


class TooManyRequests(ServiceUnavailable):
    """A service asks for fewer requests (429): what failed may be tried again when others are done.

    `host` is the one that refused, as it counts in `RequestStats`.
    """

    def __init__(self, message: str = '', host: str = '') -> None:
        super().__init__(message)
        self.host = host


class AccessDenied(ServiceError):
    """Credentials are missing or wrong, or permission is denied."""


class OutputError(OccystrapError):
    """The destination cannot be written."""


class Cancelled(BaseException):
    """The run was interrupted by the user, or the work was abandoned because another part of it failed.

    It says nothing about an image, so no `except Exception` may treat it as a failure: clean up, and let it propagate.
    """

    exit_code = 130


def nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Return `; did you mean …?` with the nearest of `known`, or the list of all."""
    import difflib
    close = difflib.get_close_matches(name, list(known), n=1)
    if close:
        return f'; did you mean {close[0]!r}?'
    return f'; available: {", ".join(sorted(known))}' if known else '; none are available'


def again(error: BaseException) -> BaseException:
    """Return a copy of an error for another reader, since readers add notes to it."""
    import copy  # late, as only errors need it
    try:
        same = copy.copy(error)
        same.__dict__.update(error.__dict__)
    except Exception:  # the class may belong to a plugin, and not be copyable
        return error
    if notes := getattr(error, '__notes__', None):
        same.__notes__ = list(notes)
    return same
