"""The expectations of an image that are independent of its place: digests."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from occystrap_core.errors import InvalidImage, UsageError
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.referrers import is_referrer_tag
from occystrap_core.verification.expectation import UNKNOWN_SIZE, Evidence, Expectation

_DOCUMENTS = ('index', 'manifest')
_KEPT = (*_DOCUMENTS, 'config', 'layer')


def located_by_digest(expectations: Sequence[Expectation], name: str, top: Digest, locate: Callable[[Digest], str],
                      ) -> tuple[Expectation, ...]:
    """Return the expectations of an image for any place: see Receipt.located_by_digest.

    `top` is the digest that the image's name refers to. Raises UsageError if a receipt of an earlier version does not
    record which manifest a tag refers to.
    """
    sizes = {each.digest: each.size for each in expectations if each.kind in _DOCUMENTS}
    names = dict.fromkeys([('tag', name, top), *_names(expectations, top)])
    return *(Expectation(kind, locator, digest, sizes.get(digest, 0)) for kind, locator, digest in names), *_once(
        (each for each in expectations if each.kind in _KEPT), locate)


def located_by_diff_id(expectations: Sequence[Expectation], name: str, image_id: Digest, diff_ids: Iterable[Digest],
                       ) -> tuple[Expectation, ...]:
    """Return the expectations of an image for any place with its config and the tars of its layers: see
    Receipt.located_by_diff_id.
    """
    sizes = {(each.kind, each.digest): each.size for each in expectations}
    return (Expectation('tag', name, image_id, UNKNOWN_SIZE),
            *(Expectation(kind, str(digest), digest, sizes.get((kind, digest), UNKNOWN_SIZE), Evidence.DESCRIPTOR)
              for kind, digest in [('config', image_id), *(('layer', each) for each in dict.fromkeys(diff_ids))]))


def _once(expectations: Iterable[Expectation], locate: Callable[[Digest], str]) -> Iterable[Expectation]:
    """Return each manifest and blob once, with the stronger evidence; what a delta leaves out may be left out again."""
    kept: dict[tuple[str, Digest, int], Expectation] = {}
    for each in expectations:
        known = kept.setdefault((each.kind, each.digest, each.size), each._replace(
            locator=locate(each.digest), evidence=max(each.evidence, Evidence.DESCRIPTOR, key=[*Evidence].index)))
        evidence = each.evidence if each.evidence is Evidence.STREAMED else known.evidence
        kept[each.kind, each.digest, each.size] = known._replace(
            evidence=evidence, covers=tuple(dict.fromkeys([*known.covers, *each.covers])))
    return kept.values()


def _names(expectations: Iterable[Expectation], top: Digest) -> Iterator[tuple[str, str, Digest]]:
    """Yield kind and locator for each name of a referrer, and the manifest that it refers to."""
    for each in expectations:
        if each.kind == 'referrer':
            yield 'referrer', each.locator, each.digest
        elif each.kind in _DOCUMENTS and each.digest != top and is_referrer_tag(each.locator):
            yield 'tag', each.locator, each.digest
        elif each.kind == 'entry' and (found := _listed(each)) not in (None, top):
            assert found
            yield 'referrer' if each.locator == found else 'tag', each.locator, found


def _listed(entry: Expectation) -> Digest | None:
    """Return the manifest of an entry of index.json, None if that can only be the image's own."""
    if entry.covers:
        return entry.covers[0]
    with suppress(InvalidImage):
        return Digest(entry.locator)
    if is_referrer_tag(entry.locator):
        raise UsageError(f'a receipt of an earlier version does not say which manifest has the tag {entry.locator}: '
                         'copy the image again for one that does')
    return None
