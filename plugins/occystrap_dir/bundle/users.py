"""Who a process runs as: the user of an image, resolved by the accounts that the image itself has."""
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from occystrap_core import InvalidImage

_NUMBER = re.compile(r'[0-9]{1,20}')
_MOST = 2 ** 31 - 1
"""What runc takes, as Docker does."""


class Account(NamedTuple):
    """What a process gets: numbers of user and group, of all its groups, and a home."""

    uid: int = 0
    gid: int = 0
    additional_gids: Sequence[int] = ()
    home: str = '/'


class _User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: Sequence[str]


class Accounts(NamedTuple):
    """The users and groups of a root file system (passwd(5), group(5)); lines that are malformed are passed over."""

    users: Sequence[_User] = ()
    groups: Sequence[_Group] = ()

    @classmethod
    def parse(cls, passwd: bytes | None, group: bytes | None) -> Self:
        """Return the accounts in /etc/passwd and /etc/group, None for a file that is not there."""
        users = tuple(_User(name, int(uid), int(gid), home) for name, _, uid, gid, _, home in _lines(passwd, 4, 6)
                      if _is_id(uid) and _is_id(gid))
        groups = tuple(_Group(name, int(gid), tuple(members.split(',')))
                       for name, _, gid, members in _lines(group, 3, 4) if _is_id(gid))
        return cls(users, groups)

    def resolve(self, wanted: str) -> Account:
        """Return who `user`, `uid`, `user:group`, `uid:gid` and the like are (image-spec config.md, User).

        As with Docker a number is never taken for a name; without an account it gets group 0. Unless a group is given,
        the groups are also those that list the user, of a number as well. The first group is among the additional ones,
        so that a process which takes on another does not lose it (CVE-2022-36109). Raises InvalidImage for a name that
        the image does not have, and for a number out of range.
        """
        name, _, group = wanted.partition(':')
        user = self._user(name)
        uid, gid = (user.uid, user.gid) if user else (_id(name or '0', 'user'), 0)
        home = user.home if user and user.home else '/'
        if group:
            return Account(uid, self._gid(group), (self._gid(group),), home)
        listed = {each.gid for each in self.groups if user and user.name in each.members}
        return Account(uid, gid, (gid, *sorted(listed - {gid})), home)

    def _user(self, name: str) -> _User | None:
        """Return an account by number, or by name, the first of several; raises InvalidImage for a name of none."""
        if not name or _is_number(name):
            return next((user for user in self.users if user.uid == int(name or 0)), None)
        for user in self.users:
            if user.name == name:
                return user
        raise InvalidImage(f'the image is to run as user {name!r}, whom its /etc/passwd does not have')

    def _gid(self, group: str) -> int:
        if _is_number(group):
            return _id(group, 'group')
        for each in self.groups:
            if each.name == group:
                return each.gid
        raise InvalidImage(f'the image is to run as group {group!r}, which its /etc/group does not have')


def _lines(content: bytes | None, needed: int, fields: int) -> Iterator[list[str]]:
    """Yield the first fields of each line that has as many as are needed, empty ones for those that lack."""
    for line in (content or b'').decode('utf-8', 'replace').split('\n'):
        found = line.strip().split(':')
        if len(found) >= needed and found[0]:
            yield [*found, *[''] * fields][:fields]


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _is_id(text: str) -> bool:
    return _is_number(text) and int(text) <= _MOST


def _id(text: str, what: str) -> int:
    if not _is_id(text):
        raise InvalidImage(f'the image is to run as {what} {text}, but the largest number of one is {_MOST}')
    return int(text)
