"""Limits: each of those that docs/limits.md names, as large as it says, and what is beyond it."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dev import images
from promotion import configuration, messages
from promotion.deadline import Deadline
from promotion.delivery import Message
from promotion.errors import (
    BadConfiguration,
    BadMessage,
    BadReference,
    BeyondLimit,
    UnsupportedContent,
)
from promotion.events import DENIED
from promotion.registry import client, order, pages
from promotion.registry.client import LARGEST_MANIFEST, RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.manifest import MOST_ENTRIES, OCI_INDEX, Manifest, successors
from promotion.registry.reference import Reference, Repository, digest_of, parse_digest
from promotion.registry.retry import retry_after
from promotion.registry.transport import Transport
from tests.unit.attached import refer
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.shop import Shop, codes, kinds
from tests.unit.slow import SlowServer, dripping

ROOT = Path(__file__).parent.parent.parent
UNITS = {"": 1, "KiB": 1024, "MiB": 1024 * 1024}
# What these limit is how a text is worded, or a time.
WORDING = re.compile("EXPLANATION|COMPLAINT|REASON|KEY_ID|SECONDS|MARGIN|RETRY_AFTER|LISTED")


def documented() -> dict[str, int]:
    """The limits in the table, by the names of their constants."""
    page = (ROOT / "docs/limits.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]+\| ([0-9,]+)(?: (\w+))? \| `([\w.]+)` \|", page, re.MULTILINE)
    return {name: int(number.replace(",", "")) * UNITS[unit] for number, unit, name in rows}


def in_the_code() -> set[str]:
    """The names of all constants that say how much of something there may be."""
    found = set()
    for file in [ROOT / "main.py", *(ROOT / "promotion").rglob("*.py")]:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Assign):
                found |= {f"{module}.{ast.unparse(each)}" for each in statement.targets}
    limit = re.compile(r".*\._?(?:MOST|LARGEST|LONGEST|DEEPEST)(?:_[A-Z_]+)?")
    return {name for name in found if limit.fullmatch(name) and not WORDING.search(name)}


def test_every_limit_is_documented() -> None:
    """No constant that limits something is missing from the table, and none there is gone."""
    assert set(documented()) == in_the_code()


@pytest.mark.parametrize(
    ("name", "value"),
    [each for each in documented().items() if not each[0].startswith("main.")],
)
def test_every_limit_is_as_large_as_documented(name: str, value: int) -> None:
    """The table says what the code does."""
    module, _, constant = name.rpartition(".")
    assert getattr(importlib.import_module(module), constant) == value


def message(data: bytes) -> Message:
    """A message with this data."""
    return Message(data, {}, "1", datetime(2026, 1, 31, 12, tzinfo=UTC))


def test_a_message_beyond_the_limit_is_not_read() -> None:
    """One that would be good is bad if it is that large; at the limit it is good."""
    plain = {"image": "gcr.io/a/b:1", "digest": digest_of(b""), "suite": "s", "outcome": "success"}
    whole = json.dumps(plain).encode()
    messages.parse(message(whole.ljust(messages.LARGEST)))
    with pytest.raises(BadMessage, match="1,048,577 bytes"):
        messages.parse(message(whole.ljust(messages.LARGEST + 1)))


@pytest.mark.parametrize(
    "text", ["a." * 600 + "b/c:1", "a.b/" + "c/" * 600_000 + "d:1", "x" * 10**6]
)
def test_what_is_said_of_a_long_reference_is_short(text: str) -> None:
    """An error text does not repeat a megabyte."""
    for parse in (Reference.parse, Repository.parse, parse_digest):
        with pytest.raises(BadReference) as raised:
            parse(text)
        assert len(str(raised.value)) < 1_000


def test_aliases_do_not_make_a_small_file_large() -> None:
    """A promotion.yaml of a few lines that stands for billions of entries is refused."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for one, other in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{other}: &{other} [{', '.join([f'*{one}'] * 10)}]")
    with pytest.raises(BadConfiguration, match="more than 100,000"):
        configuration.parse("promotion.yaml", "\n".join(lines))


