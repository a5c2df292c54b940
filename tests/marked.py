"""Secrets that can be told wherever they turn up: marked, and looked for in all that comes out.

    secrets = Marked()
    token = secrets.new("access token")
    …run something that is given the token…
    secrets.check({"standard error": error, **command_lines(server.pid)})

A secret is found as it is, and as it travels: percent-encoded, escaped in JSON, in hexadecimal, and
in Base64 of either alphabet, wherever in the encoded text it begins.
"""

from __future__ import annotations

import base64
import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote


class Marked:
    """Secrets of one test."""

    def __init__(self) -> None:
        self._forms: dict[str, frozenset[bytes]] = {}

    def new(self, name: str) -> str:
        """A secret that there was never before, of characters that any secret may have."""
        return self.mark(name, f"mark-{uuid.uuid4().hex}/+~{uuid.uuid4().hex}")

    def mark(self, name: str, secret: str) -> str:
        """Look for this one, which was made elsewhere, as well."""
        self._forms[name] = _forms(secret)
        return secret

    def mark_key(self, name: str, pem: str) -> str:
        """Look for each line of a key in PEM form, by itself."""
        lines = [line for line in pem.splitlines() if line and not line.startswith("-----")]
        for number, line in enumerate(lines):
            self.mark(f"{name}, line {number}", line)
        return pem

    def found_in(self, outputs: Mapping[str, bytes | str]) -> list[str]:
        """Which secrets stand where, in words."""
        return [
            f"{name} in {place}"
            for place, output in outputs.items()
            for name, forms in self._forms.items()
            if any(form in _bytes(output) for form in forms)
        ]

    def check(self, outputs: Mapping[str, bytes | str]) -> None:
        """Find none of them.

        Raises:
            AssertionError: There is one; the text says which and where, and does not repeat it.
        """
        assert self.found_in(outputs) == []


def _forms(secret: str) -> frozenset[bytes]:
    raw = secret.encode()
    texts = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex()}
    return frozenset({each.encode() for each in texts} | set(_base64(raw)))


def _base64(raw: bytes) -> Iterator[bytes]:
    """What stands in Base64 of any text that holds it, but for what depends on its neighbours."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).rstrip(b"=")
        inner = encoded[(8 * before + 5) // 6 : len(raw + bytes(before)) * 8 // 6]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _bytes(output: bytes | str) -> bytes:
    return output if isinstance(output, bytes) else output.encode(errors="surrogateescape")


def command_lines(pid: int) -> dict[str, bytes]:
    """The arguments of a process and of all that it has started and that run now."""
    parents = {child: _parent(child) for child in _processes()}
    family = {pid}
    while more := {each for each, parent in parents.items() if parent in family} - family:
        family |= more
    return {f"the arguments of {each}": _arguments(each) for each in sorted(family)}


def files_in(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """All files in a folder with such names, such as what a registry keeps."""
    found = (each for each in sorted(folder.rglob(pattern)) if each.is_file())
    return {str(each.relative_to(folder)): each.read_bytes() for each in found}


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]


def _parent(pid: int) -> int:
    try:
        # The name before it may hold spaces and parentheses.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


_started: list[str] | None = None


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _started is not None and event in ("subprocess.Popen", "os.system", "os.exec"):
        _started.append(repr(arguments[:2]))


@contextmanager
def programs_started() -> Iterator[list[str]]:
    """The programs that this process starts meanwhile, with their arguments."""
    global _started
    if not getattr(sys, "_hears_programs", False):
        sys.addaudithook(_hear)
        sys._hears_programs = True  # type: ignore[attr-defined]
    _started = []
    try:
        yield _started
    finally:
        _started = None
