"""Listings as a profile has them: tags, the catalog, and referrers."""
import base64
import json
from typing import Any

from tests.services.registry_profiles.access import refuse
from tests.services.registry_profiles.profile import Profile, Refusal
from tests.services.registry_profiles.store import Store
from tests.services.registry_profiles.uploads import query_of
from tests.unit.registry.scripted import Request, Answer

_INDEX = 'application/vnd.oci.image.index.v1+json'


class Listings:
    """What a registry lists."""

    def __init__(self, profile: Profile, store: Store) -> None:
        self._profile, self._store = profile, store

    def tags(self, request: Request, repository: str) -> Answer:
        """Answer a request for tags."""
        if repository not in self._store.repositories:
            return refuse(Refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry'))
        names = sorted(self._store.repositories[repository].tags)
        if not self._profile.sorts_tags:
            names = names[::2] + names[1::2]
        return self._page(request, names, 'tags', {'name': repository, **dict(self._profile.more_in_tags)})

    def catalog(self, request: Request) -> Answer:
        """Answer a request for all repositories."""
        if self._profile.catalog.status != 200:
            return refuse(self._profile.catalog)
        return self._page(request, sorted(self._store.repositories), 'repositories', {})

    def referrers(self, repository: str, subject: str, elsewhere: str) -> Answer:
        """Answer a request for referrers; a redirect goes to the host `elsewhere`."""
        refusal = self._profile.referrers
        if refusal.status == 303:
            return Answer(303, b'',
                          [('Location', f'http://{elsewhere}/-/v2/packages/{repository}%2Freferrers%2Fsha256')])
        if refusal.status != 200:
            return refuse(refusal)
        listed = self._store.repositories[repository].referrers(subject)
        document = {'schemaVersion': 2, 'mediaType': _INDEX, 'manifests': listed}
        return Answer(200, json.dumps(document).encode(), [('Content-Type', _INDEX)])

    def _page(self, request: Request, names: list[str], key: str, more: dict[str, Any]) -> Answer:
        profile, query = self._profile, query_of(request)
        count = int(query.get('n') or profile.default_page or len(names) or 1)
        if profile.tags_page and count > profile.tags_page:
            if profile.too_many_tags:
                return refuse(profile.too_many_tags)
            count = profile.tags_page
        start = self._start(names, query)
        shown = names if profile.ignores_page else names[start:start + count]
        headers = [('Content-Type', 'application/json')]
        if profile.has_link and not profile.ignores_page and start + count < len(names):
            value = shown[-1] if profile.pages_by == 'last' else _opaque(start + count)
            headers.append(('Link', profile.link.format(path=request.path, last=value, count=count)))
        return Answer(200, json.dumps({**more, key: shown}).encode(), headers)

    def _start(self, names: list[str], query: dict[str, str]) -> int:
        if self._profile.pages_by not in query:
            return 0
        value = query[self._profile.pages_by]
        if self._profile.pages_by != 'last':
            return int(base64.b64decode(value))
        return names.index(value) + 1 if value in names else len(names)


def _opaque(start: int) -> str:
    return base64.b64encode(str(start).encode()).decode().replace('=', '%3D')
