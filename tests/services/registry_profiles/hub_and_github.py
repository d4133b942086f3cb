"""Docker Hub, and the registry of GitHub."""
from tests.services.registry_profiles.profile import Profile, Refusal


class DockerHub(Profile):
    """Docker Hub (registry-1.docker.io)."""

    name = 'docker-hub'
    login = 'me', 'dckr_pat_secret'
    realm, service, has_token_host = '/token', 'registry.docker.io', True
    """Tokens come from auth.docker.io: https://distribution.github.io/distribution/spec/auth/token/"""
    token_fields, token_lifetime = ('token', 'access_token'), 300
    """https://github.com/moby/moby/issues/29257"""
    headers = (('ratelimit-limit', '100;w=21600'), ('ratelimit-remaining', '99;w=21600'),
               ('docker-ratelimit-source', '192.0.2.1'))
    """https://docs.docker.com/docker-hub/usage/pulls/"""
    limits_after = 6
    limited = Refusal(429, 'TOOMANYREQUESTS', 'You have reached your unauthenticated pull rate limit.',
                      (('Retry-After', '1746136938'), ))
    """Retry-After is a time, in seconds since 1970: https://github.com/docker/hub-feedback/issues/2459"""
    redirects_blobs, redirects_heads = 307, True
    """To a storage that refuses a second login: https://github.com/Azure/acr/issues/217"""
    catalog = Refusal(401, 'UNAUTHORIZED', 'authentication required',
                      (('WWW-Authenticate', 'Bearer realm="https://127.0.0.1:1/token",error="insufficient_scope"'), ))
    """https://github.com/docker/hub-feedback/issues/2094"""
    immutable = Refusal(403, 'DENIED', 'requested access to the resource is denied')
    """https://github.com/docker/hub-feedback/issues/2466"""
    referrers = Refusal(404, 'NOT_FOUND', 'not found')
    announces_subject = False
    settles_after = 1
    """https://github.com/int128/docker-manifest-create-action/issues/857"""


class GitHub(Profile):
    """GitHub's container registry (ghcr.io)."""

    name = 'ghcr'
    login = 'me', 'ghp_secret'
    realm, service = '/token', 'ghcr.io'
    ping_scope = 'repository:user/image:pull'
    """A placeholder, whose token nobody gets: https://github.com/cloudflare/serverless-registry/issues/148"""
    needs_all_scopes = True
    """Scopes of which one is not allowed are refused: https://github.com/cloudflare/serverless-registry/issues/148"""
    bad_token = Refusal(403, 'DENIED', 'denied')
    """Without a challenge: https://github.com/renovatebot/renovate/issues/11446"""
    upload_path = '/v2/{repository}/blobs/upload/{upload}'
    largest_chunk = 256 << 10
    """4 MiB, refused with 416: https://github.com/oras-project/rust-oci-client/issues/35"""
    redirects_blobs = 307
    referrers = Refusal(303)
    """A redirect to github.com, which answers 429: https://github.com/artifacthub/hub/issues/4785"""
    announces_subject = False
    """https://github.com/dataaxiom/ghcr-cleanup-action/issues/13"""
    catalog = Refusal(401, 'UNAUTHORIZED', 'authentication required')
    has_link, pages_by = False, 'nothing'
    """In 2021 pages had no Link and `last` did nothing: https://github.com/google/go-containerregistry/pull/1102"""
    settles_after = 2
    """https://github.com/p2pool-starter-stack/pithead/issues/429"""


class Scarf(Profile):
    """Names of one's own for GitHub's registry, such as lscr.io: all of it, `/v2/` too, is redirected there."""

    name = 'scarf'
    backend, redirects_ping, is_read_only = GitHub, True, True
    """https://github.com/nix-community/docker-nixpkgs/issues/55"""
    catalog = GitHub.catalog
