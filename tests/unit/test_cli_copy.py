"""``promotion copy``: what it does, what it says, and what it leaves alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion import cli
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Manifest
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
def source(near: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """Where the image is."""
    return RepositoryClient(Repository(near.host, "dev/shop"), transport)


@pytest.fixture
def destination(far: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """Where it goes, in another registry."""
    return RepositoryClient(Repository(far.host, "prod/shop"), transport)


@pytest.fixture
def image(source: RepositoryClient) -> Manifest:
    """An image with a signature."""
    image = images.push_image(source, [b"layer"], tag="1.0")
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.content)}
    config = images.push_blob(source, b"{}", "application/vnd.oci.empty.v1+json")
    images.push_manifest(source, {"config": config, "layers": [], "subject": subject}, OCI_MANIFEST)
    return image


def copy(*arguments: object, home: Path = Path("/nonexistent")) -> int:
    """Run the command without anybody's credentials; its exit code."""
    return cli.main(["copy", *map(str, arguments)], {"HOME": str(home), "DOCKER_CONFIG": str(home)})


def test_an_image_is_copied_with_what_belongs_to_it(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The tag names the same digest there, its signature is listed, and the summary says so."""
    assert copy(f"{source.repository}:1.0", f"{destination.repository}:1.0") == 0
    assert destination.manifest("1.0") == image
    assert destination.referrers(image.digest)
    out = capsys.readouterr().out
    assert f"copied {source.repository}:1.0 to {destination.repository}:1.0@{image.digest}" in out
    assert "1 referrers" in out


def test_a_digest_can_be_copied_under_a_tag_or_by_itself(
    image: Manifest, source: RepositoryClient, destination: RepositoryClient
) -> None:
    """The source may be named by digest, and the destination need not have a tag."""
    origin = f"{source.repository}@{image.digest}"
    assert copy(origin, f"{destination.repository}@{image.digest}") == 0
    assert destination.has_manifest(image.digest)
    assert copy(origin, f"{destination.repository}:new") == 0
    assert destination.resolve("new") == image.digest


def test_referrers_stay_behind_on_request(
    image: Manifest, source: RepositoryClient, destination: RepositoryClient
) -> None:
    """With --no-referrers the image goes alone."""
    target = f"{destination.repository}:1.0"
    assert copy(f"{source.repository}:1.0", target, "--no-referrers") == 0
    assert destination.resolve("1.0") == image.digest
    assert destination.referrers(image.digest) == []


def test_json_reports_every_blob(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Standard output is one object, with the way of each blob."""
    target = f"{destination.repository}:1.0"
    assert copy(f"{source.repository}:1.0", target, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["digest"] == image.digest
    assert report["destination"] == f"{target}@{image.digest}"
    assert {blob["way"] for blob in report["blobs"]} == {"copied"}
    assert all(
        blob.keys() == {"digest", "size", "way", "retries", "reason"} for blob in report["blobs"]
    )
    assert report["bytes"] == sum(blob["size"] for blob in report["blobs"])


def requests(registry: EmbeddedRegistry, before: int) -> list[tuple[str, str]]:
    """What a registry was asked since then, but for look-ups: the method and the kind of path."""
    kinds = [
        (each.method, each.path.split("/")[-2], each.path) for each in registry.served[before:]
    ]
    return sorted(
        (method, kind)
        for method, kind, path in kinds
        if kind != "referrers" and "/manifests/sha256-" not in path
    )


@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.usefixtures("image")
def test_what_is_there_is_not_sent_again(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    near: EmbeddedRegistry,
    far: EmbeddedRegistry,
    capsys: pytest.CaptureFixture[str],
    by: str,
) -> None:
    """One request to each side shows that they agree, however source and destination are named."""
    name = ":1.0" if by == "tag" else f"@{image.digest}"
    arguments = (f"{source.repository}{name}", f"{destination.repository}{name}")
    assert copy(*arguments) == 0
    before, before_far = len(near.served), len(far.served)
    capsys.readouterr()
    assert copy(*arguments, "--json") == 0
    assert requests(near, before) == [("GET", "manifests")]
    assert requests(far, before_far) == [("HEAD", "manifests")]
    report = json.loads(capsys.readouterr().out)
    assert (report["present"], report["manifests"], report["blobs"]) == (True, 0, [])


def test_a_signature_that_came_later_is_brought_to_an_image_that_is_there(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    far: EmbeddedRegistry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Copied again, an image gets what has been attached to it since, and is not sent itself."""
    arguments = (f"{source.repository}:1.0", f"{destination.repository}:1.0")
    assert copy(*arguments) == 0
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.content)}
    config = images.push_blob(source, b"{}", "application/vnd.oci.empty.v1+json")
    layers = [images.push_blob(source, b"later", "text/plain")]
    fields = {"config": config, "layers": layers, "subject": subject}
    later = images.push_manifest(source, fields, OCI_MANIFEST)
    before = len(far.served)
    capsys.readouterr()
    assert copy(*arguments) == 0
    assert later.digest in {each.digest for each in destination.referrers(image.digest) or []}
    written = [each.path for each in far.served[before:] if "/manifests/" in each.path]
    assert [path for path in written if image.digest in path or path.endswith(":1.0")] == []
    out = capsys.readouterr().out
    assert f"{destination.repository}:1.0@{image.digest} is there already" in out
    assert "1 referrers" in out


def test_a_tag_with_other_content_is_moved(
    image: Manifest, source: RepositoryClient, destination: RepositoryClient
) -> None:
    """Like other copying tools, the command moves a tag that exists."""
    images.push_image(destination, [b"older"], tag="1.0")
    assert copy(f"{source.repository}:1.0", f"{destination.repository}:1.0") == 0
    assert destination.resolve("1.0") == image.digest


def test_a_dry_run_writes_nothing(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    far: EmbeddedRegistry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It names what would move and how many bytes, here and inside one registry."""
    inside = f"{source.repository.host}/prod/shop:1.0"
    for target, way in ((f"{destination.repository}:1.0", "copied"), (inside, "mounted")):
        assert copy(f"{source.repository}:1.0", target, "--dry-run") == 0
        out = capsys.readouterr().out
        assert out.startswith("would copy ")
        assert f"{way}" in out
        assert image.digest in out
    assert not any(served.method in WRITES for served in far.served)
    assert destination.resolve("1.0") is None


def test_a_digest_cannot_change_on_the_way(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A destination that names another digest is refused before anything is asked."""
    other = f"{destination.repository}@sha256:{'a' * 64}"
    assert copy(f"{source.repository}:1.0", other) == 1
    assert "a copy keeps the digest" in capsys.readouterr().err
    assert image.digest not in other


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_tag_cannot_name_an_image_by_sha512(
    image: Manifest,
    source: RepositoryClient,
    destination: RepositoryClient,
    far: EmbeddedRegistry,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
) -> None:
    """It is refused before anything is sent, with the way that there is: under its digest."""
    long = Manifest(image.media_type, digest_of(image.content, "sha512"), image.content)
    source.put_manifest(long)
    named = f"{source.repository}@{long.digest}"
    assert copy(named, f"{destination.repository}:1.0", *options) == 1
    assert f"copy it by its digest, to {destination.repository}@" in capsys.readouterr().err
    assert not any(served.method in WRITES for served in far.served)
    assert copy(named, f"{destination.repository}@{long.digest}") == 0
    assert destination.has_manifest(long.digest)


def test_a_missing_image_is_one_line(
    source: RepositoryClient, destination: RepositoryClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was looked for is named, and nothing is written."""
    assert copy(f"{source.repository}:9.9", f"{destination.repository}:1.0") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{source.repository}:9.9" in error


@pytest.mark.usefixtures("image")
def test_progress_is_shown_to_a_terminal_alone(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """On a terminal there is a line for each blob; without one, standard error stays empty."""
    arguments = [f"{source.repository}:1.0", f"{destination.repository}:1.0"]
    command = [sys.executable, "-m", "promotion", "copy", *arguments]
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    subprocess.run(command, stderr=slave, stdout=subprocess.PIPE, check=True, env=environment)
    os.close(slave)
    assert os.read(master, 10_000)
    os.close(master)
    command[-1] = f"{destination.repository}:1.1"
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stderr == b""
    assert piped.stdout.startswith(b"copied ")
