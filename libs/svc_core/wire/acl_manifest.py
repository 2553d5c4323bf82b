"""The ACL manifest: YAML in, an `Acl` or every mistake in it out.

The shape is ``roles: {service: {publish: [...], subscribe: [...]}}``. What is no manifest at all,
illegal subjects, duplicate names and unknown lists are errors; wildcards and unknown services are
warnings and grant nothing (`svc_core.domain.acl`). All of them are reported at once, in the order
of the text, and a manifest with an error is not used at all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from svc_core.domain.acl import VERBS, Acl, AclRemark, acl_from_roles, nearest
from svc_core.domain.acl_entries import Severity, quoted, shown
from svc_core.domain.acl_typos import misspelt_topics
from svc_core.domain.identity import ServiceName
from svc_core.wire.acl_yaml import Items, Leaf, Node, Pairs, UnreadableYamlError, read_tree

MAX_ROLES: Final = 1000
MAX_ENTRIES: Final = 100_000
"""Entries of all lists together."""

_ROLES: Final = "roles"
_SHAPE: Final = "`publish` and `subscribe` lists"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake, or one thing worth a warning, and its place; line and column from 1."""

    line: int
    column: int
    reason: str
    is_error: bool = True
    remark: AclRemark | None = None
    """What it is about, when it is about one service or entry."""

    def described(self, name: str) -> str:
        """Return ``name:line:column: error|warning: reason``."""
        kind = "error" if self.is_error else "warning"
        return f"{name}:{self.line}:{self.column}: {kind}: {self.reason}"


@dataclass(frozen=True, slots=True)
class JudgedManifest:
    """What a manifest grants and what is to be said about it."""

    acl: Acl | None
    """None when there are errors."""
    problems: tuple[Problem, ...]
    """By place."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Why it is refused; empty when it is not."""
        return tuple(p for p in self.problems if p.is_error)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What it says in vain, or probably by mistake."""
        return tuple(p for p in self.problems if not p.is_error)


def decode(raw: bytes, *, known: frozenset[ServiceName]) -> JudgedManifest:
    """Return what the manifest ``raw`` grants; any bytes give an answer.

    Args:
        raw: UTF-8, at most 4 MiB.
        known: services that exist in this deployment.
    """
    try:
        root, forbidden = read_tree(raw)
    except UnreadableYamlError as err:
        return JudgedManifest(None, (_unreadable(err),))
    reading = _Reading(forbidden)
    reading.read(root)
    return reading.judged(known)


def _unreadable(err: UnreadableYamlError) -> Problem:
    return Problem(err.line, err.column, err.reason)


class _Reading:
    """From nodes to roles, with the places of everything that can be remarked on."""

    def __init__(self, forbidden: Iterable[UnreadableYamlError]) -> None:
        self.problems = [_unreadable(err) for err in forbidden]
        self._forbidden = {(p.line, p.column) for p in self.problems}
        self._roles: dict[str, dict[str, list[str]]] = {}
        self._names: dict[str, Leaf] = {}
        self._entries: dict[tuple[str, str], list[Leaf]] = {}

    def read(self, root: Node | None) -> None:
        """Read the whole document."""
        if not isinstance(root, Pairs):
            self._wrong(root, f"want a mapping with `{_ROLES}` at the top")
            return
        found = False
        for key, value in self._named(root, "the manifest"):
            if key.text == _ROLES:
                found = True
                self._read_roles(key, value)
            else:
                hint = nearest(key.text, [_ROLES])
                self._wrong(key, f"unknown name {quoted(key.text)}{hint}")
        if not found:
            self._wrong(root, f"there is no `{_ROLES}`")

    def judged(self, known: frozenset[ServiceName]) -> JudgedManifest:
        """Return what was read, and what is to be said about it."""
        total = sum(len(entries) for entries in self._entries.values())
        for what, count, most in (
            ("services", len(self._roles), MAX_ROLES),
            ("entries", total, MAX_ENTRIES),
        ):
            if count > most:
                self._wrong(None, f"{count} {what} are more than the {most} allowed")
        acl, remarks = acl_from_roles(self._roles, known=known)
        self._remark(remarks)
        if not any(p.is_error for p in self.problems):
            self._remark(misspelt_topics(acl, self._roles))
        ordered = tuple(sorted(self.problems, key=lambda p: (p.line, p.column)))
        is_refused = any(p.is_error for p in ordered)
        return JudgedManifest(None if is_refused else acl, ordered)

    def _read_roles(self, key: Leaf, node: Node) -> None:
        if not isinstance(node, Pairs):
            self._wrong(key, f"want services under `{_ROLES}`; write {{}} for none")
            return
        for name, value in self._named(node, f"`{_ROLES}`"):
            self._names[name.text] = name
            if isinstance(value, Pairs):
                self._roles[name.text] = self._read_lists(name.text, value)
            elif (value.line, value.column) not in self._forbidden:
                self._wrong(name, f"{shown(name.text)}: want {_SHAPE}; write {{}} for none")

    def _read_lists(self, service: str, node: Pairs) -> dict[str, list[str]]:
        lists: dict[str, list[str]] = {}
        where = shown(service)
        for verb, value in self._named(node, where):
            if verb.text not in VERBS:
                hint = nearest(verb.text, VERBS)
                self._wrong(verb, f"{where}: unknown name {quoted(verb.text)}{hint}, want {_SHAPE}")
            elif isinstance(value, Items):
                leaves = list(self._texts(value, f"{where}.{verb.text}"))
                self._entries[service, verb.text] = leaves
                lists[verb.text] = [leaf.text for leaf in leaves]
            elif (value.line, value.column) not in self._forbidden:
                self._wrong(verb, f"{where}.{verb.text}: want a list; write [] for none")
        return lists

    def _named(self, node: Pairs, where: str) -> Iterator[tuple[Leaf, Node]]:
        """Yield what is under each name that is one; a name that comes again is a mistake."""
        first: dict[str, Leaf] = {}
        for key, value in node.pairs:
            if not isinstance(key, Leaf) or not key.is_text:
                self._wrong(key, f"a name in {where} must be text; put it in quotes")
            elif key.text in first:
                line = first[key.text].line
                reason = f"{quoted(key.text)} stands in {where} already, in line {line}"
                self._wrong(key, reason)
            else:
                first[key.text] = key
                yield key, value

    def _texts(self, node: Items, where: str) -> Iterator[Leaf]:
        for item in node.items:
            if (item.line, item.column) in self._forbidden:
                continue
            if isinstance(item, Leaf) and item.is_text:
                yield item
            else:
                self._wrong(item, f"{where}: want a subject; put a number in quotes")

    def _wrong(self, node: Node | None, reason: str) -> None:
        place = (1, 1) if node is None else (node.line, node.column)
        if place not in self._forbidden:
            self.problems.append(Problem(*place, reason))

    def _remark(self, remarks: Iterable[AclRemark]) -> None:
        for remark in remarks:
            node = self._names[remark.service]
            where = ""
            if remark.verb:
                node = self._entries[remark.service, remark.verb][remark.index]
                where = f"{shown(remark.service)}.{remark.verb}: "
            is_error = remark.severity is Severity.ERROR
            reason = where + remark.finding.reason
            self.problems.append(Problem(node.line, node.column, reason, is_error, remark))
