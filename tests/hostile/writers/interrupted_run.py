"""Run `occystrap` with a signal at one change of a file by another thread than the main one, which pauses then.

Arguments: the number of the change, and those of the command. The number of all changes is the last line of stderr.
"""
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, NoReturn

import occystrap_core.cli.main  # noqa: F401  (imports write files, too)

PAUSE = 0.15
"""Seconds: long enough for the main thread to do all that it does beside this one."""
CHANGES = {'os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.link', 'os.symlink', 'os.truncate', 'os.chmod'}
number, sys.argv = int(sys.argv[1]), ['occystrap', *sys.argv[2:]]
changes = count()


def interrupt(event: str, arguments: tuple[Any, ...]) -> None:
    """Count a change, and send the signal."""
    writes = event == 'open' and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
    if (writes or event in CHANGES) and threading.current_thread() is not threading.main_thread():
        if next(changes) == number:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(PAUSE)


def report(code: int, end: Callable[[int], NoReturn] = os._exit) -> NoReturn:
    """Tell the number of changes, and end the process, as the command does."""
    os.write(2, b'%d\n' % next(changes))
    end(code)


os._exit = report
sys.addaudithook(interrupt)
runpy.run_module('occystrap_core', run_name='__main__')
