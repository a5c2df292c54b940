"""The identity token by which the control function knows who decides: given, or got here."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from promotion.errors import AccessDenied, BadConfiguration
from promotion.registry.credentials import is_token
from promotion.registry.fetch import Fetch

_VARIABLE = "PROMOTION_CONTROL_TOKEN"
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_LONGEST_EXPLANATION = 300
# What the function takes at most is less: promotion/identity.py.
_LONGEST_FILE = 16 * 1024
_LOGIN = f"run `gcloud auth login`, or give a token as --token-file or {_VARIABLE}"
_SEEN = (
    "promotion: --token shows the token to all who may list this machine's processes; give it as"
    f" --token-file or {_VARIABLE}"
)


def given(options: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """The token that is given; empty if none is.

    Raises:
        BadConfiguration: It is none.
        OSError: The file cannot be read.
    """
    if options.token:
        print(_SEEN, file=sys.stderr)
        return _checked(options.token, "--token")
    if options.token_file:
        return _in_file(options.token_file)
    return _checked(environment.get(_VARIABLE, ""), _VARIABLE)


def own(audience: str, environment: Mapping[str, str], fetch: Fetch) -> str:
    """An identity token of the service account or the person that runs this.

    Args:
        audience: Whom it is for, if it is a service account's.
        environment: Where credentials, or gcloud, are found.
        fetch: Asks Google for a service account's.

    Raises:
        AccessDenied: There is none to be had.
        BadConfiguration: What gcloud prints is none.
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


def _in_file(file: str) -> str:
    text = _read(file)
    if len(text) > _LONGEST_FILE:
        raise BadConfiguration(f"{file} is larger than any identity token; see which file is meant")
    token = _checked(text, file)
    if not token:
        raise BadConfiguration(f"{file} is empty: no identity token is in it")
    return token


def _read(file: str) -> str:
    """What is in a file, or the beginning of what is more than a token."""
    if file == "-":
        return sys.stdin.read(_LONGEST_FILE + 1)
    with Path(file).open(encoding="utf-8", errors="replace") as opened:
        return opened.read(_LONGEST_FILE + 1)


def _of_gcloud(environment: Mapping[str, str]) -> str:
    command = ["gcloud", "auth", "print-identity-token"]
    said_as = f"`{' '.join(command)}`"
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AccessDenied(f"{said_as} did not end ({error}); {_LOGIN}") from error
    token = _checked(ended.stdout, said_as)
    if ended.returncode or not token:
        said = " ".join(ended.stderr.split())[:_LONGEST_EXPLANATION]
        raise AccessDenied(f"{said_as} gave no token: {said}; {_LOGIN}")
    return token


def _checked(text: str, source: str) -> str:
    """What is in the text, if it can be a token; it is not repeated if it cannot."""
    token = text.strip()
    if token and not is_token(token):
        raise BadConfiguration(
            f"{source} has characters that no token has; give it what"
            " `gcloud auth print-identity-token` prints, and nothing else"
        )
    return token
