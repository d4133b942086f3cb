"""A program of 200 bytes that says one thing: what an image needs to be run, without any other file."""
import struct

_PLACE = 0x400000
_HEADERS = 64 + 56


def tiny_program(says: str) -> bytes:
    """Return an executable for Linux on x86-64 (System V ABI, AMD64) that writes a line to standard output."""
    text = f'{says}\n'.encode()
    code = (b'\xb8\x01\0\0\0'                               # mov eax, 1: write
            b'\xbf\x01\0\0\0'                               # mov edi, 1
            b'\x48\x8d\x35\x10\0\0\0'                       # lea rsi, [rip + 16]
            b'\xba' + struct.pack('<I', len(text)) +        # mov edx, length
            b'\x0f\x05\xb8\x3c\0\0\0\x31\xff\x0f\x05')      # syscall; mov eax, 60: exit; xor edi, edi; syscall
    size = _HEADERS + len(code) + len(text)
    head = struct.pack('<16sHHIQQQIHHHHHH', b'\x7fELF\2\1\1', 2, 62, 1, _PLACE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack('<IIQQQQQQ', 1, 5, 0, _PLACE, _PLACE, size, size, 0x1000)
    return head + segment + code + text
