"""``promotion promote`` without a promotion.yaml: what it does, says, and leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion import cli
from promotion.by_hand.errand import Errand, Unrecorded
from promotion.errors import TagTaken
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Reference
from tests.unit.attached import refer
from tests.unit.shop import Shop

PLACES = {"SOURCE_STAGE": "fast-feedback", "DEST_STAGE": "extended-test"}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without promotion.yaml, of somebody without credentials."""
    monkeypatch.chdir(tmp_path)


def promote(shop: Shop, *arguments: str, **environment: str) -> int:
    """Run the command with what a pipeline sets; its exit code."""
    registries = {"SOURCE_REGISTRY": f"{shop.near.host}/shop", "REGISTRY": f"{shop.near.host}/shop"}
    home = {"HOME": "/nonexistent", "DOCKER_CONFIG": "/nonexistent"}
    try:
        return cli.main(["promote", *arguments], {**home, **PLACES, **registries, **environment})
    except SystemExit as ended:
        return int(ended.code or 0)


def second(shop: Shop, stage: str = "fast-feedback") -> RepositoryClient:
    """The repository of the shop's other image."""
    place = shop.stage(stage).repository
    other = type(place)(
        place.host, place.path.replace("/shop/", "/shop/").rpartition("/")[0] + "/db"
    )
    return RepositoryClient(other, shop.transport)


def puts(registry: EmbeddedRegistry) -> list[str]:
    """What was written to a registry: the last part of each path, in order."""
    return [each.path.rpartition("/")[2] for each in registry.served if each.method == "PUT"]


