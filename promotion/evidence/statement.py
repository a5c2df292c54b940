"""in-toto statements (Statement v1): who they are about, and what they say of it.

A statement's bytes follow from its content alone, so its digest names it, whoever signs it and
however often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from promotion import typed
from promotion.errors import BadReference
from promotion.registry.reference import Digest, algorithm_of, parse_digest

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST = 64 * 1024


class NotAStatement(Exception):
    """Bytes that state nothing which could count; the text is the reason."""


class Subject(msgspec.Struct, frozen=True):
    """What a statement is about: its repository, ``HOST/PATH``, and its digest by algorithm."""

    name: str
    digest: Mapping[str, str]

    @classmethod
    def of(cls, repository: str, digest: Digest) -> Subject:
        """The subject that an image digest in a repository is."""
        algorithm, _, value = digest.partition(":")
        return cls(repository, {algorithm: value})

    def is_about(self, digest: Digest) -> bool:
        """Whether it names this digest."""
        return self.digest.get(algorithm_of(digest)) == digest.partition(":")[2]


class ResourceDescriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """in-toto's pointer to something: by URI and by digest."""

    uri: str
    digest: Mapping[str, str] = {}

    @classmethod
    def of(cls, uri: str, digest: Digest) -> ResourceDescriptor:
        """A pointer to content in a repository, by digest."""
        algorithm, _, value = digest.partition(":")
        return cls(f"{uri}@{digest}", {algorithm: value})

    @property
    def digests(self) -> list[Digest]:
        """Its digests, as OCI writes them."""
        return [parse_digest(f"{algorithm}:{value}") for algorithm, value in self.digest.items()]


Predicate = TypeVar("Predicate", bound=msgspec.Struct)


class _Written(msgspec.Struct, rename={"type_": "_type", "predicate_type": "predicateType"}):
    type_: str
    subject: Sequence[Subject]
    predicate_type: str
    predicate: msgspec.Raw


class _Read(msgspec.Struct, rename={"type_": "_type", "predicate_type": "predicateType"}):
    type_: Literal["https://in-toto.io/Statement/v1"]
    subject: Annotated[list[Subject], Meta(min_length=1, max_length=1)]
    predicate_type: str
    predicate: msgspec.Raw


class Statement(msgspec.Struct, frozen=True):
    """A statement whose predicate has yet to be read."""

    subject: Subject
    predicate_type: str
    predicate: bytes


def write(subject: Subject, predicate_type: str, predicate: msgspec.Struct) -> bytes:
    """The bytes of a statement; the same for the same content."""
    content = msgspec.Raw(msgspec.json.encode(predicate))
    return msgspec.json.encode(_Written(STATEMENT_TYPE, [subject], predicate_type, content))


def read(payload: bytes, digest: Digest) -> Statement:
    """Read a statement that should be about this digest, and about nothing else.

    Raises:
        NotAStatement: It is larger than 64 KiB, malformed, or about something else.
    """
    if len(payload) > LARGEST:
        raise NotAStatement(f"it has {len(payload):,} bytes, and {LARGEST:,} are read at most")
    read = decode(payload, _Read)
    subject = read.subject[0]
    if not subject.is_about(digest):
        raise NotAStatement(f"it is about {dict(subject.digest)}, and attached to {digest}")
    return Statement(subject, read.predicate_type, bytes(read.predicate))


def moment(written: datetime) -> datetime:
    """A moment that a statement names, in UTC.

    Raises:
        NotAStatement: It lies beyond the years 1 to 9999 there.
    """
    try:
        return written.astimezone(UTC)
    except OverflowError as error:
        raise NotAStatement(f"{written.isoformat()} cannot be told in UTC") from error


def decode(content: bytes, kind: type[Predicate]) -> Predicate:
    """Give JSON its type.

    Raises:
        NotAStatement: It is not of that type.
    """
    try:
        return typed.decode(content, kind)
    except (ValueError, RecursionError, BadReference) as error:
        raise NotAStatement(f"it is not well formed: {error}") from error
