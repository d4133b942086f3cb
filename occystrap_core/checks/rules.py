"""Every rule by its id, with its severity. Ids never change their meaning; they are in docs/checks.md."""
from enum import Enum


class Level(Enum):
    """ERROR: the image is unusable, or its content differs from what it promises. WARNING: something unusual."""

    ERROR = 'error'
    WARNING = 'warning'


_E, _W = Level.ERROR, Level.WARNING

RULES: dict[str, tuple[Level, str]] = {
    'image-missing': (_E, 'there is no such image'),
    'image-invalid': (_E, 'the source cannot be parsed'),
    'archive-invalid': (_E, 'the archive is not a tar, is cut off, or has an unknown version'),
    'archive-lists-differ': (_E, 'the archive has two lists of images that differ, and programs may read either one'),
    'document-ambiguous': (_E, 'a document has a name twice, or two that differ only in case, and programs may use '
                               'either one'),
    'index-invalid': (_E, 'the index is not JSON or lacks fields'),
    'index-missing': (_E, 'the index is missing'),
    'manifest-missing': (_E, 'the manifest is missing'),
    'manifest-invalid': (_E, 'the manifest is not JSON, lacks fields, or its schemaVersion is not 2'),
    'manifest-digest': (_E, 'the digest of the manifest is not the one it was requested or listed by'),
    'manifest-size': (_E, 'the size of the manifest is not the one in the index'),
    'manifest-media-type': (_E, 'Content-Type, mediaType, fields and index entry disagree about the kind of the '
                                'manifest'),
    'manifest-fields': (_E, 'annotations, subject or artifactType of the manifest or index have a value that programs '
                            'refuse'),
    'descriptor-data': (_E, 'a descriptor has data that are not the blob with its digest, and programs may use either'),
    'manifest-untyped': (_W, 'the manifest or index has no mediaType'),
    'manifest-version': (_W, 'the manifest or index has no schemaVersion'),
    'manifest-content-type': (_W, 'the registry serves the manifest or index with a Content-Type other than its '
                                  'mediaType'),
    'entry-media-type': (_W, 'an entry of the index has no mediaType, or a generic one'),
    'platform-missing': (_W, 'an entry of the index has no platform'),
    'layers-missing': (_W, 'the manifest of an image without layers has null or nothing instead of an empty list'),
    'field-case': (_W, 'a field is not in the specified case: programs not written in Go ignore it'),
    'media-types-mixed': (_W, 'the manifest mixes media types of Docker and of OCI'),
    'config-media-type': (_W, 'the manifest lists the config with a media type that is not that of a config'),
    'config-missing': (_E, 'the config is missing'),
    'config-invalid': (_E, 'the config is not JSON or lacks fields'),
    'config-digest': (_E, 'the digest of the config is not the one in the manifest or in its name'),
    'config-size': (_E, 'the size of the config is not the one in the manifest'),
    'config-fields': (_E, 'a field of the config has a value that programs refuse, such as a time that is none'),
    'config-platform': (_W, 'the config lacks architecture or os'),
    'diff-ids-missing': (_W, 'the config of an image without layers has no rootfs, or no list of diff_ids'),
    'rootfs-type': (_E, 'the type of the rootfs in the config is not layers'),
    'history-invalid': (_E, 'the history in the config is not a list of objects'),
    'history-count': (_W, 'the history has more or fewer steps with a layer than there are layers'),
    'layer-count': (_E, 'manifest and config list different numbers of layers'),
    'layer-shared': (_E, 'one file stands for layers of different digests'),
    'layer-missing': (_E, 'the layer is missing'),
    'layer-left-out': (_W, 'the layer is left out of a delta, so that it cannot be checked here'),
    'layer-size': (_E, 'the size of the layer is not the one in the manifest'),
    'layer-digest': (_E, 'the digest of the blob of the layer is not the one in the manifest'),
    'layer-diff-id': (_E, 'the digest of the tar of the layer is not the diff_id in the config'),
    'layer-media-type': (_E, 'the media type of the layer is unknown, or names another compression'),
    'layer-compression': (_E, 'the layer cannot be decompressed'),
    'layer-padding': (_E, 'zeros follow the gzip data of the layer, which programs in Go refuse'),
    'tar-invalid': (_E, 'the layer is not a tar, is cut off, or has broken headers'),
    'tar-end': (_W, 'the tar of the layer does not end with two blocks of zeros'),
    'tar-data-behind-end': (_W, 'data follow the end of the tar, which no program unpacks'),
    'path-empty': (_E, 'an entry has no name'),
    'path-escapes': (_E, 'the path of an entry contains `..`'),
    'path-absolute': (_W, 'the path of an entry begins with a slash'),
    'path-too-long': (_E, 'a name has more than 255 bytes, or a path more than 4095'),
    'path-through-link': (_E, 'an entry lies below a link of the same layer'),
    'path-through-file': (_E, 'an entry lies below something that is not a directory in the same layer'),
    'link-escapes': (_E, 'the target of a hard link contains `..`'),
    'link-without-target': (_W, 'the target of a hard link does not precede it in the layer'),
    'duplicate-entry': (_W, 'a layer has one path twice'),
    'entry-type': (_W, 'an entry has a type that programs handle differently'),
    'entry-time': (_W, 'the time of an entry is before 1901 or after 2262, which programs handle differently'),
    'entry-owner': (_W, 'the owner of an entry has a negative number, which programs handle differently'),
    'entry-with-data': (_E, 'a link, directory, device or pipe has a size, which programs handle differently'),
    'whiteout-invalid': (_E, 'a whiteout has an empty or invalid target name'),
    'whiteout-not-empty': (_W, 'a whiteout is not an empty file'),
    'whiteout-of-own-entry': (_W, 'a layer has both a path and its whiteout'),
    'whiteout-without-target': (_W, 'a whiteout deletes a path that no lower layer has'),
    'pax-repeated': (_W, 'an entry has one PAX record twice, and programs differ in which one they use'),
    'pax-empty': (_W, 'an entry has an empty PAX record, which some programs take for a value'),
    'extended-headers': (_W, 'an entry has several extended headers of one kind, and programs differ in which one they '
                             'use'),
    'pax-size': (_E, 'PAX record and header give different sizes for an entry'),
    'pax-value': (_E, 'a PAX record has an invalid value: a zero byte in a path, a malformed time or number'),
    'pax-global': (_W, 'the layer has a global PAX header, which programs handle differently'),
}
