"""Artifact Registry's profile as a service: its quota, its command, and what it lacks."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import urllib3

from dev.artifact_registry import Answers, Quota
from dev.artifact_registry import quota as quota_module
from dev.services import MissingPart
from tests.unit.artifact_registry.asking import (
    DESTINATION,
    EXCEEDED,
    SOURCE,
    As,
    Serve,
    exchange,
    mount,
    refusal,
)
from tests.unit.clock import Clock
from tests.unit.wire import ABSENT, CONFIG_TYPE, Client, descriptor, image

# Quota


@pytest.mark.parametrize("retry_after", [None, "0"])
def test_next_requests_over_quota(serve: Serve, client: As, retry_after: str | None) -> None:
    """The next requests of a kind are refused, with a time to come back or without."""
    registry = serve()
    promoter = client(registry)
    registry.quota.refuse_next(2, matching="POST .*mount=", retry_after=retry_after)
    for _ in range(2):
        assert promoter.ask("GET", "/v2/").status == 200
        path = f"/v2/{DESTINATION}/blobs/uploads/?mount={ABSENT}&from={SOURCE}"
        answer = promoter.ask("POST", path)
        status, code, message = refusal(answer)
        assert (status, code, message.startswith(EXCEEDED)) == (429, "TOOMANYREQUESTS", True)
        assert answer.headers.get("Retry-After") == retry_after
    assert mount(promoter, ABSENT, SOURCE) == 202


def test_quota(serve: Serve, client: As, monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests than the quota has are refused, also for a token, until time has passed."""
    clock = Clock()
    monkeypatch.setattr(quota_module, "time", clock)
    quota = Quota(requests=3, writes=1, seconds=60, retry_after="1")
    promoter = client(serve(quota=quota))
    assert promoter.ask("POST", f"/v2/{DESTINATION}/blobs/uploads/").status == 202
    assert promoter.ask("POST", f"/v2/{DESTINATION}/blobs/uploads/").status == 429
    assert promoter.ask("GET", "/v2/").status == 200
    assert exchange(promoter, "oauth2accesstoken", "promoter").status == 200
    refused = exchange(promoter, "oauth2accesstoken", "promoter")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    clock.now += 59
    assert promoter.ask("GET", "/v2/").status == 429
    clock.now += 1
    assert promoter.ask("GET", "/v2/").status == 200


# What is around it


def test_open_questions() -> None:
    """The page for operators lists each question that an answer can be chosen for."""
    page = Path(__file__).parent.parent.parent.parent / "docs/artifact-registry.md"
    listed = re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(field.name for field in fields(Answers))


def test_command(tmp_path: Path, pool: urllib3.PoolManager) -> None:
    """The command serves with the tokens it was given."""
    command = [sys.executable, "-m", "dev.artifact_registry", "--root", str(tmp_path)]
    command += ["--grant", "secret", "writer", "acme-prod/shop", "--immutable-tags"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        announced = re.fullmatch(r"listening on (127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert announced
        writer = Client(pool, announced[1], "secret")
        writer.push_image(DESTINATION, "1.0")
        assert writer.push(DESTINATION, "1.0", image()).status == 400
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_command_with_an_unknown_role(tmp_path: Path) -> None:
    """The command says what is wrong with a grant."""
    command = [sys.executable, "-m", "dev.artifact_registry", "--root", str(tmp_path)]
    command += ["--grant", "secret", "owner", "acme-prod"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, "not a role: 'owner'" in ended.stderr) == (2, True)


def test_there_is_no_catalog(serve: Serve, client: As) -> None:
    """Which repositories there are is a question for Google's own API."""
    operator = client(serve(), "operator")
    operator.push_image(DESTINATION, "1.0")
    assert operator.ask("GET", "/v2/_catalog").status == 404


def test_skopeo(serve: Serve, client: As) -> None:
    """A client written by others finds its way: challenge, token, redirect, upload."""
    skopeo = shutil.which("skopeo")
    if not skopeo:
        raise MissingPart("skopeo is not installed: apt-get install skopeo")
    registry = serve(Answers(transfer_encoding=True), immutable_tags=True)
    configuration = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    developer = client(registry, "developer")
    developer.push_blob(SOURCE, configuration)
    manifest = image(config=descriptor(configuration, CONFIG_TYPE))
    developer.push(SOURCE, "1.0", manifest)
    credentials = [f"--{side}-creds=oauth2accesstoken:promoter" for side in ("src", "dest")]
    plain = ["--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests"]
    command = [skopeo, "--insecure-policy", "copy", "--quiet", *plain, *credentials]
    places = [f"docker://{registry.host}/{name}:1.0" for name in (SOURCE, DESTINATION)]
    subprocess.run([*command, *places], check=True, timeout=60)
    copied = client(registry).ask("GET", f"/v2/{DESTINATION}/manifests/1.0")
    assert copied.data == manifest
    assert [served for served in registry.served if served.path.startswith("/artifacts-uploads/")]
