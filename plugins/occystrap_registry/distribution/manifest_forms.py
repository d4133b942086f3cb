"""The form in which manifests are pushed: unchanged, as the user requests, or as the registry accepts them."""
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from occystrap_core import Expectation, Image, ImageIndex, ImageOutput, OutputError, UsageError, VerifyLevel
from occystrap_core.files import detect_compression
from occystrap_core.oci import (
    Compression, Descriptor, Digest, Index, Manifest, ManifestForm, has_annotations, has_form, in_form, index_in_form,
    index_made_anew, is_regular, made_anew, media_types,
)
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.manifests import ManifestRefused, ManifestReplaced, put_manifest

Document = Manifest | Index
Pushed = tuple[Document, Expectation]
"""A document as pushed, and its expectation."""


class ManifestForms:
    """Pushes the manifests of one image or index, converted to another form on request, or if necessary and permitted.
    """

    def __init__(self, client: RegistryClient, requested: ManifestForm | None, pinned: Digest | None) -> None:
        """`pinned` is the digest that the result must have, if one is given."""
        self._client, self._requested = client, requested
        self._fixed = 'its digest is part of the destination' if pinned else ''
        self._attestations: set[Digest] = set()
        self._left_out: list[ManifestRefused | None] = []
        """For attestations that were left out the refusal, or None if one was not pushed at all."""
        self._is_known = True
        """Whether the source has a manifest, so that users may know its digest."""
        self._notes: dict[str, bool] = {}
        """Notes for the user, each with whether annotations were lost."""

    @property
    def is_requested(self) -> bool:
        """Whether the user requests a form."""
        return self._requested is not None

    @property
    def notes(self) -> list[str]:
        """Lines about documents that were pushed in another form, and why."""
        found = [f'{note}; its annotations, which that format lacks, are left out' if lost else note
                 for note, lost in self._notes.items()]
        if self._left_out:
            found.append(f'{self._client.address.reference}: left out {len(self._left_out)} attestations, which '
                         f'{ManifestForm.DOCKER.text} does not have')
        return found

    def prepare(self, content: Image | ImageIndex) -> None:
        """Check whether the content can have the requested form; raises UsageError, OutputError.

        An image with referrers keeps its digest, to which they refer.
        """
        images = [content] if isinstance(content, Image) else content.images()
        self._is_known = all(each.manifest is not None for each in images)
        if content.referrers:
            self._fixed = self._fixed or 'its referrers refer to its digest'
        if isinstance(content, ImageIndex):
            self._attestations.update(content.index.attestations)
            kinds = {entry.media_type for entry in content.index.manifests}
            if self._attestations and media_types.DOCKER_MANIFEST in kinds:
                self._fixed = self._fixed or 'its attestations refer to its images by digest'
        if self._requested and self._changes(content, self._requested) and content.referrers:
            raise UsageError(f'{content.reference}: referrers cannot be copied with format={self._requested.value}, '
                             'which changes the digest they refer to; leave out the format or referrers=true')
        if content.referrers:
            self._requested = None  # it already has that form, and its referrers are pushed unchanged

    def put(self, document: Document, config: bytes | None, name: Callable[[Document], str],
            differs: Callable[[Document], bool] = lambda document: False) -> Pushed:
        """Push a manifest, with its `config`, or an index; return the document as pushed, and its expectation.

        `name` returns the tag or digest, and raises OutputError if that must not be this document; `differs` returns
        whether the registry is known to have another one there. Raises OutputError, ServiceError.
        """
        if isinstance(document, Index):
            self._require_reason()
        with self._turn(document):
            self._leave_out(document, self._requested is ManifestForm.DOCKER or (
                document.media_type in self._client.endpoint.refused_types))
            chosen = self._chosen(document, config)
            try:
                pushed = self._put(name(chosen), chosen, differs(chosen))
            except ManifestRefused as refusal:
                self._leave_out(document, True, refusal)
                chosen, pushed = self._otherwise(refusal, chosen, config, name, differs)
        if is_regular(document):
            self._client.endpoint.known_types.add(document.media_type)
        return chosen, pushed

    def _put(self, name: str, document: Document, differs: bool) -> Expectation:
        """Push a document. If a proxy has stored another one, that is an error or, if nothing will be verified, a note.
        """
        try:
            return put_manifest(self._client, name, document, differs, self._warn)
        except ManifestReplaced as replaced:
            if self._client.settings.verify is not VerifyLevel.NONE:
                raise
            self._notes[str(replaced)] = False
            return Expectation('index' if isinstance(document, Index) else 'manifest', name, document.digest,
                               len(document.raw))

    def _warn(self, text: str) -> None:
        self._notes[f'{self._client.address.host} warns: {text}'] = False

    def _is_attestation(self, content: Image | ImageIndex) -> bool:
        if isinstance(content, ImageIndex) or content.manifest is None:
            return False
        return content.manifest.digest in self._attestations and not content.manifest.is_image

    def _leave_out(self, document: Document, lacks_form: bool, refusal: ManifestRefused | None = None) -> None:
        """Raise LeftOut for an attestation, which Docker's format cannot hold."""
        is_oci = ManifestForm.of(document) is ManifestForm.OCI
        listed = isinstance(document, Manifest) and document.digest in self._attestations and not document.is_image
        if lacks_form and is_oci and listed and not self._fixed:
            self._left_out.append(refusal)
            raise ImageOutput.LeftOut(f'{document.digest} is an attestation')

    def _require_reason(self) -> None:
        """Raise the refusal of an attestation unless the registry refuses OCI manifests in general."""
        known = self._client.endpoint.refused_types or self._requested is ManifestForm.DOCKER
        if refusals := [each for each in self._left_out if each and not known]:
            raise refusals[0]

    def _turn(self, document: Document) -> AbstractContextManager[object]:
        """Let one manifest go first until it is known whether the registry accepts its media type."""
        endpoint = self._client.endpoint
        return nullcontext() if document.media_type in endpoint.known_types else endpoint.first_manifest

    def _chosen(self, document: Document, config: bytes | None) -> Document:
        if self._requested:
            chosen = self._converted(document, config, self._requested)
            if chosen is not document and self._is_known:
                self._note(document, self._requested, 'as requested, with another digest')
            return chosen
        if document.media_type not in self._client.endpoint.refused_types:
            return document
        form = ManifestForm.of(document)
        try:
            chosen = self._accepted(document, config, form.other)
        except OutputError:
            return document
        self._note(document, form.other, f'{self._client.address.host} refused {form.manifests}')
        return chosen

    def _otherwise(self, refusal: ManifestRefused, refused: Document, config: bytes | None,
                   name: Callable[[Document], str], differs: Callable[[Document], bool]) -> Pushed:
        """Push a refused document again: as a regular one in its form, or else in the other form.

        Raises the refusal, with the reason, if that is not permitted or not possible. Only the refusal of a regular
        document shows that the registry does not accept its form.
        """
        form, regular, why = ManifestForm.of(refused), is_regular(refused), ''
        for other in [form.other] if regular else [form, form.other]:
            try:
                chosen = self._accepted(refused, config, other)
            except OutputError as reason:
                why = f'; it is not converted to {other.text}: {reason}'
                continue
            try:
                pushed = self._put(name(chosen), chosen, differs(chosen))
            except ManifestRefused:
                continue
            self._note(refused, other, f'{self._client.address.host} refused '
                                       f'{form.manifests if regular else "the manifest as it is"}')
            if regular:
                self._client.endpoint.refused_types.add(refused.media_type)
            return chosen, pushed
        raise ManifestRefused(f'{refusal}{why}') from None

    def _accepted(self, document: Document, config: bytes | None, form: ManifestForm) -> Document:
        """Return a refused document in a form; raises OutputError if that is not permitted or not possible."""
        if self._requested:
            raise OutputError(f'format={self._requested.value} is requested')
        if self._fixed:
            raise OutputError(self._fixed)
        return self._converted(document, config, form, anew=True)

    def _converted(self, document: Document, config: bytes | None, form: ManifestForm, anew: bool = False) -> Document:
        if isinstance(document, Index):
            return (index_made_anew if anew else index_in_form)(document, form)
        if config is not None and not document.is_image_with(config):
            self._require_same_form(document, form)
            return document
        return (made_anew if anew else in_form)(document, form, self._detect)

    def _detect(self, layer: Descriptor) -> Compression:
        """Return the compression of a layer from its first bytes in the registry, which has it by now."""
        address = self._client.address
        target, range_ = address.blob(layer.digest), {'Range': 'bytes=0-3'}
        reply = self._client.fetch('GET', target, address.pull_scope, range_, cap=4)
        if reply.status not in (200, 206):
            raise self._client.failure(reply, f'blob {layer.digest} cannot be read from {address.reference.name}')
        return detect_compression(reply.body)

    def _note(self, document: Document, form: ManifestForm, why: str) -> None:
        note = f'{self._client.address.reference}: converted to {form.text}: {why}'
        lost = form is ManifestForm.DOCKER and has_annotations(document)
        self._notes[note] = lost or self._notes.get(note, False)

    def _changes(self, content: Image | ImageIndex, form: ManifestForm) -> bool:
        """Return whether a document must change to have a form; raises OutputError, with advice, as `_require_form`
        does."""
        try:
            return self._require_form(content, form)
        except OutputError as error:
            several = ', or choose one platform with --platform' if isinstance(content, ImageIndex) else ''
            raise OutputError(f'{content.reference}: {error}; leave out format={form.value}{several}') from None

    def _require_form(self, content: Image | ImageIndex, form: ManifestForm) -> bool:
        """Return whether a document must change to have a form; raises OutputError if it cannot have it."""
        if isinstance(content, ImageIndex):
            inner = [self._require_form(child.content, form) for child in content.children
                     if form is ManifestForm.OCI or not self._is_attestation(child.content)]
            if form is ManifestForm.DOCKER and any(isinstance(child.content, ImageIndex) for child in content.children):
                raise OutputError(f'{form.text} has no index within an index')
            if any(inner) and content.index.attestations and form is ManifestForm.OCI:
                raise OutputError('its attestations refer to its images by digest, and these would change')
            return any(inner) or ManifestForm.of(content.index) is not form
        if content.manifest is None or content is not content.source:
            return False  # the manifest is a new one
        if not content.manifest.is_image_with(content.config.raw):
            return self._require_same_form(content.manifest, form)
        in_form(content.manifest, form, lambda layer: Compression.GZIP)
        return not has_form(content.manifest, form)

    def _require_same_form(self, artifact: Manifest, form: ManifestForm) -> bool:
        if ManifestForm.of(artifact) is not form:
            layer = next((each for each in artifact.layers if not media_types.may_be_layer(each.media_type)), None)
            odd = layer or artifact.config
            raise OutputError(f'{artifact.digest} is not an image, since it has a {odd.media_type}, and {form.text} is '
                              'for images only')
        return False
