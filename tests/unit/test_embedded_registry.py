"""The embedded registry speaks distribution-spec 1.1 and tells what it was asked."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from urllib3.connection import HTTPConnection

from dev.registry import EmbeddedRegistry, Served
from dev.services import MissingPart
from tests.unit.wire import (
    ABSENT,
    CONFIG,
    CONFIG_TYPE,
    IMAGE,
    INDEX,
    LAYER,
    Client,
    descriptor,
    digest_of,
    errors,
    image,
)


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    """A client that tries once."""
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        yield pool


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry without content."""
    with EmbeddedRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def client(pool: urllib3.PoolManager, registry: EmbeddedRegistry) -> Client:
    """A client of that registry."""
    return Client(pool, registry.host)


def test_version(client: Client) -> None:
    """The base of the API answers, so that a client knows it talks to a registry."""
    answer = client.ask("GET", "/v2/")
    assert (answer.status, answer.json()) == (200, {})


# Blobs


def test_monolithic_upload(client: Client) -> None:
    """A blob pushed with one PUT is there, and its Location says where."""
    digest = digest_of(LAYER)
    pushed = client.ask("PUT", f"{client.begin('team/app')}?digest={digest}", LAYER)
    assert pushed.status == 201
    assert pushed.headers["Docker-Content-Digest"] == digest
    assert client.ask("GET", pushed.headers["Location"]).data == LAYER


def test_single_post_upload(client: Client) -> None:
    """A blob may come with the very first request."""
    digest = digest_of(LAYER)
    assert client.ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", LAYER).status == 201
    assert client.ask("GET", f"/v2/app/blobs/{digest}").data == LAYER


def test_chunked_upload(client: Client) -> None:
    """Chunks make up a blob, and after each one the registry says how far it is."""
    location = client.begin("app")
    first = client.ask("PATCH", location, LAYER[:5], {"Content-Range": "0-4"})
    assert (first.status, first.headers["Range"]) == (202, "0-4")
    client.ask("PATCH", first.headers["Location"], LAYER[5:10], {"Content-Range": "5-9"})
    status = client.ask("GET", location)
    assert (status.status, status.headers["Range"]) == (204, "0-9")
    done = client.ask("PUT", f"{location}?digest={digest_of(LAYER)}", LAYER[10:])
    assert done.status == 201
    assert client.ask("GET", done.headers["Location"]).data == LAYER


def test_upload_without_length(client: Client) -> None:
    """A body may arrive in chunked transfer-encoding, and the closing PUT without one."""
    location = client.begin("app")
    assert client.ask("PATCH", location, iter([LAYER[:7], LAYER[7:]])).status == 202
    assert client.ask("PUT", f"{location}?digest={digest_of(LAYER)}").status == 201
    assert client.ask("GET", f"/v2/app/blobs/{digest_of(LAYER)}").data == LAYER


@pytest.mark.parametrize("content_range", ["3-7", "0-9", "bytes 0-4/21", "4-0"])
def test_chunk_that_does_not_fit(client: Client, content_range: str) -> None:
    """A chunk that is not the next one, or not what it says, leaves the upload as it was."""
    location = client.begin("app")
    answer = client.ask("PATCH", location, LAYER[:5], {"Content-Range": content_range})
    assert (answer.status, errors(answer)) == (416, [("BLOB_UPLOAD_INVALID", None)])
    assert client.ask("PUT", f"{location}?digest={digest_of(LAYER)}", LAYER).status == 201


@pytest.mark.parametrize("digest", [ABSENT, "sha256:short", "md5:" + "0" * 32, ""])
def test_wrong_blob_digest(client: Client, digest: str) -> None:
    """A blob that is not what its digest says never becomes visible."""
    answer = client.ask("PUT", f"{client.begin('app')}?digest={digest}", LAYER)
    assert (answer.status, errors(answer)) == (400, [("DIGEST_INVALID", None)])
    for each in (ABSENT, digest_of(LAYER)):
        assert client.ask("HEAD", f"/v2/app/blobs/{each}").status == 404


def test_cancelled_upload(client: Client) -> None:
    """An upload ends when the client says so."""
    location = client.begin("app")
    assert client.ask("DELETE", location).status == 204
    answer = client.ask("PATCH", location, LAYER)
    assert (answer.status, errors(answer)) == (404, [("BLOB_UPLOAD_UNKNOWN", None)])


def test_upload_belongs_to_its_repository(client: Client) -> None:
    """An upload cannot be continued in another repository."""
    location = client.begin("app").replace("/app/", "/other/")
    assert errors(client.ask("GET", location)) == [("BLOB_UPLOAD_UNKNOWN", None)]


