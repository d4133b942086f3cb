"""Values of the image format: digests, descriptors, manifests, configs, references. No I/O."""
from typing import TYPE_CHECKING

from occystrap_core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from occystrap_core.oci.config import ImageConfig
    from occystrap_core.oci.descriptor import Descriptor
    from occystrap_core.oci.digest import Digest
    from occystrap_core.oci.documents import MANIFEST_CAP, dump, field, list_or_null, parse_json, parse_object
    from occystrap_core.oci.field_names import AMBIGUOUS, ARCHIVE_FIELDS, CONFIG_FIELDS, MANIFEST_FIELDS, FieldNames
    from occystrap_core.oci.layout import (
        CONTAINERD_NAME, INDEX, LAYOUT, LAYOUT_VERSION, REF_NAME, LayoutEntries, blob_name, entry_name, layout_offers,
        require_version, select_entry,
    )
    from occystrap_core.oci.manifest import Index, Manifest, parse_manifest_or_index
    from occystrap_core.oci.media_types import Compression
    from occystrap_core.oci.named_images import UNTAGGED, Offer, called, choose, parse_name
    from occystrap_core.oci.patterns import (
        Excluded, compiled, examples, has_glob, in_order, natural, some, split_pattern,
    )
    from occystrap_core.oci.platform import Platform, PlatformChoice
    from occystrap_core.oci.reference import Reference, split_tag
    from occystrap_core.oci.referrers import COSIGN_SUFFIXES, referrer_of, referrers_tag, subject_of

__getattr__ = lazy_exports(__name__, __name__, {
    'named_images': 'Offer UNTAGGED called choose parse_name', 'config': 'ImageConfig', 'descriptor': 'Descriptor',
    'digest': 'Digest',
    'documents': 'MANIFEST_CAP dump field list_or_null parse_json parse_object',
    'field_names': 'AMBIGUOUS ARCHIVE_FIELDS CONFIG_FIELDS FieldNames MANIFEST_FIELDS',
    'layout': 'CONTAINERD_NAME INDEX LAYOUT LAYOUT_VERSION LayoutEntries REF_NAME blob_name entry_name layout_offers '
              'require_version select_entry',
    'manifest': 'Index Manifest parse_manifest_or_index', 'media_types': 'Compression',
    'patterns': 'Excluded compiled examples has_glob in_order natural some split_pattern',
    'platform': 'Platform PlatformChoice', 'reference': 'Reference split_tag',
    'referrers': 'COSIGN_SUFFIXES referrer_of referrers_tag subject_of'})

__all__ = ['AMBIGUOUS', 'ARCHIVE_FIELDS', 'CONFIG_FIELDS', 'CONTAINERD_NAME', 'COSIGN_SUFFIXES', 'Compression',
           'Descriptor', 'Digest', 'Excluded', 'FieldNames', 'INDEX', 'ImageConfig', 'Index', 'LAYOUT',
           'LAYOUT_VERSION', 'LayoutEntries', 'MANIFEST_CAP', 'MANIFEST_FIELDS', 'Manifest', 'Offer', 'Platform',
           'PlatformChoice', 'REF_NAME', 'Reference', 'UNTAGGED', 'blob_name', 'called', 'choose', 'compiled', 'dump',
           'entry_name', 'examples', 'field', 'has_glob', 'in_order', 'layout_offers', 'list_or_null', 'natural',
           'parse_json', 'parse_manifest_or_index', 'parse_name', 'parse_object', 'referrer_of', 'referrers_tag',
           'require_version', 'select_entry', 'some', 'split_pattern', 'split_tag', 'subject_of']
