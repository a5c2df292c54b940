"""Versions of one line that are promoted at the same moment: one effect for each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

import promotion.promoter
from dev import images
from promotion.events import PROMOTED
from promotion.judgement import Judgement, judge
from promotion.messages import TestResult
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference
from tests.unit.promoting import promoter
from tests.unit.shop import Shop, codes, kinds

OLDER, NEWER = "1.4.2", "1.4.3"
PATIENCE = 60


def older(shop: Shop) -> tuple[Digest, TestResult]:
    """The older version in its first stage, and the result that lets it go on."""
    digest = shop.push(tag=OLDER).digest
    reference = Reference(shop.stage("fast-feedback").repository, OLDER)
    return digest, replace(shop.result(digest), image=reference)


def newer_arrives(shop: Shop) -> None:
    """Let the next stage have the newer version."""
    images.push_image(shop.stage("extended-test"), [b"newer"], tag=NEWER)


def before_each_manifest(
    monkeypatch: pytest.MonkeyPatch, do: Callable[[RepositoryClient, str], None]
) -> None:
    """Let something happen right before a manifest is written."""
    put_manifest = RepositoryClient.put_manifest

    def put(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
        do(repository, tag)
        return put_manifest(repository, manifest, tag)

    monkeypatch.setattr(RepositoryClient, "put_manifest", put)


def test_a_newer_version_that_arrives_during_the_copy_supersedes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next stage is looked at again right before the tag is set."""
    digest, result = older(shop)
    arrived = threading.Event()

    def arrives(repository: RepositoryClient, _: str) -> None:
        if repository.repository == shop.stage("extended-test").repository and not arrived.is_set():
            arrived.set()
            newer_arrives(shop)

    before_each_manifest(monkeypatch, arrives)
    (event,) = shop.handle(result)
    assert arrived.is_set()
    assert codes(event) == ["superseded"]
    assert shop.stage("extended-test").resolve(OLDER) is None
    assert shop.stage("extended-test").has_manifest(digest)


def test_what_a_twin_promotes_is_not_denied(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat that finds a newer version there waits for the delivery that came before it."""
    digest, result = older(shop)
    function = promoter(shop.promotion_yaml, shop.transport, shop.topic)
    twins: list[Future[None]] = []
    judged = threading.Event()

    def twin_is_judged(*arguments: object) -> Judgement:
        judgement = judge(*arguments)  # type: ignore[arg-type]
        if twins:
            assert [each.code for each in judgement.verdict.reasons] == ["superseded"]
            judged.set()
        return judgement

    monkeypatch.setattr(promotion.promoter, "judge", twin_is_judged)
    with ThreadPoolExecutor(1) as thread:

        def twin_comes(_: RepositoryClient, tag: str) -> None:
            if tag == OLDER and not twins:
                newer_arrives(shop)
                twins.append(thread.submit(function.handle, result))
                assert judged.wait(PATIENCE)

        before_each_manifest(monkeypatch, twin_comes)
        function.handle(result)
        twins[0].result(PATIENCE)

    assert kinds(shop.topic.events) == [PROMOTED]
    assert shop.stage("extended-test").resolve(OLDER) == digest
