"""What statements say, byte for byte, and which of them can be read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion.evidence import record, statement, suite_run
from promotion.evidence.record import PromotionRecord
from promotion.evidence.statement import NotAStatement, ResourceDescriptor
from promotion.evidence.suite_run import SuiteRun
from promotion.registry.reference import Digest, Reference
from tests.unit.attesting import AT, RECORD, RUN

HEX = "ab" * 32
DIGEST = Digest(f"sha256:{HEX}")
COMMIT = "d20ace7968ba43c0219f62d71334c1095bab1602"

texts = st.text(max_size=40)
moments = st.datetimes(
    datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC), allow_imaginary=False
)
runs = st.builds(
    SuiteRun,
    *[texts] * 5,
    passed=st.booleans(),
    finished_at=moments,
    subscription=texts,
    ref=texts,
    commit=st.sampled_from(["", "main", COMMIT]),
    url=texts,
)


def read_run(content: bytes, digest: Digest = DIGEST) -> SuiteRun:
    """The run that a statement tells of."""
    return suite_run.read(statement.read(content, digest))


def read_record(content: bytes) -> PromotionRecord:
    """The promotion that a statement tells of."""
    return record.read(statement.read(content, DIGEST))


def changed(content: bytes, change: Callable[[Any], object]) -> bytes:
    """A statement with something else in it."""
    said = json.loads(content)
    change(said)
    return json.dumps(said).encode()


def test_a_suite_run_is_an_in_toto_test_result() -> None:
    """It has the statement's fields and the predicate's, and says where it ran in annotations."""
    run = msgspec.structs.replace(
        RUN,
        subscription="projects/acme-ci/subscriptions/shop-results",
        ref="refs/heads/main",
        commit=COMMIT,
        url="https://ci.example/run/7",
    )
    assert json.loads(suite_run.write(run, DIGEST)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "registry.example/shop/fast-feedback/shop", "digest": {"sha256": HEX}}
        ],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": "PASSED",
            "configuration": [
                {
                    "name": "functional",
                    "annotations": {
                        "pipeline": "shop",
                        "stage": "fast-feedback",
                        "suite": "functional",
                        "version": "1.4.2",
                        "finishedAt": "2026-01-31T12:00:00Z",
                        "subscription": "projects/acme-ci/subscriptions/shop-results",
                        "ref": "refs/heads/main",
                        "commit": COMMIT,
                    },
                    "uri": "urn:promotion:shop:fast-feedback:functional",
                    "digest": {"gitCommit": COMMIT},
                }
            ],
            "url": "https://ci.example/run/7",
        },
    }


def test_what_is_not_known_of_a_run_is_left_out() -> None:
    """The pointer to its configuration has a URI still: in-toto wants that, or a digest."""
    run = msgspec.structs.replace(RUN, suite="smoke: a/b", passed=False, commit="not-a-commit")
    predicate = json.loads(suite_run.write(run, DIGEST))["predicate"]
    assert predicate == {
        "result": "FAILED",
        "configuration": [
            {
                "name": "smoke: a/b",
                "annotations": {
                    "pipeline": "shop",
                    "stage": "fast-feedback",
                    "suite": "smoke: a/b",
                    "version": "1.4.2",
                    "finishedAt": "2026-01-31T12:00:00Z",
                    "commit": "not-a-commit",
                },
                "uri": "urn:promotion:shop:fast-feedback:smoke%3A%20a%2Fb",
            }
        ],
    }


def test_a_promotion_record_is_a_verification_summary() -> None:
    """It has all fields that SLSA's VSA demands; ours begin with promotion_."""
    assert json.loads(record.write(RECORD, DIGEST)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "registry.example/shop/extended-test/shop", "digest": {"sha256": HEX}}
        ],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": {"id": "urn:promotion:shop"},
            "timeVerified": "2026-01-31T12:00:00Z",
            "resourceUri": "pkg:oci/shop@sha256:…",
            "policy": {"uri": "oci://registry.example/shop/extended-test/promotion-policy@…"},
            "inputAttestations": [
                {
                    "uri": f"oci://registry.example/shop@sha256:{'c' * 64}",
                    "digest": {"sha256": "c" * 64},
                }
            ],
            "verificationResult": "PASSED",
            "verifiedLevels": ["PROMOTED_TO_EXTENDED_TEST"],
            "slsaVersion": "1.2",
            "promotion_pipeline": "shop",
            "promotion_from": {
                "stage": "fast-feedback",
                "image": "registry.example/shop/fast-feedback/shop:1.4.2",
            },
            "promotion_to": {
                "stage": "extended-test",
                "image": "registry.example/shop/extended-test/shop:1.4.2",
            },
            "promotion_findings": [
                {"code": "suite-succeeded", "message": "suite functional succeeded"}
            ],
            "promotion_event_id": "4e1d8c4e-0000-5000-8000-000000000000",
        },
    }


def test_a_level_is_never_one_of_slsa() -> None:
    """Whatever a stage is called: custom levels may not begin with SLSA_."""
    stage = msgspec.structs.replace(RECORD, to_stage="slsa-build-level-3")
    levels = json.loads(record.write(stage, DIGEST))["predicate"]["verifiedLevels"]
    assert levels == ["PROMOTED_TO_SLSA_BUILD_LEVEL_3"]


@given(runs)
def test_a_run_is_read_as_it_was_written(run: SuiteRun) -> None:
    """Nothing is lost on the way, and the same run has the same bytes."""
    content = suite_run.write(run, DIGEST)
    assert read_run(content) == run
    assert suite_run.write(read_run(content), DIGEST) == content


