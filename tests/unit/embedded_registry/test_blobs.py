"""Blobs of the embedded registry: uploads in all forms, ranges, mounts."""

from __future__ import annotations

import socket

import pytest

from dev.registry import EmbeddedRegistry
from tests.unit.wire import ABSENT, LAYER, Client, digest_of, errors


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
