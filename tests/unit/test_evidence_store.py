"""Statements on images in real registries: written, read, remembered.

Each test runs on a registry with the referrers API and on one without it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev import images
from dev.distribution import Distribution
from dev.registry import EmbeddedRegistry
from dev.storage import Descriptor
from dev.storage import Digest as StoredDigest
from dev.storage import Repository as StoredRepository
from promotion.dsse import Envelope
from promotion.errors import BadConfiguration, EvidenceMissing
from promotion.evidence import attestation, record, suite_run
from promotion.evidence.attested import Evidence
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from promotion.signing import TrustAll, TrustedKeys, Unsigned
from tests.unit.attesting import (
    KEY,
    RECORD,
    RUN,
    STRANGER,
    FreshSigner,
    KeySigner,
    another,
    attach,
    bundle,
    read,
    state,
    store,
)

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def writes(either: EmbeddedRegistry) -> int:
    """How many requests have written so far."""
    return sum(each.method in WRITES for each in either.served)


def test_nothing_is_known_of_an_image_without_statements(
    place: RepositoryClient, image: Manifest
) -> None:
    """Nor of one in a repository that does not exist."""
    nowhere = RepositoryClient(Repository(place.repository.host, "no/where"), place.transport)
    assert store().read(image.digest, [place, nowhere]) == Evidence()


def test_what_is_written_is_read(place: RepositoryClient, image: Manifest) -> None:
    """Runs and records, with the digests to find them by."""
    mine = store()
    stated = mine.attach(place, image, RUN, Evidence()).basis.statement
    mine.attach(place, image, RECORD, Evidence())
    evidence = read(place, image)
    assert [each.said for each in evidence.runs] == [RUN]
    assert [each.said for each in evidence.records] == [RECORD]
    assert stated == digest_of(suite_run.write(RUN, image.digest))
    assert evidence.holds(stated)
    assert (evidence.ignored, evidence.overflow) == ((), False)


def test_a_basis_names_statement_and_attestation(place: RepositoryClient, image: Manifest) -> None:
    """The attestation can be fetched by its digest, and the bundle in it."""
    state(place, image)
    (run,) = read(place, image).runs
    assert place.manifest(run.basis.attestation) == run.manifest
    payload = Envelope.from_bundle(place.read_blob(run.bundle, 1 << 20)).payload
    assert digest_of(payload) == run.basis.statement
    assert run.basis.at == RUN.finished_at


def test_a_statement_is_found_as_a_referrer_of_its_kind(
    place: RepositoryClient, image: Manifest
) -> None:
    """By the API or, for other programs, under the fallback tag."""
    state(place, image)
    listed = place.referrers(image.digest)
    if listed is None:
        index = json.loads(place.manifest(image.digest.replace(":", "-")).content)
        kinds = [each["artifactType"] for each in index["manifests"]]
    else:
        kinds = [each.artifact_type for each in listed]
    assert kinds == ["application/vnd.dev.sigstore.bundle.v0.3+json"]


def test_a_redelivery_writes_nothing(
    either: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """The same message is the same statement; who has read it knows."""
    state(place, image)
    before = writes(either)
    state(place, image)
    assert writes(either) == before


def test_a_redelivery_that_has_not_read_writes_the_same(
    place: RepositoryClient, image: Manifest
) -> None:
    """Twins that both found nothing attach one attestation."""
    for _ in range(2):
        store().attach(place, image, RUN, Evidence())
    assert len(read(place, image).runs) == 1
    assert len(place.referrers(image.digest) or [1]) == 1


def test_signatures_that_differ_each_time_are_no_new_statements(
    place: RepositoryClient, image: Manifest
) -> None:
    """Cloud KMS signs anew each time: a statement that is there is found by what it says."""
    signer = FreshSigner()
    for _ in range(2):
        state(place, image, by=EvidenceStore(signer, TrustedKeys([signer.public])))
    (run,) = EvidenceStore(signer, TrustedKeys([signer.public])).read(image.digest, [place]).runs
    listed = place.referrers(image.digest)
    assert run.said == RUN
    assert listed is None or len(listed) == 1


def test_one_attestation_stands_for_a_statement_in_whatever_order_they_come(
    near: EmbeddedRegistry, tmp_path: Path, transport: Transport
) -> None:
    """Twins that signed at the same time left two: readers agree upon which to name."""

    class Backwards(Distribution):
        def referrers(
            self, repository: StoredRepository, subject: StoredDigest
        ) -> list[Descriptor]:
            return super().referrers(repository, subject)[::-1]

    signer = FreshSigner()
    evidence = EvidenceStore(signer, TrustedKeys([signer.public]))
    place = RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)
    image = images.push_image(place, [b"tested"], tag="1.4.2")
    for _ in range(2):
        evidence.attach(place, image, RUN, Evidence())
    root = tmp_path / "near"
    with EmbeddedRegistry(root, distribution=Backwards(root)) as backwards:
        same = RepositoryClient(Repository(backwards.host, place.repository.path), transport)
        listed = [
            [each.digest for each in it.referrers(image.digest) or []] for it in (place, same)
        ]
        assert listed[0] == listed[1][::-1] != listed[1]
        read = [evidence.read(image.digest, [each]) for each in (place, same)]
    assert read[0] == read[1]
    assert [each.basis.attestation for each in read[0].runs] == [min(listed[0])]


def test_a_statement_is_read_once_wherever_it_is(
    place: RepositoryClient, image: Manifest, far: EmbeddedRegistry
) -> None:
    """In the repositories of two stages it is one."""
    elsewhere = RepositoryClient(Repository(far.host, "shop/extended-test/shop"), place.transport)
    images.push_image(elsewhere, [b"tested"], tag="1.4.2")
    for each in (place, elsewhere):
        state(each, image)
    state(elsewhere, image, another(1))
    evidence = store().read(image.digest, [place, elsewhere])
    assert {each.said for each in evidence.runs} == {RUN, another(1)}
    assert len(evidence.runs) == 2


def test_statements_come_in_an_order_of_their_own(place: RepositoryClient, image: Manifest) -> None:
    """Which one was attached first makes no difference."""
    other = images.push_image(place, [b"tested"], tag="again")
    assert other == image
    for number in (3, 1, 2):
        state(place, image, another(number))
    statements = [each.basis.statement for each in read(place, image).runs]
    assert statements == sorted(statements)


def test_without_keys_unsigned_statements_count(place: RepositoryClient, image: Manifest) -> None:
    """An installation that does not sign trusts all who can write."""
    state(place, image, by=EvidenceStore(Unsigned(), TrustAll()))
    assert len(EvidenceStore(Unsigned(), TrustAll()).read(image.digest, [place]).runs) == 1


def test_what_was_read_is_not_fetched_again(
    either: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """Of all bundles only that of the new statement travels."""
    mine = store()
    for number in range(3):
        state(place, image, another(number))
    attach(place, image, bundle(b"{}", STRANGER))
    first = mine.read(image.digest, [place])
    before = len(either.served)
    assert mine.read(image.digest, [place]) == first
    assert not any("/blobs/" in each.path for each in either.served[before:])
    state(place, image, another(4), by=store())
    before = len(either.served)
    assert len(mine.read(image.digest, [place]).runs) == 4
    assert sum("/blobs/" in each.path for each in either.served[before:]) == 1


def test_what_is_remembered_of_one_image_says_nothing_of_another(
    place: RepositoryClient, image: Manifest
) -> None:
    """A tag of another image that names a real attestation of this one is no way round."""
    mine = store()
    state(place, image, by=mine)
    (run,) = mine.read(image.digest, [place]).runs
    other = images.push_image(place, [b"not tested"], tag="1.4.3")
    place.put_manifest(run.manifest, attestation.tag_of(other.digest, run.manifest.digest))
    for reader in (mine, store()):
        assert reader.read(other.digest, [place]).runs == ()
        assert [each.said for each in reader.read(image.digest, [place]).runs] == [RUN]


def test_what_a_stranger_shows_of_another_image_is_not_remembered_of_it(
    place: RepositoryClient, image: Manifest
) -> None:
    """Nor does it work the other way round: the attestation keeps its worth where it belongs."""
    state(place, image)
    (run,) = read(place, image).runs
    other = images.push_image(place, [b"not tested"], tag="1.4.3")
    place.put_manifest(run.manifest, attestation.tag_of(other.digest, run.manifest.digest))
    mine = store()
    assert mine.read(other.digest, [place]).runs == ()
    assert [each.said for each in mine.read(image.digest, [place]).runs] == [RUN]


def test_what_would_not_count_is_not_written(place: RepositoryClient, image: Manifest) -> None:
    """A signer that is not trusted learns why, and leaves nothing behind for each delivery."""
    mine = EvidenceStore(KeySigner(STRANGER), TrustedKeys([KEY.public]))
    with pytest.raises(EvidenceMissing, match=r"no trusted key .* does signing\.trusted hold"):
        mine.attach(place, image, RUN, Evidence())
    assert read(place, image) == Evidence()


def test_keys_that_cannot_be_had_are_no_verdict(place: RepositoryClient, image: Manifest) -> None:
    """Not to be able to verify is not the same as not to trust."""

    class Broken(TrustAll):
        def verify(self, envelope: Envelope) -> str:  # noqa: ARG002
            raise BadConfiguration("no keys")

    state(place, image)
    with pytest.raises(BadConfiguration, match="no keys"):
        EvidenceStore(KeySigner(), Broken()).read(image.digest, [place])


def test_a_record_is_found_by_what_it_says(place: RepositoryClient, image: Manifest) -> None:
    """Its digest is that of its content, whoever signed it."""
    stated = store().attach(place, image, RECORD, Evidence()).basis.statement
    assert stated == digest_of(record.write(RECORD, image.digest))
    assert store().read(image.digest, [place]).holds(stated)
