"""Who asks the profile of Artifact Registry, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import urllib3
from urllib3.util import make_headers

from dev.artifact_registry import ArtifactRegistry, Grants
from tests.unit.wire import Client

SOURCE = "acme-dev/shop/app"
DESTINATION = "acme-prod/shop/app"
TOKENS: dict[str, Grants] = {
    "promoter": {"acme-dev": "reader", "acme-prod/shop": "writer"},
    "developer": {"acme-dev/shop": "writer"},
    "operator": {"acme-prod/shop": "writer"},
    "keeper": {"acme-prod": "repoAdmin"},
}
HTML = "text/html; charset=UTF-8"
EXCEEDED = "Quota exceeded for quota metric 'Requests per project per region'"
Serve = Callable[..., ArtifactRegistry]
As = Callable[..., Client]


def refusal(answer: urllib3.BaseHTTPResponse) -> tuple[int, str, str]:
    """Read an answer that has to be one error."""
    assert answer.headers["Content-Type"] == "application/json"
    (error,) = answer.json()["errors"]
    return answer.status, error["code"], error["message"]


def exchange(client: Client, username: str, password: str, *scopes: str) -> Any:
    """Ask the token endpoint."""
    credentials = make_headers(basic_auth=f"{username}:{password}") if username else {}
    query = "&".join(f"scope={scope}" for scope in scopes)
    headers = {key.title(): value for key, value in credentials.items()}
    return client.authorized("").ask("GET", f"/v2/token?service=&{query}", headers=headers)


def ask_raw(
    registry: ArtifactRegistry, method: str, path: str, **headers: str
) -> tuple[int, str | None]:
    """Send a request without a header or an escape more; the answer is its status and type."""
    with closing(HTTPConnection(registry.host)) as connection:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"]


def mount(client: Client, digest: str, source: str | None, repository: str = DESTINATION) -> int:
    """Ask for a mount."""
    query = f"mount={digest}" + (f"&from={source}" if source else "")
    return client.ask("POST", f"/v2/{repository}/blobs/uploads/?{query}").status
