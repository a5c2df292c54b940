"""The embedded registry as a server: errors, what it was asked, connections, its end."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3
from urllib3.connection import HTTPConnection

from dev.registry import EmbeddedRegistry, Served
from dev.services import MissingPart
from tests.unit.wire import (
    ABSENT,
    IMAGE,
    INDEX,
    LAYER,
    Client,
    descriptor,
    digest_of,
    errors,
    image,
)


def test_version(client: Client) -> None:
    """The base of the API answers, so that a client knows it talks to a registry."""
    answer = client.ask("GET", "/v2/")
    assert (answer.status, answer.json()) == (200, {})


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
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_skopeo(client: Client, registry: EmbeddedRegistry, tmp_path: Path) -> None:
    """A client written by others copies an index in, across and out, and no byte changes."""
    skopeo = shutil.which("skopeo")
    if not skopeo:
        raise MissingPart("skopeo is not installed: apt-get install skopeo")

    def copy(source: str, destination: str) -> None:
        plain = ["--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests"]
        command = [skopeo, "--insecure-policy", "copy", "--quiet", "--all", *plain]
        subprocess.run([*command, source, destination], check=True, timeout=60)

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
