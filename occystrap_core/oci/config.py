"""The image config, raw bytes and parsed (image-spec config.md); its digest is what Docker calls the image ID."""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from occystrap_core.errors import InvalidImage, set_error_rule
from occystrap_core.oci.config_json import parse_config, parse_config_whole
from occystrap_core.oci.digest import SHA256, Digest
from occystrap_core.oci.documents import dump_json, list_or_null, required_field
from occystrap_core.oci.field_names import AMBIGUOUS
from occystrap_core.oci.platform import Platform


@dataclass(frozen=True)
class ImageConfig:
    """The parts of an image config that occystrap reads; `raw` is kept byte for byte."""

    raw: bytes
    diff_ids: tuple[Digest, ...]
    algorithm: str = SHA256
    """The algorithm of the digest by which the manifest refers to it."""

    @classmethod
    def parse(cls, raw: bytes, algorithm: str = SHA256) -> Self:
        """Return the config in `raw`; raises InvalidImage if it is not a config or has no rootfs of layers.

        The config of an image without layers may have no rootfs, if it names a platform.
        """
        with set_error_rule('config'):
            document = parse_config(raw)
            if document.get('rootfs') is None and _names_platform(document):
                return cls(raw, (), algorithm)
            rootfs = required_field(document, 'rootfs', dict, 'the config')
            return cls(raw, tuple(map(Digest, list_or_null(rootfs, 'diff_ids', 'the rootfs of the config'))),
                       algorithm)

    @classmethod
    def describes(cls, raw: bytes, layers: int) -> bool:
        """Return whether `raw` is the config of an image with this number of layers, whatever media type it is listed
        with.

        Other content of registries may have such configs too, but without a platform.
        """
        try:
            config = cls.parse(raw)
        except InvalidImage as error:
            return error.rule == AMBIGUOUS and b'rootfs' in raw.lower()  # then refused as an image
        has_rootfs = isinstance(config.document.get('rootfs'), dict)
        return has_rootfs and len(config.diff_ids) == layers and _names_platform(config.document)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The parsed config, without too large numbers and too deeply nested values, which no program reads."""
        return parse_config(self.raw)

    @cached_property
    def digest(self) -> Digest:
        """The digest of the raw bytes: the image ID."""
        return Digest.of(self.raw, self.algorithm)

    @property
    def platform(self) -> Platform:
        """The image's platform; raises InvalidImage if a field of it is not a string."""
        with set_error_rule('config'):
            return Platform.from_json(self.document, 'the config')

    @property
    def history(self) -> list[dict[str, Any]]:
        """The steps that made the image; those marked empty_layer have no layer."""
        history = self.document.get('history')
        return [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []

    def with_times(self, seconds: int) -> Self:
        """Return this config with every time in it set to `seconds` since 1970 (image-spec config.md: RFC 3339, section
        5.6); itself, byte for byte, if nothing changes. Raises InvalidImage if it cannot be written again."""
        from datetime import UTC, datetime  # late: the import takes milliseconds, and most copies do not need it
        text = datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
        before = parse_config_whole(self.raw)
        document = _with_time(before, text)
        if isinstance(steps := document.get('history'), list):
            document = {**document, 'history': [_with_time(step, text) if isinstance(step, dict) else step
                                                for step in steps]}
        return self if document == before else type(self)(dump_json(document), self.diff_ids)

    def with_diff_ids(self, diff_ids: Sequence[Digest]) -> Self:
        """Return this config with other diff_ids; itself, byte for byte, if they are the same.

        Raises InvalidImage if it cannot be written again.
        """
        if tuple(diff_ids) == self.diff_ids:
            return self
        if len(diff_ids) != len(self.diff_ids):
            raise InvalidImage(f'{len(diff_ids)} diff_ids cannot replace the {len(self.diff_ids)} of the config')
        document = parse_config_whole(self.raw)
        rootfs = {**document['rootfs'], 'diff_ids': [str(diff_id) for diff_id in diff_ids]}
        return type(self)(dump_json({**document, 'rootfs': rootfs}), tuple(diff_ids))


def _names_platform(document: dict[str, Any]) -> bool:
    return any(document.get(name) and isinstance(document[name], str) for name in ('os', 'architecture'))


def _with_time(document: dict[str, Any], text: str) -> dict[str, Any]:
    return {**document, 'created': text} if document.get('created') is not None else document
