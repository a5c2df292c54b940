"""Asks the control function as whoever runs the command."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from promotion.errors import AccessDenied, BadConfiguration, Permanent, PromotionError, Retryable
from promotion.registry.connections import Connections
from promotion.registry.fetch import Answer, Fetch
from promotion.registry.reference import is_loopback

_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_LONGEST_EXPLANATION = 300
_LOGIN = "run `gcloud auth login`, or give --token"


class ControlClient:
    """Sends decisions to a function, with an identity token."""

    def __init__(self, url: str, token: str, connections: Connections) -> None:
        """Send to this URL with this token; without one, to a function in development."""
        self._url = url
        self._token = token
        self._connections = connections

    @classmethod
    def around(cls, options: argparse.Namespace, environment: Mapping[str, str]) -> ControlClient:
        """The client for a command's options, and for the environment where they are silent.

        Raises:
            AccessDenied: There is no identity token to be had.
            BadConfiguration: No function is named, or none that a token may be sent to.
        """
        url = options.url or environment.get("PROMOTION_CONTROL_URL", "")
        if not url:
            raise BadConfiguration("No function to ask: give --url, or PROMOTION_CONTROL_URL")
        parts = urlsplit(url)
        local = is_loopback(parts.netloc)
        if not parts.netloc or parts.scheme not in (("http", "https") if local else ("https",)):
            raise BadConfiguration(f"{url} is no https:// URL, and a token goes to nothing else")
        token = options.token or environment.get("PROMOTION_CONTROL_TOKEN", "")
        connections = Connections()
        if not token and not local:
            token = identity_token(f"https://{parts.netloc}", environment, connections.fetch)
        return cls(url, token, connections)

    def send(self, decision: Mapping[str, Any]) -> dict[str, Any]:
        """Send a decision; what was stated.

        Raises:
            PromotionError: It was refused, or there was no answer.
        """
        headers = {"Content-Type": "application/json"}
        if self._token:
            # Cloud Run checks the first, and takes its signature off; the function the second.
            bearer = f"Bearer {self._token}"
            headers |= {"X-Serverless-Authorization": bearer, "Authorization": bearer}
        body = json.dumps(decision).encode()
        answer = self._connections.fetch("POST", self._url, headers, body)
        if answer.status != 200:
            raise self._refusal(answer, str(decision.get("image") or decision.get("pipeline")))
        try:
            return dict(json.loads(answer.content))
        except (ValueError, TypeError, RecursionError) as error:
            raise Retryable(f"{self._url} gave an unintelligible answer; check --url") from error

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _refusal(self, answer: Answer, subject: str) -> PromotionError:
        text = f"{subject}: {self._url} answered {answer.status}: {_explained(answer.content)}"
        if answer.status in (401, 403):
            return AccessDenied(f"{text}; whoever decides needs roles/run.invoker on the function")
        return Retryable(text) if answer.status >= 500 else Permanent(text)


def identity_token(audience: str, environment: Mapping[str, str], fetch: Fetch) -> str:
    """An identity token of the service account or the person that runs this.

    Args:
        audience: Whom it is for, if it is a service account's.
        environment: Where credentials, or gcloud, are found.
        fetch: Asks Google for a service account's.

    Raises:
        AccessDenied: There is none to be had.
    """
    if not environment.get(_CREDENTIALS) and shutil.which("gcloud", path=environment.get("PATH")):
        return _of_gcloud(environment)
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.id_token import fetch_id_token

    from promotion.registry.google import GoogleRequest

    try:
        return str(fetch_id_token(GoogleRequest(fetch), audience))  # type: ignore[no-untyped-call]
    except (GoogleAuthError, OSError, ValueError) as error:
        said = error.args[0] if error.args else error
        raise AccessDenied(f"No identity token could be had: {said}; {_LOGIN}") from error


def _of_gcloud(environment: Mapping[str, str]) -> str:
    command = ["gcloud", "auth", "print-identity-token"]
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AccessDenied(f"`{' '.join(command)}` did not end ({error}); {_LOGIN}") from error
    token = ended.stdout.strip()
    if ended.returncode or not token:
        said = " ".join(ended.stderr.split())[:_LONGEST_EXPLANATION]
        raise AccessDenied(f"`{' '.join(command)}` gave no token: {said}; {_LOGIN}")
    return token


def _explained(content: bytes) -> str:
    """What the function says, or the beginning of what stands before it says."""
    try:
        said = str(json.loads(content)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        said = content.decode(errors="replace")
    line = " ".join(said.split())[:_LONGEST_EXPLANATION]
    return "".join(each for each in line if each.isprintable())
