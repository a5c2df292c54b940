"""Files that people and their tools have written."""

from __future__ import annotations

import base64
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import yaml

from dev.stack import three_stages
from promotion import configuration, junit
from promotion.errors import PromotionError
from promotion.registry.docker_config import DockerConfig
from tests.fuzz.inputs import VALUES, damaged, documents, phrases
from tests.fuzz.registry import HOST
from tests.fuzz.target import Target

WRITTEN = yaml.safe_load(three_stages(HOST))
GATE = {
    "suites": ["functional", {"suite": "nft", "from": "prod", "via": "projects/p/subscriptions/s"}],
    "refs": ["refs/heads/*"],
    "versions": "semver",
    "soak": "4h",
    "alerts": "none",
    "approvals": 1,
    "approvers": ["ann@acme.example"],
    "freeze": [
        {"from": "fri 16:00", "to": "mon 08:00", "timezone": "Europe/London", "reason": "x"}
    ],
}
WHOLE = {**WRITTEN, "signals": "projects/p/subscriptions/s", "signing": {"key": "key.pem"}}
WHOLE["pipelines"]["shop"]["stages"]["fast-feedback"]["gate"] = GATE
YAML = phrases(
    "pipelines:", "\n", "  ", "- ", "&a ", "*a", "{", "}", "[", "]", ": ", "'", "!!int ", "<<: ",
    "!!python/object:os.system ", "? ", "0x", "1e9", "2026-01-31", "%", "---\n", "null", "~",
)  # fmt: skip


def configure(text: str) -> None:
    """A promotion.yaml is taken, or refused with the reasons."""
    with suppress(PromotionError):
        configuration.parse("promotion.yaml", text)


CONFIGURATIONS = damaged([WRITTEN, WHOLE]).map(json.dumps) | YAML | VALUES.map(json.dumps)


LOGIN = base64.b64encode(b"user:password").decode()
AUTHS = {
    "auths": {
        HOST: {"auth": LOGIN},
        f"https://{HOST}/v1/": {"username": "user", "password": "password"},
        "https://index.docker.io/v1/": {"identitytoken": "token"},
    }
}


def log_in(content: bytes) -> None:
    """Docker's configuration has a credential, or none, or is named as damaged."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        for host in (HOST, "docker.io"):
            with suppress(PromotionError):
                DockerConfig(Path(file.name)).find(host)


REPORTS = phrases(
    '<?xml version="1.0"?>', "<!DOCTYPE a [", '<!ENTITY a "b">', "]>", "<testsuites>",
    "<testsuite>", '<testsuite tests="3" failures="1">', '<testcase name="a">', "<testcase/>",
    "<failure/>", "<skipped/>", "</testcase>", "</testsuite>", "</testsuites>", "&a;", "&#0;",
    "<![CDATA[", "]]>", "<", ">",
)  # fmt: skip


def read_report(text: str) -> None:
    """A report of tests is counted, or it is said what is wrong with it."""
    with suppress(PromotionError):
        junit.read(text.encode(errors="surrogatepass"))


TARGETS = (
    Target("promotion.yaml", CONFIGURATIONS, configure),
    Target("Docker's config.json", documents(AUTHS), log_in),
    Target("JUnit reports", REPORTS, read_report),
)
