"""Pushes and pulls of a proxy: pushed images go downstream, pulled images come from downstream.

No image is acknowledged or delivered before it was filtered, stored downstream, and verified there.
"""
import time
from typing import NamedTuple

from occystrap_core import ImageNotFound, InvalidImage, OccystrapError, ServiceError
from occystrap_core.files import print_message
from occystrap_core.oci import Descriptor, Digest, Index, Manifest
from occystrap_core.orders import ImageDone, ImageOrder
from occystrap_registry.proxy.order_problems import pull_problem, push_problem
from occystrap_registry.proxy.downstream_blobs import DownstreamBlobs
from occystrap_registry.proxy.image_orders import ImageOrders, Stored
from occystrap_registry.proxy.known_digests import KnownDigests, KnownTag
from occystrap_registry.proxy.remote import Remote, replaced_parts
from occystrap_registry.proxy.staged_images import Staging
from occystrap_registry.proxy.upstream_referrers import UpstreamReferrers
from occystrap_registry.server.storage import PushedManifest


class Sources(NamedTuple):
    """The places of a proxy's images, and its memory."""

    downstream: Remote
    upstream: Remote | None
    blobs: DownstreamBlobs
    staging: Staging
    staged_at: str
    """`127.0.0.1:port` of the registry that serves the staging area to orders."""
    known: KnownDigests


class Pulled(NamedTuple):
    """A manifest or index from downstream, and a warning for the client if it may be outdated."""

    document: Manifest | Index
    stale: str = ''


