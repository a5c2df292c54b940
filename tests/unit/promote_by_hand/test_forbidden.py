"""What people have held or revoked is not promoted by hand either."""

from __future__ import annotations

from typing import Any

import pytest

from dev import images
from promotion.evidence.act import Kind
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from tests.unit.promote_by_hand.desk import Desk, finding_codes


@pytest.mark.parametrize("scope", ["image", "stage"])
def test_what_is_held_stays(desk: Desk, scope: str) -> None:
    """Exit code 1, with who holds it and why; nothing is written."""
    shop = desk.shop
    shop.push()
    subject = f"{shop.near.host}/shop/fast-feedback" if scope == "stage" else ""
    desk.decide(Kind.HOLD, subject=subject)
    report = desk.promote(code=1)
    assert finding_codes(report) == ["held"]
    assert report["promoted"] is False
    assert "shop:1.0 is not promoted: WAIT: " in desk.err
    assert "held by ann@example.com: it loses orders" in desk.err
    assert shop.stage("extended-test").tags() == []
    desk.decide(Kind.RELEASE, subject=subject)
    assert desk.promote()["promoted"] is True


@pytest.mark.parametrize("where", ["fast-feedback", "extended-test"])
def test_what_is_revoked_stays(desk: Desk, where: str) -> None:
    """Also where it was revoked in the stage that it would go to."""
    shop = desk.shop
    shop.push()
    shop.push(where)
    desk.decide(Kind.REVOKE, where)
    report = desk.promote(code=1)
    assert finding_codes(report) == ["revoked"]
    assert "DENY: ann@example.com revoked it" in desk.err


def test_one_image_that_is_held_keeps_back_all(desk: Desk) -> None:
    """Of several images none is copied."""
    shop = desk.shop
    shop.push()
    db = RepositoryClient(Repository(shop.near.host, "shop/fast-feedback/db"), shop.transport)
    images.push_image(db, [b"two"], tag="1.0")
    desk.decide(Kind.HOLD)
    report = desk.promote("db:1.0", "shop:1.0", code=1)
    assert [each["tagged"] for each in report["images"]] == [False, False]
    assert shop.near.served
    there = RepositoryClient(Repository(shop.near.host, "shop/extended-test/db"), shop.transport)
    assert there.tags() == []


def test_a_hold_that_comes_while_it_is_copied_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for once more right before the tag."""
    shop = desk.shop
    image = shop.push()
    put_manifest = RepositoryClient.put_manifest

    def overtaken(self: RepositoryClient, manifest: Any, tag: str = "") -> bool:
        if self.repository.path == "shop/extended-test/shop" and manifest.digest == image.digest:
            monkeypatch.undo()
            desk.decide(Kind.HOLD)
        return put_manifest(self, manifest, tag)

    monkeypatch.setattr(RepositoryClient, "put_manifest", overtaken)
    assert finding_codes(desk.promote(code=1)) == ["held"]
    assert shop.stage("extended-test").resolve("1.0") is None
