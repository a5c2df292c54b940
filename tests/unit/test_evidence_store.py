"""Statements on images in real registries: written, read, bounded, remembered, carried on.

Each test runs on a registry with the referrers API and on one without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from dev import images
from dev.distribution import Distribution
from dev.registry import EmbeddedRegistry
from dev.storage import Descriptor
from dev.storage import Digest as StoredDigest
from dev.storage import Repository as StoredRepository
from promotion.dsse import Envelope
from promotion.errors import BadConfiguration, ContentMismatch, EvidenceMissing, NotFound
from promotion.evidence import attestation, record, suite_run
from promotion.evidence.attested import MOST, Evidence
from promotion.evidence.statement import PAYLOAD_TYPE
from promotion.evidence.store import EvidenceStore
from promotion.evidence.suite_run import SuiteRun
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
    attach,
    attach_manifest,
    bundle,
    reasons,
    store,
)

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture(params=["referrers API", "tags"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry with the referrers API, and one without it."""
    api = request.param == "referrers API"
    with EmbeddedRegistry(tmp_path / "registry", referrers_api=api) as registry:
        yield registry


@pytest.fixture
def place(registry: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """A repository."""
    return RepositoryClient(Repository(registry.host, "shop/fast-feedback/shop"), transport)


@pytest.fixture
def image(place: RepositoryClient) -> Manifest:
    """An image in it."""
    return images.push_image(place, [b"tested"], tag="1.4.2")


def state(
    place: RepositoryClient, image: Manifest, run: SuiteRun = RUN, by: EvidenceStore | None = None
) -> None:
    """State what a suite found, as the promoter does."""
    by = by or store()
    by.attach_run(place, image, run, by.read(image.digest, [place]))


def read(place: RepositoryClient, image: Manifest) -> Evidence:
    """What somebody reads who has not read before."""
    return store().read(image.digest, [place])


def writes(registry: EmbeddedRegistry) -> int:
    """How many requests have written so far."""
    return sum(each.method in WRITES for each in registry.served)


def another(number: int) -> SuiteRun:
    """A run of the suite at another time."""
    return msgspec.structs.replace(RUN, finished_at=RUN.finished_at + timedelta(minutes=number))


def test_nothing_is_known_of_an_image_without_statements(
    place: RepositoryClient, image: Manifest
) -> None:
    """Nor of one in a repository that does not exist."""
    nowhere = RepositoryClient(Repository(place.repository.host, "no/where"), place.transport)
    assert store().read(image.digest, [place, nowhere]) == Evidence()


def test_what_is_written_is_read(place: RepositoryClient, image: Manifest) -> None:
    """Runs and records, with the digests to find them by."""
    mine = store()
    stated = mine.attach_run(place, image, RUN, Evidence())
    mine.attach_record(place, image, RECORD, Evidence())
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
    registry: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """The same message is the same statement; who has read it knows."""
    state(place, image)
    before = writes(registry)
    state(place, image)
    assert writes(registry) == before


def test_a_redelivery_that_has_not_read_writes_the_same(
    place: RepositoryClient, image: Manifest
) -> None:
    """Twins that both found nothing attach one attestation."""
    for _ in range(2):
        store().attach_run(place, image, RUN, Evidence())
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
        evidence.attach_run(place, image, RUN, Evidence())
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


FORGERIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "unsigned": (bundle, "it is not signed"),
    "signed by a stranger": (
        lambda payload: bundle(payload, STRANGER),
        f"no trusted key has signed it; it names '{STRANGER.public.key_id}'",
    ),
    "two strangers' signatures": (
        lambda payload: bundle(payload, STRANGER, STRANGER),
        "no trusted key has signed it",
    ),
    "changed after it was signed": (
        lambda payload: Envelope(
            PAYLOAD_TYPE,
            payload.replace(b"FAILED", b"PASSED"),
            Envelope.from_bundle(bundle(payload.replace(b"PASSED", b"FAILED"), KEY)).signatures,
        ).to_bundle(),
        "no trusted key has signed it",
    ),
    "another payload type": (
        lambda payload: bundle(payload, KEY, payload_type="application/json"),
        "its payload is application/json, not application/vnd.in-toto+json",
    ),
    "no bundle": (lambda payload: payload, "it is not well formed"),
    "no JSON": (lambda _: b"\x00" * 100, "it is not well formed"),
    "deeply nested": (lambda _: b"[" * 100_000, "it is not well formed"),
    "no statement": (lambda _: bundle(b"{}", KEY), "it is not well formed"),
    "another predicate": (
        lambda payload: bundle(
            payload.replace(b"attestation/test-result/v0.1", b"attestation/release/v0.1"), KEY
        ),
        "its predicate is https://in-toto.io/attestation/release/v0.1, which no gate asks for",
    ),
    "too large a statement": (
        lambda payload: bundle(payload[:-1] + b" " * 64 * 1024 + b"}", KEY),
        "and 65,536 are read at most",
    ),
    "too large a bundle": (
        lambda payload: bundle(payload, KEY) + b" " * 128 * 1024,
        "and 131,072 are read at most",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_does_not_count_is_ignored_with_the_reason(
    place: RepositoryClient, image: Manifest, forgery: str
) -> None:
    """It is reported by its digest, and a real statement beside it counts as before."""
    forge, reason = FORGERIES[forgery]
    forged = attach(place, image, forge(suite_run.write(another(1), image.digest)))
    state(place, image)
    evidence = read(place, image)
    assert [each.said for each in evidence.runs] == [RUN]
    (ignored,) = evidence.ignored
    assert ignored.attestation == forged.digest
    assert reason in ignored.reason


def test_a_statement_about_another_image_is_ignored(
    place: RepositoryClient, image: Manifest
) -> None:
    """A real one, attached to this image by somebody who can read that one."""
    other = images.push_image(place, [b"other"], tag="1.4.3")
    attach(place, image, bundle(suite_run.write(RUN, other.digest), KEY))
    (reason,) = reasons(read(place, image))
    assert "it is about" in reason
    assert f"attached to {image.digest}" in reason


def test_a_real_signature_beside_a_strangers_is_still_one(
    place: RepositoryClient, image: Manifest
) -> None:
    """Whoever adds a signature to a real statement has only repeated it."""
    state(place, image)
    attach(place, image, bundle(suite_run.write(RUN, image.digest), STRANGER, KEY))
    assert [each.said for each in read(place, image).runs] == [RUN]


def test_a_reason_can_be_shown_anywhere(place: RepositoryClient, image: Manifest) -> None:
    """What strangers write reaches neither a terminal as it is nor memory at any length."""
    hostile = "\x1b[2J\r\n" + "x" * 10_000
    attach(place, image, bundle(b"{}", KEY, payload_type=hostile))
    (reason,) = reasons(read(place, image))
    assert reason.isprintable()
    assert len(reason) < 500


@pytest.mark.parametrize(
    ("size", "reason"), [(100, "it has more than the 100 bytes"), (100_000, "and should have")]
)
def test_a_bundle_of_another_size_than_its_manifest_says_is_ignored(
    place: RepositoryClient, image: Manifest, size: int, reason: str
) -> None:
    """A false number, which anybody can write, does not hold up the image's evidence."""
    content = bundle(suite_run.write(RUN, image.digest), KEY)
    honest = attestation.manifest(image, content, suite_run.PREDICATE_TYPE, RUN.finished_at)
    said = json.loads(honest.content)
    said["layers"][0]["size"] = size
    false = json.dumps(said).encode()
    lying = Manifest(honest.media_type, digest_of(false), false)
    attach_manifest(place, image.digest, lying, content)
    state(place, image)
    evidence = read(place, image)
    assert [each.said for each in evidence.runs] == [RUN]
    assert reason in reasons(evidence)[0]


def test_an_attestation_of_any_size_takes_little_memory(
    near: EmbeddedRegistry, transport: Transport
) -> None:
    """One that the referrers API says is too large to be one is not even fetched."""
    place = RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)
    image = images.push_image(place, [b"tested"], tag="1.4.2")
    honest = attestation.manifest(image, b"{}", suite_run.PREDICATE_TYPE, RUN.finished_at)
    said = json.loads(honest.content)
    said["padding"] = "x" * 5 * 1024 * 1024
    content = json.dumps(said).encode()
    huge = Manifest(honest.media_type, digest_of(content), content)
    attach_manifest(place, image.digest, huge, b"{}")
    state(place, image)
    evidence = read(place, image)
    assert [each.said for each in evidence.runs] == [RUN]
    (ignored,) = evidence.ignored
    assert ignored.attestation == huge.digest
    assert "and 16,384 are read at most" in ignored.reason
    assert not any(each.method == "GET" and each.path.endswith(huge.digest) for each in near.served)


def test_a_bundle_that_is_not_there_is_waited_for(place: RepositoryClient, image: Manifest) -> None:
    """It may be a failure: nothing is decided without it."""
    state(place, image)
    (run,) = read(place, image).runs
    remove(place, f"blobs/{run.bundle.digest}")
    with pytest.raises(NotFound):
        read(place, image)


def test_a_damaged_bundle_is_waited_for(
    place: RepositoryClient, image: Manifest, tmp_path: Path
) -> None:
    """Bytes that changed on the way are no reason to decide without the statement."""
    state(place, image)
    (run,) = read(place, image).runs
    kept = tmp_path / "registry" / "content" / run.bundle.digest.replace(":", "/")
    kept.write_bytes(kept.read_bytes().replace(b"payload", b"daolyap"))
    with pytest.raises(ContentMismatch, match="do not have that digest"):
        read(place, image)


def test_a_statement_that_was_deleted_is_gone(place: RepositoryClient, image: Manifest) -> None:
    """Nothing of it is left, and nothing is in the way of what comes."""
    state(place, image)
    (run,) = read(place, image).runs
    remove(place, f"manifests/{run.basis.attestation}")
    assert read(place, image) == Evidence()
    state(place, image)
    assert [each.said for each in read(place, image).runs] == [RUN]


def test_two_hundred_statements_are_read(place: RepositoryClient, image: Manifest) -> None:
    """That many are no overflow, and one more is; what was read of it still speaks."""
    for number in range(MOST):
        attach(place, image, bundle(suite_run.write(another(number), image.digest), KEY))
    evidence = read(place, image)
    assert (len(evidence.runs), evidence.overflow) == (MOST, False)
    attach(place, image, bundle(b"{}", STRANGER))
    evidence = read(place, image)
    assert evidence.overflow
    assert len(evidence.runs) + len(evidence.ignored) == MOST


def test_what_was_read_is_not_fetched_again(
    registry: EmbeddedRegistry, place: RepositoryClient, image: Manifest
) -> None:
    """Of all bundles only that of the new statement travels."""
    mine = store()
    for number in range(3):
        state(place, image, another(number))
    attach(place, image, bundle(b"{}", STRANGER))
    first = mine.read(image.digest, [place])
    before = len(registry.served)
    assert mine.read(image.digest, [place]) == first
    assert not any("/blobs/" in each.path for each in registry.served[before:])
    state(place, image, another(4), by=store())
    before = len(registry.served)
    assert len(mine.read(image.digest, [place]).runs) == 4
    assert sum("/blobs/" in each.path for each in registry.served[before:]) == 1


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
        mine.attach_run(place, image, RUN, Evidence())
    assert read(place, image) == Evidence()


def test_keys_that_cannot_be_had_are_no_verdict(place: RepositoryClient, image: Manifest) -> None:
    """Not to be able to verify is not the same as not to trust."""

    class Broken(TrustAll):
        def verify(self, envelope: Envelope) -> str:  # noqa: ARG002
            raise BadConfiguration("no keys")

    state(place, image)
    with pytest.raises(BadConfiguration, match="no keys"):
        EvidenceStore(KeySigner(), Broken()).read(image.digest, [place])


@pytest.fixture(params=["to the referrers API", "to tags"])
def destination(
    request: pytest.FixtureRequest, tmp_path: Path, transport: Transport
) -> Iterator[RepositoryClient]:
    """The repository of the next stage, in another registry."""
    api = request.param == "to the referrers API"
    with EmbeddedRegistry(tmp_path / "next", referrers_api=api) as registry:
        yield RepositoryClient(Repository(registry.host, "shop/extended-test/shop"), transport)


def carry(place: RepositoryClient, image: Manifest, destination: RepositoryClient) -> None:
    """Let what counts go with its image, as the promoter does."""
    mine = store()
    evidence = mine.read(image.digest, [place])
    there = mine.read(image.digest, [destination])
    mine.carry(evidence, image.digest, [place], destination, there)


def test_evidence_goes_with_its_image(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient
) -> None:
    """The very same attestations; what does not count stays behind."""
    state(place, image)
    state(place, image, another(1))
    store().attach_record(place, image, RECORD, Evidence())
    attach(place, image, bundle(b"{}", STRANGER))
    images.push_image(destination, [b"tested"], tag="1.4.2")
    carry(place, image, destination)
    assert read(destination, image) == msgspec.structs.replace(read(place, image), ignored=())


def test_what_is_there_is_not_carried_again(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient
) -> None:
    """A repeat finds all of it; it does not even need the source."""
    state(place, image)
    images.push_image(destination, [b"tested"], tag="1.4.2")
    carry(place, image, destination)
    mine = store()
    evidence = mine.read(image.digest, [place])
    mine.carry(evidence, image.digest, [], destination, mine.read(image.digest, [destination]))


def test_carrying_looks_wherever_evidence_is(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient, far: EmbeddedRegistry
) -> None:
    """A bundle comes from whichever place has it; one that has gone is an error to try again."""
    empty = RepositoryClient(Repository(far.host, "shop/elsewhere/shop"), place.transport)
    state(place, image)
    images.push_image(destination, [b"tested"], tag="1.4.2")
    mine = store()
    evidence = mine.read(image.digest, [place])
    with pytest.raises(NotFound, match="was deleted while its image was promoted"):
        mine.carry(evidence, image.digest, [empty], destination, Evidence())
    mine.carry(evidence, image.digest, [empty, place], destination, Evidence())
    assert [each.said for each in read(destination, image).runs] == [RUN]


def test_a_real_statement_that_a_stranger_wrapped_anew_does_not_hold_up_the_image(
    place: RepositoryClient, image: Manifest, destination: RepositoryClient
) -> None:
    """A wrapping that the next stage's registry could not take is ignored from the start."""
    state(place, image)
    (run,) = read(place, image).runs
    content = place.read_blob(run.bundle, 1 << 20)
    said = json.loads(run.manifest.content)
    config = b'{"not": "empty"}'
    said["config"] = {
        "mediaType": "application/json",
        "digest": digest_of(config),
        "size": len(config),
    }
    wrapped = json.dumps(said).encode()
    attach_manifest(
        place,
        image.digest,
        Manifest(run.manifest.media_type, digest_of(wrapped), wrapped),
        content,
        config,
    )
    images.push_image(destination, [b"tested"], tag="1.4.2")
    carry(place, image, destination)
    assert [each.said for each in read(destination, image).runs] == [RUN]
    assert reasons(read(destination, image)) == []
    assert "and not the empty one" in reasons(read(place, image))[0]


def test_a_record_is_found_by_what_it_says(place: RepositoryClient, image: Manifest) -> None:
    """Its digest is that of its content, whoever signed it."""
    stated = store().attach_record(place, image, RECORD, Evidence())
    assert stated == digest_of(record.write(RECORD, image.digest))
    assert store().read(image.digest, [place]).holds(stated)


def remove(place: RepositoryClient, path: str) -> None:
    """Delete something, as a cleanup rule does."""
    import urllib3

    url = f"http://{place.repository.host}/v2/{place.repository.path}/{path}"
    with urllib3.PoolManager(retries=False) as http:
        assert http.request("DELETE", url, headers={"Connection": "close"}).status == 202
