"""What the OCI distribution specification 1.1 says about a registry, case by case, by sha256 and by sha512.

Each case is a row of requests and answers, sent over one connection to a server that runs; texts in braces stand for
what was made before: digests, documents, and the Location of the last answer.
"""
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import httpx
import pytest

from occystrap_core.oci import ALGORITHMS, Digest, media_types
from occystrap_registry.server.server_thread import RegistryServer

BLOB, OTHER = bytes(range(256)) * 40, b'{}'
CONFIG = json.dumps({'architecture': 'amd64', 'os': 'linux', 'rootfs': {
    'type': 'layers', 'diff_ids': [Digest.of(BLOB)]}}).encode()
SIZE = len(BLOB)
UPLOADS = '/v2/{repo}/blobs/uploads/'
OCI, INDEX = media_types.OCI_MANIFEST, media_types.OCI_INDEX


class Ask(NamedTuple):
    """A request, and what has to be in its answer."""

    method: str
    path: str
    status: int
    body: bytes | str = b''
    """Bytes, or the name of what was made before."""
    sends: Mapping[str, str] = {}
    """Headers."""
    gets: Mapping[str, str | None] = {}
    """Headers of the answer; None for none of that name."""
    content: bytes | str | Mapping[str, Any] | None = None
    """The answer's body: bytes, the name of what was made before, or some fields of its JSON."""
    code: str = ''
    """The code of the error in its JSON."""


def upload(body: bytes = BLOB, digest: str = '{blob}', repo: str = '{repo}') -> Ask:
    """Return the push of a blob in one request."""
    return Ask('POST', f'/v2/{repo}/blobs/uploads/?digest={digest}', 201, body, {},
               {'Location': f'/v2/{repo}/blobs/{digest}', 'Docker-Content-Digest': digest})


def begin(query: str = '') -> Ask:
    """Return the start of an upload."""
    return Ask('POST', UPLOADS + query, 202, b'', {}, {'Range': '0-0'})


def patch(first: int, last: int, status: int = 202, **more: Any) -> Ask:
    """Return a chunk of the blob, with its range."""
    return Ask('PATCH', '{location}', status, BLOB[first:last + 1], {'Content-Range': f'{first}-{last}'},
               more.pop('gets', {'Range': f'0-{last}'} if status == 202 else {}), **more)


def finish(status: int = 201, body: bytes = b'', digest: str = '{blob}', **more: Any) -> Ask:
    """Return the end of an upload."""
    return Ask('PUT', f'{{location}}?digest={digest}', status, body, **more)


def put(name: str, reference: str, status: int = 201, kind: str = OCI, **more: Any) -> Ask:
    """Return the push of a manifest that was made before."""
    return Ask('PUT', f'/v2/{{repo}}/manifests/{reference}', status, name, {'Content-Type': kind}, **more)


def get(path: str, status: int = 200, **more: Any) -> Ask:
    return Ask('GET', f'/v2/{{repo}}/{path}', status, **more)


def head(path: str, status: int = 200, **more: Any) -> Ask:
    return Ask('HEAD', f'/v2/{{repo}}/{path}', status, **more)


def delete(path: str, status: int = 202, **more: Any) -> Ask:
    return Ask('DELETE', f'/v2/{{repo}}/{path}', status, **more)


def ranged(text: str, first: int, last: int) -> Sequence[Ask]:
    """Return the request of a part of the blob."""
    return [upload(), get('blobs/{blob}', 206, sends={'Range': f'bytes={text}'}, content=BLOB[first:last + 1], gets={
        'Content-Range': f'bytes {first}-{last}/{SIZE}', 'Content-Length': str(last - first + 1)})]


