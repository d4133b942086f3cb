"""Layers that archives of this run hold already: another archive takes them from there, not again from their source."""
from collections.abc import Callable

from occystrap_core import Evidence, InvalidImage, Settings, WrittenLayer
from occystrap_core.files import ByteStream
from occystrap_core.oci import Digest
from occystrap_tar.new_archive.archive_builder import ArchiveBuilder, Region


class LayersOfRun:
    """Where each layer lies, by the digest of the bytes that are in the archive; used by several threads."""

    def __init__(self) -> None:
        self._places: dict[Digest, tuple[ArchiveBuilder, Region]] = {}

    @classmethod
    def of(cls, settings: Settings) -> 'LayersOfRun':
        """Return those of the run."""
        return settings.shared.get(LayersOfRun, cls)

    def keep(self, digest: Digest, archive: ArchiveBuilder, region: Region) -> None:
        """Take note of a layer that was written whole."""
        self._places[digest] = archive, region

    def adopt(self, digest: Digest | None, write: Callable[[ByteStream], str], tell: Callable[[str], None],
              ) -> WrittenLayer | None:
        """Have a layer written from where it lies, checked as it passes; `write` returns where to.

        Returns None if no archive holds it, or holds it no more, or not as it was written, of which `tell` hears: its
        source is asked then. Raises OutputError as `write` does.
        """
        place = self._places.get(digest) if digest else None
        if place is None:
            return None
        archive, region = place
        moves = archive.moves
        try:
            reader = archive.reread(region)
            if reader is None:
                return None
            with ByteStream(reader, digest=digest, size=region.size, what=f'{region.name} of {archive.path}') as stream:
                locator = write(stream)
        except FileNotFoundError:
            return None
        except (OSError, InvalidImage) as error:
            if moves == archive.moves and not moves % 2:  # else it was moved while it was read
                tell(f'a layer that {archive.path} has too was read from its source again: {error}')
            return None
        return WrittenLayer(locator, stream.digest, stream.size, Evidence.STREAMED)