@pytest.mark.parametrize("text", [r'pipelines: {"\ud800": 1}', r'pipelines: "\udfff"'])
def test_half_a_character_is_none(text: str) -> None:
    """An escape for half of a surrogate pair is reported like any value that cannot be read."""
    with pytest.raises(BadConfiguration, match=r"promotion\.yaml:\d+: a value that cannot be read"):
        configuration.parse("promotion.yaml", text)


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 31 Jan 99999999999 12:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 1 Jan 1 0 +1",
    ],
)
def test_no_date_in_retry_after_is_beyond_reckoning(header: str) -> None:
    """Such a date is a day at most, or as if it were not there."""
    assert retry_after({"Retry-After": header}) in (None, 0.0, 24 * 60 * 60)


def index(*digests: str) -> Manifest:
    """An index of images that need not be anywhere."""
    entries = [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": each, "size": 2}
        for each in digests
    ]
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    return Manifest(OCI_INDEX, digest_of(content.encode()), content.encode())


def test_an_index_with_too_many_entries_is_not_taken_apart() -> None:
    """As many as are allowed are; one more is one too many."""
    digests = [digest_of(b"%d" % number) for number in range(MOST_ENTRIES + 1)]
    assert len(successors(index(*digests[1:])).manifests) == MOST_ENTRIES
    with pytest.raises(BeyondLimit, match="1,001 entries"):
        successors(index(*digests))


def test_indexes_in_indexes_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As deep as is allowed an image is copied; one level more, and nothing of it gets a tag."""
    monkeypatch.setattr(order, "DEEPEST", 3)
    source, destination = shop.stage("fast-feedback"), shop.stage("prod")
    image = images.push_image(source, [b"tested"])
    for _ in range(3):
        image = images.push_index(source, [image])
    copy(image, source, destination)
    with pytest.raises(BeyondLimit, match="more than 3 levels"):
        copy(images.push_index(source, [image]), source, destination)


def test_referrers_of_referrers_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of attachments is copied whole, up to the same depth, or not at all."""
    monkeypatch.setattr(order, "DEEPEST", 2)
    source, destination = shop.stage("fast-feedback"), shop.stage("prod")
    image = images.push_image(source, [b"tested"])
    last = refer(source, refer(source, image, b"an SBOM"), b"its signature")
    assert len(copy(image, source, destination).referrers) == 2
    refer(source, last, b"one too many")
    with pytest.raises(BeyondLimit, match="more than 2 levels"):
        copy(image, source, destination)


@pytest.mark.parametrize(
    ("limit", "most", "complaint"),
    [
        ("MOST_MANIFESTS", 3, "more than 3 manifests"),
        ("MOST_BLOBS", 4, "more than 4 blobs"),
        ("MOST_BYTES", 2_000, "more than 2,000 bytes of manifests"),
    ],
)
def test_an_image_of_too_many_parts_is_not_copied(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, complaint: str
) -> None:
    """Whether it is manifests, blobs or bytes that there are too many of."""
    monkeypatch.setattr(order, limit, most)
    source, destination = shop.stage("fast-feedback"), shop.stage("prod")
    image = images.push_image(source, [b"tested"])
    for number in range(3):
        refer(source, image, b"%d" % number * 99)
    with pytest.raises(BeyondLimit, match=complaint):
        copy(image, source, destination)


def flood(shop: Shop, image: Manifest) -> None:
    """Attach three things to the image itself."""
    for number in range(3):
        refer(shop.stage("fast-feedback"), image, b"%d" % number)


def deepen(shop: Shop, image: Manifest) -> None:
    """Attach a chain of three things, so that only the copy finds that it is too long."""
    for number in range(3):
        image = refer(shop.stage("fast-feedback"), image, b"%d" % number)


@pytest.mark.parametrize(
    ("limit", "module", "most", "overdo"),
    [("MOST_REFERRERS", client, 2, flood), ("DEEPEST", order, 2, deepen)],
)
def test_beyond_a_limit_an_image_is_denied(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    module: Any,
    most: int,
    overdo: Callable[[Shop, Manifest], None],
) -> None:
    """One denied event says so, however many suites succeed, and no tag is set."""
    image = shop.push()
    overdo(shop, image)
    monkeypatch.setattr(module, limit, most)
    (event,) = shop.handle(shop.result(image.digest))
    assert (kinds([event]), codes(event)) == ([DENIED], ["beyond-limit"])
    assert f"more than {most}" in event.data.decode()
    assert shop.handle(shop.result(image.digest)) == []
    assert shop.stage("extended-test").resolve("1.0") is None


