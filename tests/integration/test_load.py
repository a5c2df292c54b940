"""Under load: a copy that takes long, beside messages about other images on the same instance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

from bench.faults import Hold, Rule
from bench.proxy import Proxy
from dev import images
from dev.anonymous import anonymous_transport
from dev.registry import EmbeddedRegistry
from dev.services import function_server
from dev.stack import ROOT, three_stages
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from tests.integration.pushing import pushed, result

_MESSAGES = 20
_AT_ONCE = 4


def test_no_message_waits_behind_another_images_copy(
    http: urllib3.PoolManager, tmp_path: Path
) -> None:
    """One upload to prod is under way, and all others go there too before it is let go on.

    It stands in for a copy of 5 GiB, which ``make load-large`` measures.
    """
    transport = anonymous_transport()

    def promoted(function: str, near: str, number: int) -> int:
        name = Repository(near, f"shop/extended-test/service-{number}")
        image = images.push_image(RepositoryClient(name, transport), [b"small"], tag="1.0")
        return deliver(function, f"{name}:1.0", image.digest, "extended")

    def deliver(function: str, image: str, digest: str, suite: str) -> int:
        push = pushed(result(image, digest, suite=suite))
        return http.request("POST", f"{function}/", json=push, timeout=60.0).status

    (tmp_path / "function").mkdir()
    with (
        EmbeddedRegistry(tmp_path / "near") as near,
        EmbeddedRegistry(tmp_path / "far") as far,
        Proxy(far.host) as prod,
    ):
        text = three_stages(near.host, prod.host).replace(
            "suites: [extended]", "suites: [extended]\n        entry: any"
        )
        configuration = tmp_path / "promotion.yaml"
        configuration.write_text(text, encoding="utf-8")
        place = RepositoryClient(Repository(near.host, "shop/extended-test/large"), transport)
        large = images.push_image(place, [b"large"], tag="1.0")
        prod.inject(Rule(Hold("upload"), method="PUT|PATCH", path="/prod/large/blobs/uploads/"))
        environment = {"PROMOTION_CONFIG": str(configuration)}
        with (
            function_server(ROOT, environment, tmp_path / "function") as function,
            ThreadPoolExecutor(_AT_ONCE + 1) as threads,
        ):
            copying = threads.submit(
                deliver, function.url, f"{place.repository}:1.0", large.digest, "extended"
            )
            assert prod.await_held("upload", 30.0)
            others = [
                threads.submit(promoted, function.url, near.host, number)
                for number in range(_MESSAGES)
            ]
            assert {each.result() for each in others} == {200}
            assert not copying.done()
            prod.release("upload")
            assert copying.result() == 200
        arrived = RepositoryClient(Repository(far.host, "shop/prod/large"), transport)
        assert arrived.resolve("1.0") == large.digest
    transport.close()
