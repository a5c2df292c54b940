"""What is to be promoted by hand, looked at from both sides, and on what terms.

On any terms an image is recorded before its tag is set, if it is recorded at all, and no tag that
names other content is ever overwritten. Here are the terms of a plain copy; those that a
promotion.yaml makes are in terms.py, which takes longer to load.
"""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from promotion.deadline import current
from promotion.errors import NotFound, TagMoved, TagTaken
from promotion.registry import parallel
from promotion.registry.client import RepositoryClient, between
from promotion.registry.manifest import Manifest, successors
from promotion.registry.probe import try_writing
from promotion.registry.reference import Digest, Reference
from promotion.registry.tagging import set_tag
from promotion.registry.transport import Transport
from promotion.verdict import Decision, Finding, Verdict


@dataclass(frozen=True)
class Errand:
    """An image that is to be promoted, and its repositories, each as whom its side knows.

    Attributes:
        name: What people call it: NAME:TAG.
        origin: What it is called where it is, with its tag; a digest says what that must name.
        target: What it is to be called.
    """

    name: str
    origin: Reference
    target: Reference
    source: RepositoryClient
    destination: RepositoryClient

    @classmethod
    def of(
        cls, name: str, origin: Reference, target: Reference, reader: Transport, writer: Transport
    ) -> Errand:
        """An errand with the rights that it takes."""
        sides = between(origin.repository, target.repository, reader, writer, current())
        return cls(name, origin, target, *sides)

    def validate(self) -> None:
        """See that the destination can be written to; that the source can be read shows by itself.

        Raises:
            AccessDenied, NotFound, RegistryRefused, RegistryUnavailable: It cannot.
        """
        try_writing(self.target.repository, self.destination.transport)

    def resolve(self) -> Found:
        """The image by its digest, and whether it is there already; both sides are asked at once.

        Raises:
            NotFound: There is no such image.
            TagMoved: It is not the digest that was named.
            TagTaken: Its tag names something else at the destination.
            Retryable: A registry failed.
        """
        resolve = partial(self.destination.resolve, self.target.tag)
        there = parallel.start(resolve, self.destination.repository.host)
        try:
            image = self.source.find(self.origin.tag)
        finally:
            wait([there])
        if image is None:
            raise NotFound(f"{self._named} does not exist; check the name and the tag")
        if self.origin.digest not in (None, image.digest):
            raise TagMoved(
                f"{self._named} names {image.digest} now, not {self.origin.digest}; look at what"
                " it is, and decide anew"
            )
        named = there.result()
        if named not in (None, image.digest):
            raise taken(self.target, named, image.digest)
        return Found(self, image, present=named is not None)

    @property
    def _named(self) -> Reference:
        return msgspec.structs.replace(self.origin, digest=None)


@dataclass(frozen=True)
class Found:
    """An errand whose image was found.

    Attributes:
        image: Its manifest.
        present: Whether the tag at the destination names it already.
    """

    errand: Errand
    image: Manifest
    present: bool

    @property
    def contents(self) -> str:
        """How much the image consists of, in words."""
        if self.present:
            return "it is there already; what was attached to it since may not be"
        parts = successors(self.image)
        if parts.manifests:
            return f"{len(parts.manifests)} manifests with their blobs, and what is attached"
        return f"{len(parts.blobs)} blobs, and what is attached"

    @property
    def arrived(self) -> Reference:
        """What the image is called at the destination, by tag and digest."""
        return self.errand.target.at(self.image.digest)


class Terms(Protocol):
    """On what terms an image is promoted."""

    @property
    def verdict(self) -> Verdict:
        """Whether it may be, with what speaks for and against it."""

    def record(self) -> Digest | None:
        """Have it on record at the destination, where the image is; the digest of what is stated.

        Raises:
            Retryable: It could not be signed or written.
        """

    def tag(self) -> Verdict:
        """Set the image's tag, if nothing speaks against it by now; the verdict.

        Raises:
            TagTaken: The tag names something else by now.
            Retryable: It could not be written.
        """


class Unrecorded:
    """The terms of a plain copy: between two places that are no stages of one pipeline."""

    def __init__(self, found: Found, why: str = "") -> None:
        """Say why it is not put on record, where one might expect that it is."""
        self._found = found
        said = (Finding(Decision.PROMOTE, "not-on-record", why),) if why else ()
        self.verdict = Verdict(said)

    def record(self) -> None:
        """There is no stage to state anything in."""

    def tag(self) -> Verdict:
        """Set the tag.

        Raises:
            TagTaken: It names something else by now.
            Retryable: It could not be written.
        """
        tag_unless_taken(self._found)
        return self.verdict


class Setting(Protocol):
    """What all images of a command have in common."""

    @property
    def said(self) -> str:
        """What the terms are, in a line for people."""

    def terms_of(self, found: Found) -> Terms:
        """The terms for one image.

        Raises:
            BadConfiguration: There are none.
            Retryable: A registry failed.
        """


class NoPromotionYaml:
    """There is nothing to ask, and nowhere to put anything on record."""

    said = "no promotion.yaml is here: nothing is judged or put on record"

    def terms_of(self, found: Found) -> Terms:
        """Those of a plain copy."""
        return Unrecorded(found)


def tag_unless_taken(found: Found) -> None:
    """Let the tag name the image, if it names nothing yet.

    Raises:
        TagTaken: It names something else by now.
        NotFound, RegistryRefused, Retryable: It could not be set.
    """
    if found.present:
        return
    destination, target = found.errand.destination, found.errand.target
    named = destination.resolve(target.tag) or set_tag(destination, found.image, target.tag)
    if named != found.image.digest:
        raise taken(target, named, found.image.digest)


def taken(target: Reference, named: Digest | None, wanted: Digest) -> TagTaken:
    """The error that a tag names other content."""
    return TagTaken(
        f"{target} names {named} already, not {wanted}; a version is never overwritten: build a"
        " new one, or look at which of the two is meant"
    )
