"""Messages about layers and files that cannot be unpacked or stored: what it is, where, and why."""

import pytest

from tests.hostile.extraction.ground import Ground
from tests.hostile.extraction.stacks import Entry, file, fifo, layer, symlink, with_xattrs
from tests.hostile.extraction.test_special_files import notes_of


@pytest.mark.parametrize('size', [40_000, 65_537])
def test_an_attribute_that_the_file_system_cannot_hold(roots_ground: Ground, size: int) -> None:
    done = roots_ground.extract((file('etc/o', b'o', pax=with_xattrs(user__big=bytes(size))),))
    if done.result.code == 0:
        assert size < 65_536  # this file system holds it
        return
    done.refused('etc/o: its attribute', "'user.big'", str(size), 'another file system')


def test_attributes_that_links_and_pipes_cannot_have(roots_ground: Ground) -> None:
    pax = with_xattrs(user__x=b'1')
    line, = notes_of(roots_ground.extract((symlink('s', 'x', pax=pax), fifo('p', pax=pax))))
    assert '2 extended attributes left out: links, devices and pipes have none of user.*' in line
    assert 'root' not in line


@pytest.mark.parametrize(('content', 'words'), [
    (layer(file('f', b'f'))[:1024] + bytes(512) + layer(file('g', b'g')), 'zero'),
    (layer(Entry('odd', b'Z')), 'is of type')])
def test_an_error_names_the_layer(ground: Ground, content: bytes, words: str) -> None:
    error, = ground.extract((file('good', b'good'),), content).refused(words, 'layer sha256:').errors
    assert error.count('layer sha256:') == 1
