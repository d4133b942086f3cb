"""POSIX access control lists as extended attributes hold them (acl(5), linux/posix_acl_xattr.h)."""
import struct
from typing import NamedTuple, Self

ACCESS, DEFAULT = b'system.posix_acl_access', b'system.posix_acl_default'
ACLS = (ACCESS, DEFAULT)
_HEAD, _ENTRY = struct.Struct('<I'), struct.Struct('<HHI')
_VERSION, _NOBODY = 2, 0xffffffff
_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_NAMED = (_USER, _GROUP)


class Acl(NamedTuple):
    """Entries of tag, permissions and ID, in the order in which the kernel keeps them."""

    entries: tuple[tuple[int, int, int], ...]

    @classmethod
    def parse(cls, value: bytes) -> Self | None:
        """Return the list in an attribute's value, None if that is malformed."""
        whole = len(value) >= _HEAD.size and not (len(value) - _HEAD.size) % _ENTRY.size
        if not whole or _HEAD.unpack_from(value)[0] != _VERSION:
            return None
        return cls(tuple(sorted((tag, permissions, owner if tag in _NAMED else _NOBODY)
                                for tag, permissions, owner in _ENTRY.iter_unpack(value[_HEAD.size:]))))

    @property
    def value(self) -> bytes:
        """The attribute's value, the same for equal lists."""
        return _HEAD.pack(_VERSION) + b''.join(_ENTRY.pack(*entry) for entry in self.entries)

    @property
    def is_mode(self) -> bool:
        """Whether it grants no more than a mode, so that the kernel does not store it as an access list."""
        return all(tag in (_OWNER, _GROUP_OWNER, _OTHER) for tag, _, _ in self.entries)

    def with_mode(self, mode: int) -> Self:
        """Return the list as chmod(2) changes it: the mode's group bits are those of the mask, if there is one."""
        group = _MASK if any(tag == _MASK for tag, _, _ in self.entries) else _GROUP_OWNER
        bits = {_OWNER: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
        return self._replace(entries=tuple((tag, bits.get(tag, old), owner) for tag, old, owner in self.entries))


def canonical(name: bytes, value: bytes) -> bytes:
    """Return the value of an attribute, the same for equal access lists; other attributes are unchanged."""
    acl = Acl.parse(value) if name in ACLS else None
    return acl.value if acl else value


def stored_value(name: bytes, value: bytes, mode: int) -> bytes | None:
    """Return the value that the kernel stores for an attribute on a file of this mode, None if it stores none."""
    acl = Acl.parse(value) if name in ACLS else None
    if acl is None:
        return value
    if not acl.entries or name == ACCESS and acl.is_mode:
        return None
    return acl.with_mode(mode).value if name == ACCESS else acl.value
