"""Stacks of layers as hypothesis draws them: every type over every type, links, marks, over a small set of names."""
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from tests.functional.extraction.tree_model import TreeModel
from tests.hostile.extraction.stacks import (TIME, Entry, device, fifo, file, directory, opaque, symlink, whiteout,
                                             with_xattrs)

Stack = tuple[tuple[Entry, ...], ...]
"""Layers, lowest first."""

NAMES = st.sampled_from(['a', 'b', 'c', 'dd'])
TARGETS = st.sampled_from(['a', '/b', '../a', 'nowhere', '/a/b', '../../../c', 'b/../c', '.', '/', 'a/b', '../b/./c',
                           'dd/x'])
CAPABILITY = struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0)
XATTRS = st.sampled_from([{}, {}, {}, with_xattrs(user__a=b'1\0='), with_xattrs(security__capability=CAPABILITY),
                          with_xattrs(user__b=b'x' * 90, trusted__c=b'\0')])
OWNERS = st.sampled_from([0, 0, 1, 1000, 65534, 70000, 4_000_000])
MODES = st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2711, 0o1777, 0o6777, 0])
TIMES = st.sampled_from([TIME, 0, 1, 2_200_000_000, 1_234_567_890])
CONTENTS = st.sampled_from([b'', b'x', b'content\n', b'y' * 600])
DEVICES = st.sampled_from([(1, 3), (8, 300), (300, 7)])
KINDS = st.sampled_from(['file', 'file', 'directory', 'directory', 'symlink', 'hard link', 'fifo', 'device', 'mark',
                         'mark', 'opaque'])


@st.composite
def stacks(draw: st.DrawFn, sober: bool = False) -> Stack:
    """Return a stack of one to four layers.

    Sober ones are made as real tools make them: with all parents in each layer, marks first and only of what there is,
    and neither paths nor hard links that lead through what another layer brought.
    """
    model, count = TreeModel(), draw(st.integers(1, 4))
    return tuple(_Layer(draw, model, sober).draw_all() for _ in range(count))


class _Layer:
    """One layer in the making, over what the model has from those below."""

    def __init__(self, draw: st.DrawFn, model: TreeModel, sober: bool) -> None:
        self._draw, self._model, self._sober = draw, model, sober
        self._entries: list[Entry] = []
        self._marked: list[str] = []
        model.begin_layer()

    def draw_all(self) -> tuple[Entry, ...]:
        """Return the entries."""
        kinds = self._draw(st.lists(KINDS, min_size=1, max_size=9))
        if self._sober:
            kinds.sort(key=lambda kind: kind not in ('mark', 'opaque'))
        for kind in kinds:
            {'mark': self._mark, 'opaque': self._opaque, 'hard link': self._hard_link}.get(
                kind, lambda kind=kind: self._put(kind))()
        return tuple(self._entries)

    def _mark(self) -> None:
        below = sorted(self._model.below())
        path = self._draw(st.sampled_from(below)) if below and (self._sober or self._draw(st.booleans())) else ''
        if not path and not self._sober:
            path = self._path()
        if path and self._accepts(path) and not self._model.hides_implied(path, True) and self._parents(path):
            self._entries.append(whiteout(path))
            self._marked.append(path)
            self._model.hide(path, inclusive=True)

    def _opaque(self) -> None:
        directories = sorted(self._model.directories() - {''})
        if directories:
            path = self._draw(st.sampled_from(directories))
            unclear = self._model.hides_implied(path, False) or (self._sober and opaque(path) in self._entries)
            if not unclear and self._parents(f'{path}/x'):
                self._entries.append(opaque(path))
                self._model.hide(path, inclusive=False)

    def _hard_link(self) -> None:
        targets = sorted(self._model.linkable(own_only=self._sober))
        path = self._path()
        if not targets or not self._accepts(path):
            return
        target = self._draw(st.sampled_from(targets))
        if self._model.real(path) != target and self._parents(path) and target in self._model.linkable(False):
            origin = self._model.origin(target)
            self._entries.append(replace(origin, name=path, kind=tarfile.LNKTYPE, link=target, content=b'',
                                         pax=origin.pax if self._sober else {}, device=(0, 0)))
            self._model.put(path, origin, is_link_to=target)

    def _put(self, kind: str) -> None:
        path = self._path()
        if self._accepts(path) and self._parents(path):
            entry = self._attributed(self._made(kind, path))
            self._entries.append(entry)
            self._model.put(path, entry)

    def _made(self, kind: str, path: str) -> Entry:
        makers: dict[str, Callable[[], Entry]] = {
            'file': lambda: file(path, self._draw(CONTENTS)), 'directory': lambda: directory(path),
            'fifo': lambda: fifo(path),
            'symlink': lambda: symlink(path, self._draw(TARGETS)),
            'device': lambda: device(path, *self._draw(DEVICES), kind=self._draw(st.sampled_from(
                [tarfile.CHRTYPE, tarfile.BLKTYPE])))}
        return makers[kind]()

    def _attributed(self, entry: Entry) -> Entry:
        is_file = entry.kind in (tarfile.REGTYPE, tarfile.DIRTYPE)
        # Others let the kernel hand setgid down to the parents that they make.
        mask = 0o7777 if self._sober or entry.kind != tarfile.DIRTYPE else 0o5777
        return replace(entry, mode=self._draw(MODES) & mask, uid=self._draw(OWNERS), gid=self._draw(OWNERS),
                       mtime=self._draw(TIMES), pax=self._draw(XATTRS) if is_file else {})

    def _accepts(self, path: str) -> bool:
        """Whether a path makes sense here; real tools put only opaque marks into directories created again."""
        created_again = any(f'{path}/'.startswith(f'{marked}/') for marked in self._marked)
        return self._model.accepts(path, self._sober) and not (self._sober and created_again)

    def _path(self) -> str:
        return '/'.join(self._draw(st.lists(NAMES, min_size=1, max_size=3)))

    def _parents(self, path: str) -> bool:
        """Bring the directories above a path along, if all have to be there; return whether they can be."""
        above = path.split('/')[:-1]
        for depth in range(1, len(above) + 1) if self._sober else ():
            parent = '/'.join(above[:depth])
            if not self._model.is_own(parent):
                entry = replace(self._model.origin(parent), name=parent + '/') if self._model.has(parent) else \
                    directory(parent)
                self._entries.append(entry)
                self._model.put(parent, entry)
        return True
