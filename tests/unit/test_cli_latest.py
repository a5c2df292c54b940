"""``promotion latest``: the version that a deployer should take."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from promotion import cli, configuration, control_log
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Evidence
from promotion.messages import Outcome
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Reference, Repository
from tests.unit.promoting import evidence_store
from tests.unit.shop import PUBLISHED, Shop

Latest = Callable[..., int]


@pytest.fixture
def latest(shop: Shop, tmp_path: Path) -> Latest:
    """Asks for the latest version of the shop in a stage; the exit code."""

    def latest(stage: str = "fast-feedback", *options: str, **environment: str) -> int:
        file = tmp_path / "promotion.yaml"
        file.write_text(shop.promotion_yaml)
        command = ["latest", "shop", "--stage", stage, "--config", str(file), *options]
        return cli.main(command, environment)

    return latest


def act(shop: Shop, kind: Kind, subject: str) -> Act:
    """A decision of a person about something in fast-feedback."""
    stage = "" if kind is Kind.REVOKE else "fast-feedback"
    return Act(kind, "shop", stage, subject, "ann@example.com", "it loses orders", shop.now)


def decide(shop: Shop, kind: Kind, version: str) -> None:
    """Let a person decide something about a version in fast-feedback."""
    place = shop.stage("fast-feedback")
    store = evidence_store(configuration.parse("promotion.yaml", shop.promotion_yaml))
    store.attach(place, place.manifest(version), act(shop, kind, str(place.repository)), Evidence())


def test_the_highest_release_version_is_printed(
    shop: Shop, latest: Latest, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the order of versions, not of letters; pre-releases and other tags do not count."""
    for tag in ("1.9.0", "1.10.0", "2.0.0-rc1", "latest"):
        shop.push(tag=tag)
    assert latest() == 0
    assert capsys.readouterr().out == "1.10.0\n"


def test_pre_releases_count_when_they_are_asked_for(
    shop: Shop, latest: Latest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below the release that they lead to, and in their own order, numbers as numbers."""
    for tag in ("1.9.0", "1.10.0-rc.9", "1.10.0-rc.10", "1.10.0-beta"):
        shop.push(tag=tag)
    assert latest("fast-feedback", "--pre-releases") == 0
    assert capsys.readouterr().out == "1.10.0-rc.10\n"
    shop.push(tag="1.10.0")
    assert latest("fast-feedback", "--pre-releases") == 0
    assert capsys.readouterr().out == "1.10.0\n"


def test_an_access_token_is_shown_to_the_stage_s_registry_alone(shop: Shop, latest: Latest) -> None:
    """The stages before it may be in registries that are others'."""
    shop.push("prod", tag="1.0.0")
    before = len(shop.near.served), len(shop.far.served)
    assert latest("prod", SOURCE_ACCESS_TOKEN="marked") == 0
    near, far = shop.near.served[before[0] :], shop.far.served[before[1] :]
    assert {each.authorization for each in far} == {"Bearer"}
    assert {each.authorization for each in near} == {""}


@pytest.mark.parametrize(("kind", "code"), [(Kind.REVOKE, "revoked"), (Kind.HOLD, "held")])
def test_what_is_revoked_or_held_is_skipped(
    shop: Shop, latest: Latest, kind: Kind, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is said which, and why."""
    for tag in ("1.0.0", "1.1.0"):
        shop.push(content=tag.encode(), tag=tag)
    decide(shop, kind, "1.1.0")
    assert latest("fast-feedback", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["version"] == "1.0.0"
    assert report["skipped"] == [{"version": "1.1.0", "findings": [code]}]


def test_what_should_not_have_been_promoted_is_skipped(
    shop: Shop, latest: Latest, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suite that fails late takes the version out of the running, until it is repaired."""
    for tag in ("1.0.0", "1.1.0"):
        digest = shop.push(content=tag.encode(), tag=tag).digest
        image = Reference(shop.stage("fast-feedback").repository, tag)
        result = replace(shop.result(digest), image=image)
        shop.handle(result)
    shop.handle(
        replace(result, outcome=Outcome.FAILURE, finished_at=PUBLISHED + timedelta(hours=1))
    )
    assert latest("extended-test", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["version"], report["since"]) == ("1.0.0", "2026-01-31T12:00:00+00:00")
    assert report["image"].endswith(f"/extended-test/shop:1.0.0@{report['digest']}")


def test_nothing_is_latest_in_a_stage_that_is_held(
    shop: Shop, latest: Latest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says by whom, and why."""
    shop.push(tag="1.0.0")
    stage = Repository(shop.near.host, "shop/fast-feedback")
    control = RepositoryClient(control_log.repository_of(stage), shop.transport)
    store = evidence_store(configuration.parse("promotion.yaml", shop.promotion_yaml))
    for _ in range(2):
        control_log.state(control, act(shop, Kind.HOLD, str(stage)), store)
    assert len(control.tags()) == 2, "the stage's own, and one for what is stated of it"
    assert latest() == 1
    assert "by ann@example.com: it loses orders" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage", "complaint"),
    [("staging", "There is no such stage 'staging'"), ("prod", "has no release version")],
)
def test_what_is_not_there_is_an_error(
    latest: Latest, stage: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    assert latest(stage) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["{stage}/shop", "{stage}/shop:1.0.0", "shop:1.0.0", "shop@sha256:"]
)
def test_more_than_a_name_is_not_taken(
    shop: Shop, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how to write it."""
    file = tmp_path / "promotion.yaml"
    file.write_text(shop.promotion_yaml)
    given = name.format(stage=f"{shop.near.host}/shop/fast-feedback")
    assert cli.main(["latest", given, "--stage", "fast-feedback", "--config", str(file)], {}) == 1
    error = capsys.readouterr().err
    assert "as in: promotion latest shop --stage fast-feedback\n" in error
    assert error.count("\n") == 1
