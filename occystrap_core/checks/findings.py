"""Findings, collected from several threads."""
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from occystrap_core.checks.rules import RULES, Level
from occystrap_core.errors import ImageError
from occystrap_core.oci.digest import Digest

_MOST = 100
"""Findings of one rule in one layer that are listed; a damaged layer may have any number."""
_SHOWN = 4096
"""Characters of a path or message that are kept."""


class Finding(NamedTuple):
    """A broken rule: `layer` is its position in the image, None for the image as a whole; `path` is an entry's."""

    rule: str
    message: str
    layer: int | None = None
    digest: Digest | None = None
    path: str | None = None

    @property
    def level(self) -> Level:
        """Its severity."""
        return RULES[self.rule][0]

    def to_json(self) -> dict[str, Any]:
        """Return the finding for programs."""
        return {'rule': self.rule, 'level': self.level.value, 'message': self.message, 'layer': self.layer,
                'digest': str(self.digest) if self.digest else None, 'path': self.path}


class LayerFindings:
    """Findings of one layer, whose position is known after reading: a limited number for each rule, and the number of
    others."""

    def __init__(self) -> None:
        self.listed: list[tuple[str, str, str | None]] = []
        self.counts: dict[str, int] = {}

    def add(self, rule: str, message: str, path: str | None = None) -> None:
        """Add a finding."""
        count = self.counts[rule] = self.counts.get(rule, 0) + 1
        if count <= _MOST:
            self.listed.append((rule, _shown(message), None if path is None else _shown(path)))


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}… ({len(text)} characters)'


class Findings:
    """Collects findings, and returns them in order."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self._counts: dict[tuple[str, int | None], int] = {}
        self._lock = threading.Lock()

    def add(self, rule: str, message: str, layer: int | None = None, digest: Digest | None = None,
            path: str | None = None) -> None:
        """Add a finding; beyond the limit for one rule only count it."""
        RULES[rule]  # an unknown id is a programming error
        with self._lock:
            count = self._counts[rule, layer] = self._counts.get((rule, layer), 0) + 1
            if count <= _MOST:
                self._found[Finding(rule, message, layer, digest, path)] = None

    def add_all(self, found: LayerFindings, layer: int, digest: Digest | None) -> None:
        """Add the findings of a layer."""
        for rule, message, path in found.listed:
            self.add(rule, message, layer, digest, path)
        with self._lock:
            for rule, count in found.counts.items():
                self._counts[rule, layer] += max(0, count - _MOST)

    def all(self) -> Sequence[Finding]:
        """Return all findings: those of the image as a whole first, then layer by layer, errors before warnings."""
        listed = list(self._found)
        for (rule, layer), count in self._counts.items():
            if count > _MOST:
                listed.append(Finding(rule, f'and {count - _MOST} more of these', layer))
        return sorted(listed, key=lambda each: (-1 if each.layer is None else each.layer,
                                                each.level is not Level.ERROR))


def rule_of(error: ImageError, otherwise: str) -> str:
    """Return the rule that an error breaks; `otherwise` if it has no known rule."""
    return error.rule if error.rule in RULES else otherwise


def of_error(error: ImageError) -> Findings:
    """Return the finding for an image that cannot be opened."""
    findings = Findings()
    findings.add(rule_of(error, 'image-missing' if error.problem == 'missing' else 'image-invalid'), str(error))
    return findings
