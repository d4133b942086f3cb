"""The fields before a body (RFC 9110, 6.3)."""
from collections.abc import Iterable
from typing import overload


class Headers:
    """The header fields of an answer; names are case-insensitive."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        """`fields` are names and values in order."""
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append(value)

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a field, several joined by commas (RFC 9110, 5.3); `default` without one."""
        values = self._fields.get(name.lower())
        return ', '.join(values) if values else default

    def get_list(self, name: str) -> list[str]:
        """Return the values of all fields of a name."""
        return list(self._fields.get(name.lower(), ()))

    def __getitem__(self, name: str) -> str:
        """Return the value of a field; raises KeyError without one."""
        return ', '.join(self._fields[name.lower()])

    def __contains__(self, name: str) -> bool:
        """Return whether there is a field of this name."""
        return name.lower() in self._fields