def test_interrupted_upload(client: Client, registry: EmbeddedRegistry) -> None:
    """What arrived before the connection broke is kept, and the upload goes on from there."""
    location = client.begin("app")
    address, port = registry.host.split(":")
    with socket.create_connection((address, int(port))) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: {registry.host}\r\nContent-Length: 21\r\n\r\n"
        connection.sendall(head.encode() + LAYER[:8])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert client.ask("GET", location).headers["Range"] == "0-7"
    done = client.ask("PUT", f"{location}?digest={digest_of(LAYER)}", LAYER[8:])
    assert done.status == 201


def test_blob_head(client: Client) -> None:
    """HEAD tells size and digest and sends no content."""
    digest = client.push_blob("app", LAYER)
    answer = client.ask("HEAD", f"/v2/app/blobs/{digest}")
    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(LAYER))
    assert answer.headers["Docker-Content-Digest"] == digest


@pytest.mark.parametrize(
    ("wanted", "expected", "content_range"),
    [
        ("bytes=0-4", LAYER[:5], "bytes 0-4/21"),
        ("bytes=5-", LAYER[5:], "bytes 5-20/21"),
        ("bytes=-3", LAYER[-3:], "bytes 18-20/21"),
        ("bytes=19-99", LAYER[19:], "bytes 19-20/21"),
    ],
)
def test_blob_range(client: Client, wanted: str, expected: bytes, content_range: str) -> None:
    """A download may go on from anywhere."""
    digest = client.push_blob("app", LAYER)
    answer = client.ask("GET", f"/v2/app/blobs/{digest}", headers={"Range": wanted})
    assert (answer.status, answer.data) == (206, expected)
    assert answer.headers["Content-Range"] == content_range


def test_blob_range_behind_the_end(client: Client) -> None:
    """A range that the blob does not have is refused with the blob's size."""
    digest = client.push_blob("app", LAYER)
    answer = client.ask("GET", f"/v2/app/blobs/{digest}", headers={"Range": "bytes=21-"})
    assert (answer.status, errors(answer)) == (416, [("UNSUPPORTED", None)])
    assert answer.headers["Content-Range"] == "bytes */21"


def test_blob_of_megabytes(client: Client) -> None:
    """Content larger than any buffer comes back as it went in."""
    content = bytes(range(256)) * 20_000
    digest = client.push_blob("app", content)
    assert digest_of(client.ask("GET", f"/v2/app/blobs/{digest}").data) == digest


def test_empty_blob(client: Client) -> None:
    """No bytes are content too."""
    digest = client.push_blob("app", b"")
    answer = client.ask("GET", f"/v2/app/blobs/{digest}")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "0")


def test_mount(client: Client) -> None:
    """A blob of one repository is in another only once it was mounted there."""
    digest = client.push_blob("team/app", LAYER)
    unseen = client.ask("GET", f"/v2/prod/app/blobs/{digest}")
    assert (unseen.status, errors(unseen)) == (404, [("BLOB_UNKNOWN", None)])
    mounted = client.ask("POST", f"/v2/prod/app/blobs/uploads/?mount={digest}&from=team/app")
    assert (mounted.status, mounted.headers["Docker-Content-Digest"]) == (201, digest)
    assert client.ask("GET", mounted.headers["Location"]).data == LAYER


@pytest.mark.parametrize("source", ["&from=team/app", ""])
def test_mount_of_what_is_not_there(client: Client, source: str) -> None:
    """A mount without a source that has the blob becomes an upload."""
    digest = digest_of(LAYER)
    answer = client.ask("POST", f"/v2/app/blobs/uploads/?mount={digest}{source}")
    assert answer.status == 202
    finished = client.ask("PUT", f"{answer.headers['Location']}?digest={digest}", LAYER)
    assert finished.status == 201


def test_deleted_blob(client: Client) -> None:
    """A blob that was deleted is gone from its repository and stays in others."""
    digest = client.push_blob("app", LAYER)
    client.push_blob("other", LAYER)
    assert client.ask("DELETE", f"/v2/app/blobs/{digest}").status == 202
    assert client.ask("DELETE", f"/v2/app/blobs/{digest}").status == 404
    assert client.ask("GET", f"/v2/other/blobs/{digest}").status == 200


# Manifests


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_manifest(client: Client, method: str) -> None:
    """A manifest is found by tag and by digest, byte for byte, with its media type."""
    digest = client.push_image("team/app", "1.0")
    for reference in ("1.0", digest):
        answer = client.ask(method, f"/v2/team/app/manifests/{reference}")
        assert answer.status == 200
        assert answer.data == (image(LAYER) if method == "GET" else b"")
        assert answer.headers["Content-Type"] == IMAGE
        assert answer.headers["Content-Length"] == str(len(image(LAYER)))
        assert answer.headers["Docker-Content-Digest"] == digest == digest_of(image(LAYER))


