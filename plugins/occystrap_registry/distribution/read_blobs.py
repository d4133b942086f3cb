"""Blobs of a registry that were read back after they came there, for whoever wants each of them read once."""
from occystrap_core import Settings
from occystrap_core.oci import Digest


class ReadBlobs:
    """What is known of the blobs of one host. This one demands nothing: the level of verification says what is read.

    A proxy has another one, which lasts.
    """

    def keep(self, host: str, settings: Settings) -> None:
        """Have this be that of `host[:port]`, for all runs with these settings."""
        settings.shared.lasting.keep((ReadBlobs, host), self)

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'ReadBlobs':
        """Return that of `host[:port]`."""
        return settings.shared.lasting.get((ReadBlobs, host), ReadBlobs)

    def is_due(self, repository: str, digest: Digest) -> bool:
        """Return whether a blob has to be read at each level of verification."""
        return False

    def note_read(self, repository: str, digest: Digest) -> None:
        """Note that a verifier has read a blob, and that it is whole."""

    def note_sending(self, repository: str, digest: Digest) -> None:
        """Note that a blob is about to be sent or mounted: whatever was read before may be replaced."""