WHOLE = get('blobs/{blob}', content=BLOB, gets={'Docker-Content-Digest': '{blob}', 'Content-Length': str(SIZE)})
PARTS = [upload(CONFIG, '{config}'), upload()]
IMAGE = [*PARTS, put('image', '{image}')]
STREAMED = {'Content-Type': OCI, 'Transfer-Encoding': 'chunked'}
TAGGED = [*IMAGE, put('index', '{index}?tag=v1', kind=INDEX)]
PULLING: dict[str, Sequence[Ask]] = {
    'the version': [Ask('GET', '/v2/', 200)],
    'a blob': [upload(), WHOLE],
    'head of a blob': [upload(), head('blobs/{blob}', gets={
        'Docker-Content-Digest': '{blob}', 'Content-Length': str(SIZE)}, content=b'')],
    'an unknown blob': [upload(), get('blobs/{other}', 404, code='BLOB_UNKNOWN'),
                        head('blobs/{other}', 404, content=b'')],
    'a blob of another repository': [upload(repo='{repo}/elsewhere'), get('blobs/{blob}', 404, code='BLOB_UNKNOWN')],
    'a part of a blob': ranged('500-1499', 500, 1499),
    'a blob from a byte on': ranged('500-', 500, SIZE - 1),
    'the end of a blob': ranged('-500', SIZE - 500, SIZE - 1),
    'a part beyond the end': ranged(f'2000-{SIZE + 99}', 2000, SIZE - 1),
    'a part that is backwards': [upload(), get('blobs/{blob}', 416, sends={'Range': 'bytes=500-0'})],
    'a part behind the end': [upload(), get('blobs/{blob}', 416, sends={'Range': f'bytes={SIZE}-{SIZE + 9}'},
                                            gets={'Content-Range': f'bytes */{SIZE}'})],
    'head of a part': [upload(), head('blobs/{blob}', 206, sends={'Range': 'bytes=0-9'},
                                      gets={'Content-Length': '10'})],
    'an empty blob': [upload(b'', '{empty}'), get('blobs/{empty}', content=b'', gets={'Content-Length': '0'})],
    'a manifest by digest': [*IMAGE, get('manifests/{image}', content='image', gets={
        'Content-Type': OCI, 'Docker-Content-Digest': '{image}'})],
    'head of a manifest': [*IMAGE, head('manifests/{image}', content=b'', gets={
        'Content-Type': OCI, 'Docker-Content-Digest': '{image}', 'Content-Length': '{size of image}'})],
    'a manifest by tag': [*TAGGED, get('manifests/v1', content='index', gets={
        'Content-Type': INDEX, 'Docker-Content-Digest': '{index}'})],
    'head of a tag': [*TAGGED, head('manifests/v1', gets={
        'Content-Length': '{size of index}', 'Content-Type': INDEX})],
    'an unknown manifest': [*IMAGE, get('manifests/{other}', 404, code='MANIFEST_UNKNOWN')],
    'an unknown tag': [*IMAGE, get('manifests/other', 404, code='MANIFEST_UNKNOWN'), head('manifests/other', 404)],
    'an unknown repository': [get('manifests/v1', 404), get('blobs/{blob}', 404), get('tags/list', 404)],
    'a malformed digest': [get('blobs/{algorithm}:bad', 400, code='DIGEST_INVALID'),
                           get('manifests/{algorithm}:bad', 400, code='DIGEST_INVALID')],
    'an unknown algorithm': [get('blobs/md5:d41d8cd98f00b204e9800998ecf8427e', 400, code='DIGEST_INVALID')],
    'a malformed name': [Ask('GET', '/v2/UPPER/manifests/v1', 400, code='NAME_INVALID'),
                         Ask('GET', '/v2/a/%2e%2e/b/manifests/v1', 400, code='NAME_INVALID')],
    'a malformed tag': [get('manifests/.v1', 400, code='TAG_INVALID')],
    'a blob that is no manifest': [*IMAGE, get('manifests/{config}', 404, code='MANIFEST_UNKNOWN')],
}
PUSHING: dict[str, Sequence[Ask]] = {
    'post with the digest': [upload(), WHOLE],
    'post, then put': [begin(), finish(201, BLOB, gets={'Location': '/v2/{repo}/blobs/{blob}'}), WHOLE],
    'post that announces the algorithm': [begin('?digest-algorithm={algorithm}'), finish(201, BLOB), WHOLE],
    'post that announces another': [begin('?digest-algorithm=sha512'), finish(201, BLOB), WHOLE],
    'post that announces an unknown one': [Ask('POST', UPLOADS + '?digest-algorithm=md5', 400, code='DIGEST_INVALID')],
    'one chunk': [begin(), patch(0, SIZE - 1), finish(), WHOLE],
    'three chunks': [begin(), patch(0, 4095), patch(4096, 8191), patch(8192, SIZE - 1), finish(), WHOLE],
    'the last chunk in the put': [begin(), patch(0, 4095), finish(201, BLOB[4096:], sends={
        'Content-Range': f'4096-{SIZE - 1}'}), WHOLE],
    'the last chunk in the put, announced': [begin('?digest-algorithm={algorithm}'), patch(0, 9),
                                             finish(201, BLOB[10:]), WHOLE],
    'a stream': [begin(), Ask('PATCH', '{location}', 202, 'stream', {'Transfer-Encoding': 'chunked'},
                              {'Range': f'0-{SIZE - 1}'}), finish(), WHOLE],
    'a stream in a post': [upload()._replace(body='stream', sends={'Transfer-Encoding': 'chunked'}), WHOLE],
    'a stream in a put': [begin(), finish(201)._replace(body='stream', sends={'Transfer-Encoding': 'chunked'}), WHOLE],
    'a stream with a range': [begin(), patch(0, 9), patch(10, SIZE - 1)._replace(sends={
        'Content-Range': f'10-{SIZE - 1}', 'Transfer-Encoding': 'chunked'}), finish(), WHOLE],
    'a stream that is longer than its range': [begin(), Ask('PATCH', '{location}', 400, BLOB, {
        'Content-Range': '0-9', 'Transfer-Encoding': 'chunked'}, code='SIZE_INVALID')],
    'a chunk with another length than its range': [begin(), Ask('PATCH', '{location}', 400, BLOB[:11], {
        'Content-Range': '0-9'}, code='SIZE_INVALID')],
    'chunks in disorder, and how to go on': [
        begin(), patch(4096, 8191, 416, gets={'Range': '0-0', 'Location': '{location}'}), patch(0, 4095),
        patch(8192, SIZE - 1, 416, code='BLOB_UPLOAD_INVALID'),
        Ask('GET', '{location}', 204, gets={'Range': '0-4095', 'Location': '{location}'}), patch(4096, SIZE - 1),
        finish(416, BLOB[:9], sends={'Content-Range': '0-8'}), finish(), WHOLE],
    'a chunk twice': [begin(), patch(0, 4095), patch(0, 4095, 416), patch(4096, SIZE - 1), finish(), WHOLE],
    'a malformed range': [begin(), patch(0, 9)._replace(sends={'Content-Range': 'all'}, status=416, gets={})],
    'another digest in the post': [upload()._replace(body=OTHER, status=400, gets={}, code='DIGEST_INVALID'),
                                   head('blobs/{blob}', 404)],
    'another digest in the put': [begin(), finish(400, OTHER, code='DIGEST_INVALID'), head('blobs/{blob}', 404),
                                  Ask('GET', '{location}', 404, code='BLOB_UPLOAD_UNKNOWN')],
    'another digest of chunks': [begin(), patch(0, 9), finish(400, code='DIGEST_INVALID'), head('blobs/{blob}', 404)],
    'another digest of the last chunk': [begin(), patch(0, 9), finish(400, OTHER, code='DIGEST_INVALID', sends={
        'Content-Range': '10-11'}), head('blobs/{blob}', 404)],
    'another digest of a stream': [begin(), Ask('PATCH', '{location}', 202, OTHER, {'Transfer-Encoding': 'chunked'}),
                                   finish(400, code='DIGEST_INVALID')],
    'no digest': [begin(), Ask('PUT', '{location}', 400, BLOB, code='DIGEST_INVALID')],
    'a malformed digest': [begin(), finish(400, BLOB, '{algorithm}:bad', code='DIGEST_INVALID')],
    'a cancelled upload': [begin(), patch(0, 9), Ask('DELETE', '{location}', 204), Ask('GET', '{location}', 404),
                           patch(10, 19, 404, code='BLOB_UPLOAD_UNKNOWN')],
    'a forged upload': [Ask('PATCH', UPLOADS + '0' * 32, 404, BLOB, code='BLOB_UPLOAD_UNKNOWN')],
    'a mount': [upload(repo='{repo}/from'), Ask('POST', UPLOADS + '?mount={blob}&from={repo}/from', 201, gets={
        'Location': '/v2/{repo}/blobs/{blob}', 'Docker-Content-Digest': '{blob}'}), WHOLE],
    'a mount from anywhere': [upload(repo='{repo}/any'), Ask('POST', UPLOADS + '?mount={blob}', 201, gets={
        'Location': '/v2/{repo}/blobs/{blob}'}), WHOLE],
    'a mount of what is nowhere': [Ask('POST', UPLOADS + '?mount={nowhere}&from={repo}/from', 202),
                                   finish(201, b'{repo}', '{nowhere}')],
    'a mount from anywhere of what is nowhere': [Ask('POST', UPLOADS + '?mount={nowhere}', 202),
                                                 finish(201, b'{repo}', '{nowhere}')],
    'a mount of what the other has not': [upload(repo='{repo}/a'),
                                          Ask('POST', UPLOADS + '?mount={blob}&from={repo}/b', 202)],
    'a mount of a malformed digest': [Ask('POST', UPLOADS + '?mount=bad', 400, code='DIGEST_INVALID')],
    'an empty blob': [begin(), finish(201, b'', '{empty}'), head('blobs/{empty}')],
    'an empty blob as a stream': [begin(), Ask('PATCH', '{location}', 202, b'', {'Transfer-Encoding': 'chunked'}),
                                  finish(201, b'', '{empty}'), get('blobs/{empty}', content=b'')],
    'an empty blob in a chunk': [begin(), Ask('PATCH', '{location}', 202), finish(201, b'', '{empty}'),
                                 head('blobs/{empty}', gets={'Content-Length': '0'})],
    'a manifest by digest': [*PARTS, put('image', '{image}', gets={
        'Location': '/v2/{repo}/manifests/{image}', 'Docker-Content-Digest': '{image}', 'OCI-Subject': None,
        'OCI-Tag': None}), get('manifests/{image}', content='image')],
    'a manifest by digest, with tags': [*PARTS, put('image', '{image}?tag=v1&tag=v2', gets={'OCI-Tag': 'v1, v2'}),
                                        get('manifests/v1', gets={'Docker-Content-Digest': '{image}'}),
                                        get('manifests/v2', content='image')],
    'a malformed tag beside a digest': [*PARTS, put('image', '{image}?tag=v1&tag=.', 400, code='TAG_INVALID'),
                                        get('manifests/{image}', 404)],
    'too many tags': [*PARTS, put('image', '{image}?' + '&'.join(f'tag=v{number}' for number in range(101)), 414)],
    'a manifest by tag': [*PARTS, put('image', 'v1', gets={'Docker-Content-Digest': '{image by sha256}'}),
                          get('manifests/v1', content='image')],
    'a tag that moves': [*IMAGE, put('image', 'v1'), put('index', 'v1', kind=INDEX),
                         get('manifests/v1', content='index'), get('manifests/{image}', content='image')],
    'an index': [*IMAGE, put('index', '{index}', kind=INDEX), get('manifests/{index}', content='index')],
    'an index of indexes': [*IMAGE, put('index', '{index}', kind=INDEX), put('nested', '{nested}', kind=INDEX)],
    'an empty index': [put('hollow', '{hollow}', kind=INDEX), get('manifests/{hollow}', content='hollow')],
    'an artifact': [upload(OTHER, '{other}'), put('artifact', '{artifact}'),
                    get('manifests/{artifact}', content='artifact')],
    'no layers': [upload(CONFIG, '{config}'), put('bare', '{bare}'), get('manifests/{bare}', content='bare')],
    'layers that are elsewhere': [*PARTS, put('foreign', '{foreign}'),
                                  get('manifests/{foreign}', content='foreign')],
    'data within descriptors': [*PARTS, put('embedded', '{embedded}'), get('manifests/{embedded}', content='embedded')],
    'fields that nobody knows': [*PARTS, put('extended', '{extended}'),
                                 get('manifests/{extended}', content='extended')],
    'fields that nobody knows, of an index': [*IMAGE, put('odd', '{odd}', kind=INDEX), get(
        'manifests/{odd}', content='odd', gets={'Content-Type': INDEX})],
    'an index that is an artifact': [*IMAGE, put('collection', '{collection}', kind=INDEX, gets={'OCI-Subject': None}),
                                     get('manifests/{collection}', content='collection')],
    'a manifest with spaces behind it': [*PARTS, put('spaced', '{image}', 400, code='DIGEST_INVALID'),
                                         get('manifests/{image}', 404)],
    'the empty object as a blob': [begin(), finish(201, OTHER, '{other}'), get('blobs/{other}', content=OTHER)],
    'a manifest of almost 4 MiB': [*PARTS, put('large', '{large}'), get('manifests/{large}', content='large')],
    'a manifest as a stream': [*PARTS, put('image', '{image}')._replace(sends=STREAMED),
                               get('manifests/{image}', content='image')],
    'a manifest of almost 4 MiB as a stream': [*PARTS, put('large', 'v1')._replace(sends=STREAMED),
                                               get('manifests/v1', content='large')],
    'a manifest that is too large, as a stream': [put(' ' * 0x400001, 'v1', 413)._replace(sends=STREAMED)],
    'a manifest that is too large': [put(' ' * 0x400001, 'v1', 413)],
    'a manifest with another digest': [*PARTS, put('index', '{image}', 400, INDEX, code='DIGEST_INVALID')],
    'a manifest with a malformed digest': [*PARTS, put('image', '{algorithm}:bad', 400, code='DIGEST_INVALID')],
    'a manifest without its blobs': [put('image', '{image}', 400, code='MANIFEST_BLOB_UNKNOWN')],
    'an index without its manifests': [put('index', 'v1', 400, INDEX, code='MANIFEST_BLOB_UNKNOWN')],
    'no manifest': [put('{{}}', 'v1', 400, code='MANIFEST_INVALID'),
                    put('no JSON', 'v1', 400, code='MANIFEST_INVALID')],
    'a manifest of another kind than said': [*IMAGE, put('image', 'v1', 400, INDEX, code='MANIFEST_INVALID')],
}
REFERRERS = '/v2/{repo}/referrers/{image}'
DISCOVERY: dict[str, Sequence[Ask]] = {
    'tags': [*IMAGE, put('image', '{image}?tag=b&tag=a'),
             get('tags/list', content={'name': '{repo}', 'tags': ['a', 'b']})],
    'no tags': [*IMAGE, get('tags/list', content={'name': '{repo}', 'tags': []})],
    'some tags': [*IMAGE, put('image', '{image}?tag=a&tag=b&tag=c'),
                  get('tags/list?n=2', content={'tags': ['a', 'b']},
                      gets={'Link': '</v2/{repo}/tags/list?n=2&last=b>; rel="next"'}),
                  get('tags/list?n=2&last=b', content={'tags': ['c']}, gets={'Link': None})],
    'the tags behind one': [*IMAGE, put('image', '{image}?tag=a&tag=b&tag=c'),
                            get('tags/list?last=aa', content={'tags': ['b', 'c']})],
    'exactly all tags': [*IMAGE, put('image', '{image}?tag=a&tag=b'), get('tags/list?n=2', gets={'Link': None})],
    'the tags behind the last one': [*IMAGE, put('image', '{image}?tag=a'), get(
        'tags/list?last=a', content={'tags': []}, gets={'Link': None})],
    'zero tags behind one': [*IMAGE, put('image', '{image}?tag=a&tag=b'), get(
        'tags/list?n=0&last=a', content={'tags': []}, gets={'Link': None})],
    'zero tags': [*IMAGE, put('image', '{image}?tag=a'),
                  get('tags/list?n=0', content={'tags': []}, gets={'Link': None})],
    'a page size that is none': [*IMAGE, get('tags/list?n=x', 400, code='PAGINATION_NUMBER_INVALID')],
    'tags of an unknown repository': [get('tags/list', 404, code='NAME_UNKNOWN')],
    'repositories': [*IMAGE, Ask('GET', '/v2/_catalog?n=1&last={before repo}', 200,
                                 content={'repositories': ['{repo}']})],
    'no referrers': [Ask('GET', REFERRERS, 200, content={'schemaVersion': 2, 'mediaType': INDEX, 'manifests': []},
                         gets={'Content-Type': INDEX})],
    'a referrer': [*IMAGE, upload(OTHER, '{other}'), put('signature', '{signature}', gets={'OCI-Subject': '{image}'}),
                   Ask('GET', REFERRERS, 200, gets={'OCI-Filters-Applied': None}, content={'manifests': [
                       {'mediaType': OCI, 'digest': '{signature}', 'size': '{size of signature}',
                        'artifactType': 'a/signature', 'annotations': {'by': 'me'}}]})],
    'an index that refers': [*IMAGE, put('about', '{about}', kind=INDEX, gets={'OCI-Subject': '{image}'}),
                             Ask('GET', REFERRERS, 200, content={'manifests': [
                                 {'mediaType': INDEX, 'digest': '{about}', 'size': '{size of about}',
                                  'artifactType': 'a/sbom'}]})],
    'referrers of one kind': [*IMAGE, upload(OTHER, '{other}'), put('signature', '{signature}'),
                              put('about', '{about}', kind=INDEX),
                              Ask('GET', REFERRERS + '?artifactType=a/sbom', 200, content={'manifests': [
                                  {'mediaType': INDEX, 'digest': '{about}', 'size': '{size of about}',
                                   'artifactType': 'a/sbom'}]}, gets={'OCI-Filters-Applied': 'artifactType'})],
    'a referrer of what is not there': [upload(OTHER, '{other}'), put('signature', '{signature}', gets={
        'OCI-Subject': '{image}'}), head('manifests/{image}', 404), Ask('GET', REFERRERS, 200)],
    'a referrer with a tag': [upload(OTHER, '{other}'), put('signature', '{signature}?tag=v1', gets={
        'OCI-Subject': '{image}', 'OCI-Tag': 'v1'})],
    'a referrer that is an image': [*IMAGE, put('derived', '{derived}', gets={'OCI-Subject': '{image}'}),
                                    Ask('GET', REFERRERS, 200, content={'manifests': [
                                        {'mediaType': OCI, 'digest': '{derived}', 'size': '{size of derived}',
                                         'artifactType': media_types.OCI_CONFIG}]})],
    'referrers of a kind whose name has a plus': [*IMAGE, put('derived', '{derived}'), *(
        Ask('GET', f'{REFERRERS}?artifactType=application/vnd.oci.image.config.v1{plus}json', 200, gets={
            'OCI-Filters-Applied': 'artifactType'}, content={'manifests': [
                {'mediaType': OCI, 'digest': '{derived}', 'size': '{size of derived}',
                 'artifactType': media_types.OCI_CONFIG}]}) for plus in ('%2B', '+'))],
    'referrers of a kind that none has': [*IMAGE, put('about', '{about}', kind=INDEX), Ask(
        'GET', REFERRERS + '?artifactType=a/none', 200, content={'manifests': []},
        gets={'OCI-Filters-Applied': 'artifactType'})],
    'a referrer of an index': [*TAGGED, put('remark', '{remark}', kind=INDEX, gets={'OCI-Subject': '{index}'}),
                               Ask('GET', '/v2/{repo}/referrers/{index}', 200, content={'manifests': [
                                   {'mediaType': INDEX, 'digest': '{remark}', 'size': '{size of remark}',
                                    'artifactType': 'a/remark'}]})],
    'referrers of a malformed digest': [get('referrers/{algorithm}:bad', 400, code='DIGEST_INVALID')],
}
MANAGEMENT: dict[str, Sequence[Ask]] = {
    'a tag': [*TAGGED, put('index', '{index}?tag=v2', kind=INDEX), delete('manifests/v1'), head('manifests/v1', 404),
              head('manifests/v2'), head('manifests/{index}'), get('tags/list', content={'tags': ['v2']})],
    'a manifest, with its tags': [*TAGGED, delete('manifests/{index}'), head('manifests/{index}', 404),
                                  head('manifests/v1', 404), get('tags/list', content={'tags': []})],
    'a referrer': [*IMAGE, upload(OTHER, '{other}'), put('signature', '{signature}'), delete('manifests/{signature}'),
                   Ask('GET', REFERRERS, 200, content={'manifests': []})],
    'a blob': [upload(), delete('blobs/{blob}'), head('blobs/{blob}', 404),
               delete('blobs/{blob}', 404, code='BLOB_UNKNOWN')],
    'a blob that another repository has': [upload(), upload(repo='{repo}/b'), delete('blobs/{blob}'),
                                           Ask('GET', '/v2/{repo}/b/blobs/{blob}', 200, content=BLOB)],
    'a deleted blob once more': [upload(), delete('blobs/{blob}'), upload(), WHOLE],
    'a deleted manifest once more': [*TAGGED, delete('manifests/{index}'), put('index', '{index}', kind=INDEX),
                                     head('manifests/v1', 404), get('manifests/{index}', content='index')],
    'a manifest as a blob': [*IMAGE, delete('blobs/{image}', 405, code='UNSUPPORTED'), get('manifests/{image}')],
    'all, from tags to blobs': [
        *TAGGED, delete('manifests/v1'), delete('manifests/{index}'), delete('manifests/{image}'),
        delete('blobs/{blob}'), delete('blobs/{config}'), head('blobs/{config}', 404), head('manifests/{image}', 404),
        get('tags/list', content={'tags': []})],
    'an unknown tag': [*TAGGED, delete('manifests/v2', 404, code='MANIFEST_UNKNOWN')],
    'an unknown manifest': [*TAGGED, delete('manifests/{other}', 404, code='MANIFEST_UNKNOWN')],
    'an unknown blob': [*TAGGED, delete('blobs/{other}', 404, code='BLOB_UNKNOWN')],
    'with a method that is none': [Ask('PATCH', '/v2/{repo}/manifests/v1', 405, code='UNSUPPORTED')],
    'what is no endpoint': [Ask('GET', '/v2/{repo}/nothing', 404, code='UNSUPPORTED')],
}
CASES = {f'{kind}: {name}': request for kind, rows in [('pull', PULLING), ('push', PUSHING), ('discover', DISCOVERY),
                                                       ('delete', MANAGEMENT)] for name, request in rows.items()}