def test_manifest_location(client: Client) -> None:
    """The answer to a push says where the manifest is."""
    client.push_image("app", "1.0")
    location = client.push("app", "1.1", image(LAYER)).headers["Location"]
    assert client.ask("GET", location).data == image(LAYER)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_manifest_by_digest(client: Client, algorithm: str) -> None:
    """A manifest pushed by digest has no tag, and either algorithm will do."""
    digest = digest_of(image(LAYER), algorithm)
    assert client.push_image("app", digest) == digest
    assert client.ask("GET", f"/v2/app/manifests/{digest}").data == image(LAYER)
    assert client.ask("GET", "/v2/app/tags/list").json() == {"name": "app", "tags": []}


def test_wrong_manifest_digest(client: Client) -> None:
    """A manifest that is not what its digest says is refused."""
    client.push_image("app", "1.0")
    answer = client.push("app", ABSENT, image(LAYER))
    assert (answer.status, errors(answer)) == (400, [("DIGEST_INVALID", None)])


@pytest.mark.parametrize(
    ("manifest", "media_type"),
    [(b"not JSON", IMAGE), (b"[]", IMAGE), (b'{"layers": [{}]}', IMAGE), (image(), INDEX)],
)
def test_invalid_manifest(client: Client, manifest: bytes, media_type: str) -> None:
    """A manifest has to be one, and of the media type it is sent as."""
    client.push_blob("app", CONFIG)
    answer = client.push("app", "1.0", manifest, media_type)
    assert (answer.status, errors(answer)) == (400, [("MANIFEST_INVALID", None)])


def test_invalid_tag(client: Client) -> None:
    """A manifest that cannot get its tag is not kept either."""
    client.push_blob("app", CONFIG)
    answer = client.push("app", "-1", image())
    assert (answer.status, errors(answer)) == (400, [("MANIFEST_INVALID", None)])
    assert client.ask("GET", f"/v2/app/manifests/{digest_of(image())}").status == 404


def test_incomplete_image(client: Client) -> None:
    """An image is refused with one error for each blob that is missing."""
    client.push_blob("app", CONFIG)
    answer = client.push("app", "1.0", image(LAYER, b"another", LAYER))
    assert answer.status == 400
    assert errors(answer) == [
        ("MANIFEST_BLOB_UNKNOWN", {"digest": digest_of(LAYER)}),
        ("MANIFEST_BLOB_UNKNOWN", {"digest": digest_of(b"another")}),
    ]
    assert client.ask("GET", "/v2/app/manifests/1.0").status == 404


def test_layers_that_live_elsewhere(client: Client) -> None:
    """A layer with URLs need not be in the registry."""
    client.push_blob("app", CONFIG)
    layer = descriptor(LAYER, "application/octet-stream", urls=["https://example.com/layer"])
    assert client.push("app", "1.0", image(layers=[layer])).status == 201


def test_index(client: Client) -> None:
    """An index is accepted once all its manifests are in the repository."""
    child = image(LAYER)
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(child, IMAGE)]}).encode()
    refused = client.push("app", "1.0", index, INDEX)
    assert errors(refused) == [("MANIFEST_BLOB_UNKNOWN", {"digest": digest_of(child)})]
    client.push_image("app", digest_of(child))
    assert client.push("app", "1.0", index, INDEX).status == 201


def test_moved_tag(client: Client) -> None:
    """A tag names what was pushed last, and what it named before stays."""
    before = client.push_image("app", "latest")
    after = client.push_image("app", "latest", image())
    named = client.ask("HEAD", "/v2/app/manifests/latest")
    assert named.headers["Docker-Content-Digest"] == after
    assert client.ask("HEAD", f"/v2/app/manifests/{before}").status == 200


def test_deleted_tag(client: Client) -> None:
    """Without its tag a manifest is still there."""
    digest = client.push_image("app", "1.0")
    assert client.ask("DELETE", "/v2/app/manifests/1.0").status == 202
    assert client.ask("GET", "/v2/app/manifests/1.0").status == 404
    assert client.ask("GET", f"/v2/app/manifests/{digest}").status == 200