class ProxiedImages:
    """Pushes and pulls; methods wait for other registries, and raise Problem."""

    def __init__(self, sources: Sources, orders: ImageOrders, fresh: float) -> None:
        """`fresh`: seconds for which upstream is not asked again what a tag means."""
        self._downstream, self._upstream, self._blobs, self._staging, self._staged_at, self._known = sources
        self._orders, self._fresh = orders, fresh
        self._referrers = UpstreamReferrers(self._downstream, self._upstream, fresh, self._copy_whole) if (
            self._upstream and not orders.filters) else None

    def push(self, repository: str, reference: Digest | str, manifest: PushedManifest) -> Stored:
        """Filter a pushed image, store it downstream and verify it there.

        A referrer is left out if its subject was replaced by another image. A referrer that is an image is filtered
        like any other; otherwise a subject would bypass the filters.
        """
        if manifest.subject and self._is_replaced(repository, manifest.subject):
            return Stored(None, f'left out: its subject {manifest.subject} was filtered, and has another digest')
        source = f'registry://{self._staged_at}/{repository}@{manifest.digest}'
        with self._staging.in_use(repository):
            done, notes = self._copied(source, repository, reference, manifest.digest, '', self._orders.filters)
        if done.error:
            raise push_problem(done.error)
        return Stored(Digest(done.digest), notes.replace(f'{self._staged_at}/', ''))

    def lists_referrer(self, repository: str, manifest: PushedManifest, stored: Stored) -> bool:
        """Return whether downstream itself lists a referrer; otherwise clients must do so, under a tag."""
        if not manifest.subject or stored.digest is None:
            return False
        try:
            return self._downstream.lists_referrer(repository, manifest.subject, stored.digest)
        except OccystrapError:
            return False

    def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """Return the referrers downstream, including new ones that upstream has by now.

        If images are filtered, upstream is not asked, since its referrers are about other images.
        """
        try:
            if self._referrers:
                self._referrers.follow(repository, subject)
            return self._downstream.referrers(repository, subject)
        except OccystrapError as error:
            raise pull_problem(error) from None

    def at_hand(self, repository: str, reference: Digest | str) -> Pulled | None:
        """Return what is downstream if upstream need not be asked; None otherwise."""
        try:
            if isinstance(reference, Digest):
                return self._by_digest(repository, reference)
            known = self._known.tag(repository, reference)
            if self._upstream is None:
                return Pulled(_as_pushed(self._found(repository, reference), known))
            if known and not known.source:
                found = self._downstream.manifest(repository, reference)
                return Pulled(_as_pushed(found, known)) if found else None
            if known and known.is_fresh(self._fresh) and (found := self._intact(repository, known.stored)):
                return Pulled(found)
            return None
        except OccystrapError as error:
            raise pull_problem(error) from None

    def fetch(self, repository: str, reference: Digest | str) -> Pulled:
        """Return what upstream has now, after storing it downstream; if it does not answer, what is downstream."""
        try:
            if isinstance(reference, Digest):
                return self._fetched_by_digest(repository, reference)
            return self._current(repository, reference)
        except OccystrapError as error:
            raise pull_problem(error) from None

    def _current(self, repository: str, tag: str) -> Pulled:
        assert self._upstream
        known = self._known.tag(repository, tag)
        if known and not known.source:
            known = None  # the pushed image is gone
        if known and known.is_fresh(self._fresh) and (found := self._intact(repository, known.stored)):
            return Pulled(found)  # another thread has just asked
        try:
            digest = self._upstream.digest(repository, tag)
        except (ServiceError, ImageNotFound, InvalidImage) as error:
            return self._stale(repository, tag, known, error)
        if known and known.source == digest and (found := self._intact(repository, known.stored)):
            self._known.note_tag(repository, tag, digest, known.stored)
            return Pulled(found)
        try:
            return self._fetched(repository, tag, digest)
        except ImageNotFound as error:
            return self._moved(repository, tag, digest, error)

    def _moved(self, repository: str, tag: str, named: Digest, error: ImageNotFound) -> Pulled:
        """Return what GET gives for a tag for which HEAD has `named` a digest that is not there.

        The tag was moved meanwhile, and its image deleted, or upstream answers HEAD wrongly. Raises `error` otherwise.
        """
        assert self._upstream
        found = self._upstream.manifest(repository, tag)
        if found is None or found.digest == named:
            raise error
        return self._fetched(repository, tag, found.digest)

    def _fetched(self, repository: str, reference: Digest | str, digest: Digest) -> Pulled:
        """Copy an image with this digest from upstream, and return it."""
        return Pulled(self._found(repository, self._copy(repository, reference, digest)))

    def _copy(self, repository: str, reference: Digest | str, digest: Digest) -> Digest:
        """Copy an image with this digest from upstream; return its digest downstream. Raises OccystrapError."""
        assert self._upstream
        source = self._upstream.uri(repository, f'@{digest}', **({} if self._orders.filters else {'referrers': 'true'}))
        done, _ = self._copied(source, repository, reference, digest, digest, self._orders.filters)
        stored = Digest(done.require().digest)
        for before, after in replaced_parts(self._upstream, self._downstream, repository, digest, stored):
            self._known.note(repository, before, after)
        return stored

    def _copy_whole(self, repository: str, digest: Digest) -> None:
        """Copy an image and its referrers from upstream, even if it is already downstream; raises OccystrapError."""
        assert self._upstream
        source = self._upstream.uri(repository, f'@{digest}', referrers='true')
        self._copied(source, repository, digest, digest, digest, ())[0].require()

    def _copied(self, source: str, repository: str, reference: Digest | str, original: Digest, upstream: str,
                filters: tuple[str, ...]) -> tuple[ImageDone, str]:
        """Copy an image, verify it, and only then tag it; return the result, and its notes.

        `original` is its digest at the source; `upstream` is the same if that is upstream, otherwise empty. An image
        that was requested by digest keeps that digest, unless it is filtered. Blobs that are damaged downstream are
        sent again, and read back.
        """
        keeps = isinstance(reference, Digest) and not filters
        named = f'@{reference}' if isinstance(reference, Digest) else f':{reference}'
        damaged = self._known.damaged(repository)
        options = {**({} if keeps else {'untagged': 'true'}), **({'resend': ','.join(damaged)} if damaged else {})}
        goes = self._downstream.uri(repository, named if keeps else '', **options)

        def note(stored: Digest) -> None:
            self._known.note(repository, original, stored)
            if not isinstance(reference, Digest):
                self._downstream.tag(repository, reference, stored)
                self._known.note_tag(repository, reference, upstream, stored)
        done, told = self._orders.execute(ImageOrder(source, goes, filters), f'{repository}{named}',
                                          'pull' if upstream else 'push',
                                          f'{self._downstream.full_name(repository)}{named}', note)
        return self._blobs.looked_at(repository, done, damaged), told

    def _by_digest(self, repository: str, digest: Digest) -> Pulled | None:
        """Return what is downstream under a digest; None if upstream may have it, or an intact copy of it."""
        if found := self._intact(repository, digest):
            return Pulled(found)
        if self._originals(repository, digest):
            return None
        if damaged := self._downstream.manifest(repository, digest):
            return Pulled(damaged)
        if (stored := self._known.stored_for(repository, digest)) and stored != digest:
            raise ImageNotFound(f'{repository}@{digest} was filtered, and is {stored} now: pull that, or its tag')
        if self._upstream is None:
            raise ImageNotFound(f'{self._downstream.full_name(repository)} has no {digest}')
        raise ImageNotFound(f'{repository}@{digest} is not downstream, and filtering would change its digest: '
                            'pull it by its tag')

    def _originals(self, repository: str, digest: Digest) -> list[Digest]:
        """Return the digests upstream of which one may give an image with this digest downstream."""
        if self._upstream is None:
            return []
        known, is_replaced = self._known.originals_of(repository, digest), self._is_replaced(repository, digest)
        return known or ([] if self._orders.filters or is_replaced else [digest])

    def _fetched_by_digest(self, repository: str, digest: Digest) -> Pulled:
        """Copy from upstream what has this digest downstream; if that fails, return what is downstream."""
        if found := self._intact(repository, digest):
            return Pulled(found)  # another thread has just fetched it
        failure: OccystrapError = ImageNotFound(f'nothing of {repository} upstream gives the digest {digest}')
        for original in self._originals(repository, digest):
            try:
                self._copy(repository, digest, original)
                if found := self._intact(repository, digest):
                    return Pulled(found)
            except (ServiceError, ImageNotFound, InvalidImage) as error:
                failure = error
        return self._with_damage(repository, digest, failure)

    def _with_damage(self, repository: str, digest: Digest, failure: OccystrapError) -> Pulled:
        """Return what is downstream under a digest, even if damaged; raises `failure` if there is no manifest."""
        try:
            found = self._downstream.manifest(repository, digest)
        except InvalidImage:
            found = None
        if found is None:
            raise failure
        print_message(f'occystrap: warning: {repository}@{digest} is served, although a blob of it is damaged '
                      f'downstream, since upstream does not mend it: {failure}')
        return Pulled(found)

    def _stale(self, repository: str, tag: str, known: KnownTag | None, error: OccystrapError) -> Pulled:
        """Return what is downstream if upstream does not answer or has nothing; raises `error` if there is none."""
        found = self._intact(repository, known.stored if known else tag)
        if found is None:
            raise error
        print_message(f'occystrap: warning: {repository}:{tag} is served as it is downstream, since upstream has not '
                      f'confirmed it: {error}')
        return Pulled(found, f'not confirmed by upstream at {time.strftime("%FT%TZ", time.gmtime())}: {error}')

    def _intact(self, repository: str, reference: Digest | str) -> Manifest | Index | None:
        """Return what is downstream; None if it is missing or damaged, so that it is copied again."""
        try:
            found = self._downstream.manifest(repository, reference)
            return None if found and self._blobs.lacks_part_of(repository, found) else found
        except InvalidImage:
            return None

    def _found(self, repository: str, reference: Digest | str) -> Manifest | Index:
        if found := self._downstream.manifest(repository, reference):
            return found
        raise ImageNotFound(f'{self._downstream.full_name(repository)} has no {reference}')

    def _is_replaced(self, repository: str, subject: Digest) -> bool:
        return self._known.stored_for(repository, subject) not in (None, subject)


def _as_pushed(document: Manifest | Index, known: KnownTag | None) -> Manifest | Index:
    """Return a document with the digest algorithm with which a client pushed it, if it is still the same."""
    as_known = document._replace(algorithm=known.stored.algorithm) if known else document
    return as_known if known and as_known.digest == known.stored else document
