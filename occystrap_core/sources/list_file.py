"""Lists: a file with one reference or URI a line."""
import re
from collections.abc import Iterable

from occystrap_core.api.image_list import ImageList, ListedImage
from occystrap_core.errors import UsageError
from occystrap_core.sources.source_file import Problems, file_name, read_lines, read_text, source_uri

_LONGER = ' here: process with --executor processes reads a list of any length while it copies'
_COMMENT = re.compile(r'(^|\s)#.*')


class ListFile(ImageList):
    """The images listed in a file: `list://images.txt`, or `list://-` for stdin."""

    def stream(self) -> Iterable[ListedImage]:
        """Yield the listed images while the file is read, which may be of any length; raises UsageError."""
        name = file_name(self.location.path)
        for number, line in enumerate(read_lines(self.location.path), 1):
            if written := _COMMENT.sub('', line).strip():
                yield ListedImage(_written(written), where=f'{name}, line {number}')

    def entries(self) -> Iterable[ListedImage]:
        """Return the listed images, in order; raises UsageError, naming file and lines, for all mistakes together."""
        name, text = file_name(self.location.path), read_text(self.location.path, instead=_LONGER)
        problems, found = Problems(name), []
        if text[-1:] not in ('', '\n') and self.location.options.get('prune') in ('true', 'empty'):
            raise UsageError(f'{name}: the last line has no newline, so the list may be cut off, and images missing '
                             'from it would be pruned: add the newline, or leave out prune=')
        for number, line in enumerate(text.split('\n'), 1):
            written = _COMMENT.sub('', line).strip()
            if written:
                try:
                    found.append(ListedImage(source_uri(written), where=f'{name}, line {number}'))
                except UsageError as error:
                    problems.add(f'line {number}: {error}')
        problems.report()
        if not found:
            raise UsageError(f'{name} lists no images: write one reference or URI per line')
        return found


def _written(text: str) -> str:
    """Return the URI for a line, or the line if it is none."""
    try:
        return source_uri(text)
    except UsageError:
        return text
