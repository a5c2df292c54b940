"""Types are made ready by one thread at a time: a second one would bring the process down."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import json, sys, threading
sys.setswitchinterval(1e-6)
from promotion.registry.manifest import OCI_MANIFEST, Manifest, successors
from promotion.registry.reference import digest_of

part = {"mediaType": "a", "digest": "sha256:" + "a" * 64, "size": 1}
content = json.dumps({"schemaVersion": 2, "config": part, "layers": [part]}).encode()
manifest = Manifest(OCI_MANIFEST, digest_of(content), content)
together, read = threading.Barrier(8), []

def go():
    together.wait()
    read.append(len(successors(manifest).blobs))

threads = [threading.Thread(target=go) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(read)
"""


@pytest.mark.parametrize("attempt", range(5))
def test_a_type_that_several_threads_use_first_is_whole(attempt: int) -> None:
    """Threads that change at every step meet in it, in a process that has never used it."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, ""), attempt
    assert len(set(ended.stdout.strip("[]\n").split(", "))) == 1


@pytest.mark.parametrize(
    "module", sorted(each for each in (ROOT / "promotion").rglob("*.py") if each.name != "typed.py")
)
def test_no_type_is_read_otherwise(module: Path) -> None:
    """What has a type is read by promotion.typed; only what has none is read by msgspec itself."""
    text = module.read_text(encoding="utf-8")
    assert not re.search(r"msgspec\.(convert|json\.Decoder|yaml|msgpack)", text)
    assert not re.search(r"msgspec\.json\.decode\([^()]*type=", text)
