"""Python imports this at its start: notes which lines of some files each test runs, in this process and its forks.

MUTANTS_TRACED has the paths of the files, a line each; MUTANTS_TRACE is the file that gets `file TAB line TAB test`.
"""
import os
import sys
import threading
from types import CodeType, FrameType
from typing import Any

_traced = {path: str(number) for number, path in enumerate(os.environ.get('MUTANTS_TRACED', '').split('\n')) if path}
_numbers: dict[CodeType, str | None] = {}
_seen: set[tuple[CodeType, int, str]] = set()


def _call(frame: FrameType, event: str, argument: Any) -> Any:
    code = frame.f_code
    try:
        return _line if _numbers[code] else None
    except KeyError:
        _numbers[code] = _traced.get(code.co_filename)
        return _line if _numbers[code] else None


def _line(frame: FrameType, event: str, argument: Any) -> Any:
    key = (frame.f_code, frame.f_lineno, os.environ.get('PYTEST_CURRENT_TEST', ''))
    if key not in _seen:
        _seen.add(key)
        try:
            os.write(_file, f'{_numbers[key[0]]}\t{key[1]}\t{key[2]}\n'.encode())
        except OSError:  # a test limits how large files may become
            pass
    return _line


def pytest_runtest_setup() -> None:
    """Trace again in a process of tests, since Python stops it when a signal raises within, or a limit is met."""
    if _traced:
        sys.settrace(_call)


if _traced:
    _file = os.open(os.environ['MUTANTS_TRACE'], os.O_WRONLY | os.O_APPEND)
    os.set_inheritable(_file, True)
    threading.settrace(_call)
    sys.settrace(_call)
