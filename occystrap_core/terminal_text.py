"""Text for people: names from whoever made an image, fit for a terminal, and sizes."""


def printable(text: str) -> str:
    """Return text in which nothing moves the cursor or hides: what cannot be printed is escaped."""
    if text.isprintable():
        return text
    return ''.join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if '\udc80' <= letter <= '\udcff':  # a byte that is no UTF-8, as Python reads it from names
        return f'\\x{ord(letter) - 0xdc00:02x}'
    return letter.encode('unicode_escape').decode()


def size_text(count: int) -> str:
    """Return a number of bytes for people: B, KiB, MiB, GiB with one decimal."""
    value, units = float(count), ['B', 'KiB', 'MiB', 'GiB', 'TiB']
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f'{count} B' if units[0] == 'B' else f'{value:.1f} {units[0]}'
