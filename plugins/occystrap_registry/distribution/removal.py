"""Removing images that earlier runs wrote to a registry (distribution-spec, Deleting tags, Deleting Manifests).

Deleting a manifest by digest removes all its tags. That is done only if nothing that stays needs it: another tag, an
index under another tag, or an image with a receipt. Otherwise only the tag is deleted, if the registry can do that.
"""
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from occystrap_core import ImageNotFound, OccystrapError, Receipt, ServiceError, Settings
from occystrap_core.oci import Digest, Index, Reference, is_referrer_tag
from occystrap_registry.distribution.catalog import NoSuchRepository, list_tags
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import find_manifest, present_digest
from occystrap_registry.distribution.settle_time import SettleTime
from occystrap_registry.transport.address import address_of
from occystrap_registry.transport.answers import Reply

DELETED = (200, 202, 204, 404)
CANNOT_DELETE = (400, 405, 501)
"""Answers of registries that do not permit deleting, or deleting tags (distribution-spec, Deleting tags)."""


class CannotDelete(ServiceError):
    """The registry does not delete this kind of thing."""


def remove(receipts: Sequence[Receipt], staying: Sequence[Receipt], settings: Settings, dry_run: bool) -> list[str]:
    """Remove images that these receipts prove; return for each the reason why it stays, empty if it was removed.

    A tag that means another image now stays. What `staying` receipts need is not deleted. Parts of a deleted index, and
    blobs, are left to the registry's garbage collection.
    """
    by_repository: defaultdict[str, list[Receipt]] = defaultdict(list)
    for each in receipts:
        by_repository[_reference(each).name].append(each)
    reasons: dict[int, str] = {}
    for name, group in by_repository.items():
        needed = [each for each in staying if each.scheme == 'registry' and _reference(each).name == name]
        repository = Repository(group, needed, settings, dry_run)
        try:
            reasons |= repository.reasons()
        finally:
            repository.close()
    return [reasons[id(each)] for each in receipts]


def _reference(receipt: Receipt) -> Reference:
    return Reference.parse(receipt.path, with_host=True)


