"""Registries that people run themselves: GitLab, Harbor, Quay, Artifactory, Nexus, Gitea, zot."""
from tests.services.registry_profiles.profile import Profile, Refusal, refusals

_DOCKER = ('application/vnd.docker.distribution.manifest.v2+json',
           'application/vnd.docker.distribution.manifest.list.v2+json')


class GitLab(Profile):
    """GitLab's registry."""

    name = 'gitlab'
    login, is_public = ('gitlab-ci-token', 'glcbt-64_secret'), False
    realm, service, has_token_host = '/jwt/auth', 'container_registry', True
    """https://docs.gitlab.com/administration/packages/container_registry/"""
    keeps_last_scope_only = True
    """https://github.com/estesp/manifest-tool/issues/53"""
    digest_tag_is_subject = True
    """https://github.com/oras-project/oras-go/issues/1396"""
    referrers = Refusal(404)
    announces_subject = False
    tags_page, too_many_tags = 1000, Refusal(400, 'PAGINATION_NUMBER_INVALID', 'invalid number of results requested')
    """https://gitlab.com/gitlab-org/container-registry/-/blob/master/docs/spec/docker/v2/api.md"""
    catalog = Refusal(401, 'UNAUTHORIZED', 'authentication required')
    redirects_blobs, redirects_heads = 307, True
    immutable = Refusal(403, 'DENIED', 'access forbidden: the tag is protected')
    """https://docs.gitlab.com/user/packages/container_registry/protected_container_tags/"""


class Harbor(Profile):
    """Harbor."""

    name = 'harbor'
    login, is_public = ('robot$team+mirror', 'secret'), False
    """https://goharbor.io/docs/main/working-with-projects/project-configuration/create-robot-accounts/"""
    realm, service = '/service/token', 'harbor-registry'
    """https://github.com/goharbor/harbor/issues/18862"""
    token_fields, token_lifetime = ('token', ), 1800
    headers = (('Set-Cookie', 'sid=1; Path=/; HttpOnly'), ('X-Harbor-Csrf-Token', 'x=='))
    """https://github.com/goharbor/harbor/issues/13573"""
    existing = ('team/*', )
    unknown_repository = Refusal(404, 'NOT_FOUND', 'project other not found')
    catalog = Refusal(401, 'UNAUTHORIZED', 'unauthorized to list catalog: unauthorized to list catalog')
    """https://github.com/goharbor/harbor/issues/22194"""
    immutable = Refusal(412, 'PRECONDITION', "Failed to process request due to 'team/app:v1' configured as immutable.")
    """https://github.com/goharbor/harbor/pull/9427"""
    mounts = 'referenced'
    """202 for a blob that the other repository does not have by its links:
    https://github.com/goharbor/harbor/issues/17097"""
    tags_page = 100


class Quay(Profile):
    """Quay, and quay.io."""

    name = 'quay'
    login, is_public = ('team+robot', 'secret'), True
    realm, service = '/v2/auth', 'quay.io'
    """https://docs.quay.io/"""
    has_absolute_uploads = True
    tags_page, default_page = 100, 50
    link, pages_by = '<{path}?next_page={last}&n={count}>; rel="next"', 'next_page'
    """https://github.com/deitch/docker_registry2/issues/56"""
    redirects_blobs, signs_for_get_only = 302, True
    every, busy = 9, Refusal(502)
    """Web pages of its gateway under load: https://github.com/podman-container-tools/podman/issues/17802"""
    referrers = Refusal(404)
    announces_subject = False
    settles_after = 1
    """https://github.com/helm/helm/issues/31348"""


class QuayOfToday(Quay):
    """Quay since 3.12, whose pages go on after a tag, and that refuses larger ones."""

    name = 'quay-3.12'
    link, pages_by = '<{path}?n={count}&last={last}>; rel="next"', 'last'
    too_many_tags = Refusal(413, 'TOO_MANY_TAGS_REQUESTED', 'Too many tags requested')
    """https://github.com/quay/quay/pull/2884"""
    referrers = Refusal(200)
    announces_subject = True
    every, settles_after = 0, 0


class Artifactory(Profile):
    """JFrog Artifactory, by repository path."""

    name = 'artifactory'
    login, is_public = ('me', 'cmVmdGtuOjAx.secret'), False
    basic = 'Basic realm="Artifactory Realm"'
    """https://jfrog.com/help/r/jfrog-artifactory-documentation/docker-registry"""
    headers = (('X-Jfrog-Version', 'Artifactory/7.46.11 74611900'), ('X-Artifactory-Id', 'x'))
    has_absolute_uploads = True
    tags_page = 10
    link = '</v2/app/tags/list?last={last}&n={count}>; rel="next"'
    """Without the repository's path: https://github.com/renovatebot/renovate/pull/20745"""
    existing = ('team/*', )
    unknown_repository = Refusal(404)
    referrers = Refusal(406)
    """https://github.com/google/go-containerregistry/pull/2026"""
    announces_subject = False
    immutable = Refusal(403, 'DENIED', 'The requested tag is blocked: pushing existing tags')
    """https://github.com/replicatedhq/kots/pull/5940"""
    manifest_type_suffix = ';charset=utf-8'


class Nexus(Profile):
    """Sonatype Nexus, with Basic authorization alone."""

    name = 'nexus'
    login, is_public = ('admin', 'admin:123'), False
    basic = 'BASIC realm="Sonatype Nexus Repository Manager"'
    """https://github.com/sonatype/nexus-public/issues/921"""
    link = '<http://127.0.0.1:1/repository/docker-hosted{path}?n={count}&last={last}>; rel="next"'
    """A path that the port does not serve: https://github.com/sonatype/nexus-public/issues/1011"""
    tags_page = 10
    mounts = 'none'
    has_one_store = True
    """https://github.com/sonatype/nexus-public/issues/967"""
    referrers = Refusal(404)
    announces_subject = False
    immutable = Refusal(400, 'BLOB_UPLOAD_INVALID', 'blob upload invalid',
                        detail='Repository does not allow updating assets: docker-hosted')
    """What is wrong is in the detail: https://github.com/GoogleContainerTools/jib/issues/2395"""


class NexusWithTokens(Nexus):
    """Nexus with its Docker Bearer Token Realm, so that everybody pulls."""

    name = 'nexus-tokens'
    realm, service, is_public = '/v2/token', 'http://127.0.0.1/v2/token', True
    """https://github.com/sonatype/nexus-public/issues/967"""


class Gitea(Profile):
    """Gitea and Forgejo."""

    name = 'gitea'
    login, is_public = ('me', 'secret'), True
    realm, service = '/v2/token', 'container_registry'
    ping_scope = challenge_scope = '*'
    """https://github.com/go-gitea/gitea/issues/36907"""
    referrers = Refusal(404)
    announces_subject = False


class Zot(Profile):
    """zot, which takes OCI manifests alone."""

    name = 'zot'
    login, is_public = ('me', 'secret'), True
    basic = 'Basic realm="Authorization Required"'
    refused_types = refusals(*_DOCKER, by=Refusal(415, 'MANIFEST_INVALID', 'manifest invalid'))
    """https://github.com/project-zot/zot/pull/596"""
