"""Plans in YAML: plain data, without tags that make objects, aliases that multiply, or repeated keys."""
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from occystrap_core.errors import UsageError
from occystrap_core.sources.toml_lines import Path


class _PlainLoader(yaml.SafeLoader):
    """A safe loader with further restrictions: no aliases, no repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, 'plans have no aliases (*name): use defaults',
                                                    self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key, yaml.ScalarNode) else True:
                raise yaml.constructor.ConstructorError(None, None, 'a key appears twice, or is not text',
                                                        key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _lines(node: yaml.Node, path: Path) -> Iterator[tuple[Path, int]]:
    """Yield the line at which each key, item and value begins."""
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from ((found, min(line, key.start_mark.line + 1) if found == (*path, key.value) else line)
                        for found, line in _lines(value, (*path, key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for number, each in enumerate(node.value):
            yield from _lines(each, (*path, number))


def parse_yaml(text: str, name: str) -> tuple[Any, Mapping[Path, int]]:
    """Return the document in `text`, and the line of each value; raises UsageError, with `name` and line, if it is
    malformed."""
    try:
        loader = _PlainLoader(text)
        node = loader.get_single_node()
        return (loader.construct_document(node), dict(_lines(node, ()))) if node else (None, {})
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f', line {mark.line + 1}' if mark else ''
        raise UsageError(f'{name}{where}: cannot be parsed: {error.problem or error.context}') from None
    except (yaml.YAMLError, ValueError) as error:  # characters that YAML does not allow, dates that do not exist
        raise UsageError(f'{name}: cannot be parsed: {" ".join(str(error).split())}') from None
