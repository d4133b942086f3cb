"""The files of `--report`: the result of a run as JSON, JUnit XML or an HTML page, written at its end."""
import errno
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from occystrap_core.errors import OccystrapError, OutputError, UsageError
from occystrap_core.files.durability import output_errors, sync_directory, write_all
from occystrap_core.terminal_text import one_line

Document = Mapping[str, Any]
"""What `-O json` prints."""
_HEAD = 512
_OURS = {
    '.json': re.compile(rb'\s*\{\s*("level": "\w+",\s*)?"succeeded": (true|false),\s*"seconds": [0-9.]+,'),
    '.xml': re.compile(rb'<\?xml version="1\.0" encoding="utf-8"\?>\s*<testsuites name="occystrap \w+" '),
    '.html': re.compile(rb'<!DOCTYPE html>\s*<html lang="en"><head><meta charset="utf-8"><title>occystrap \w+: '),
}
"""How our reports begin, by the suffix of the file."""


class ReportFiles:
    """Files that get the document of one run; a file that exists is only replaced if it is a report."""

    def __init__(self, command: str, paths: Sequence[str]) -> None:
        """Look at the files before anything is read.

        Raises UsageError for a suffix that names no form and a file that is no report, OutputError if nothing can be
        written there.
        """
        self.command, self.paths = command, tuple(dict.fromkeys(paths))
        for path in self.paths:
            _require_suffix(path)
        for path in self.paths:
            with output_errors(one_line(path)):
                os.stat(os.path.dirname(path) or '.')
                _require_report(path)
                _require_writable(os.path.dirname(os.path.realpath(path)))

    def __bool__(self) -> bool:
        return bool(self.paths)

    def write(self, document: Document) -> None:
        """Write all files, each completely or not at all; raises OutputError for the first that cannot be written.

        A file that another program has put there meanwhile is left as it is.
        """
        failed: list[OccystrapError] = []
        for path in self.paths:
            try:
                with output_errors(one_line(path)):
                    content = _renderer(path)(self.command, document).encode()
                    _require_report(path)
                    _replace(os.path.realpath(path), content)
            except (OutputError, UsageError) as error:
                failed.append(error)
        if failed:
            raise OutputError(str(failed[0])) from failed[0]


def _require_suffix(path: str) -> None:
    if os.path.splitext(path)[1] not in _OURS:
        raise UsageError(f'--report {path}: the suffix says what is written: give a name that ends with .json, .xml '
                         '(JUnit) or .html')


def _require_report(path: str) -> None:
    """Raise UsageError if a path has something other than an earlier report; raises OSError."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f'--report {path} is not a regular file: choose another name')
    with open(path, 'rb') as file:
        head = file.read(_HEAD)
    if head and not _OURS[os.path.splitext(path)[1]].match(head):
        raise UsageError(f'--report {path} exists and is no such report of occystrap: choose another name, or '
                         'remove it')


def _require_writable(directory: str) -> None:
    """Raise OSError if no file can be made in a directory."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except (IsADirectoryError, NotImplementedError):  # a file system without unnamed files
        return
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


def _replace(path: str, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that a reader never sees an incomplete report."""
    directory = os.path.dirname(path)
    partial = os.path.join(directory, f'.occystrap-report-{os.urandom(8).hex()}.partial')
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(os.stat(path).st_mode))
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    sync_directory(directory)


def _renderer(path: str) -> Callable[[str, Document], str]:
    """Return what makes the text of a file; each is imported only where it is needed."""
    suffix = os.path.splitext(path)[1]
    if suffix == '.json':
        return _json
    if suffix == '.xml':
        from occystrap_core.report.junit_report import junit_report
        return junit_report
    from occystrap_core.report.html_report import html_report
    return html_report


def _json(command: str, document: Document) -> str:
    from json import dumps
    return dumps(document, indent=2, allow_nan=False) + '\n'
