"""Docker's credential helpers: programs that keep credentials, named ``docker-credential-…``.

The host goes in on standard input, a name and a secret come out as JSON on standard output.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import msgspec

from promotion import typed
from promotion.errors import AccessDenied
from promotion.registry.concealed import Concealing
from promotion.registry.credentials import Credential, IdentityToken, Login

# A keychain may ask its owner to unlock it.
_SECONDS = 60
_NOT_FOUND = b"credentials not found"


class _Found(Concealing, msgspec.Struct, rename="pascal"):
    username: str
    secret: str


def ask_helper(name: str, server: str) -> Credential | None:
    """What the helper has for a registry; None if it has nothing.

    Args:
        name: What follows ``docker-credential-`` in the program's name.
        server: The registry, as the configuration calls it.

    Raises:
        AccessDenied: The helper is not installed, fails, or answers something else.
    """
    program = f"docker-credential-{name}"
    output = _output(program, server)
    if output is None:
        return None
    try:
        found = typed.decode(output, _Found)
    except (ValueError, RecursionError) as error:
        # The output itself may hold a secret.
        raise AccessDenied(
            f"{program} answered for {server} without a name and a secret"
        ) from error
    if found.username == "<token>":
        return IdentityToken(found.secret)
    return Login(found.username, found.secret)


def _output(program: str, server: str) -> bytes | None:
    path = shutil.which(program) if re.fullmatch("[A-Za-z0-9._-]+", program) else None
    if path is None:
        raise AccessDenied(
            f"Docker's configuration names {program!r} for {server}, which is not on the PATH:"
            " install it, or take its name out of the configuration"
        )
    try:
        ended = subprocess.run(
            [path, "get"], input=server.encode(), capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise AccessDenied(f"{program} did not answer for {server} in {_SECONDS} s") from error
    except OSError as error:
        raise AccessDenied(f"{program} could not be started: {error}") from error
    if ended.returncode == 0:
        return ended.stdout
    if _NOT_FOUND in ended.stdout + ended.stderr:
        return None
    # What it wrote before it failed may hold a secret.
    raise AccessDenied(
        f"{program} failed for {server} with status {ended.returncode}; to see why, run:"
        f" echo {server} | {program} get"
    )
