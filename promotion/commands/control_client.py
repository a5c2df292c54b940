"""Asks the control function as whoever runs the command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from promotion.commands import identity_token
from promotion.errors import (
    AccessDenied,
    BadConfiguration,
    Permanent,
    PromotionError,
    RegistryUnavailable,
    Retryable,
)
from promotion.registry.connections import Connections
from promotion.registry.fetch import Answer
from promotion.registry.reference import is_loopback

_LONGEST_EXPLANATION = 300


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
            BadConfiguration: No function is named, or none that a token may be sent to; or what is
                given as a token is none.
        """
        url = options.url or environment.get("PROMOTION_CONTROL_URL", "")
        if not url:
            raise BadConfiguration("No function to ask: give --url, or PROMOTION_CONTROL_URL")
        parts = urlsplit(url)
        local = is_loopback(parts.netloc)
        if not parts.netloc or parts.scheme not in (("http", "https") if local else ("https",)):
            raise BadConfiguration(f"{url} is no https:// URL, and a token goes to nothing else")
        token = identity_token.given(options, environment)
        connections = Connections()
        if not token and not local:
            token = identity_token.own(f"https://{parts.netloc}", environment, connections.fetch)
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
        try:
            answer = self._connections.fetch("POST", self._url, headers, body)
        except RegistryUnavailable as error:
            raise Retryable(f"{error}; check --url, and that the function runs") from error
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
        said = _said_by_function(answer.content)
        what = _in_a_line(answer.content.decode(errors="replace") if said is None else said)
        text = f"{subject}: {self._url} answered {answer.status}: {what}"
        if answer.status in (401, 403):
            return AccessDenied(f"{text}; {self._advice(said is not None)}")
        return Retryable(text) if answer.status >= 500 else Permanent(text)

    def _advice(self, reached: bool) -> str:
        """What to do where access is denied: by the function, or before it was reached."""
        if not reached:
            return "whoever decides needs roles/run.invoker on the function"
        if not self._token:
            return "in development that is --author, else an identity token"
        return "docs/control.md tells which identity tokens count"


def _said_by_function(content: bytes) -> str | None:
    """The error in its answer; None if that is not of its form, but of what stands before it."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _in_a_line(text: str) -> str:
    """The beginning of a text."""
    line = " ".join(text.split())[:_LONGEST_EXPLANATION]
    return "".join(each for each in line if each.isprintable())
