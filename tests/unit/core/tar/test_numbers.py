"""Numbers in tar headers: octal, or in base 256 with a sign, as GNU writes them."""
import pytest

from occystrap_core import InvalidImage
from occystrap_core.tar.header import read_number


@pytest.mark.parametrize(('field', 'number'), [
    (b'0000755\0', 0o755), (b'0000755 ', 0o755), (b'   755 \0', 0o755), (b'7777777\0', 0o7777777), (bytes(8), 0),
    (b'\x80' + bytes(7), 0), (b'\x80' + (300).to_bytes(7, 'big'), 300), (b'\x80' + b'\xff' * 7, (1 << 56) - 1),
    (b'\xbf' + b'\xff' * 7, (1 << 62) - 1), (b'\x80' + ((1 << 63) - 1).to_bytes(11, 'big'), (1 << 63) - 1),
    (b'\xff' * 8, -1), (b'\xff' * 12, -1), (b'\xff' * 7 + b'\xfe', -2), (b'\xff' * 11 + b'\0', -256),
    (b'\xc0' + bytes(7), -(1 << 62)), (b'\xff' * 4 + b'\x80' + bytes(7), -(1 << 63))])
def test_a_number(field: bytes, number: int) -> None:
    assert read_number(field, 'size') == number


@pytest.mark.parametrize('field', [
    b'\x80' + (1 << 63).to_bytes(11, 'big'), b'\x80' + (1 << 80).to_bytes(11, 'big'), b'\xc0' + bytes(11),
    b'\xff' * 3 + b'\xfe' + b'\xff' * 8])
def test_numbers_of_more_than_64_bits_are_refused_as_by_docker(field: bytes) -> None:
    with pytest.raises(InvalidImage, match='more than 64 bits can hold'):
        read_number(field, 'mtime')


@pytest.mark.parametrize('field', [b'0000758\0', b'-000755\0', b'0x00755\0', b'755 755\0'])
def test_malformed_numbers_are_refused(field: bytes) -> None:
    with pytest.raises(InvalidImage, match='size'):
        read_number(field, 'size')
