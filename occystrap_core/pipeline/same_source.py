"""Finds images of a run that go to several destinations, so that their source is read once for all of these."""
from collections.abc import Sequence

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.written_image import LayerForm
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.source_use import Opening, RunAhead, SourceUse

AHEAD = 2
"""A destination may be ahead of others by this many times the number of images in parallel."""


def sharing_sources(tasks: Sequence[ImageTask], settings: Settings, ahead: RunAhead | None = None) -> list[ImageTask]:
    """Return the tasks, in order; those with the same source and filters open and read it together.

    `ahead` is the RunAhead of the run, if these are not all of its tasks.
    """
    families: dict[tuple[int, Reference], list[ImageTask]] = {}
    for task in tasks:
        families.setdefault((task.entry, task.reference), []).append(task)
    ahead = ahead or RunAhead(AHEAD * settings.images)
    uses = {id(task.report): use for family in families.values() if len(family) > 1
            for task, use in zip(family, _uses(family, ahead, settings), strict=True)}
    return [task._replace(use=uses.get(id(task.report), task.use)) for task in tasks]


def _uses(family: Sequence[ImageTask], ahead: RunAhead, settings: Settings) -> list[SourceUse]:
    from occystrap_core.layers.shared_layers import SharedLayers  # late, as only several destinations need it
    layers = SharedLayers(settings, _compression([task.output.made() for task in family]))
    users = [id(task.images) for task in family]
    openings = {images: Opening(users.count(images)) for images in users}
    turn = ahead, ahead.expect(len(family))
    return [SourceUse(openings[images], layers.reads(), turn) for images in users]


def _compression(outputs: Sequence[ImageOutput]) -> str | None:
    """Return the compression of an output that takes blobs; None if there is none."""
    return next((each.compression for each in outputs if each.layer_form is LayerForm.STORED), None)
