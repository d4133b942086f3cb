"""A process that has the command line imported, and forks for each run; see `CommandLine` and `WarmCommandLine`.

It reads a line of JSON for each run, and writes a line with the process's number and one with its exit code. Where the
request has `under_way`, the code comes only when it is asked for, by a line with `ended`: the process's number.
"""
import functools
import gc
import importlib
import json
import os
import pkgutil
import sys
from typing import Any

import importlib_metadata

PACKAGES = ('occystrap_core', 'occystrap_dir', 'occystrap_tar', 'occystrap_registry', 'occystrap_docker')


def prepare() -> None:
    """Import whatever a run may import, and find the plugins, once for all; keep it from being copied by children."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f'{package}.'):
            if not found.name.endswith('__main__'):
                importlib.import_module(found.name)
    importlib_metadata.entry_points = functools.cache(importlib_metadata.entry_points)
    for each in importlib_metadata.entry_points(group='occystrap'):
        each.load()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000)  # as the command itself has it


def run(request: dict[str, Any]) -> None:
    """Become the command, in its directory, with its environment and its output in files."""
    os.chdir(request['directory'])
    os.environ.clear()
    os.environ.update(request['environment'])
    for number, path in enumerate(request['streams']):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY, 0o644), number)
    from occystrap_core.cli.main import main
    main(request['arguments'])


def serve() -> None:
    """Run what comes."""
    prepare()
    for line in sys.stdin:
        request = json.loads(line)
        child = request.get('ended') or os.fork()
        if not child:
            run(request)
        if 'ended' not in request:
            print(child, flush=True)
        if 'under_way' not in request:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == '__main__':
    serve()
