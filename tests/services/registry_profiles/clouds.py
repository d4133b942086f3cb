"""The registries of Amazon, Google and Microsoft."""
from tests.services.registry_profiles.profile import Profile, Refusal


class Ecr(Profile):
    """Amazon ECR, private."""

    name = 'ecr'
    login, is_public = ('AWS', 'eyJwYXlsb2FkIjoi.secret=='), False
    basic = 'Basic realm="https://012345678901.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"'
    """https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html"""
    denied = Refusal(401)
    existing = ('team/*', )
    unknown_repository = Refusal(404, 'NAME_UNKNOWN', "The repository with name 'x' does not exist in the registry "
                                 "with id '012345678901'")
    """Repositories are made first: https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-create.html"""
    upload_path = '/v2/{repository}/blobs/uploads/{upload}'
    has_absolute_uploads = True
    range_is_stuck = True
    """https://github.com/aws/containers-roadmap/issues/2831"""
    mounts = 'referenced'
    """https://github.com/aws/containers-roadmap/issues/2860"""
    cancels_uploads = 405
    immutable = Refusal(400, 'TAG_INVALID', "The image tag 'v1' already exists in the 'team/app' repository and cannot "
                        'be overwritten because the tag is immutable.')
    """https://github.com/osscontainertools/kaniko/pull/204"""
    is_immutable_for_same = True
    """https://github.com/aws/containers-roadmap/issues/2380"""
    redirects_blobs, signs_for_get_only = 307, True
    """To S3, whose signatures are for one method: https://github.com/artifact-keeper/artifact-keeper/issues/3209"""
    tags_page, too_many_tags = 1000, Refusal(405, 'UNSUPPORTED', "Invalid parameter at 'maxResults' failed to satisfy "
                                             "constraint: 'Member must have value less than or equal to 1000'")
    """https://github.com/google/go-containerregistry/issues/681"""
    link, pages_by = '<https://012345678901.dkr.ecr.amazonaws.com{path}?next={last}&n={count}>; rel="next"', 'next'
    referrers = Refusal(404, 'NOT_FOUND', 'not found')
    announces_subject = True
    """Announced without the API: https://github.com/sigstore/sigstore-js/pull/1183"""


class EcrPublic(Profile):
    """Amazon ECR Public (public.ecr.aws)."""

    name = 'ecr-public'
    login = 'AWS', 'eyJwYXlsb2FkIjoi.public=='
    realm, service = '/token/', 'public.ecr.aws'
    ping_scope = challenge_scope = 'aws'
    """https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html"""
    bad_token = Refusal(400, 'DENIED', 'Your Authorization Token is invalid.')
    """https://github.com/aws/containers-roadmap/issues/2835"""
    mounts = 'none'
    """https://github.com/aws/containers-roadmap/issues/1459"""
    redirects_blobs = 307
    limits_after, limited = 9, Refusal(429, 'TOOMANYREQUESTS', 'Rate exceeded')
    """Without Retry-After: https://github.com/aws/aws-lambda-web-adapter/issues/429"""
    catalog = Refusal(405, 'UNSUPPORTED', 'the operation is unsupported')
    referrers = Refusal(405, 'UNSUPPORTED', 'the operation is unsupported')
    announces_subject = False


class Gar(Profile):
    """Google Artifact Registry (pkg.dev), and gcr.io, which it serves."""

    name = 'gar'
    login = '_json_key', '{"type": "service_account", "private_key": "-----BEGIN\\nsecret:key"}'
    """https://cloud.google.com/artifact-registry/docs/docker/authentication"""
    realm, service = '/v2/token', 'europe-docker.pkg.dev'
    token_fields, token_lifetime = ('token', ), 3600
    upload_path = '/artifacts-uploads/namespaces/project/repositories/{repository}/uploads/{upload}'
    """Outside of /v2/: https://github.com/podman-container-tools/skopeo/issues/1101"""
    takes_chunks = False
    """https://cloud.google.com/artifact-registry/docs/reference/docker-api"""
    existing = ('project/*', 'team/*')
    redirects_blobs = 302
    sorts_tags, ignores_page = False, True
    more_in_tags = (('child', []), ('manifest', {}))
    """https://github.com/google/go-containerregistry/blob/main/pkg/v1/google/list.go"""
    catalog = Refusal(404)
    referrers = Refusal(404, 'NAME_UNKNOWN', 'not found')
    announces_subject = False
    immutable = Refusal(409, 'ALREADY_EXISTS', 'Tag v1 is immutable')
    """https://cloud.google.com/artifact-registry/docs/repositories/create-repos"""


class Acr(Profile):
    """Azure Container Registry."""

    name = 'acr'
    login, is_public = ('00000000-0000-0000-0000-000000000000', 'eyJhbGciOi.secret'), False
    realm, service = '/oauth2/token', 'registry.azurecr.io'
    token_fields = ('access_token', )
    """https://github.com/davedoesdev/dxf/issues/22"""
    redirects_blobs, redirects_heads = 307, False
    """https://github.com/Azure/acr/issues/217"""
    link = '<{path}?last={last}&n={count}&orderby=>; rel="next"'
    tags_page = 10
    lower_case_headers = True


class Mcr(Profile):
    """Microsoft's public registry (mcr.microsoft.com): nobody logs in."""

    name = 'mcr'
    redirects_blobs, redirects_heads = 307, True
    """To hosts of regions: https://github.com/microsoft/containerregistry/blob/main/docs/client-firewall-rules.md"""
    ignores_page, is_read_only = True, True
    referrers = Refusal(404)


class Kubernetes(Profile):
    """The registry of Kubernetes (registry.k8s.io), which redirects to Artifact Registry."""

    name = 'registry.k8s.io'
    backend, is_read_only = Gar, True
    """https://github.com/kubernetes/registry.k8s.io/issues/116"""
    keeps_query = False
    """https://github.com/kubernetes/registry.k8s.io/issues/326"""
    catalog = Refusal(404)
