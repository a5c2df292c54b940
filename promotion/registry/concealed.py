"""What is said of secrets, without the secrets: by who was shown one, and by what holds one."""

from __future__ import annotations

import base64


class Concealing:
    """Represents itself by the name of its type alone, since one of its fields may be a secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


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
