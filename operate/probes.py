"""What the registry answers to open questions of docs/artifact-registry.md, by their names there.

All of it is asked with an image of a name of its own, which no message is ever about.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from dev import images
from operate.errand import Errand
from operate.witness import Witness
from promotion.errors import AccessDenied, PromotionError
from promotion.evidence import attestation
from promotion.registry.client import RepositoryClient, between
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest
from promotion.registry.reference import Reference, Repository, digest_of
from promotion.registry.transport import Transport

NAME = "promotion-smoke-probe"
"""The name of the image."""

_LONGEST_LAG_SECONDS = 30.0
_KIND = "application/vnd.promotion.probe"


@dataclass(frozen=True)
class Answer:
    """What was found to be so.

    Attributes:
        question: Its name in docs/artifact-registry.md.
    """

    question: str
    found: str


class Probes:
    """Asks the registry of a repository, to which images are pushed.

    Args:
        witness: Knows how the credentials were taken that the transport has shown so far.
        there: Another repository, to which blobs are mounted.
    """

    def __init__(
        self, transport: Transport, witness: Witness, here: Repository, there: Repository
    ) -> None:
        self._witness = witness
        # Written to as well, unlike the source of a copy.
        self._here = RepositoryClient(here, transport, scopes=(_writing(here),))
        _, self._there = between(here, there, transport, transport)

    def ask(self, tag: str) -> list[Answer]:
        """All answers; the image stays behind under this tag, where tags are immutable."""
        questions: dict[str, Callable[[str], str]] = {
            "bearer_token_writes": self._bearer_token,
            self._mount_question: self._mount,
            "mount_without_source": self._mount_without_source,
            "same_digest_again": self._same_again,
            "immutable_tag_status": self._another,
            "referrers_lag": self._referrer,
        }
        return [Answer(question, _found(ask, tag)) for question, ask in questions.items()]

    @property
    def _mount_question(self) -> str:
        projects = {each.repository.path.partition("/")[0] for each in (self._here, self._there)}
        return "cross_project_mount" if len(projects) > 1 else "mount"

    def _bearer_token(self, tag: str) -> str:
        images.push_image(self._here, [_fresh()], tag)
        host = self._here.repository.host
        if host in self._witness.refused:
            return f"no: 401, {self._witness.refused[host] or 'without WWW-Authenticate'}"
        if host not in self._witness.shown:
            return "not asked: no credential was needed"
        return "yes: uploads and manifests were taken with the access token as it is"

    def _mount(self, _: str) -> str:
        if self._here.repository.host != self._there.repository.host:
            return "not asked: the next stage is on another registry"
        return self._mounted(self._here.repository)

    def _mount_without_source(self, _: str) -> str:
        if self._here.repository.host != self._there.repository.host:
            return "not asked: the next stage is on another registry"
        return self._mounted(None)

    def _mounted(self, source: Repository | None) -> str:
        content = _fresh()
        self._here.put_blob(content)
        try:
            location = self._there.mount(Blob(digest_of(content), len(content)), source)
        except AccessDenied as error:
            return f"not answered, since this identity may not write there: {error}"
        return "yes: 201" if location is None else "no: 202, an upload was opened instead"

    def _same_again(self, tag: str) -> str:
        self._here.put_manifest(self._here.manifest(tag), tag)
        return "yes"

    def _another(self, tag: str) -> str:
        try:
            images.push_image(self._here, [_fresh()], tag)
        except PromotionError as error:
            return f"refused: {error}"
        return "the tag was moved: tags are NOT immutable here"

    def _referrer(self, tag: str) -> str:
        subject = self._here.manifest(tag)
        self._here.put_blob(attestation.EMPTY)
        manifest = _referrer_of(subject)
        self._here.put_manifest(manifest)
        began = time.monotonic()
        lists = 0
        while time.monotonic() - began < _LONGEST_LAG_SECONDS:
            listed = self._here.referrers(subject.digest)
            if listed is None:
                return "there is no referrers API"
            if manifest.digest in {each.digest for each in listed}:
                return _lag(lists, time.monotonic() - began)
            lists += 1
        return f"it was not listed for {_LONGEST_LAG_SECONDS:g} seconds"


def probes_of(errand: Errand, transport: Transport, witness: Witness) -> Probes:
    """Probes of the places that an errand leads through."""
    here, there = (_beside(each) for each in (errand.source, errand.destinations[0]))
    return Probes(transport, witness, here, there)


def _beside(image: Reference) -> Repository:
    """The repository, next to an image's, of the image that is nobody's business."""
    stage = image.repository.path.rpartition("/")[0]
    return Repository(image.repository.host, f"{stage}/{NAME}")


def _found(ask: Callable[[str], str], tag: str) -> str:
    try:
        return ask(tag)
    except PromotionError as error:
        return f"no: {error}"


def _writing(repository: Repository) -> str:
    return f"repository:{repository.path}:pull,push"


def _lag(lists: int, seconds: float) -> str:
    if not lists:
        return "none: listed at once"
    return f"missing from the first {lists} lists, for {seconds:.1f} seconds"


def _fresh() -> bytes:
    """A layer that no registry has."""
    return images.layer({"probe": os.urandom(16)})


def _referrer_of(subject: Manifest) -> Manifest:
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": _KIND,
            "config": attestation.EMPTY_DESCRIPTOR,
            "layers": [attestation.EMPTY_DESCRIPTOR],
            "subject": {
                "mediaType": subject.media_type,
                "digest": subject.digest,
                "size": len(subject.content),
            },
        }
    )
    return Manifest(OCI_MANIFEST, digest_of(content), content)
