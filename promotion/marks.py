"""What processes leave for each other in the registry, about one event of one image.

A mark is an OCI artifact whose bytes follow from the event's id, the image, and what it says. So
its digest is known before it exists: one request tells whether it is there, on every registry, and
any number of writers write the same. It has no subject, for it is not to go on with the image:
whoever can write to one stage could then mark, in advance, what the next stage is to announce.
"""

from __future__ import annotations

import msgspec

from promotion.evidence.attestation import EMPTY, EMPTY_DESCRIPTOR
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Manifest
from promotion.registry.reference import Digest, digest_of

_ANNOUNCED_TYPE = "application/vnd.promotion.announced.v1+json"
_AGREEMENT_TYPE = "application/vnd.promotion.agreement.v1+json"


class Marks:
    """The marks about one event of one image, beside the image."""

    def __init__(self, event_id: str, image: Digest, repository: RepositoryClient) -> None:
        self._repository = repository
        self._about = {"promotion.event": event_id, "promotion.image": image}

    @property
    def announced(self) -> bool:
        """Whether the event has been published."""
        return self._repository.has_manifest(self._announced().digest)

    def announce(self) -> None:
        """Remember that it has been published."""
        self._leave(self._announced())

    def said(self, what: str) -> bool:
        """Whether a process has said this about what is to be announced."""
        return self._repository.has_manifest(self._statement(what).digest)

    def say(self, what: str) -> None:
        """Say it: whoever asks from now on is told so."""
        self._leave(self._statement(what))

    def _announced(self) -> Manifest:
        return _artifact(_ANNOUNCED_TYPE, self._about)

    def _statement(self, what: str) -> Manifest:
        return _artifact(_AGREEMENT_TYPE, {**self._about, "promotion.agreement": what})

    def _leave(self, mark: Manifest) -> None:
        # It is there, as a rule, since statements are attached in the same repository.
        if not self._repository.has_blob(digest_of(EMPTY)):
            self._repository.put_blob(EMPTY)
        self._repository.put_manifest(mark)


def _artifact(kind: str, annotations: dict[str, str]) -> Manifest:
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": EMPTY_DESCRIPTOR,
            "layers": [EMPTY_DESCRIPTOR],
            "annotations": annotations,
        }
    )
    return Manifest(OCI_MANIFEST, digest_of(content), content)