class Repository:
    """The images of one repository that are to be removed."""

    def __init__(self, going: Sequence[Receipt], staying: Sequence[Receipt], settings: Settings, dry_run: bool) -> None:
        self._client = RegistryClient(address_of(going[0], settings), settings)
        self._going, self._staying, self._dry_run = going, staying, dry_run

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def reasons(self) -> dict[int, str]:
        """Return why each image stays, empty if it was removed, by the id of its receipt."""
        try:
            found = {id(each): self._present(each) for each in self._going}
            listed = self._listed([each for each in self._going if found[id(each)]])
            needed = self._needed([each for each in self._going if found[id(each)] in (each.manifest_digest, None)],
                                  listed)
        except OccystrapError as error:
            return {id(each): f'nothing is deleted, since {error}' for each in self._going}
        return {id(each): self._reason(each, found[id(each)], needed, listed) for each in self._going}

    def _present(self, receipt: Receipt) -> Digest | None:
        """Return the digest that the image's name has now, None if it is gone."""
        reference = _reference(receipt)
        try:
            return present_digest(self._client, reference.tag or reference.digest or '')
        except ImageNotFound:
            return None

    def _listed(self, present: Sequence[Receipt]) -> Collection[str]:
        """Return all tags of the repository, which must include those of `present` images.

        Raises ServiceError if one is missing: the list is then incomplete, perhaps lagging or a proxy's, and an
        unlisted tag may need what is to be deleted.
        """
        repository = self._client.address.reference.repository
        try:
            listed = set(list_tags(self._client, repository))
        except NoSuchRepository:
            listed = set()
        kept = {_reference(each).tag: each for each in self._staying if _reference(each).tag not in listed}
        known = [*present, *(each for tag, each in kept.items() if tag and self._present(each))]
        for tag in (_reference(each).tag for each in known):
            if tag and tag not in listed:
                raise ServiceError(f'{self._client.address.host} has {repository}:{tag} and does not list it: its list '
                                   'of tags is incomplete, and what is not in it may need the image; try again later')
        return listed

    def _needed(self, going: Sequence[Receipt], listed: Collection[str]) -> dict[Digest, str]:
        """Return the digests that must stay, each with what needs it."""
        needed = {each.digest: str(_reference(receipt)) for receipt in self._staying
                  for each in receipt.of_kind('manifest', 'index')}
        tags = {_reference(each).tag for each in going} | {each for receipt in going for each in _referrers(receipt)}
        others = [tag for tag in listed if tag not in tags]
        for found in self._client.settings.in_parallel(self._below, others, helping=True):
            needed |= found
        return needed

    def _below(self, tag: str) -> dict[Digest, str]:
        """Return the digests of what a tag means, and of everything in it."""
        found: dict[Digest, str] = {}
        pending: list[str | Digest] = [tag]
        for each in pending:
            document = find_manifest(self._client, each) if each not in found else None
            if document:
                found[document.digest] = tag
            if isinstance(document, Index):
                pending += [entry.digest for entry in document.manifests if entry.digest not in found]
        return found

    def _reason(self, receipt: Receipt, present: Digest | None, needed: dict[Digest, str], listed: Collection[str],
                ) -> str:
        reference = _reference(receipt)
        if present is None and reference.tag in listed:
            return f'{self._client.address.host} lists {reference} and does not have it: try again later'
        if present not in (None, receipt.manifest_digest):
            return f'{reference} is {present} now, which no receipt covers'
        try:
            if present:
                self._delete(reference, present, needed)
            for tag, digest in _referrers(receipt).items():  # including those left by a killed run
                there = find_manifest(self._client, tag)
                if there and there.digest == digest and digest not in needed:
                    self._delete(reference._replace(tag=tag, digest=None), digest, needed)
        except OccystrapError as error:
            return str(error)
        return ''

    def _delete(self, reference: Reference, digest: Digest, needed: dict[Digest, str]) -> None:
        """Delete a manifest with all its tags, if all are to be removed; else only its tag. Raises ServiceError."""
        if digest not in needed:
            try:
                return self._send(reference, digest)
            except CannotDelete:
                if not reference.tag:
                    raise
            self._send(reference, reference.tag)  # some registries, such as Artifact Registry, require this first
            return
        if not reference.tag:
            raise ServiceError(f'{reference} is needed by {needed[digest]}, which stays')
        try:
            self._send(reference, reference.tag)
        except CannotDelete:
            raise ServiceError(f'{reference} shares its manifest with {needed[digest]}, which stays, and '
                               f'{self._client.address.host} cannot delete a tag alone') from None
        self._require_kept(reference, digest, needed[digest])

    def _send(self, reference: Reference, name: str | Digest) -> None:
        if self._dry_run:
            return
        self._client.settings.cancellation.check()
        address = self._client.address
        scope = f'repository:{reference.repository}:pull,delete'
        reply = self._client.fetch('DELETE', address.manifest(name), scope)
        if reply.status in CANNOT_DELETE:
            raise CannotDelete(f'{address.host} refuses to delete {address.name_of(name)} (HTTP {reply.status}): '
                               'enable that there, for example with REGISTRY_STORAGE_DELETE_ENABLED=true')
        if reply.status not in DELETED:
            raise self._client.failure(reply, f'{address.name_of(name)} cannot be deleted')
        self._require_gone(reference)

    def _require_gone(self, reference: Reference) -> None:
        """Raise ServiceError if the registry still has what it reported as deleted."""
        settle = SettleTime(self._client.settings)
        while self._answer(reference).status != 404:
            if not settle.again():
                raise ServiceError(f'{reference} is still there after it was deleted')

    def _require_kept(self, reference: Reference, digest: Digest, by: str) -> None:
        """Raise ServiceError if the registry deleted a manifest although only one of its tags was to go."""
        if not self._dry_run and self._answer(reference._replace(tag='', digest=digest)).status == 404:
            raise ServiceError(f'{self._client.address.host} deleted the whole manifest {digest} with the tag '
                               f'{reference.tag}: {by} needs it, copy that again')

    def _answer(self, reference: Reference) -> Reply:
        address = self._client.address
        return self._client.fetch('HEAD', address.manifest(reference.tag or reference.digest or ''), address.pull_scope)


def _referrers(receipt: Receipt) -> dict[str, Digest]:
    """Return the tags of signatures and lists of referrers that were copied with an image."""
    found: Iterable[tuple[str, Digest]] = ((each.locator, each.digest) for each in receipt.of_kind('manifest', 'index'))
    return {locator: digest for locator, digest in found if is_referrer_tag(locator)}
