"""A YAML document that knows on which line each of its keys stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from promotion.errors import BadConfiguration

MOST_KEYS = 100_000
"""The keys and list entries that a document may have, with what its aliases stand for."""

KeyPath = tuple[str | int, ...]
"""Where something stands in a document: keys of mappings and positions in lists."""


class Document(msgspec.Struct, frozen=True):
    """The data of a YAML document, and the line of each key and list entry in it."""

    name: str
    data: Any
    lines: Mapping[KeyPath, int]

    def place(self, path: KeyPath) -> str:
        """Where a key stands, for people: ``FILE:LINE: key.subkey``.

        A key that is not there is placed at the nearest one above it that is.
        """
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = f"{self.name}:{self.lines.get(known, 1)}"
        return f"{line}: {dotted(path)}" if path else line


def dotted(path: KeyPath) -> str:
    """A key path as people write it: ``pipelines.shop.stages.prod.gate.freeze[0].from``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read(name: str, text: str) -> Document:
    """Read a YAML document.

    Raises:
        BadConfiguration: It is not YAML, holds a key twice, or a key that is not text.
    """
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadConfiguration(f"{name}:{line}: not text: {error.reason}") from error
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        data = None if node is None else _Reader(name, loader, lines).value(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadConfiguration(f"{name}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, LookupError, OverflowError, RecursionError) as error:
        line = loader.line + 1
        raise BadConfiguration(f"{name}:{line}: a value that cannot be read: {error}") from error
    finally:
        loader.dispose()
    return Document(name, data, lines)


class _Reader(msgspec.Struct, frozen=True):
    name: str
    loader: yaml.SafeLoader
    lines: dict[KeyPath, int]

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                self._note((*path, position), item)
            return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]
        value = self.loader.construct_object(node)
        if isinstance(value, str):
            value.encode()  # An escape may have made half of a character, which is none.
        return value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self._refuse_duplicates(node, path)
        self.loader.flatten_mapping(node)
        mapping = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            self._note((*path, key), key_node)
            mapping[key] = self.value(value_node, (*path, key))
        return mapping

    def _note(self, path: KeyPath, node: yaml.Node) -> None:
        """Note where something stands; aliases may let a few lines stand for any number of them."""
        self.lines[path] = node.start_mark.line + 1
        if len(self.lines) > MOST_KEYS:
            raise self._error(node, path, f"more than {MOST_KEYS:,} keys and entries")

    def _refuse_duplicates(self, node: yaml.MappingNode, path: KeyPath) -> None:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self._key(key_node, path)
            if key in seen:
                raise self._error(key_node, (*path, key), "this key stands here twice")
            seen.add(key)

    def _key(self, node: yaml.Node, path: KeyPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, path, "a key must be text")
        node.value.encode()
        return str(node.value)

    def _error(self, node: yaml.Node, path: KeyPath, problem: str) -> BadConfiguration:
        return BadConfiguration(
            f"{self.name}:{node.start_mark.line + 1}: {dotted(path)}: {problem}"
        )
