"""What a stack of layers has made so far: enough to draw what makes sense next, not what comes out."""
import tarfile

from tests.hostile.extraction.stacks import Entry


class TreeModel:
    """The merged tree by real path; the root is the empty path."""

    def __init__(self) -> None:
        self._nodes: dict[str, Entry] = {}
        self._own: set[str] = set()
        self._implied: set[str] = set()

    def begin_layer(self) -> None:
        """From now on all that there is comes from below."""
        self._own, self._implied = set(), set()

    def has(self, path: str) -> bool:
        """Whether there is something at a real path."""
        return path in self._nodes

    def is_own(self, path: str) -> bool:
        """Whether this layer brought what is at a real path."""
        return path in self._own

    def hides_implied(self, path: str, inclusive: bool) -> bool:
        """Whether hiding a path hides directories of lower layers in which this layer has something already.

        Their attributes are hidden then, and the layer has none for them: umoci keeps those of the hidden directory.
        """
        real = self.real(path)
        return any(each.startswith(f'{real}/') or (inclusive and each == real) for each in self._implied)

    def below(self) -> set[str]:
        """Return what is there from lower layers."""
        return set(self._nodes) - self._own

    def directories(self) -> set[str]:
        """Return the directories, with the root."""
        return {path for path, entry in self._nodes.items() if entry.kind == tarfile.DIRTYPE} | {''}

    def linkable(self, own_only: bool) -> set[str]:
        """Return what hard links can be made to."""
        return {path for path, entry in self._nodes.items()
                if entry.kind != tarfile.DIRTYPE and (path in self._own or not own_only)}

    def origin(self, path: str) -> Entry:
        """Return the entry that made what is at a real path."""
        return self._nodes[path]

    def accepts(self, path: str, plainly: bool) -> bool:
        """Whether all parents of a path are directories, missing, or symlinks to such.

        `plainly`: no symlinks, and nothing that this layer has already.
        """
        return self._resolve(path.rpartition('/')[0], plainly) is not None and not (plainly and path in self._own)

    def real(self, path: str) -> str:
        """Return the real path, the last component as it is."""
        parent, _, name = path.rpartition('/')
        above = self._resolve(parent, False)
        return f'{above}/{name}' if above else name

    def put(self, path: str, entry: Entry, is_link_to: str = '') -> None:
        """Put an entry at a path, with the directories above it."""
        real = self.real(path)
        parts = real.split('/')
        for depth in range(1, len(parts)):
            parent = '/'.join(parts[:depth])
            self._nodes.setdefault(parent, Entry(parent, tarfile.DIRTYPE, mode=0o755))
            self._implied |= {parent} - self._own
            self._own.add(parent)
        if entry.kind != tarfile.DIRTYPE:
            self._drop({each for each in self._nodes if each.startswith(f'{real}/')})
        self._nodes[real] = entry
        self._own.add(real)
        self._implied.discard(real)

    def hide(self, path: str, inclusive: bool) -> None:
        """Hide what lower layers have below a path, or at it too."""
        real = self.real(path)
        self._drop({each for each in self._nodes if each not in self._own and (
            each.startswith(f'{real}/') or (inclusive and each == real))})

    def _drop(self, paths: set[str]) -> None:
        for path in paths:
            del self._nodes[path]
        self._own -= paths
        self._implied -= paths

    def _resolve(self, path: str, plainly: bool) -> str | None:
        """Return the real path of a directory that is there or can be made, or None."""
        found: list[str] = []
        todo, links = path.split('/')[::-1], 0
        while todo:
            part = todo.pop()
            if part in ('', '.'):
                continue
            if part == '..':
                found = found[:-1]
                continue
            entry = self._nodes.get('/'.join([*found, part]))
            if entry is None or entry.kind == tarfile.DIRTYPE:
                found.append(part)
            elif entry.kind != tarfile.SYMTYPE or plainly or (links := links + 1) > 20:
                return None
            else:
                target = str(entry.link)
                found = [] if target.startswith('/') else found
                todo += target.split('/')[::-1]
        return '/'.join(found)
