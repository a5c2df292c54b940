"""Messages as Pub/Sub pushes them, made here: for tests that watch the function alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def pushed(data: bytes, attempt: int = 1) -> Mapping[str, Any]:
    """The body of a push."""
    message = {
        "data": base64.b64encode(data).decode(),
        "messageId": "7",
        "publishTime": datetime.now(UTC).isoformat(),
    }
    subscription = "projects/p/subscriptions/s"
    return {"message": message, "subscription": subscription, "deliveryAttempt": attempt}


def result(image: str, digest: str, outcome: str = "success", suite: str = "functional") -> bytes:
    """A test result."""
    content = {"image": image, "digest": digest, "suite": suite, "outcome": outcome}
    return json.dumps(content).encode()
