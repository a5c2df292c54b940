"""``promotion keygen``: a key pair to sign statements with, for tests and small installations."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent

_EXAMPLES = """\
examples:
  promotion keygen
  promotion keygen --out keys/shop >> promotion.yaml

"""
_ADVICE = """\
A key in a file is for tests and small installations: whoever can read it can open every gate.
Elsewhere sign with Cloud KMS, whose keys nobody can read, and name the version as signing.kms:
  gcloud kms keys create promotion --keyring KEYRING --location LOCATION \\
    --purpose asymmetric-signing --default-algorithm ec-sign-p256-sha256
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "keygen",
        help="make a key pair to sign evidence with",
        description="Makes PREFIX.pem, the private key, and PREFIX.pub.pem, the public one;"
        " prints what goes into promotion.yaml.",
        epilog=_EXAMPLES + _ADVICE,
    )
    parser.add_argument(
        "--out",
        metavar="PREFIX",
        default="promotion",
        help="the path of both; its folder is made if need be (default: promotion)",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace, _: Mapping[str, str]) -> None:
    """Make a key pair.

    Raises:
        Permanent: One of the files exists already, or cannot be written.
    """
    from promotion.keys import PrivateKey

    private_path = Path(f"{options.out}.pem")
    public_path = Path(f"{options.out}.pub.pem")
    _check_absent(private_path, public_path)
    key = PrivateKey.generate()
    _write(private_path, key.to_pem(), 0o600)
    _write(public_path, key.public.pem.encode("ascii"), 0o644)
    print(_snippet(private_path, public_path, key.public.pem), end="")


def _check_absent(*paths: Path) -> None:
    from promotion.errors import Permanent

    for path in paths:
        if os.path.lexists(path):
            raise Permanent(f"{path} exists already, and is not overwritten; give another --out")


def _write(path: Path, content: bytes, mode: int) -> None:
    from promotion.errors import Permanent

    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        # Nobody else may read the key, not even for the moment until its mode is changed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        text = f"{path} cannot be written ({error.strerror}); give another --out"
        raise Permanent(text) from error


def _snippet(private_path: Path, public_path: Path, pem: str) -> str:
    return f"""\
# {private_path} is the private key: keep it secret, and out of version control.
# {public_path} is the public key, for those who verify.
{indent(_ADVICE, "# ")}\
signing:
  key: {json.dumps(str(private_path))}
  trusted:
    - |
{indent(pem, "      ")}"""
