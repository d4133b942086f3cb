"""The user that a process runs as: resolved with the accounts in the image itself."""
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from occystrap_core import InvalidImage

_NUMBER = re.compile(r'[0-9]{1,20}')
_MOST = 2 ** 31 - 1
"""The largest number that runc and Docker accept."""


class Account(NamedTuple):
    """User and group ids of a process, and its home directory."""

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
    """The users and groups of a root file system (passwd(5), group(5)); malformed lines are skipped."""

    users: Sequence[_User] = ()
    groups: Sequence[_Group] = ()

    @classmethod
    def parse(cls, passwd: bytes | None, group: bytes | None) -> Self:
        """Return the accounts in /etc/passwd and /etc/group, given their contents, None for a missing file."""
        users = tuple(_User(name, int(uid), int(gid), home) for name, _, uid, gid, _, home in _lines(passwd, 4, 6)
                      if _is_id(uid) and _is_id(gid))
        groups = tuple(_Group(name, int(gid), tuple(members.split(',')))
                       for name, _, gid, members in _lines(group, 3, 4) if _is_id(gid))
        return cls(users, groups)

    def resolve(self, requested: str) -> Account:
        """Return the account for `user`, `uid`, `user:group`, `uid:gid` and the like (image-spec config.md, User).

        As in Docker, a number is never taken for a name; one without an account gets group 0. Unless a group is given,
        the groups that list the user as a member are added, also for a number. The primary group is among the
        additional ones, so that a process that changes its group does not lose it (CVE-2022-36109). Raises InvalidImage
        for a name that the image does not have, and for a number out of range.
        """
        name, _, group = requested.partition(':')
        user = self._user(name)
        uid, gid = (user.uid, user.gid) if user else (_id(name or '0', 'user'), 0)
        home = user.home if user and user.home else '/'
        if group:
            return Account(uid, self._gid(group), (self._gid(group),), home)
        listed = {each.gid for each in self.groups if user and user.name in each.members}
        return Account(uid, gid, (gid, *sorted(listed - {gid})), home)

    def _user(self, name: str) -> _User | None:
        """Return the first account with a number or name, None for a number without; raises InvalidImage for a name."""
        if not name or _is_number(name):
            return next((user for user in self.users if user.uid == int(name or 0)), None)
        for user in self.users:
            if user.name == name:
                return user
        raise InvalidImage(f'the image runs as user {name!r}, but its /etc/passwd does not have that user')

    def _gid(self, group: str) -> int:
        if _is_number(group):
            return _id(group, 'group')
        for each in self.groups:
            if each.name == group:
                return each.gid
        raise InvalidImage(f'the image runs as group {group!r}, but its /etc/group does not have that group')


def _lines(content: bytes | None, needed: int, fields: int) -> Iterator[list[str]]:
    """Yield `fields` fields of each line that has at least `needed`; missing ones are empty."""
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
        raise InvalidImage(f'the image runs as {what} {text}, but the largest possible id is {_MOST}')
    return int(text)
