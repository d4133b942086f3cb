"""Selecting an image in an archive or a layout by a name in it, or by digest."""
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from occystrap_core.errors import ImageNotFound, UsageError
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.patterns import STAR, compile_pattern, has_glob, split_pattern
from occystrap_core.oci.reference import Reference

T = TypeVar('T')

UNTAGGED = Reference('untagged')
"""The reference of an image without a name."""

_DIGEST = r'(?:sha(?:256|512):)?([0-9a-f]{12,128})'
_DEFAULT_HOSTS = ('docker.io', 'index.docker.io', 'localhost')
"""Hosts that users may omit: docker's default, and podman's for images that it built."""


class Offer(NamedTuple, Generic[T]):
    """One image in an archive or a layout.

    `names`: as they are written there, with their references. `hex`: the digits of its digest; empty if unknown.
    """

    image: T
    names: Mapping[str, Reference]
    hex: str = ''

    @property
    def reference(self) -> Reference:
        """Its first name."""
        return next(iter(self.names.values()), UNTAGGED)

    def __str__(self) -> str:
        return ', '.join(self.names) or (Digest.of_hex(self.hex).short if self.hex else 'one without a name')


def select_offer(offers: Sequence[Offer[T]], name: str | None, place: str,
                 how: str = '?image=') -> tuple[T, Reference]:
    """Return the image called `name`, or the only one, and its reference.

    Raises UsageError that lists all images, ImageNotFound if there is none. `how` is the option with which users
    choose, for messages.
    """
    if not offers:
        raise ImageNotFound(f'{place} holds no image: its list of images is empty', 'manifest-missing')
    if name is None:
        if len(offers) != 1:
            raise UsageError(f'{place} has {len(offers)} images, choose one with {how}: {", ".join(map(str, offers))}')
        return offers[0].image, offers[0].reference
    found = find_offers(offers, name)
    if not found:
        raise UsageError(f'{place} has no image {name}; available: {", ".join(map(str, offers))}')
    if len({offer.hex or number for number, (offer, _) in enumerate(found)}) > 1:
        raise UsageError(f'{place} has several images {name}, choose one by its digest: '
                         f'{", ".join(Digest.of_hex(offer.hex) for offer, _ in found)}')
    return found[0][0].image, found[0][1]


def select_offers(offers: Sequence[Offer[T]], name: str | None, place: str, how: str = '?image=',
                  ) -> list[tuple[T, Reference]]:
    """Return all images with all their names if `name` is None, those that match if it is a pattern, else the named
    one.

    An image without a name, or with one that is not a reference, is identified by its digest, unless it is the only
    one. Raises as `select_offer` does.
    """
    if name is not None and has_glob(name):
        found = _matching(offers, name)
        if not found:
            wider = name if '**' in name else name.replace(STAR, '**')
            slash = f' (* stands for no slash; {wider} matches some)' if _matching(offers, wider) else ''
            raise ImageNotFound(f'{place} has no image that matches {name}{slash}; available: '
                                f'{", ".join(map(str, offers))}')
        return found
    if name is not None or not offers or (len(offers) == 1 and {*offers[0].names.values()} <= {UNTAGGED}):
        return [select_offer(offers, name, place, how)]
    return [(offer.image, reference) for offer in offers for reference in _all_names(offer)]


def _matching(offers: Sequence[Offer[T]], pattern: str) -> list[tuple[T, Reference]]:
    return [(offer.image, _distinct(offer, reference)) for offer in offers
            for written, reference in offer.names.items() if matches_name(pattern, written, reference)]


def matches_name(pattern: str, name: str, reference: Reference) -> bool:
    """Return whether a pattern matches a stored name: all of it, or the repository of its reference, with or without
    host, and the tag, if the pattern has one. Raises UsageError for a malformed pattern."""
    repository, tag = split_pattern(pattern) or (pattern, '')
    fits = compile_pattern(repository).fullmatch
    if not tag and fits(name):
        return True
    return bool((fits(reference.name) or fits(reference.repository)) and (
        not tag or compile_pattern(tag).fullmatch(reference.tag)))


def _all_names(offer: Offer[T]) -> Sequence[Reference]:
    return [_distinct(offer, reference) for reference in offer.names.values() or [UNTAGGED]]


def _distinct(offer: Offer[T], reference: Reference) -> Reference:
    """Return the reference, with a digest to distinguish images whose invalid names would all give the same reference.
    """
    if reference != UNTAGGED or not offer.hex:
        return reference
    return UNTAGGED._replace(digest=Digest.of_hex(offer.hex))


def find_offers(offers: Sequence[Offer[T]], name: str) -> list[tuple[Offer[T], Reference]]:
    """Return the images that `name` may stand for: an exact name, else a digest, else a name without the parts that
    users omit, else one without its host, else a tag."""
    return (_named(offers, name) or _of_digest(offers, name) or list(_alike(offers, _plain(name)))
            or _without_host(offers, name) or list(_tagged(offers, name)))


def parse_name(name: str) -> Reference:
    """Return a name as a reference; `untagged` if it is not a valid name."""
    try:
        return Reference.parse(name)
    except UsageError:
        return UNTAGGED


def are_of_other_repositories(old: Iterable[str], new: Iterable[str]) -> bool:
    """Return whether an image and the one that would replace it have no repository in common, whatever their hosts and
    tags.

    Names that are not references, or only a tag, do not count.
    """
    there, comes = _repositories(old), _repositories(new)
    return bool(there and comes) and there.isdisjoint(comes)


def _repositories(names: Iterable[str]) -> set[str]:
    found = [parse_name(name) for name in names if '/' in name or ':' in name]
    return {each.repository.removeprefix('library/') for each in found if each.repository != UNTAGGED.repository}


def _named(offers: Sequence[Offer[T]], name: str) -> list[tuple[Offer[T], Reference]]:
    return [(offer, offer.names[name]) for offer in offers if name in offer.names]


def _of_digest(offers: Sequence[Offer[T]], name: str) -> list[tuple[Offer[T], Reference]]:
    digest = re.fullmatch(_DIGEST, name)
    return [(offer, offer.reference) for offer in offers if digest and offer.hex.startswith(digest[1])]


def _alike(offers: Sequence[Offer[T]], plain: str) -> Iterator[tuple[Offer[T], Reference]]:
    for offer in offers:
        alike = [reference for name, reference in offer.names.items() if _plain(name) == plain]
        if alike:
            yield offer, alike[0]


def _without_host(offers: Sequence[Offer[T]], name: str) -> list[tuple[Offer[T], Reference]]:
    return [(offer, reference) for offer in offers for reference in offer.names.values()
            if reference.host and str(reference._replace(host='')) == name]


def _tagged(offers: Sequence[Offer[T]], tag: str) -> Iterator[tuple[Offer[T], Reference]]:
    for offer in offers:
        for reference in offer.names.values():
            if reference.tag == tag:
                yield offer, reference
                break


@lru_cache(maxsize=1 << 15)  # a list may name each image of a place, and each name is compared with all others
def _plain(name: str) -> str:
    """Return a name without the parts that users omit: the default host, `library/`, the tag latest."""
    try:
        reference = Reference.parse(name).with_default_tag()
    except UsageError:
        return name
    host = '' if reference.host in _DEFAULT_HOSTS else reference.host
    repository = reference.repository if host else reference.repository.removeprefix('library/')
    return str(Reference(repository, reference.tag, reference.digest, host))
