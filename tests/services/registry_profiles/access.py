"""Authorization as a profile has it: challenges, and the tokens of its realm."""
import base64
import json
import secrets
from urllib.parse import parse_qs

from tests.services.registry_profiles.profile import Profile, Refusal
from tests.unit.registry.scripted import Request, Answer

_Scopes = frozenset[tuple[str, str]]
"""Pairs of a repository and an action."""


def refuse(refusal: Refusal) -> Answer:
    """Return an answer that refuses."""
    if not refusal.code:
        page = b'<html><body>' + str(refusal.status).encode() + b'</body></html>'
        return Answer(refusal.status, page, [('Content-Type', 'text/html'), *refusal.headers])
    errors = {'errors': [{'code': refusal.code, 'message': refusal.message, 'detail': refusal.detail or {}}]}
    return Answer(refusal.status, json.dumps(errors).encode(), [('Content-Type', 'application/json'), *refusal.headers])


class Access:
    """Who may do what; `realm` is the URL of tokens."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._tokens: dict[str, _Scopes] = {}
        self.realm = ''
        self.tokens_run_out_after = 0
        """The number of further requests after which all tokens are no good any more; 0 for none."""

    def refusal(self, request: Request, repository: str, actions: str, other: str = '') -> Answer | None:
        """Return the refusal of a request, None if it is allowed; `other` is a repository that must be readable."""
        profile, sent = self._profile, request.authorization
        self.tokens_run_out_after -= 1
        if self.tokens_run_out_after == 0:
            self._tokens.clear()
        needed = {(repository, action) for action in actions.split(',')} | ({(other, 'pull')} if other else set())
        if not profile.realm:
            is_known = self._is_login(sent)
            is_free = profile.login is None or (profile.is_public and actions == 'pull' and not sent)
            return None if is_known or is_free else self._challenge(repository, actions)
        if sent is None:
            return self._challenge(repository, actions)
        granted = self._tokens.get(sent.removeprefix('Bearer '))
        if granted is None:
            return refuse(profile.bad_token) if profile.bad_token else self._challenge(repository, actions)
        if not repository or needed <= granted:
            return None
        return self._challenge(repository, actions, 'insufficient_scope')

    def token(self, request: Request) -> Answer:
        """Return the answer to a request for a token."""
        profile, sent = self._profile, request.authorization
        if request.method != 'GET':
            return Answer(404)
        if sent and not self._is_login(sent):
            return refuse(Refusal(401, 'UNAUTHORIZED', 'incorrect username or password'))
        wanted = parse_qs(request.target.partition('?')[2]).get('scope', [])
        wanted = wanted[-1:] if profile.keeps_last_scope_only else wanted
        scopes = frozenset(pair for scope in wanted for pair in _pairs(scope))
        granted = frozenset(pair for pair in scopes if self._may(pair, bool(sent)))
        if profile.needs_all_scopes and granted != scopes:
            return refuse(Refusal(403, 'DENIED', 'requested access to the resource is denied'))
        text = secrets.token_urlsafe(24)
        self._tokens[text] = granted
        lifetime = {'expires_in': profile.token_lifetime} if profile.token_lifetime else {}
        return Answer(200, json.dumps({**dict.fromkeys(profile.token_fields, text), **lifetime}).encode(),
                      [('Content-Type', 'application/json')])

    def _may(self, pair: tuple[str, str], is_known: bool) -> bool:
        repository, action = pair
        if repository in ('user/image', 'catalog'):  # a repository of nobody's
            return False
        return is_known or self._profile.login is None or (self._profile.is_public and action == 'pull')

    def _is_login(self, sent: str | None) -> bool:
        login = self._profile.login
        return bool(login and sent == 'Basic ' + base64.b64encode(':'.join(login).encode()).decode())

    def _challenge(self, repository: str, actions: str, error: str = '') -> Answer:
        profile = self._profile
        if not profile.realm:
            header = profile.basic
        else:
            scope = profile.challenge_scope.format(repository=repository, actions=actions)
            scope = scope if repository else profile.ping_scope
            service = f',service="{profile.service}"' if profile.service else ''
            header = f'Bearer realm="{self.realm}"{service}' + (f',scope="{scope}"' if scope else '') + (
                f',error="{error}"' if error else '')
        say = refuse(profile.denied)
        return Answer(401, say.body, [*say.headers, ('WWW-Authenticate', header)])


def _pairs(scope: str) -> list[tuple[str, str]]:
    """Return what a scope asks for; one without a repository, such as `aws` or `*`, asks for nothing."""
    name, colon, actions = scope.rpartition(':')
    return [(name.partition(':')[2], action) for action in actions.split(',')] if colon else []
