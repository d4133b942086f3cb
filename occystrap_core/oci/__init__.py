"""Values of the image format: digests, descriptors, manifests, configs, references. No I/O."""
from typing import TYPE_CHECKING

from occystrap_core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from occystrap_core.oci.config import ImageConfig
    from occystrap_core.oci.descriptor import Descriptor
    from occystrap_core.oci.digest import Digest
    from occystrap_core.oci.documents import MANIFEST_CAP, dump, field, parse_json, parse_object
    from occystrap_core.oci.manifest import Index, Manifest, parse_manifest_or_index
    from occystrap_core.oci.media_types import Compression
    from occystrap_core.oci.platform import Platform, PlatformChoice
    from occystrap_core.oci.reference import Reference
    from occystrap_core.oci.referrers import COSIGN_SUFFIXES, referrer_of, referrers_tag, subject_of

__getattr__ = lazy_exports(__name__, {
    'config': 'ImageConfig', 'descriptor': 'Descriptor', 'digest': 'Digest',
    'documents': 'MANIFEST_CAP dump field parse_json parse_object',
    'manifest': 'Index Manifest parse_manifest_or_index', 'media_types': 'Compression',
    'platform': 'Platform PlatformChoice', 'reference': 'Reference',
    'referrers': 'COSIGN_SUFFIXES referrer_of referrers_tag subject_of'})

__all__ = ['COSIGN_SUFFIXES', 'Compression', 'Descriptor', 'Digest', 'ImageConfig', 'Index', 'MANIFEST_CAP', 'Manifest',
           'Platform', 'PlatformChoice', 'Reference', 'dump', 'field', 'parse_json', 'parse_manifest_or_index',
           'parse_object', 'referrer_of', 'referrers_tag', 'subject_of']
