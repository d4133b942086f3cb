"""Layers in archives of this run, from which other archives copy them instead of reading their source again."""
from collections.abc import Callable

from occystrap_core import Evidence, InvalidImage, Settings, WrittenLayer
from occystrap_core.files import ByteStream
from occystrap_core.oci import Digest
from occystrap_tar.new_archive.archive_builder import ArchiveBuilder
from occystrap_tar.new_archive.archive_file import Region


class LayersOfRun:
    """The archive and the place of each layer, by the digest of its bytes there; used by several threads."""

    def __init__(self) -> None:
        self._places: dict[Digest, tuple[ArchiveBuilder, Region]] = {}

    @classmethod
    def of(cls, settings: Settings) -> 'LayersOfRun':
        """Return the layers of the run."""
        return settings.shared.get(LayersOfRun, cls)

    def keep(self, digest: Digest, archive: ArchiveBuilder, region: Region) -> None:
        """Record a layer that was written completely."""
        self._places[digest] = archive, region

    def adopt(self, digest: Digest | None, write: Callable[[ByteStream], str], note: Callable[[str], None],
              ) -> WrittenLayer | None:
        """Copy a layer from another archive, checking it while it is read; `write` writes it and returns its locator.

        Returns None if no archive has it any more, or if it was damaged, which `note` is told: the caller then reads it
        from its source. Raises OutputError as `write` does.
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
                note(f'a layer that is also in {archive.path} was read from its source again: {error}')
            return None
        return WrittenLayer(locator, stream.digest, stream.size, Evidence.STREAMED)
