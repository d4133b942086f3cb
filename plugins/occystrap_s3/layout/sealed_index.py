"""Sealing a layout: writing `oci-layout` and `index.json`, which other programs read."""
from occystrap_core import ImageNotFound, OutputError, ServiceError
from occystrap_core.oci import INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, MANIFEST_CAP, IndexFile, require_version
from occystrap_s3.bucket.bucket import Conflict, NoConditions, unchanged
from occystrap_s3.layout.bucket_layout import BucketLayout
from occystrap_s3.layout.image_list import ImageList

_TIMES = 20
_SHOWN = 3


def seal(layout: BucketLayout) -> tuple[int, bool]:
    """List all images in index.json; return their number, and whether the server prevented concurrent runs from doing
    so.

    The index is replaced only if it has not changed since it was read, which was before the records. So the last run to
    seal lists the images of every run that has sealed. Raises InvalidImage, OutputError, ServiceError.
    """
    layout.require()
    is_marked = _is_marked(layout)
    for _ in range(_TIMES):
        images = ImageList.of(layout)
        if not (is_marked or images.is_any):
            raise OutputError(_nothing_in(layout))
        raw = IndexFile.listing(images.entries).to_json()
        if len(raw) > MANIFEST_CAP:
            raise OutputError(f'{layout}/{INDEX_FILE} would exceed the {MANIFEST_CAP} bytes that programs read; seal '
                              'prefixes with fewer images')
        if not is_marked:
            layout.bucket.put(layout.key(LAYOUT_FILE), LAYOUT_VERSION)
        try:
            layout.bucket.put(layout.key(INDEX_FILE), raw, **unchanged(images.version))
            return len(images.records), True
        except Conflict:
            continue
        except NoConditions:
            layout.bucket.put(layout.key(INDEX_FILE), raw)
            return len(images.records), False
    raise ServiceError(f'{layout}/{INDEX_FILE} was changed {_TIMES} times meanwhile; seal again when other runs have '
                       'ended')


def _nothing_in(layout: BucketLayout) -> str:
    """Return that there is nothing to seal, and what is below: of air/team/app:v1 the layout is air/team."""
    names = layout.bucket.directories(layout.place.base)
    below = [f'{layout}/{each}' for each in names]
    if not below or 'blobs' in names:
        return f'{layout} has no image, and nothing of a layout: name the prefix that process wrote to'
    more = f' and {len(below) - _SHOWN} more' if len(below) > _SHOWN else ''
    return (f'{layout} has no image itself; below it there is {", ".join(below[:_SHOWN])}{more}: seal that, or, for '
            f'one layout of all images, copy them to {layout}//{{repository}}:{{tag}}')


def _is_marked(layout: BucketLayout) -> bool:
    """Return whether the prefix is marked as a layout already; raises InvalidImage if the file of that name is
    something else, ServiceError."""
    try:
        raw, _ = layout.bucket.document(layout.key(LAYOUT_FILE))
    except ImageNotFound:
        return False
    require_version(raw, str(layout))
    return True
