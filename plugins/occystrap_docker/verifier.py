"""Comparing a daemon with a receipt: names, ID and layers by inspect; every byte of layers and config by export."""
import re
from contextlib import closing
from dataclasses import replace

from occystrap_core import (
    READ, REPORTED, CheckResults, Expectation, Location, Receipt, ServiceError, Settings, VerifyLevel,
)
from occystrap_core.files import DigestMismatch, ImageError
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.export.export import ArrivingLayer, Export
from occystrap_docker.export.first_pass import resolved
from occystrap_docker.options import CONNECTION

_DAMAGE = re.compile('checksum failed|no such file|blob not found|unexpected digest')
"""Error messages of Docker and Podman for layers that were changed or removed in their storage."""


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the daemon has of what the receipt expects; what the daemon does not answer is unverified."""
    options = Location.of_receipt(receipt, CONNECTION).options
    with closing(Daemon(options, settings)) as daemon:
        check = _Check(receipt, daemon)
        for each in receipt.of_kind('config', 'layer'):
            if each.locator != each.digest:
                check.results.differs(each, f'its locator must be {each.digest}, its only name in a daemon')
        _require_name(receipt, check.results)
        try:
            if facts := check.look_up():
                check.compare(facts)
                check.read_export(facts, level)
        except ServiceError as error:
            check.results.unverified(receipt.destination, str(error))
        return check.results


def _require_name(receipt: Receipt, results: CheckResults) -> None:
    """Report as unverified if the receipt does not expect its image under the name of its destination."""
    named = Reference.parse(receipt.path or receipt.reference).as_docker
    if named not in [Reference.parse(each.locator).as_docker for each in receipt.of_kind('tag')]:
        results.unverified(receipt.destination, f'the receipt does not expect its image under the name {named}')


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image in a daemon, under the name in the location; raises UsageError for an
    index.

    A receipt for a daemon is for the address to which the image was written, unless the location gives another one.
    """
    reference = Reference.parse(location.path).with_default_tag()
    options = location.given or (receipt.options if receipt.scheme == 'docker' else {})
    return replace(receipt.located_by_diff_id(reference.familiar), scheme='docker', path=location.path,
                   options=dict(options), reference=str(reference))


class _Check:
    """One receipt and one daemon."""

    def __init__(self, receipt: Receipt, daemon: Daemon) -> None:
        self._receipt, self._daemon = receipt, daemon
        self.results = CheckResults()
        self._by_export: list[Expectation] = []
        """Expectations that need the config from the export, because the daemon's ID is a manifest's digest."""

    def look_up(self) -> ImageFacts | None:
        """Return the facts of the written image, under any name that it still has; report the names."""
        found: ImageFacts | None = None
        lost = False
        for tag in self._receipt.of_kind('tag'):
            facts = self._daemon.find(tag.locator)
            if facts is None:
                self.results.missing(tag, f'is missing: the daemon at {self._daemon.address} has no image of this name')
            elif self._may_be(facts, tag.digest):
                found = facts
                self._note_id(facts, tag)
            else:
                self.results.differs(tag, f'points at {facts.id}, expected {tag.digest}')
            lost = lost or facts is not found
        found = found or self._daemon.find(self._receipt.image_id)
        if found is None and lost and self._daemon.names_images_by_manifest:
            self.results.unverified(f'image {self._receipt.image_id}', 'cannot be found: this daemon finds images by '
                                                                       'name and manifest only')
        elif found is None:
            self.results.error(f'image {self._receipt.image_id}', 'is missing: the daemon has it under no name')
        else:
            self._note_id(found, *self._receipt.of_kind('config'))
        return found

    def _note_id(self, facts: ImageFacts, *expected: Expectation) -> None:
        """Report the image's ID if it is the digest of the config; otherwise the export's config is needed."""
        if self._daemon.names_images_by_manifest and facts.id != self._receipt.image_id:
            self._by_export += expected
            return
        for each in expected:
            self.results.found(each, digest=facts.id, evidence=REPORTED)

    def compare(self, facts: ImageFacts) -> None:
        """Report the layers that the daemon lists, and whether they are in the receipt's order."""
        listed, expected = list(facts.diff_ids), list(self._receipt.diff_ids)
        for layer in self._receipt.of_kind('layer'):
            if layer.digest in listed:
                self.results.found(layer, digest=layer.digest, evidence=REPORTED)
            else:
                self.results.differs(layer, f'is not among the layers that the daemon lists for {facts.id}')
        if set(listed) >= set(expected) and listed != expected:
            self.results.error(f'image {facts.id}', f'has layers {", ".join(listed) or "none"}, '
                                                    f'expected {", ".join(expected) or "none"}')

    def read_export(self, facts: ImageFacts, level: VerifyLevel) -> None:
        """Read the export: everything at level full; else only the config, and only if the ID is not its digest."""
        if level is not VerifyLevel.FULL and facts.id == self._receipt.image_id:
            return
        image = str(self._receipt.reference)
        with closing(self._daemon.export(facts)) as stream:
            try:
                facts = resolved(self._daemon, facts, image) if level is VerifyLevel.FULL else facts
                export = Export(stream, facts, image)
                if level is VerifyLevel.FULL:
                    self._check_layers(export)
                    found = export.config()
                else:
                    found = export.find_config()
            except ImageError as error:
                self.results.error(f'image {facts.id}', str(error))
            except ServiceError as error:
                self._note_failed_export(facts, error)
            else:
                self._check_config(found)

    def _check_layers(self, export: Export) -> None:
        """Hash each layer of the export; report those that match, and those that are changed or missing."""
        seen = [self._hashed(layer) for layer in export.layers()]
        for layer in self._receipt.of_kind('layer'):
            if layer.digest in seen:
                self.results.found(layer, digest=layer.digest, evidence=READ)
            else:
                self.results.missing(layer, "is missing from the daemon's export, or changed there")

    def _hashed(self, layer: ArrivingLayer) -> Digest | None:
        try:
            with layer.tar() as tar:
                return tar.drain()
        except DigestMismatch as error:
            self.results.error(f'layer {layer.name}', str(error))
            return None

    def _check_config(self, config: ImageConfig) -> None:
        for expected in self._receipt.of_kind('config'):
            self.results.read(expected, config.raw)
        for expected in self._by_export:
            self.results.found(expected, digest=config.digest, evidence=READ)

    def _may_be(self, facts: ImageFacts, expected: Digest) -> bool:
        """Return whether this may be the written image: an ID that is a manifest's digest does not decide it."""
        return facts.id == expected or (self._daemon.names_images_by_manifest
                                        and list(facts.diff_ids) == list(self._receipt.diff_ids))

    def _note_failed_export(self, facts: ImageFacts, error: ServiceError) -> None:
        """Report an error when the daemon itself reports damage, else unverified: other failures prove nothing."""
        note = self.results.error if _DAMAGE.search(str(error)) else self.results.unverified
        note(f'image {facts.id}', str(error))