def test_an_image_goes_to_the_next_stage_with_what_belongs_to_it(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step is a line, and the last one says the digest and where it is now."""
    image = shop.push()
    refer(shop.stage("fast-feedback"), image, b"sbom")
    assert promote(shop, "shop:1.0") == 0
    assert shop.stage("extended-test").manifest("1.0") == image
    assert shop.stage("extended-test").referrers(image.digest)
    told = capsys.readouterr()
    steps = [line.split()[0] for line in told.out.splitlines()]
    assert steps[:5] == ["validating:", "resolving", "no", "copying", "tagging"]
    assert "copying shop:1.0: 2 blobs, and what is attached\n" in told.out
    there = f"{shop.stage('extended-test').repository}:1.0"
    assert told.out.splitlines()[-1] == f"promoted shop:1.0: {image.digest} is now at {there}"
    assert told.err == ""


def test_an_image_goes_to_another_registry(shop: Shop) -> None:
    """The flags say where; they count for more than the environment."""
    image = shop.push()
    flags = ["--dest-registry", f"{shop.far.host}/shop/", "--dest-stage", "prod"]
    assert promote(shop, "shop:1.0", *flags, DEST_REGISTRY="nowhere.example") == 0
    assert shop.stage("prod").resolve("1.0") == image.digest


def test_several_images_are_all_copied_before_any_is_tagged(shop: Shop) -> None:
    """The two tags are the last two things that are written."""
    one, two = shop.push(), images.push_image(second(shop), [b"two"], tag="1.0")
    before = len(puts(shop.near))
    assert promote(shop, "shop:1.0", "db:1.0", "shop:1.0") == 0
    assert puts(shop.near)[before:] == [one.digest, two.digest, "1.0", "1.0"]
    assert second(shop, "extended-test").resolve("1.0") == two.digest


def test_one_missing_image_fails_all_and_nothing_is_written(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each image that is missing is named in a line of its own."""
    shop.push()
    before = puts(shop.near)
    assert promote(shop, "shop:1.0", "db:1.0", "till:1.0") == 1
    stage = f"{shop.near.host}/shop/fast-feedback"
    assert capsys.readouterr().err.splitlines() == [
        f"promotion: {stage}/db:1.0 does not exist; check the name and the tag",
        f"promotion: {stage}/till:1.0 does not exist; check the name and the tag",
    ]
    assert puts(shop.near) == before


def test_a_dry_run_writes_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be where; that one may write there is found out all the same."""
    image = shop.push()
    before = puts(shop.near)
    assert promote(shop, "shop:1.0", "--dry-run") == 0
    assert f"would promote shop:1.0: {image.digest}" in capsys.readouterr().out
    assert puts(shop.near) == before
    assert shop.stage("extended-test").tags() == []
    assert promote(shop, "shop:1.0", "--dry-run", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["promoted"], report["dry_run"]) == (False, True)
    assert {blob["way"] for blob in report["images"][0]["blobs"]} == {"mounted"}


def test_json_is_one_object_and_nothing_else(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says of each image where it is now, and how it came there."""
    image = shop.push()
    assert promote(shop, "shop:1.0", "--json") == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert (report["promoted"], report["gated"]) == (True, False)
    (found,) = report["images"]
    assert found["destination"] == f"{shop.stage('extended-test').repository}:1.0@{image.digest}"
    assert (found["tagged"], found["present"], found["record"]) == (True, False, None)
    assert told.err == ""


def test_a_tag_that_names_other_content_is_never_overwritten(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names both digests; no image that was named beside it is tagged either."""
    image = shop.push()
    other = shop.push("extended-test", b"other")
    images.push_image(second(shop), [b"two"], tag="1.0")
    assert promote(shop, "db:1.0", "shop:1.0") == 1
    error = capsys.readouterr().err
    assert f"names {other.digest} already, not {image.digest}" in error
    assert error.count("\n") == 1
    assert shop.stage("extended-test").resolve("1.0") == other.digest
    assert second(shop, "extended-test").tags() == []


def test_what_is_there_already_is_a_success(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not sent again; what was attached to it since is brought."""
    image = shop.push()
    assert promote(shop, "shop:1.0") == 0
    later = refer(shop.stage("fast-feedback"), image, b"later")
    before = len(puts(shop.near))
    assert promote(shop, "shop:1.0") == 0
    there = shop.stage("extended-test")
    assert f"{there.repository}:1.0@{image.digest} is there already" in capsys.readouterr().out
    assert [each.digest for each in there.referrers(image.digest) or []] == [later.digest]
    assert not {image.digest, "1.0"} & set(puts(shop.near)[before:])


@pytest.mark.parametrize("twin", [True, False])
def test_a_tag_that_is_set_meanwhile_is_kept(shop: Shop, twin: bool) -> None:
    """A twin's tag is as good as one's own; any other is an error."""
    image = shop.push()
    here, there = shop.stage("fast-feedback"), shop.stage("extended-test")
    origin, target = (Reference(each.repository, "1.0") for each in (here, there))
    errand = Errand.of("shop:1.0", origin, target, shop.transport, shop.transport)
    terms = Unrecorded(errand.resolve())
    rival = shop.push("extended-test", b"tested" if twin else b"other")
    if twin:
        terms.tag()
    else:
        with pytest.raises(TagTaken, match=f"names {rival.digest} already, not {image.digest}"):
            terms.tag()
    assert there.resolve("1.0") == rival.digest


def test_an_image_may_be_pinned_to_a_digest(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """If the tag names something else by now, nothing is promoted."""
    first = shop.push()
    assert promote(shop, f"shop:1.0@{first.digest}", "--dry-run") == 0
    shop.push(content=b"moved")
    assert promote(shop, f"shop:1.0@{first.digest}") == 1
    assert f"not {first.digest}" in capsys.readouterr().err
    assert shop.stage("extended-test").tags() == []


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "complaint"),
    [
        (["shop:1.0"], {"SOURCE_STAGE": ""}, 2, "give --source-stage, or set SOURCE_STAGE"),
        (["shop:1.0"], {"REGISTRY": ""}, 2, "set DEST_REGISTRY or REGISTRY"),
        (
            ["shop:1.0"],
            {"SOURCE_REGISTRY": "", "DEST_STAGE": ""},
            2,
            "give --source-registry, or set SOURCE_REGISTRY; give --dest-stage, or set DEST_STAGE;",
        ),
        (["shop:1.0", "--event"], {}, 2, "--event needs --gate"),
        ([], {}, 2, "IMAGE:TAG"),
        (["shop"], {}, 1, "names neither a tag nor a digest"),
        ([f"shop@sha256:{'a' * 64}"], {}, 1, "has no tag"),
        (["shop:1.0"], {"DEST_STAGE": "fast-feedback"}, 1, "both source and destination"),
        (["shop:1.0"], {"REGISTRY": "shop"}, 1, "write it out"),
        (["shop:1.0", "--dest-auth-override", "/absent.json"], {}, 1, "which is no file"),
        (["shop:1.0"], {"SOURCE_AUTH_OVERRIDE": "/absent.json"}, 1, "which is no file"),
        (["shop:1.0", "--gate"], {}, 1, "promotion.yaml cannot be read"),
        (["shop:1.0"], {"PROMOTION_CONFIG": "absent.yaml"}, 1, "absent.yaml cannot be read"),
    ],
)
def test_arguments_are_checked_before_anything_is_asked(
    shop: Shop,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    complaint: str,
) -> None:
    """What is wrong is said, and no registry has heard of it."""
    assert promote(shop, *arguments, **environment) == code
    assert complaint in capsys.readouterr().err
    assert shop.near.served == []


@pytest.mark.parametrize("stage", ["fast-feedback", "prod"])
def test_the_registry_is_no_part_of_the_name(
    shop: Shop, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    """A full name, on either side, is refused, rather than looked for below the stage."""
    registries = {
        "SOURCE_REGISTRY": f"{shop.near.host}/shop/",
        "DEST_REGISTRY": f"{shop.far.host}/shop/",
    }
    assert promote(shop, f"{shop.stage(stage).repository}:1.0", **registries) == 1
    assert "name it without" in capsys.readouterr().err


def test_an_index_is_copied_whole(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says how many manifests it points to."""
    place = shop.stage("fast-feedback")
    children = [images.push_image(place, [each]) for each in (b"amd64", b"arm64")]
    index = images.push_index(place, children, tag="1.0")
    assert promote(shop, "shop:1.0") == 0
    told = capsys.readouterr().out
    assert "copying shop:1.0: 2 manifests with their blobs, and what is attached\n" in told
    assert shop.stage("extended-test").resolve("1.0") == index.digest
