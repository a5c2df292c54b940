"""What somebody says who was shown a secret, without the secret."""

from __future__ import annotations

import base64


def concealed(text: str, authorization: str) -> str:
    """A text that may repeat an Authorization header, or what that holds, without it."""
    scheme, _, shown = authorization.partition(" ")
    secrets = [shown]
    if scheme == "Basic":
        login = base64.b64decode(shown).decode(errors="replace")
        secrets += [login, login.partition(":")[2]]
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    return text