def test_a_record_is_read_as_it_was_written() -> None:
    """Nothing is lost on the way, and the same promotion has the same bytes."""
    content = record.write(RECORD, DIGEST)
    assert read_record(content) == RECORD
    assert record.write(read_record(content), DIGEST) == content
    assert read_record(content).evidence == [f"sha256:{'c' * 64}"]


def test_a_digest_of_another_algorithm_is_named_by_it() -> None:
    """An image whose digest is a sha512 is the subject as such."""
    digest = Digest(f"sha512:{'ab' * 64}")
    content = suite_run.write(RUN, digest)
    assert json.loads(content)["subject"][0]["digest"] == {"sha512": "ab" * 64}
    assert read_run(content, digest) == RUN


def test_fields_that_are_not_known_are_ignored() -> None:
    """As in-toto's parsing rules say."""

    def add(said: Any) -> None:
        said["more"] = 1
        said["predicate"]["passedTests"] = ["a"]
        said["predicate"]["configuration"][0]["annotations"]["more"] = {}

    assert read_run(changed(suite_run.write(RUN, DIGEST), add)) == RUN


def test_a_run_with_warnings_has_passed() -> None:
    """in-toto's third result is no failure."""
    content = suite_run.write(RUN, DIGEST)
    assert read_run(changed(content, lambda said: said["predicate"].update(result="WARNED"))).passed


def test_moments_are_told_in_utc() -> None:
    """A statement of another program may name them otherwise; they are the same."""
    there = timezone(timedelta(hours=2))
    run = msgspec.structs.replace(RUN, finished_at=AT.astimezone(there))
    assert read_run(suite_run.write(run, DIGEST)).finished_at.utcoffset() == timedelta(0)
    assert read_run(suite_run.write(run, DIGEST)).finished_at == AT


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda said: said.update(_type="https://in-toto.io/Statement/v0.1"), "not well formed"),
        (lambda said: said.update(subject=[]), "not well formed"),
        (lambda said: said["subject"].append(said["subject"][0]), "not well formed"),
        (lambda said: said["subject"][0].update(digest={}), "it is about {}, and attached to"),
        (lambda said: said["subject"][0].update(digest={"sha256": "cd" * 32}), "it is about"),
        (lambda said: said["subject"][0].update(digest={"sha512": HEX}), "it is about"),
        (lambda said: said.pop("predicate"), "not well formed"),
        (lambda said: said["predicate"].update(result="passed"), "not well formed"),
        (lambda said: said["predicate"].update(configuration=[]), "not well formed"),
        (
            lambda said: said["predicate"]["configuration"].append(
                said["predicate"]["configuration"][0]
            ),
            "not well formed",
        ),
        (
            lambda said: said["predicate"]["configuration"][0]["annotations"].update(
                finishedAt="2026-01-31T12:00:00"
            ),
            "not well formed",
        ),
        (
            lambda said: said["predicate"]["configuration"][0]["annotations"].update(
                finishedAt="0001-01-01T00:00:00+23:00"
            ),
            "cannot be told in UTC",
        ),
        (lambda said: said.update(padding="x" * 64 * 1024), "and 65,536 are read at most"),
    ],
)
def test_what_is_no_statement_about_a_run_is_told(
    change: Callable[[Any], object], reason: str
) -> None:
    """Each comes with the reason, which status shows."""
    with pytest.raises(NotAStatement, match=reason):
        read_run(changed(suite_run.write(RUN, DIGEST), change))


@pytest.mark.parametrize("content", [b"", b"null", b"[" * 100_000, b'{"_type": 1}', b"\xff"])
def test_what_is_no_json_of_this_kind_is_told(content: bytes) -> None:
    """No bytes lead to any other error."""
    with pytest.raises(NotAStatement):
        statement.read(content, DIGEST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda said: said["predicate"].update(verificationResult="FAILED"), "not well formed"),
        (lambda said: said["predicate"].pop("promotion_event_id"), "not well formed"),
        (lambda said: said["predicate"].update(timeVerified="today"), "not well formed"),
        (
            lambda said: said["predicate"].update(timeVerified="9999-12-31T23:59:59-01:00"),
            "cannot be told in UTC",
        ),
        (lambda said: said["predicate"]["promotion_to"].pop("image"), "does not name its images"),
        (
            lambda said: said["predicate"]["promotion_from"].update(image="shop"),
            "does not name its images",
        ),
        (
            lambda said: said["predicate"]["inputAttestations"][0].update(digest={"sha256": "1"}),
            "does not name its images and inputs",
        ),
        (
            lambda said: said["subject"][0].update(name="registry.example/shop/prod/shop"),
            "its subject is not the image that it says was promoted",
        ),
    ],
)
def test_what_is_no_record_is_told(change: Callable[[Any], object], reason: str) -> None:
    """Another program's summaries do not have our fields; none of them counts by mistake."""
    with pytest.raises(NotAStatement, match=reason):
        read_record(changed(record.write(RECORD, DIGEST), change))


def test_a_record_names_all_inputs() -> None:
    """Several, in the order in which they were given."""
    digests = [Digest(f"sha256:{letter * 64}") for letter in "dbc"]
    inputs = tuple(ResourceDescriptor.of("oci://registry.example/shop", each) for each in digests)
    several = msgspec.structs.replace(RECORD, inputs=inputs)
    assert read_record(record.write(several, DIGEST)).evidence == digests


def test_a_record_names_its_destination_with_the_tag() -> None:
    """It lets an image in under one version, and under no other."""
    read = read_record(record.write(RECORD, DIGEST))
    assert read.destination == Reference.parse("registry.example/shop/extended-test/shop:1.4.2")