def test_deleted_manifest(client: Client) -> None:
    """With a manifest go all its tags, and no others."""
    digest = client.push_image("app", "1.0")
    client.push_image("app", "1.1")
    client.push_image("app", "2.0", image())
    assert client.ask("DELETE", f"/v2/app/manifests/{digest}").status == 202
    gone = client.ask("DELETE", f"/v2/app/manifests/{digest}")
    assert (gone.status, errors(gone)) == (404, [("MANIFEST_UNKNOWN", None)])
    assert client.ask("GET", "/v2/app/tags/list").json()["tags"] == ["2.0"]


# Tags and referrers


def test_tag_pages(client: Client) -> None:
    """Tags come in the order of their names, and the link leads to those that follow."""
    for tag in ("c", "a", "e", "b", "d"):
        client.push_image("team/app", tag)
    pages, following = [], "/v2/team/app/tags/list?n=2"
    while following:
        answer = client.ask("GET", following)
        pages.append(answer.json()["tags"])
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        following = link[1] if link else ""
    assert pages == [["a", "b"], ["c", "d"], ["e"]]


def test_catalog_pages(client: Client) -> None:
    """Repositories that something was pushed to are listed, in the order of their names."""
    for name in ("team/app", "app", "team", "z"):
        client.push_image(name, "1.0")
    client.begin("only/begun")
    first = client.ask("GET", "/v2/_catalog?n=3")
    assert first.json() == {"repositories": ["app", "team", "team/app"]}
    link = re.fullmatch(r'<(.+)>; rel="next"', first.headers["Link"])
    assert link
    rest = client.ask("GET", link[1])
    assert (rest.json(), "Link" in rest.headers) == ({"repositories": ["z"]}, False)


def test_tags_of_no_repository(client: Client) -> None:
    """A repository is known once something was pushed to it."""
    answer = client.ask("GET", "/v2/app/tags/list")
    assert (answer.status, errors(answer)) == (404, [("NAME_UNKNOWN", None)])


def test_referrers(client: Client) -> None:
    """Manifests are listed with their subject, even if that one comes later or never."""
    subject = descriptor(image(LAYER), IMAGE)
    typed = image(subject=subject, artifactType="text/sbom", annotations={"by": "a tool"})
    untyped = image(subject=subject)
    client.push_blob("app", CONFIG)
    for manifest in (typed, untyped):
        pushed = client.push("app", digest_of(manifest), manifest)
        assert (pushed.status, pushed.headers["OCI-Subject"]) == (201, subject["digest"])
    answer = client.ask("GET", f"/v2/app/referrers/{subject['digest']}")
    listed = answer.json()
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    assert (listed["schemaVersion"], listed["mediaType"]) == (2, INDEX)
    assert sorted(listed["manifests"], key=lambda each: each["size"], reverse=True) == [
        descriptor(typed, IMAGE, artifactType="text/sbom", annotations={"by": "a tool"}),
        descriptor(untyped, IMAGE, artifactType=CONFIG_TYPE),
    ]


def test_referrers_of_a_type(client: Client) -> None:
    """The list can be narrowed to one type, and says that it was."""
    subject = descriptor(image(LAYER), IMAGE)
    client.push_blob("app", CONFIG)
    for kind in ("text/sbom", "text/signature"):
        client.push("app", kind[5:], image(subject=subject, artifactType=kind))
    path = f"/v2/app/referrers/{subject['digest']}"
    answer = client.ask("GET", f"{path}?artifactType=text/sbom")
    assert [each["artifactType"] for each in answer.json()["manifests"]] == ["text/sbom"]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert "OCI-Filters-Applied" not in client.ask("GET", path).headers


def test_no_referrers(client: Client) -> None:
    """What nothing refers to has an empty list, also after its referrer was deleted."""
    subject = client.push_image("app", "1.0")
    referrer = image(subject=descriptor(image(LAYER), IMAGE))
    client.push_image("app", digest_of(referrer), referrer)
    client.ask("DELETE", f"/v2/app/manifests/{digest_of(referrer)}")
    for digest in (subject, ABSENT):
        assert client.ask("GET", f"/v2/app/referrers/{digest}").json()["manifests"] == []


def test_without_referrers_api(tmp_path: Path, pool: urllib3.PoolManager) -> None:
    """A registry of the first edition knows neither the route nor the header."""
    with EmbeddedRegistry(tmp_path, referrers_api=False) as registry:
        client = Client(pool, registry.host)
        client.push_blob("app", CONFIG)
        pushed = client.push("app", "1.0", image(subject=descriptor(image(LAYER), IMAGE)))
        assert pushed.status == 201
        assert "OCI-Subject" not in pushed.headers
        answer = client.ask("GET", f"/v2/app/referrers/{digest_of(image(LAYER))}")
    assert (answer.status, answer.data) == (404, b"404 page not found\n")


