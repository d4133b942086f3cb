"""Unchanged images that sources of this run bring as well: this is noted in the receipts that destinations keep, so
that no image is pruned while one of its sources still has it."""
import threading
from collections.abc import Sequence
from dataclasses import replace

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.destinations.bringers import bringers
from occystrap_core.errors import OutputError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.kept_receipts import KEPT
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.terminal_text import counted
from occystrap_core.verification.receipt import Receipt


_MOST = 5000
"""Number of receipts that are collected before they are noted, since a run may have millions of images."""


class AlsoBrought:
    """The unchanged images of a run whose kept receipts do not name its sources; used by several threads."""

    def __init__(self, plugins: Plugins, settings: Settings) -> None:
        self._plugins, self._settings = plugins, settings
        self._receipts: list[Receipt] = []
        """With `brought_by` set to the sources of this run."""
        self._notes: list[str] = []
        self._lock = threading.Lock()

    def add(self, task: ImageTask, receipt: Receipt) -> None:
        """Add an unchanged image, unless the receipt that its destination keeps names this source already."""
        if not self._plugins.find(WriterScheme, receipt.scheme).notes_bringers:
            return
        kept = receipt if receipt.verdict == KEPT else task.output.made().kept_receipt(task.reference)
        brought = tuple(bringers(task.settings))
        if kept and {*brought} - {*kept.brought_by}:
            with self._lock:
                self._receipts.append(replace(kept, brought_by=brought))
                if len(self._receipts) >= _MOST:
                    self._note()

    def note(self) -> Sequence[str]:
        """Have the destinations record these sources; return lines for the user if that is impossible."""
        if self._receipts:
            self._note()
        return self._notes

    def _note(self) -> None:
        from occystrap_core.mirror.pruned_images import note_bringers  # late, as few runs need it
        receipts, self._receipts = self._receipts, []
        try:
            note_bringers(self._plugins, self._settings, receipts)
        except OutputError as error:
            self._notes.append(f'{counted(len(receipts), "unchanged image")} not recorded as copied from this source, '
                               f'so another source may prune them: {error}')
