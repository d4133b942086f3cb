"""What a directory holds, down to everything that could have been changed."""
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

KINDS = {stat.S_IFREG: 'file', stat.S_IFDIR: 'directory', stat.S_IFLNK: 'symlink', stat.S_IFIFO: 'fifo',
         stat.S_IFCHR: 'char', stat.S_IFBLK: 'block', stat.S_IFSOCK: 'socket'}


@dataclass(frozen=True)
class Node:
    """One path: everything about it but its name; `same` are all paths of the tree that are this very file."""

    kind: str
    mode: int
    owner: tuple[int, int]
    links: int
    mtime: float
    size: int = 0
    digest: str = ''
    target: str = ''
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    same: tuple[str, ...] = ()


Tree = dict[str, Node]
"""Nodes by path relative to the root, which is `.`."""


def read_tree(root: Path, without: Sequence[str] = ()) -> Tree:
    """Return all that is in a directory, itself too, but for `without`; names that are not UTF-8 have surrogates."""
    paths = list(_walk(str(root), without))
    stats = {path: os.lstat(os.path.join(root, path)) for path in paths}
    families: dict[tuple[int, int], list[str]] = {}
    for path, found in stats.items():
        families.setdefault((found.st_dev, found.st_ino), []).append(path)
    return {path: _node(os.path.join(root, path), found, tuple(sorted(families[found.st_dev, found.st_ino])))
            for path, found in sorted(stats.items())}


def names(tree: Tree) -> set[str]:
    """Return the paths without the root."""
    return set(tree) - {'.'}


def _walk(root: str, without: Sequence[str]) -> Iterator[str]:
    todo = ['.']
    while todo:
        yield (path := todo.pop())
        with os.scandir(os.path.join(root, path)) as found:
            for entry in found:
                inside = entry.name if path == '.' else f'{path}/{entry.name}'
                if inside in without:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    todo.append(inside)
                else:
                    yield inside


def _node(path: str, found: os.stat_result, same: tuple[str, ...]) -> Node:
    kind = KINDS[stat.S_IFMT(found.st_mode)]
    regular = kind == 'file'
    return Node(
        kind, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid), found.st_nlink, found.st_mtime_ns / 10 ** 9,
        size=found.st_size if regular else 0, digest=_digest(path, found.st_size) if regular else '',
        target=os.readlink(path) if kind == 'symlink' else '',
        device=(os.major(found.st_rdev), os.minor(found.st_rdev)) if kind in ('char', 'block') else (0, 0),
        xattrs=tuple((name, os.getxattr(path, name, follow_symlinks=False))
                     for name in sorted(os.listxattr(path, follow_symlinks=False))),
        same=same if kind != 'directory' else ())


def _digest(path: str, size: int) -> str:
    with open(path, 'rb', buffering=0) as content:
        if size > 1 << 20:
            return hashlib.file_digest(content, 'sha256').hexdigest()
        return hashlib.sha256(content.readall()).hexdigest()  # file_digest takes half a millisecond for its buffer
