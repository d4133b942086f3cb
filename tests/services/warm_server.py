"""A process that has the command line imported, and forks for each run; see `warm_command_line.py`.

It reads a line of JSON for each run, and writes a line with the exit code.
"""
import json
import os
import sys
from typing import Any

import occystrap_core.cli.process
import occystrap_core.pipeline.run
import occystrap_dir.bundle.verifier
import occystrap_dir.bundle.writer
import occystrap_tar.input
from occystrap_core.cli.main import main

LOADED = (occystrap_core.cli.process, occystrap_core.pipeline.run, occystrap_dir.bundle.verifier,
          occystrap_dir.bundle.writer, occystrap_tar.input)
"""What every run would import."""


def run(request: dict[str, Any]) -> None:
    """Become the command, in its folder, with its environment and its output in files."""
    os.chdir(request['folder'])
    os.environ.clear()
    os.environ.update(request['environment'])
    os.dup2(os.open(request['in'], os.O_RDONLY), 0)
    for number, path in ((1, request['out']), (2, request['err'])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644), number)
    main(request['arguments'])


def serve() -> None:
    """Run what comes, one after the other."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == '__main__':
    serve()