# The server


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/App/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/a/../b/manifests/1.0", 400, "NAME_INVALID"),
        ("GET", f"/v2/{'a' * 256}/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/app/manifests/..", 400, "MANIFEST_INVALID"),
        ("GET", "/v2/app/manifests/1.0", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/app/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/app/manifests/sha256:0", 400, "DIGEST_INVALID"),
        ("GET", "/v2/app/referrers/sha256:0", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/app/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/app/blobs/uploads/..", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", f"/v2/app/blobs/{ABSENT}", 405, "UNSUPPORTED"),
    ],
)
def test_errors(registry: EmbeddedRegistry, method: str, path: str, status: int, code: str) -> None:
    """What cannot be answered has the specification's code, and paths lead nowhere else."""
    # A pool would resolve the dots in the path before it sends it.
    address, port = registry.host.split(":")
    connection = HTTPConnection(address, int(port))
    connection.request(method, path)
    answer = connection.getresponse()
    assert (answer.status, errors(answer)) == (status, [(code, None)])
    connection.close()


def test_served(client: Client, registry: EmbeddedRegistry) -> None:
    """Each request is recorded as it was sent, by the time its answer arrives."""
    client.ask("GET", "/v2/")
    client.ask("POST", f"/v2/team/app/blobs/uploads/?mount={ABSENT}&from=team%2Fbase")
    client.ask("HEAD", "/v2/team/app/manifests/1.0")
    assert registry.served == [
        Served("GET", "/v2/", 200),
        Served("POST", f"/v2/team/app/blobs/uploads/?mount={ABSENT}&from=team%2Fbase", 202),
        Served("HEAD", "/v2/team/app/manifests/1.0", 404),
    ]


def test_one_connection(registry: EmbeddedRegistry) -> None:
    """One connection serves many requests, also after one whose body nobody read."""
    with urllib3.HTTPConnectionPool(registry.host, retries=False) as pool:
        for _ in range(3):
            pool.request("PATCH", "/v2/app/blobs/uploads/none", body=LAYER * 100_000)
            pool.request("PATCH", "/v2/app/blobs/uploads/none", body=iter([LAYER, LAYER]))
            pool.request("HEAD", f"/v2/app/blobs/{ABSENT}")
            assert pool.request("GET", "/v2/").status == 200
        assert pool.num_connections == 1


def test_end_with_open_connections(tmp_path: Path, pool: urllib3.PoolManager) -> None:
    """A registry ends although clients keep their connections, and its content outlives it."""
    with EmbeddedRegistry(tmp_path) as registry:
        Client(pool, registry.host).push_image("app", "1.0")
    with EmbeddedRegistry(tmp_path) as registry:
        answer = Client(pool, registry.host).ask("GET", "/v2/app/manifests/1.0")
    assert answer.data == image(LAYER)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command(tmp_path: Path, pool: urllib3.PoolManager, number: signal.Signals) -> None:
    """The command says where it listens, serves, and ends well on a signal, all without noise."""
    command = [sys.executable, "-m", "dev.registry", "--root", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        announced = re.fullmatch(r"listening on (127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert announced
        assert Client(pool, announced[1]).ask("GET", "/v2/none").status == 404
        process.send_signal(number)
        assert process.communicate(timeout=5) == ("", "")
    assert process.returncode == 0


def test_skopeo(client: Client, registry: EmbeddedRegistry, tmp_path: Path) -> None:
    """A client written by others copies an index in, across and out, and no byte changes."""
    skopeo = shutil.which("skopeo")
    if not skopeo:
        raise MissingPart("skopeo is not installed: apt-get install skopeo")

    def copy(source: str, destination: str) -> None:
        plain = ["--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests"]
        command = [skopeo, "--insecure-policy", "copy", "--quiet", "--all", *plain]
        subprocess.run([*command, source, destination], check=True, timeout=30)

    children = [image(LAYER), image(LAYER, LAYER[:5])]
    client.push_blob("app", LAYER[:5])
    for child in children:
        client.push_image("app", digest_of(child), child)
    entries = [descriptor(child, IMAGE) for child in children]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    assert client.push("app", "1.0", index, INDEX).status == 201
    copy(f"docker://{registry.host}/app:1.0", f"oci:{tmp_path}/layout:1.0")
    copy(f"oci:{tmp_path}/layout:1.0", f"docker://{registry.host}/team/back:1.0")
    copy(f"docker://{registry.host}/team/back:1.0", f"docker://{registry.host}/prod/app:1.0")
    for manifest in (index, *children):
        answer = client.ask("GET", f"/v2/prod/app/manifests/{digest_of(manifest)}")
        assert answer.data == manifest
