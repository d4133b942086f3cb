"""Values of the image format: digests, descriptors, manifests, configs, references. No I/O."""
from typing import TYPE_CHECKING

from occystrap_core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from occystrap_core.oci.config import ImageConfig
    from occystrap_core.oci.config_json import CONFIG_CAP, parse_config
    from occystrap_core.oci.descriptor import Descriptor
    from occystrap_core.oci.digest import ALGORITHMS, SHA256, Digest
    from occystrap_core.oci.documents import (
        MANIFEST_CAP, dump_json, list_or_null, parse_json, parse_object, required_field,
    )
    from occystrap_core.oci.field_names import AMBIGUOUS, ARCHIVE_FIELDS, CONFIG_FIELDS, MANIFEST_FIELDS, FieldNames
    from occystrap_core.oci.index_file import IndexFile
    from occystrap_core.oci.layout import (
        BLOB_DIRECTORIES, CONTAINERD_NAME, INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, REF_NAME, Entry, LayoutEntries,
        blob_name, canonical, entry_name, layout_offers, left_out_by, named_entry, names_of, require_version,
        select_entry,
    )
    from occystrap_core.oci.layout_contents import (
        LayoutReferrers, blobs_below, find_named, independent_images, find_referrer,
    )
    from occystrap_core.oci.layout_names import ChosenEntries, LayoutChoice, require_layout_name, split_pinned
    from occystrap_core.oci.manifest import Index, Manifest, parse_manifest_or_index
    from occystrap_core.oci.manifest_form import (
        ManifestForm, has_annotations, has_form, in_form, index_in_form, index_made_anew, is_regular, made_anew,
    )
    from occystrap_core.oci.media_types import Compression
    from occystrap_core.oci.named_images import (
        Offer, are_of_other_repositories, find_offers, matches_name, parse_name, select_offer, select_offers,
    )
    from occystrap_core.oci.patterns import (
        Excluded, compile_pattern, first_names, has_glob, natural_key, nearest_names, sort_references,
        split_pattern,
    )
    from occystrap_core.oci.platform import Platform, PlatformChoice
    from occystrap_core.oci.reference import Reference, looks_like_host, split_tag
    from occystrap_core.oci.referrers import COSIGN_SUFFIXES, is_referrer_tag, referrer_of, referrers_tag, subject_of

_HOMES = {
    'config': 'ImageConfig',
    'config_json': 'CONFIG_CAP parse_config',
    'descriptor': 'Descriptor',
    'digest': 'ALGORITHMS SHA256 Digest',
    'documents': 'MANIFEST_CAP dump_json list_or_null parse_json parse_object required_field',
    'field_names': 'AMBIGUOUS ARCHIVE_FIELDS CONFIG_FIELDS MANIFEST_FIELDS FieldNames',
    'index_file': 'IndexFile',
    'layout': 'BLOB_DIRECTORIES CONTAINERD_NAME INDEX_FILE LAYOUT_FILE LAYOUT_VERSION REF_NAME Entry LayoutEntries '
              'blob_name canonical entry_name layout_offers left_out_by named_entry names_of require_version '
              'select_entry',
    'layout_contents': 'LayoutReferrers blobs_below find_named independent_images find_referrer',
    'layout_names': 'ChosenEntries LayoutChoice require_layout_name split_pinned',
    'manifest': 'Index Manifest parse_manifest_or_index',
    'manifest_form': 'ManifestForm has_annotations has_form in_form index_in_form index_made_anew is_regular made_anew',
    'media_types': 'Compression',
    'named_images': 'Offer are_of_other_repositories find_offers matches_name parse_name select_offer select_offers',
    'patterns': 'Excluded compile_pattern first_names has_glob natural_key nearest_names sort_references '
                'split_pattern',
    'platform': 'Platform PlatformChoice',
    'reference': 'Reference looks_like_host split_tag',
    'referrers': 'COSIGN_SUFFIXES is_referrer_tag referrer_of referrers_tag subject_of',
}
__getattr__ = lazy_exports(__name__, __name__, _HOMES)

__all__ = [
    'ALGORITHMS', 'AMBIGUOUS', 'ARCHIVE_FIELDS', 'BLOB_DIRECTORIES', 'CONFIG_CAP', 'CONFIG_FIELDS',
    'CONTAINERD_NAME', 'COSIGN_SUFFIXES', 'ChosenEntries', 'Compression', 'Descriptor', 'Digest', 'Entry',
    'Excluded', 'FieldNames', 'INDEX_FILE', 'ImageConfig', 'Index', 'IndexFile', 'LAYOUT_FILE', 'LAYOUT_VERSION',
    'LayoutChoice', 'LayoutEntries', 'LayoutReferrers', 'MANIFEST_CAP', 'MANIFEST_FIELDS', 'Manifest',
    'ManifestForm', 'Offer', 'Platform', 'PlatformChoice', 'REF_NAME', 'Reference', 'SHA256',
    'are_of_other_repositories', 'blob_name', 'blobs_below', 'canonical', 'compile_pattern', 'dump_json',
    'entry_name', 'find_named', 'find_offers', 'find_referrer', 'first_names', 'has_annotations', 'has_form',
    'has_glob', 'in_form', 'independent_images', 'index_in_form', 'index_made_anew', 'is_referrer_tag',
    'is_regular', 'layout_offers', 'left_out_by', 'list_or_null', 'looks_like_host', 'made_anew', 'matches_name',
    'named_entry', 'names_of', 'natural_key', 'nearest_names', 'parse_config', 'parse_json',
    'parse_manifest_or_index', 'parse_name', 'parse_object', 'referrer_of', 'referrers_tag', 'require_layout_name',
    'require_version', 'required_field', 'select_entry', 'select_offer', 'select_offers', 'sort_references',
    'split_pattern', 'split_pinned', 'split_tag', 'subject_of',
]
