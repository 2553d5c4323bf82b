"""The YAML of the ACL manifest as a tree whose nodes know their line and column.

Settings are read by `svc_core.placed_yaml`; a manifest may have tens of thousands of entries and
all its mistakes are wanted at once, so it is read in one pass over the parser's events, without
building anything. Aliases, anchors and tags are refused, size, depth and number of nodes bounded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from svc_core.errors import RejectedError

MAX_BYTES: Final = 4 << 20
"""Bytes in one manifest; a ConfigMap cannot even hold a quarter of it."""
MAX_NODES: Final = 120_000
"""Names, lists and entries together."""
MAX_DEPTH: Final = 8

_NOT_TEXT: Final = re.compile(
    r"""(?:~|null|Null|NULL|true|True|TRUE|false|False|FALSE|)
    |[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+
    |[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)
"""Plain scalars that are no text; YAML 1.2.2, section 10.3.2 (core schema)."""


@dataclass(slots=True)
class Leaf:
    """One scalar, as it is written."""

    line: int
    column: int
    text: str
    is_text: bool
    """False for what YAML reads as null, a boolean or a number."""


@dataclass(slots=True)
class Items:
    """One sequence."""

    line: int
    column: int
    items: "list[Node]" = field(default_factory=list)


@dataclass(slots=True)
class Pairs:
    """One mapping, in order and with duplicates."""

    line: int
    column: int
    pairs: "list[tuple[Node, Node]]" = field(default_factory=list)


Node = Leaf | Items | Pairs


class UnreadableYamlError(RejectedError):
    """A text that is no YAML, or more of it than is allowed; line and column from 1."""

    code = "acl.not_yaml"

    def __init__(self, reason: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason if reason.isprintable() else ascii(reason)
        self.line = line
        self.column = column


def read_tree(raw: bytes) -> tuple[Node | None, tuple[UnreadableYamlError, ...]]:
    """Return the only document in ``raw`` and what in it is forbidden wherever it stands.

    Args:
        raw: UTF-8, at most `MAX_BYTES`.

    Returns:
        The root, None when there is none; aliases, anchors and tags, each as an error.

    Raises:
        UnreadableYamlError: it cannot be read any further.
    """
    if len(raw) > MAX_BYTES:
        raise UnreadableYamlError(f"{len(raw)} bytes is more than the {MAX_BYTES} allowed")
    try:
        text = raw.decode()
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        column = err.start - raw.rfind(b"\n", 0, err.start)
        raise UnreadableYamlError("not UTF-8", line=line, column=column) from err
    builder = _Builder()
    for event in _events(text):
        builder.take(event)
    return builder.root, tuple(builder.forbidden)


def _events(text: str) -> Iterator[Event]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        reason = (err.problem or err.context or "not YAML").splitlines()[0]
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise UnreadableYamlError(reason, line=line, column=column) from err
    except (YAMLError, ValueError) as err:
        raise UnreadableYamlError(f"not YAML: {str(err).splitlines()[0]}") from err


class _Builder:
    """Puts the nodes together as their events come."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.forbidden: list[UnreadableYamlError] = []
        self._open: list[Items | Pairs] = []
        self._keys: list[Node | None] = []
        """For each open collection: the key that still waits for its value."""
        self._nodes = 0
        self._documents = 0

    def take(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, NodeEvent):
            self._take_node(event)
        elif isinstance(event, CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _at(event, "a second document; want only one")

    def _take_node(self, event: NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _at(event, f"more than the {MAX_NODES} names and entries allowed")
        self._note_forbidden(event)
        node = _node(event)
        self._place(node)
        if not isinstance(node, Leaf):
            if len(self._open) == MAX_DEPTH:
                raise _at(event, f"nested deeper than {MAX_DEPTH} levels")
            self._open.append(node)
            self._keys.append(None)

    def _note_forbidden(self, event: Any) -> None:  # noqa: ANN401 (ruamel types its events loosely)
        if isinstance(event, AliasEvent):
            self.forbidden.append(_at(event, "aliases are not allowed; write the value again"))
        elif event.anchor is not None:
            self.forbidden.append(_at(event, "anchors are not allowed"))
        if getattr(event, "ctag", None) is not None:
            self.forbidden.append(_at(event, "tags are not allowed; write a plain value"))

    def _place(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
        elif (key := self._keys[-1]) is None:
            self._keys[-1] = node
        else:
            parent.pairs.append((key, node))
            self._keys[-1] = None


def _node(event: Any) -> Node:  # noqa: ANN401 (ruamel types its events loosely)
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if isinstance(event, MappingStartEvent):
        return Pairs(line, column)
    if isinstance(event, SequenceStartEvent):
        return Items(line, column)
    if not isinstance(event, ScalarEvent):
        return Leaf(line, column, "", is_text=True)
    is_plain = not event.style
    return Leaf(line, column, event.value, not (is_plain and _NOT_TEXT.fullmatch(event.value)))


def _at(event: Event, reason: str) -> UnreadableYamlError:
    mark = event.start_mark
    return UnreadableYamlError(reason, line=mark.line + 1, column=mark.column + 1)