def test_a_manifest_beyond_the_limit_is_denied(shop: Shop) -> None:
    """It cannot be read, so that nothing is stated of it either; the denial is told once."""
    padding = {"schemaVersion": 2, "manifests": [], "annotations": {"a": "x" * LARGEST_MANIFEST}}
    content = msgspec.json.encode(padding)
    image = Manifest(OCI_INDEX, digest_of(content), content)
    shop.stage("fast-feedback").put_manifest(image, "1.0")
    (event,) = shop.handle(shop.result(image.digest))
    assert (kinds([event]), codes(event)) == ([DENIED], ["beyond-limit"])
    assert shop.handle(shop.result(image.digest)) == []


def test_beyond_a_limit_that_is_lifted_an_image_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was denied for what is attached to it is promoted once that can be read."""
    image = shop.push()
    flood(shop, image)
    with monkeypatch.context() as limited:
        limited.setattr(client, "MOST_REFERRERS", 2)
        shop.handle(shop.result(image.digest))
    shop.handle(shop.result(image.digest))
    assert shop.stage("extended-test").resolve("1.0") == image.digest


def test_what_says_that_it_is_too_long_is_not_waited_for(transport: Transport) -> None:
    """The length that is stated is enough to refuse it, however slowly the rest would come."""
    with SlowServer(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")) as server:
        deadline = Deadline.after(20)
        with pytest.raises(BeyondLimit):
            RepositoryClient(Repository(server.host, "shop"), transport, deadline).manifest("1.0")


def tags(transport: Transport, *answers: Answer) -> list[str]:
    """The tags that a registry with these answers lists."""
    with ScriptedServer(*answers) as server:
        return RepositoryClient(Repository(server.host, "shop"), transport).tags()


def page(*names: str, following: str = "") -> Answer:
    """A page of tags."""
    link = {"Link": f'<{following}>; rel="next"'} if following else {}
    return Answer(200, json.dumps({"tags": names}).encode(), link)


def test_the_pages_of_a_list_are_weighed_together(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that are each short enough may be too long as a whole."""
    monkeypatch.setattr(pages, "MOST_BYTES", 50)
    assert tags(transport, page("a" * 20, following="?2"), page("b" * 20)) == ["a" * 20, "b" * 20]
    long = [page("a" * 60, following=f"?{number}") for number in range(3)]
    with pytest.raises(BeyondLimit, match="after 1 pages"):
        tags(transport, *long)


@pytest.mark.parametrize("following", [f"?{'2' * 30_000}", f"http://[{'2' * 30_000}"])
def test_what_is_said_of_a_long_link_is_short(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, following: str
) -> None:
    """An error text repeats its beginning."""
    monkeypatch.setattr(pages, "MOST_PAGES", 1)
    with pytest.raises((BeyondLimit, UnsupportedContent)) as raised:
        tags(transport, page("a", following=following))
    assert len(str(raised.value)) < 1_000


def test_a_page_of_too_many_names_is_not_taken_apart(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted by the commas between them, before there is an object for each; and all."""
    monkeypatch.setattr(client, "MOST_TAGS", 3)
    assert tags(transport, page("a", "b", "c")) == ["a", "b", "c"]
    with pytest.raises(BeyondLimit, match="more than 3"):
        tags(transport, Answer(200, b'{"tags": [,,,,'))
    with pytest.raises(BeyondLimit, match="more than 3"):
        tags(transport, page("a", "b", following="?2"), page("c", "d"))


def test_a_tag_in_a_list_is_as_long_as_a_tag_may_be(transport: Transport) -> None:
    """A list of anything longer is no list of tags."""
    assert tags(transport, page("a" * 128)) == ["a" * 128]
    with pytest.raises(UnsupportedContent, match="no list of tags"):
        tags(transport, page("a" * 129))