@cache
def documents(algorithm: str) -> Mapping[str, bytes]:
    """Return manifests and indexes by the names that the cases have for them."""
    def part(data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        return {'mediaType': kind, 'digest': Digest.of(data, algorithm), 'size': len(data), **more}

    def image(*layers: dict[str, Any], **more: Any) -> bytes:
        return json.dumps({'schemaVersion': 2, 'mediaType': OCI, 'config': part(CONFIG, media_types.OCI_CONFIG),
                           'layers': [*layers], **more}).encode()

    def index(*manifests: dict[str, Any], **more: Any) -> bytes:
        return json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': [*manifests], **more}).encode()
    layer, empty = part(BLOB, media_types.OCI_LAYER), part(OTHER, 'application/vnd.oci.empty.v1+json')
    plain = image(layer)
    subject = part(plain, OCI)
    made = {
        'image': plain, 'index': index(part(plain, OCI, platform={'os': 'linux', 'architecture': 'amd64'})),
        'hollow': index(), 'artifact': image(empty, config=empty, artifactType='a/thing'), 'bare': image(),
        'foreign': image(*(part(kind.encode(), f'application/vnd.oci.image.layer.nondistributable.v1.{kind}',
                                urls=['https://registry.example/elsewhere']) for kind in ('tar+gzip', 'tar')), layer),
        'embedded': image({**layer, 'data': b64encode(BLOB).decode()}), 'extended': image(layer, unknown={'x': [1]}),
        'large': image(layer, annotations={f'note-{number}': 'x' * 10000 for number in range(390)}),
        'signature': image(empty, config=empty, artifactType='a/signature', subject=subject, annotations={'by': 'me'}),
        'about': index(subject=subject, artifactType='a/sbom'), 'derived': image(layer, subject=subject),
        'odd': index(part(plain, OCI), unknown={'x': [1]}), 'spaced': plain + b'  ',
        'collection': index(part(plain, OCI), artifactType='a/collection'),
    }
    return {**made, 'nested': index(part(made['index'], INDEX)),
            'remark': index(subject=part(made['index'], INDEX), artifactType='a/remark')}


@pytest.fixture(scope='module')
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a registry that all cases share; each has a repository of its own."""
    with RegistryServer(tmp_path_factory.mktemp('registry')) as server:
        with httpx.Client(base_url=f'http://{server.host}', trust_env=False, verify=False) as connected:
            yield connected


@cache
def words(algorithm: str) -> Mapping[str, str]:
    """Return what the texts in braces stand for in every case."""
    made = documents(algorithm)
    named = {**made, 'blob': BLOB, 'config': CONFIG, 'other': OTHER, 'empty': b''}
    return {'algorithm': algorithm, 'location': '', 'image by sha256': Digest.of(made['image']),
            **{name: Digest.of(raw, algorithm) for name, raw in named.items()},
            **{f'size of {name}': str(len(raw)) for name, raw in made.items()}}


class Terms:
    """What the texts in braces stand for, in one case."""

    def __init__(self, repository: str, algorithm: str) -> None:
        self.documents = documents(algorithm)
        self.words = {**words(algorithm), 'repo': repository, 'before repo': repository[:-1],
                      'nowhere': Digest.of(repository.encode(), algorithm)}

    def __call__(self, text: str) -> str:
        for name, word in self.words.items():
            text = text.replace(f'{{{name}}}', word)
        return text

    def filled(self, value: Any) -> Any:
        """Return JSON with its texts replaced; a size becomes a number."""
        if isinstance(value, Mapping):
            return {name: self.filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if not isinstance(value, str):
            return value
        return int(self(value)) if value.startswith('{size of ') else self(value)

    def body(self, request: bytes | str) -> bytes:
        """Return what is sent or expected."""
        if isinstance(request, str):
            return (self.documents.get(request) or
                    (BLOB if request == 'stream' else request.replace('{{}}', '{}').encode()))
        return self.words['repo'].encode() if request == b'{repo}' else request


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield what is sent without a Content-Length."""
    for start in range(0, len(data), 4000):
        yield data[start:start + 4000]


def check(client: httpx.Client, request: Ask, terms: Terms) -> None:
    """Send a request and compare its answer."""
    body = terms.body(request.body)
    streamed = 'Transfer-Encoding' in request.sends
    answer = client.request(request.method, terms(request.path), headers=request.sends,
                            content=pieces(body) if streamed else body)
    where = f'{request.method} {terms(request.path)}: {answer.status_code} {answer.headers} {answer.text[:300]}'
    assert answer.status_code == request.status, where
    for name, text in request.gets.items():
        assert answer.headers.get(name) == (None if text is None else terms(text)), f'{name}: {where}'
    if isinstance(request.content, Mapping):
        found = answer.json()
        assert {name: found[name] for name in request.content} == terms.filled(request.content), where
    elif request.content is not None:
        assert answer.content == terms.body(request.content), where
    if request.code or (request.status >= 400 and request.method != 'HEAD'):
        error, = answer.json()['errors']
        assert request.code in ('', error['code']) and error['message'] and error['code'].isupper(), where
    terms.words['location'] = answer.headers.get('Location', terms.words['location'])


@pytest.mark.parametrize('algorithm', ALGORITHMS)
@pytest.mark.parametrize('case', CASES)
def test_the_specification(case: str, algorithm: str, client: httpx.Client) -> None:
    terms = Terms(f'r{list(CASES).index(case):03}/{algorithm}', algorithm)
    for request in CASES[case]:
        check(client, request, terms)


def test_a_list_of_referrers_is_never_larger_than_a_manifest_may_be(client: httpx.Client) -> None:
    """Each referrer may have annotations of megabytes, and nobody reads a list of all of them."""
    terms = Terms('large/list', 'sha256')
    for request in (upload(CONFIG, '{config}'), *IMAGE):
        check(client, request, terms)
    sent = []
    for number in range(3):
        raw = json.dumps({**json.loads(terms.documents['large']), 'artifactType': f'a/{number}', 'subject': {
            'mediaType': OCI, 'digest': terms.words['image'], 'size': 1}}).encode()
        sent.append(Digest.of(raw))
        client.put(f'/v2/large/list/manifests/{sent[-1]}', content=raw,
                   headers={'Content-Type': OCI}).raise_for_status()
    target, seen = terms(REFERRERS), list[str]()
    while target:
        answer = client.get(target)
        assert len(answer.content) <= 4 << 20
        seen += [each['digest'] for each in answer.json()['manifests']]
        target = answer.headers.get('link', '').partition('>')[0].lstrip('<')
    assert seen == sorted(sent)
