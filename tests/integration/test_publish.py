"""``promotion publish`` as a process, on the emulator, a registry, and a function that takes it."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dev.services import MissingPart
from dev.stack import ROOT
from tests.integration.busybox import Busybox
from tests.integration.ci_job import FAILED, PASSED, Job
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, PROD, VERSION, Shop

FUNCTIONAL = "--suite functional --junit reports/*.xml"


@pytest.fixture
def job(shop: Shop, busybox: Busybox, tmp_path: Path) -> Job:
    """A job that has tested an image in fast-feedback."""
    busybox.push(shop.image(FAST_FEEDBACK))
    return Job(shop, tmp_path)


def test_a_success_is_published_and_seen_to_promote(job: Job) -> None:
    """One line, to which the exit code and standard output answer; nothing is drawn in a pipe."""
    job.report(PASSED)
    ended = job.shell(f'promotion publish "$IMAGE" {FUNCTIONAL} --wait --json')
    assert (ended.returncode, ended.stderr) == (
        0,
        f"promotion: promoted: {job.shop.name}:{VERSION} is in extended-test\n",
    )
    said = json.loads(ended.stdout)
    digest = job.shop.digest(EXTENDED_TEST)
    assert (said["digest"], said["outcome"], said["state"]) == (digest, "success", "promoted")
    assert job.shop.events.next().attributes["verdict"] == "PROMOTE"


def test_a_failure_is_denied_and_lifted_by_the_next_run(job: Job) -> None:
    """A standing denial is not mistaken for the answer to a later success."""
    job.report(FAILED)
    denied = job.shell(f'promotion publish "$IMAGE" {FUNCTIONAL} --run-url https://ci/1 --wait')
    assert denied.returncode == 1
    assert denied.stderr.startswith("promotion: denied: extended-test: suite functional failed at")
    assert denied.stderr.endswith("(https://ci/1)\n")
    job.report(PASSED)
    again = job.shell(f'promotion publish "$IMAGE" {FUNCTIONAL} --run-url https://ci/2 --wait')
    assert (again.returncode, job.shop.digest(EXTENDED_TEST)) == (0, job.shop.digest(FAST_FEEDBACK))


def test_what_is_missing_is_told_when_the_time_is_over(job: Job) -> None:
    """Exit code 3: the result of another suite is recorded, and this one has not reported."""
    lint = 'promotion publish "$IMAGE" --suite lint --outcome success --wait --timeout '
    # On a busy machine the function may take a while to record it.
    for timeout in ("1s", "4s", "16s"):
        ended = job.shell(lint + timeout)
        assert ended.returncode == 3
        if "has not recorded" not in ended.stderr:
            break
    missing = "extended-test: suite functional has not reported from fast-feedback"
    assert ended.stderr == f"promotion: waiting: {missing}\n"


def test_nothing_is_sent_of_what_is_not_there(job: Job) -> None:
    """Neither about another tag, nor from reports that were not written."""
    for command, complaint in [
        (f'promotion publish "$IMAGE-typo" {FUNCTIONAL}', "reports/*.xml cannot be read"),
        ('promotion publish "$IMAGE-typo" --suite functional --outcome success', "not exist"),
    ]:
        ended = job.shell(command)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert complaint in ended.stderr


def test_that_it_was_sent_is_logged_if_that_is_asked_for(job: Job) -> None:
    """With the requests to the registry: what Google's client library sends is no secret."""
    ended = job.shell('promotion -v publish "$IMAGE" --suite lint --outcome success')
    assert ended.returncode == 0
    *asked, sent = ended.stderr.splitlines()
    assert all(re.search(r" HEAD http://[^ ]+ 200 \d+ ms$", line) for line in asked)
    topic = re.escape(job.environment["PROMOTION_RESULTS_TOPIC"])
    assert re.search(rf" google\.pubsub\.v1\.Publisher\.Publish {topic} OK \d+ ms$", sent)


def read_to_the_end(terminal: int) -> bytes:
    """All that is shown on a terminal, until nobody has its other end any more."""
    shown = b""
    # So Linux says that.
    with suppress(OSError):
        while more := os.read(terminal, 65536):
            shown += more
    return shown


def test_on_a_terminal_one_sees_what_is_waited_for(job: Job) -> None:
    """A line on standard error that changes, and standard output as ever."""
    job.publish_unheard()
    terminal, end = pty.openpty()
    try:
        publish = ["-m", "promotion", "publish", job.image, "--suite", "functional"]
        with subprocess.Popen(
            [sys.executable, *publish, *["--outcome", "success", "--wait", "--timeout", "0s"]],
            cwd=job.folder,
            env={**job.environment, "TERM": "xterm", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=end,
            text=True,
        ) as process:
            os.close(end)
            shown = read_to_the_end(terminal).decode()
            printed, _ = process.communicate()
    finally:
        os.close(terminal)
    assert process.returncode == 3
    assert printed.startswith("sent: functional success for")
    drawn, _, said = shown.partition("promotion: ")
    assert "\x1b[" in drawn
    assert "waiting: the function has not recorded the result yet" in drawn
    assert said == "waiting: the function has not recorded the result yet\r\n"


@pytest.fixture
def make() -> list[str]:
    """Runs make with this repository's Makefile, and what is installed beside this Python."""
    if not shutil.which("make"):
        raise MissingPart("make is not installed: apt-get install make")
    command = ["make", "--no-print-directory", "-C", str(ROOT), "-o", ".venv/runtime"]
    return [*command, f"BIN={Path(sys.executable).parent}"]


def test_make_publishes_too(job: Job, make: list[str]) -> None:
    """With reports, and waiting, to the topic that the environment names."""
    job.report(PASSED)
    publish = [*make, "publish", f"IMAGE={job.image}"]
    usage = job.run(publish)
    assert usage.returncode == 2
    assert "usage: make publish IMAGE=" in usage.stderr
    ended = job.run([*publish, "SUITE=functional", f"JUNIT={job.folder}/reports/*.xml", "WAIT=1"])
    assert ended.returncode == 0, ended.stderr
    assert "sent: functional success (2 passed, 0 failed, 0 skipped)" in ended.stdout
    assert job.shop.digest(EXTENDED_TEST)
    assert job.shop.digest(PROD) is None


def test_make_has_images_judged_again(job: Job, make: list[str]) -> None:
    """By a request to the topic for signals."""
    usage = job.run([*make, "evaluate", "IMAGE="])
    assert usage.returncode == 2
    assert "usage: make evaluate IMAGE=" in usage.stderr
    pubsub, name = job.shop.stack.pubsub, f"{job.shop.name}-signals"
    job.variables["PROMOTION_SIGNALS_TOPIC"] = pubsub.create_topic(name)
    pubsub.create_subscription(name, name)
    ended = job.run([*make, "evaluate", f"IMAGE={job.image}"])
    digest = job.shop.digest(FAST_FEEDBACK)
    assert ended.stdout == f"sent: evaluate {job.image}@{digest}\n", ended.stderr
    (message,) = pubsub.pull(name, timeout=60)
    assert json.loads(message.data) == {"evaluate": {"image": job.image, "digest": digest}}
