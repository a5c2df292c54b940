"""The names of things in registries: digests, repositories, image references.

The grammar is that of the OCI Distribution Specification, "Pulling manifests". The host is always
written out: a name without one is an error here, never a guess at a default registry.
"""

from __future__ import annotations

import hashlib
import re
from typing import NewType

import msgspec

from promotion.errors import BadReference

Digest = NewType("Digest", str)
"""An algorithm and a hash in hexadecimal, such as ``sha256:…``."""

_HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?::[0-9]{1,5})?"
    r"|\[[0-9a-f:]{2,39}\](?::[0-9]{1,5})?"
)
_PATH = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
LONGEST_TAG = 128
"""The characters that a tag may have."""
LONGEST_NAME = 255
"""The characters that a host may have, and the path under it."""

_TAG = re.compile(rf"[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,{LONGEST_TAG - 1}}}")


class Repository(msgspec.Struct, frozen=True):
    """A repository: the registry's host and the path under it."""

    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read ``HOST/PATH``.

        Raises:
            BadReference: The text is not a host and a path.
        """
        host, _, path = text.partition("/")
        if not _is_host(host):
            raise BadReference(
                f"{text!r:.300} does not begin with a registry host;"
                " write it out, as in europe-west2-docker.pkg.dev/…"
            )
        if len(path) > LONGEST_NAME or not _PATH.fullmatch(path):
            raise BadReference(
                f"{path!r:.300} in {text!r:.300} is not a repository path:"
                " lower-case letters, digits and single separators, 255 characters at most"
            )
        return cls(host, path)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


class Reference(msgspec.Struct, frozen=True):
    """An image in a repository, named by a tag, a digest, or both."""

    repository: Repository
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``HOST/PATH[:TAG][@DIGEST]``; a tag or a digest must be there.

        Raises:
            BadReference: The text is not such a reference.
        """
        name, at, digest = text.partition("@")
        path, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            path, tag = name, ""
        elif not is_tag(tag):
            raise BadReference(f"{tag!r:.200} in {text!r:.300} is not a tag")
        if not tag and not at:
            raise BadReference(
                f"{text!r:.300} names neither a tag nor a digest; write it as NAME:TAG"
            )
        return cls(Repository.parse(path), tag, parse_digest(digest) if at else None)

    def at(self, digest: Digest) -> Reference:
        """This reference, pinned to a digest."""
        return msgspec.structs.replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def is_tag(text: str) -> bool:
    """Whether the specification allows such a tag: it is of 128 characters at most."""
    return _TAG.fullmatch(text) is not None


def parse_digest(text: str) -> Digest:
    """Check that the text is a digest of a known algorithm.

    Raises:
        BadReference: It is not.
    """
    algorithm, _, value = text.partition(":")
    if len(value) != _HEX_LENGTHS.get(algorithm) or not re.fullmatch("[0-9a-f]+", value):
        raise BadReference(
            f"{text!r:.200} is not a digest such as sha256:… with 64 hexadecimal digits"
        )
    return Digest(text)


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of some bytes."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")


def algorithm_of(digest: Digest) -> str:
    """The name of the algorithm a digest was made with, as ``hashlib`` knows it."""
    return digest.partition(":")[0]


def is_canonical(digest: Digest) -> bool:
    """Whether it is of the kind by which registries name what is put under a tag: sha256."""
    return algorithm_of(digest) == "sha256"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: such registries speak plain HTTP, all others HTTPS."""
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    return name in ("localhost", "[::1]") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", name) is not None


def _is_host(text: str) -> bool:
    short = len(text) <= LONGEST_NAME
    return short and _HOST.fullmatch(text) is not None and _looks_like_host(text)


def _looks_like_host(host: str) -> bool:
    return "." in host or ":" in host or host == "localhost"
