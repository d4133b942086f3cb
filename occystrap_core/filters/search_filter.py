"""The filter `search`: reports what it finds in an image that is copied."""
from collections.abc import Mapping
from typing import Any

from occystrap_core.api.image_filter import ImageFilter
from occystrap_core.errors import UsageError
from occystrap_core.filters.report_file import STDOUT, append, checked_target
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.search.image_search import ImageSearch
from occystrap_core.search.match_lines import LONGEST_PATH, lines, script_lines
from occystrap_core.search.matcher import matcher
from occystrap_core.settings import Settings
from occystrap_core.tar.rewritten_image import LayerPass, rewrite_layers
from occystrap_core.terminal_text import one_line


class Search(ImageFilter):
    """Changes nothing; writes what it found in an image after all its layers were read."""

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        super().__init__(options, settings)
        if not options['pattern']:
            raise UsageError('filter search: no pattern: add one, such as search:pattern=*.conf')
        self._matches = matcher(options['pattern'], options['regex'], settings)
        self._target = checked_target('search', options['file'], settings)
        self.files = ['/dev/stdout' if self._target == STDOUT else self._target]

    def apply(self, image: Image) -> Image:
        """Return the image with layers that are searched when read, in the same pass as adjacent filters."""
        search = ImageSearch(self._matches, self.settings.names)

        def begin(layer: Layer) -> LayerPass:
            looking = search.begin(layer)
            return LayerPass(looking.entry, looking.ended)

        image.on_copied(lambda: self._report(image, search))
        return rewrite_layers(image, begin, self.settings)

    def _report(self, image: Image, search: ImageSearch) -> None:
        matches = search.results(image.diff_ids)
        if self.options['script_friendly']:
            text = list(script_lines(image.reference, matches))
        else:
            text = [f'{image.reference}:', *lines(matches)]
        append(self._target, ''.join(f'{one_line(line, LONGEST_PATH)}\n' for line in text))
