"""A job of some CI that has tested an image: a folder with reports, a shell, and ``promotion``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev.stack import RESULTS
from tests.integration.shop import FAST_FEEDBACK, Shop

PASSED = "<testsuites><testsuite><testcase/><testcase/></testsuite></testsuites>"
FAILED = "<testsuite><testcase/><testcase><failure/></testcase></testsuite>"

# Ends what hangs; nothing is measured by it.
_LIMIT = 60


@dataclass
class Job:
    """A job with the shop's image, whose messages go to the function's topic in the emulator.

    Attributes:
        folder: Where it works.
        variables: What it finds in its environment besides.
    """

    shop: Shop
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def image(self) -> str:
        """The image that it has tested."""
        return self.shop.image(FAST_FEEDBACK)

    def report(self, text: str) -> None:
        """Let the tests write a report."""
        (self.folder / "reports").mkdir(exist_ok=True)
        (self.folder / "reports" / "functional.xml").write_text(text, encoding="utf-8")

    def provide(self, program: str, text: str) -> None:
        """Put a program on the job's path, before any other."""
        file = self.folder / "bin" / program
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)

    def publish_unheard(self) -> None:
        """Let its messages go to a topic to which nobody listens, from now on."""
        topic = self.shop.stack.pubsub.create_topic(f"{self.shop.name}-unheard")
        self.variables["PROMOTION_RESULTS_TOPIC"] = topic

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script as CI does: it ends with the first line that fails."""
        return self.run(["bash", "-eu", "-o", "pipefail", "-c", script])

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program, which is not at a terminal."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT,
        )

    @property
    def environment(self) -> dict[str, str]:
        """What its processes find in their environment."""
        pubsub = self.shop.stack.pubsub
        programs = (str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])
        return {
            "PATH": os.pathsep.join(programs),
            "HOME": str(self.folder),
            "IMAGE": self.image,
            "PROMOTION_RESULTS_TOPIC": f"projects/{pubsub.project}/topics/{RESULTS}",
            "PUBSUB_EMULATOR_HOST": pubsub.host,
            **self.variables,
        }
