"""Where statements are kept that are about no image digest: about a stage, or a whole pipeline.

Each stage has a repository ``promotion-control``. In it stands, for what such statements are about,
a small artifact whose bytes follow from the name alone, and they are attached to it as evidence is
attached to an image: signed, each by itself and under a tag of its own, so that no writer can lose
another's.
"""

from __future__ import annotations

import msgspec

from promotion.evidence import attestation
from promotion.evidence.attestation import EMPTY, EMPTY_DESCRIPTOR
from promotion.evidence.attested import Evidence
from promotion.evidence.kinds import Said
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Manifest
from promotion.registry.reference import Digest, Repository, digest_of

NAME = "promotion-control"
ARTIFACT_TYPE = "application/vnd.promotion.control.v1"


def repository_of(stage: Repository) -> Repository:
    """The repository that keeps the statements about a stage."""
    return Repository(stage.host, f"{stage.path}/{NAME}")


def state(repository: RepositoryClient, said: Said, store: EvidenceStore) -> Digest:
    """Attach a statement to the stage whose ``promotion-control`` repository this is; its digest.

    Raises:
        Retryable: It could not be signed or written.
    """
    stage = artifact(repository.repository)
    known = store.read(stage.digest, [repository])
    repository.put_blob(EMPTY)
    repository.put_manifest(stage, "stage")
    stated = store.attach(repository, stage, said, known)
    _tag(stated.manifest, stage, repository)
    return stated.basis.statement


def read(repository: RepositoryClient, store: EvidenceStore) -> Evidence:
    """All that is stated about the stage whose ``promotion-control`` repository this is.

    Raises:
        Retryable: It could not be read.
    """
    return store.read(artifact(repository.repository).digest, [repository])


def _tag(stated: Manifest, stage: Manifest, repository: RepositoryClient) -> None:
    """Give a statement a tag of its own, so that no rule about untagged manifests removes it."""
    tag = attestation.tag_of(stage.digest, stated.digest)
    if repository.resolve(tag) is None:
        repository.put_manifest(stated, tag)


def artifact(repository: Repository) -> Manifest:
    """What stands for the stage whose ``promotion-control`` repository this is."""
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": EMPTY_DESCRIPTOR,
            "layers": [EMPTY_DESCRIPTOR],
            "annotations": {"promotion.stage": str(repository).removesuffix(f"/{NAME}")},
        }
    )
    return Manifest(OCI_MANIFEST, digest_of(content), content)
