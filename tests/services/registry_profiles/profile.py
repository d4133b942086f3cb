"""What a profile of a registry says: each field is one way of answering, by default that of distribution-spec."""
from typing import NamedTuple

Headers = tuple[tuple[str, str], ...]


class Refusal(NamedTuple):
    """An answer that refuses; without a code it is a web page, as gateways send them."""

    status: int
    code: str = ''
    message: str = ''
    headers: Headers = ()
    detail: str = ''


class Profile:
    """A registry without quirks: what distribution-spec 1.1 says, open to everybody.

    A registry's own profile is a subclass; each field that it sets has a docstring with the source. Sizes that are
    megabytes there are smaller here.
    """

    name = 'plain'
    protocol = 'HTTP/1.1'
    lower_case_headers = False
    headers: Headers = ()
    """Sent with every answer."""

    backend: 'type[Profile] | None' = None
    """The registry that reads are redirected to."""
    redirects_ping = False
    keeps_query = True
    is_read_only = False

    login: tuple[str, str] | None = None
    """Who may push; None for everybody."""
    is_public = True
    """Whether everybody may pull."""
    basic = ''
    """The challenge for Basic authorization."""
    realm = ''
    """The path that gives tokens; empty for a registry without."""
    has_token_host = False
    """Whether tokens come from another host."""
    service = ''
    ping_scope = ''
    """The scope in the challenge of `/v2/`."""
    challenge_scope = 'repository:{repository}:{actions}'
    token_fields = ('token', )
    token_lifetime: int | None = None
    """In seconds, None if the answer does not tell."""
    needs_all_scopes = False
    """Whether a token with one scope that is not allowed is refused, instead of given without it."""
    keeps_last_scope_only = False
    bad_token: Refusal | None = None
    """The answer to a token that is not good any more; None for a challenge."""
    denied = Refusal(401, 'UNAUTHORIZED', 'authentication required')
    """The body of answers with a challenge."""

    redirects_blobs = 0
    """The status of redirects to a storage that refuses an Authorization header."""
    redirects_heads = False
    signs_for_get_only = False
    head_of_blob = 200
    answers_ranges = True

    upload_path = '/v2/{repository}/blobs/uploads/{upload}'
    upload_query = ''
    has_absolute_uploads = False
    takes_whole_blobs = True
    """Whether a PUT may have the blob's bytes."""
    takes_chunks = True
    largest_chunk = 0
    range_is_stuck = False
    breaks_bodies_over = 0
    """Connections break while a larger body is sent; 0 for none."""
    breaks = 1000
    """How many connections break so."""
    has_one_store = False
    """Whether a blob of one repository is in all, and cannot be stored again."""
    mounts = 'all'
    """Or `referenced`, of blobs that a manifest of the other repository has, `none`."""
    cancels_uploads = 204
    existing: tuple[str, ...] = ()
    """Patterns of the repositories that can be pushed to; empty for all."""
    unknown_repository = Refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry')

    refused_types: tuple[tuple[str, Refusal], ...] = ()
    """Media types of manifests that are refused."""
    immutable: Refusal | None = None
    """The answer to a push to a tag that exists."""
    is_immutable_for_same = False
    settles_after = 0
    """How many requests for a new tag are answered 404."""
    has_digest_header = True
    digest_tag_is_subject = False
    """Whether `sha256-…` means the manifest `sha256:…`."""
    manifest_type_suffix = ''

    tags_page = 0
    """The most tags in a page; 0 for no limit."""
    default_page = 0
    too_many_tags: Refusal | None = None
    """The answer to a request for more than `tags_page`; None for a page of that size."""
    link = '<{path}?last={last}&n={count}>; rel="next"'
    has_link = True
    pages_by = 'last'
    """The parameter that says where a page begins; another one holds an opaque value."""
    sorts_tags = True
    ignores_page = False
    """Whether all tags come whatever was asked for."""
    more_in_tags: tuple[tuple[str, object], ...] = ()
    catalog = Refusal(200)

    referrers = Refusal(200)
    """The answer of the referrers API; with status 303 a redirect to a host that answers 429."""
    announces_subject = True

    every = 0
    """Each so manieth request is answered with `busy`; 0 for none."""
    busy = Refusal(503)
    limits_after = 0
    """After so many manifests one is refused with `limited`."""
    limited = Refusal(429, 'TOOMANYREQUESTS', 'too many requests')


def refusals(*types: str, by: Refusal) -> tuple[tuple[str, Refusal], ...]:
    """Return these media types, each with the same refusal."""
    return tuple((each, by) for each in types)
