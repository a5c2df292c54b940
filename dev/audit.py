"""Ask whether what is locked has known vulnerabilities, where the advisory service is in reach.

    python -m dev.audit PIP_AUDIT LOCK...

Exit code 1: there are such; each is named, with the version that mends it. Out of reach, or in no
time: a line says so, and the exit code is 0, for no build should fail because a service is down.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import msgspec

_SECONDS = 120
_SECONDS_OF_SILENCE = 5
_ASK = "--require-hashes --disable-pip --progress-spinner=off --format=json"


class _Vulnerability(msgspec.Struct):
    id: str
    fix_versions: list[str] = []


class _Dependency(msgspec.Struct):
    name: str
    version: str = ""
    vulns: list[_Vulnerability] = []


class _Report(msgspec.Struct):
    dependencies: list[_Dependency]


def main(arguments: Sequence[str]) -> int:
    """Ask for each lock; whether any has a vulnerability."""
    program, *locks = arguments
    return max(_audit(program, lock) for lock in locks)


def _audit(program: str, lock: str) -> int:
    command = [program, *_ASK.split(), f"--timeout={_SECONDS_OF_SILENCE}", "-r", lock]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return _not_asked(lock, f"no answer in {_SECONDS} s")
    except OSError as error:
        return _not_asked(lock, str(error))
    try:
        report = msgspec.json.decode(ended.stdout, type=_Report)
    except msgspec.DecodeError:
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        return _not_asked(lock, lines[-1] if lines else f"status {ended.returncode}")
    return _told(lock, report)


def _not_asked(lock: str, why: str) -> int:
    print(f"audit: {lock} was not looked at, the advisory service gave no answer: {why}")
    return 0


def _told(lock: str, report: _Report) -> int:
    found = [(each, one) for each in report.dependencies for one in each.vulns]
    for dependency, one in found:
        mended = f"mended in {', '.join(one.fix_versions)}" if one.fix_versions else "not mended"
        print(f"audit: {lock}: {dependency.name} {dependency.version} has {one.id}, {mended}")
    if not found:
        print(f"audit: {lock}: {len(report.dependencies)} packages, no known vulnerability")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
