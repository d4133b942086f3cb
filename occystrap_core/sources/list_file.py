"""Lists: a file with one reference or URI a line."""
import re
from collections.abc import Iterable, Sequence

from occystrap_core.api.image_list import ImageList, ListedImage
from occystrap_core.errors import UsageError
from occystrap_core.sources.source_file import Problems, decoded, file_name, read_lines, read_text, source_uri

_CAP = 32 << 20
"""Most bytes of a list of which all has to be known: some 300,000 images."""
_LONGER = ' where all of a list has to be known: without --prune, process reads one of any length'
_COMMENT = re.compile(r'(^|\s)#.*')


class ListFile(ImageList):
    """The images listed in a file: `list://images.txt`, or `list://-` for stdin."""

    def stream(self, checked: int = 0) -> Iterable[ListedImage]:
        """Yield the listed images while the file is read, whatever its length; raises UsageError.

        A list with at most `checked` images is refused as by `entries`.
        """
        lines = enumerate(read_lines(self.location.path), 1)
        if checked:
            yield from self._checked(*self._first(lines, checked))
        for number, (_, raw) in lines:
            if written := _without_comment(raw.decode('utf-8-sig', 'backslashreplace')):
                yield ListedImage(_written(written), where=self._where(number))

    def entries(self) -> Iterable[ListedImage]:
        """Return the listed images, in order; raises UsageError, naming file and lines, for all mistakes together."""
        text = read_text(self.location.path, _CAP, _LONGER)
        lines = ((number, _without_comment(line)) for number, line in enumerate(text.split('\n'), 1))
        return self._checked([each for each in lines if each[1]], text[-1:] in ('', '\n'))

    def _first(self, lines: Iterable[tuple[int, tuple[int, bytes]]], count: int) -> tuple[list[tuple[int, str]], bool]:
        """Return the first lines that name images, with their numbers, and whether the last line has a line end."""
        found, raw = list[tuple[int, str]](), b'\n'
        for number, (offset, raw) in lines:
            if written := _without_comment(decoded(raw, self.location.path, offset)):
                found.append((number, written))
            if len(found) == count:
                break
        return found, raw.endswith(b'\n')

    def _checked(self, lines: Sequence[tuple[int, str]], is_ended: bool) -> list[ListedImage]:
        """Return the images that lines name; raises UsageError for all mistakes, and for a list that may be truncated.
        """
        name = file_name(self.location.path)
        problems, found = Problems(name), []
        if not is_ended and self.location.options.get('prune') in ('true', 'empty'):
            raise UsageError(f'{name}: the last line has no newline, so the list may be cut off, and images missing '
                             'from it would be pruned: add the newline, or leave out prune=')
        for number, written in lines:
            try:
                found.append(ListedImage(source_uri(written), where=self._where(number)))
            except UsageError as error:
                problems.add(str(error), number)
        problems.report()
        if not found:
            raise UsageError(f'{name} lists no images: write one reference or URI per line')
        return found

    def _where(self, number: int) -> str:
        return f'{file_name(self.location.path)}, line {number}'


def _without_comment(line: str) -> str:
    return _COMMENT.sub('', line).strip()


def _written(text: str) -> str:
    """Return the URI for a line, or the line itself if it is not a URI."""
    try:
        return source_uri(text)
    except UsageError:
        return text
