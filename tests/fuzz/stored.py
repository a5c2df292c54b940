"""What repositories hold: manifests, and the statements that are attached to images."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import strategies as st

from promotion import dsse
from promotion.dsse import Envelope, NotAnEnvelope, Signature
from promotion.errors import PromotionError
from promotion.evidence import attestation, kinds, statement
from promotion.evidence.statement import NotAStatement
from promotion.keys import PrivateKey
from promotion.registry.manifest import (
    DOCKER_LIST,
    MANIFEST_TYPES,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    index_entries,
    successors,
)
from promotion.registry.reference import Digest, digest_of
from promotion.registry.referrers import described
from promotion.signing import NotTrusted, TrustedKeys
from tests.fuzz.inputs import DIGEST, OTHER, documents
from tests.fuzz.registry import HOST
from tests.fuzz.target import Target

TRUSTED = TrustedKeys([PrivateKey.generate().public])
OF_A_STRANGER = PrivateKey.generate().sign(b"{}")
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


POINTER = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": OTHER, "size": 5}
MANIFESTS = (
    {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": LAYER, "layers": [LAYER, LAYER]},
    {"schemaVersion": 2, "config": LAYER, "layers": [{**LAYER, "data": "Ynl0ZXM=", "urls": ["x"]}]},
    {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [POINTER, LAYER], "subject": POINTER},
    {"manifests": [{**POINTER, "artifactType": "a/b", "annotations": {"a": "b"}}]},
    {"mediaType": OCI_ARTIFACT, "blobs": [LAYER], "subject": POINTER, "annotations": {"a": "b"}},
    json.loads(
        attestation.manifest(
            Manifest(OCI_MANIFEST, Digest(DIGEST), b"{}"), b"bundle", "type", AT
        ).content
    ),
)


def read_manifest(given: tuple[str, bytes]) -> None:
    """A manifest is understood in every way that manifests are."""
    media_type, content = given
    manifest = Manifest(media_type, digest_of(content), content)
    for understood in (successors, index_entries, described):
        with suppress(PromotionError):
            understood(manifest)
    with suppress(NotAStatement):
        attestation.bundle_in(manifest, Digest(DIGEST), dsse.LARGEST)


KINDS = st.sampled_from([*sorted(MANIFEST_TYPES), DOCKER_LIST, "x"])


SIGNED = Envelope("application/vnd.in-toto+json", b"{}", (Signature(OF_A_STRANGER, "k"),))
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": f"{HOST}/shop", "digest": {"sha256": "a" * 64}}],
    "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
    "predicate": {"result": "PASSED", "configuration": [], "url": "", "passedTests": ["x"]},
}


def read_statement(content: bytes) -> None:
    """A bundle, a statement: each is one or is refused, and nobody has signed it."""
    with suppress(NotAnEnvelope, NotTrusted):
        assert not TRUSTED.verify(Envelope.from_bundle(content))
    with suppress(NotAStatement):
        kinds.read(statement.read(content, Digest(DIGEST)))


BUNDLES = documents(json.loads(SIGNED.to_bundle()), STATEMENT)


TARGETS = (
    Target("manifests", st.tuples(KINDS, documents(*MANIFESTS)), read_manifest),
    Target("statements", BUNDLES, read_statement),
)
