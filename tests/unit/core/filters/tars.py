"""Tars made by hand, seen through filters."""
import io
import subprocess
import tarfile
from collections.abc import Sequence

from occystrap_core.api.image_filter import EntryFilter
from occystrap_core.image.layer import TarLayer
from occystrap_core.oci import Digest
from occystrap_core.plugins.resolver import open_filters
from occystrap_core.settings import Settings
from occystrap_core.tar.rewritten_image import LayerPass, RewrittenLayer
from tests.services.installed import installed_plugins

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes | str | None = b'', kind: bytes = tarfile.REGTYPE, **fields: object) -> Entry:
    """Return an entry: bytes are content, text is a link's target (hard if `kind` says so), None is a directory."""
    info = tarfile.TarInfo(name)
    if isinstance(content, str):
        info.type, info.linkname = kind if kind == tarfile.LNKTYPE else tarfile.SYMTYPE, content
    elif content is None:
        info.type = tarfile.DIRTYPE
    else:
        info.type, info.size = kind, len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content if isinstance(content, bytes) else b''


def hard(name: str, target: str, **fields: object) -> Entry:
    """Return a hard link."""
    return entry(name, target, tarfile.LNKTYPE, **fields)


def tar_of(entries: Sequence[Entry], kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of the entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=kind) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def through(tar: bytes, *filters: str) -> bytes:
    """Return the tar as filters, given as on the command line, make it, all in one pass."""
    opened = open_filters(installed_plugins(), list(filters), Settings())
    passes = [LayerPass(each.entry) for each in opened if isinstance(each, EntryFilter)]
    layer = RewrittenLayer(TarLayer(0, None, lambda: io.BytesIO(tar)), [lambda _, each=each: each for each in passes])
    with layer.tar() as stream:
        result = b''.join(bytes(chunk) for chunk in stream.chunks())
    assert layer.diff_id == Digest.of(result)
    return result


def contents(tar: bytes) -> dict[str, bytes | str | None]:
    """Return what a tar holds as tarfile reads it: of files the content, of links `-> target` or `= target`."""
    found: dict[str, bytes | str | None] = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            if member.issym() or member.islnk():
                found[member.name] = f'{"->" if member.issym() else "="} {member.linkname}'
            else:
                file = archive.extractfile(member)
                found[member.name] = file.read() if file else None
    return found


def listed(tar: bytes) -> list[str]:
    """Return the names as GNU tar lists them; fails if it complains of anything."""
    names, complaints = listing(tar)
    assert not complaints
    return names


def listing(tar: bytes) -> tuple[list[str], set[bytes]]:
    """Return the names as GNU tar lists them, and what it complains of."""
    done = subprocess.run(['tar', '-tvf', '-'], input=tar, capture_output=True, check=True)
    return done.stdout.decode(errors='surrogateescape').splitlines(), set(done.stderr.splitlines())
