"""YAML whose every node knows its line and column, for files that people write by hand.

Stricter than YAML itself, because these files configure security: one document, a mapping at the
top, no duplicate keys, no aliases, no tags, bounded size and depth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from ruamel.yaml.scalarbool import ScalarBoolean

from svc_core.errors import ConfigError

MAX_SIZE: Final = 1 << 20
"""Bytes in one file."""
MAX_DEPTH: Final = 32
"""Mappings and sequences inside each other."""


@dataclass(frozen=True, slots=True)
class PlacedYaml:
    """One parsed file: plain data for a model, and the places of its nodes for a person."""

    name: str
    data: dict[str, Any]
    """Plain dict, list, str, int, float, bool and None; the caller may change it."""
    _nodes: CommentedMap

    def place(self, location: Sequence[int | str]) -> str:
        """Return ``name:line:column`` of the node at ``location``, or of its nearest parent."""
        node: Any = self._nodes
        line, column = 0, 0
        for part in location:
            try:
                lines = node.lc
                line, column = (
                    lines.key(part) if isinstance(node, CommentedMap) else lines.item(part)
                )
                node = node[part]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return f"{self.name}:{line + 1}:{column + 1}"


def read_placed_yaml(path: Path) -> PlacedYaml:
    """Read and parse the file ``path``.

    Raises:
        ConfigError: it cannot be read, or `parse_yaml` refuses it.
    """
    try:
        raw = path.read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}") from err
    return parse_yaml(raw, name=str(path))


def parse_yaml(raw: bytes, *, name: str) -> PlacedYaml:
    """Parse the content of the file ``name``; an empty file is an empty mapping.

    Args:
        raw: UTF-8, at most 1 MiB.
        name: as mistakes should call the file.

    Raises:
        ConfigError: it is not such a file; the text says where and why.
    """
    if len(raw) > MAX_SIZE:
        raise ConfigError(f"{name}: {len(raw)} bytes is more than the {MAX_SIZE} allowed")
    try:
        text = raw.decode()
        _check_events(text, name)
        nodes = YAML(typ="rt").load(text)
    except UnicodeDecodeError as err:
        raise ConfigError(f"{name}: not UTF-8 at byte {err.start}") from err
    except MarkedYAMLError as err:
        raise ConfigError(_marked(name, err)) from err
    except (YAMLError, ValueError) as err:
        raise ConfigError(f"{name}: not YAML: {str(err).splitlines()[0]}") from err
    if nodes is None:
        nodes = CommentedMap()
    if not isinstance(nodes, CommentedMap):
        raise ConfigError(f"{name}:1:1: want settings as `name: value` lines")
    return PlacedYaml(name, _plain_mapping(nodes, name), nodes)


def _check_events(text: str, name: str) -> None:
    """Refuse what could expand or construct, before anything is built."""
    depth = 0
    for event in YAML(typ="rt").parse(text):
        place = f"{name}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
        if isinstance(event, AliasEvent):
            raise ConfigError(f"{place}: aliases are not allowed; write the value again")
        if isinstance(event, NodeEvent) and getattr(event, "ctag", None) is not None:
            raise ConfigError(f"{place}: tags are not allowed; write a plain value")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{place}: nested deeper than {MAX_DEPTH} levels")


def _marked(name: str, err: MarkedYAMLError) -> str:
    mark = err.problem_mark or err.context_mark
    place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    return f"{place}: {(err.problem or err.context or 'not YAML').splitlines()[0]}"


def _plain_mapping(node: CommentedMap, name: str) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in node.items():
        if not isinstance(key, str):
            line, column = node.lc.key(key)
            raise ConfigError(f"{name}:{line + 1}:{column + 1}: name {key!r} must be text")
        plain[str(key)] = _plain(value, name)
    return plain


def _plain(node: Any, name: str) -> Any:  # noqa: ANN401 (a YAML value is anything)
    if isinstance(node, CommentedMap):
        return _plain_mapping(node, name)
    if isinstance(node, CommentedSeq):
        return [_plain(item, name) for item in node]
    if isinstance(node, ScalarBoolean):
        return bool(node)
    for kind in (str, bool, int, float):
        if isinstance(node, kind):
            return kind(node)
    return node
