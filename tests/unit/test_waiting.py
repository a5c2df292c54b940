"""Which images wait in a stage, and since when: from lists of tags, without a look at the rest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dev import images
from dev.registry import EmbeddedRegistry
from promotion import configuration
from promotion.errors import PromotionError, RegistryUnavailable
from promotion.evidence.act import Act, Kind
from promotion.evidence.alert import Alert
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.deployment import Deployment
from promotion.inventory import Tags
from promotion.pipeline import Gate, Pipeline
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport
from promotion.verdict import Basis
from promotion.waiting import Waiting, versions_waiting, waiting_in, waits_since
from tests.unit import histories
from tests.unit.histories import NINE, OTHER, TESTED, evidence, promoted, run


@pytest.mark.parametrize(
    ("here", "there", "waiting"),
    [
        ("1.4.2", "", "1.4.2"),
        ("1.4.2", "1.4.2", ""),
        ("1.4.1 1.4.2 1.4.3 1.5.0", "1.4.0 1.4.2", "1.4.3 1.5.0"),
        ("1.9.0 1.10.0 1.11.0", "1.10.0", "1.11.0"),
        ("1.3.9 2.0.0", "1.4.0", "2.0.0"),
        ("1.5.0-rc.1 1.4.0-rc.1", "1.4.0", "1.5.0-rc.1"),
        ("2.0.0+build.2", "2.0.0+build.1", ""),
        ("main-4c1d 1.4.2", "1.4.2", "main-4c1d"),
        ("1.4 v1.5.0 latest", "1.4.2 latest", "1.4 v1.5.0"),
        ("1.4.2", "main-4c1d", "1.4.2"),
        ("1.4.2", "2.0.0-rc.1", ""),
        (f"sha256-{'a' * 64} sha256-{'a' * 64}.sig sha512-{'b' * 64} 1.0.0", "", "1.0.0"),
        ("", "1.4.2", ""),
    ],
)
def test_what_is_newer_than_all_that_is_in_the_next_stage_waits(
    here: str, there: str, waiting: str
) -> None:
    """By semantic versions; what is none is never behind, and tags of a digest are no images."""
    found = versions_waiting(Gate(suites=()), here.split(), there.split())
    assert found == waiting.split()


def test_in_any_order_all_that_is_absent_waits() -> None:
    """What is behind may go on as well."""
    gate = Gate(suites=(), order="any")
    assert versions_waiting(gate, ["1.3.9", "1.4.0", "1.4.1", "x"], ["1.4.0"]) == [
        "1.3.9",
        "1.4.1",
        "x",
    ]


@pytest.mark.parametrize(
    ("versions", "waiting"),
    [
        ("semver", ["1.4.3"]),
        ("1[.].*", ["1.4.3", "1.5.0-rc.1"]),
        ("", ["1.4.3", "1.5.0-rc.1", "main-4c1d"]),
    ],
)
def test_what_may_never_leave_does_not_wait(versions: str, waiting: list[str]) -> None:
    """A gate that takes certain forms of version only would say no to others each time."""
    gate = Gate(suites=(), versions=versions)
    assert versions_waiting(gate, ["1.4.3", "1.5.0-rc.1", "main-4c1d"], ["1.4.2"]) == waiting


TAGS = some.lists(
    some.one_of(
        some.tuples(*[some.integers(0, 3)] * 3).map(lambda parts: "{}.{}.{}".format(*parts)),
        some.sampled_from(["latest", "main", "1.0.0-rc.1", "1.0", "2.0.0-rc.1+x"]),
    ),
    unique=True,
)


@given(here=TAGS, there=TAGS, order=some.sampled_from(["minor", "strict", "any"]))
def test_nothing_waits_once_it_is_there(here: list[str], there: list[str], order: str) -> None:
    """All that waits is absent there; when it has arrived, nothing waits but what came since."""
    gate = Gate(suites=(), order=order)
    waiting = versions_waiting(gate, here, there)
    assert set(waiting) <= set(here) - set(there)
    assert versions_waiting(gate, here, [*there, *waiting]) == []


@given(here=TAGS, there=TAGS)
def test_the_order_of_a_list_does_not_matter(here: list[str], there: list[str]) -> None:
    """Registries list tags in whatever order they like."""
    gate = Gate(suites=())
    backwards = versions_waiting(gate, here[::-1], there[::-1])
    assert backwards == versions_waiting(gate, here, there)[::-1]


class Listed:
    """An inventory of given lists; a stage that has none cannot be listed."""

    def __init__(self, stages: Mapping[str, Mapping[str, Tags]]) -> None:
        self._stages = stages

    def images(self, stage: Repository) -> Mapping[str, Tags]:
        """What was given for it."""
        name = stage.path.rpartition("/")[2]
        if name not in self._stages:
            raise RegistryUnavailable(f"{name} is down")
        return self._stages[name]


def fan_out(host: str = "gcr.io") -> Pipeline:
    """One stage that promotes to two."""
    text = f"""
pipelines:
  shop:
    stages:
      test: {{registry: {host}/acme, promotes_to: [europe, asia], gate: {{suites: [functional]}}}}
      europe: {{registry: {host}/acme}}
      asia: {{registry: {host}/acme}}
"""
    (pipeline,) = configuration.parse("promotion.yaml", text).pipelines
    return pipeline


def found_in(
    stages: Mapping[str, Mapping[str, Tags]], transport: Transport, stage: str = "test"
) -> list[Waiting]:
    """What waits in a stage, where stages hold this."""
    pipeline = fan_out()
    return list(waiting_in(pipeline, pipeline.stages[stage], transport, Listed(stages)))


def waiting(*names: str, digest: Digest = TESTED) -> list[Waiting]:
    """These images, waiting."""
    return [Waiting(Reference.parse(f"gcr.io/acme/test/{name}"), digest) for name in names]


def test_what_is_absent_in_one_of_the_next_stages_waits(transport: Transport) -> None:
    """Each version once, however many of them lack it."""
    stages = {
        "test": {"shop": {"1.4.2": TESTED, "1.4.3": TESTED}, "api": {"1.0.0": TESTED}},
        "europe": {"shop": {"1.4.2": OTHER, "1.4.3": OTHER}},
        "asia": {"shop": {"1.4.2": OTHER}},
    }
    assert found_in(stages, transport) == waiting("api:1.0.0", "shop:1.4.3")


def test_records_are_no_images(transport: Transport) -> None:
    """What the function itself keeps in a stage never goes to another."""
    stages: dict[str, Mapping[str, Tags]] = {
        "test": {
            "promotion-policy": {"20260131T120000Z-8517d1d56401": TESTED},
            "promotion-control": {"stage": TESTED},
            "shop": {"1.4.2": TESTED},
        },
        "europe": {},
        "asia": {},
    }
    assert found_in(stages, transport) == waiting("shop:1.4.2")


def test_nothing_waits_in_the_last_stage(transport: Transport) -> None:
    """Nor is it listed."""
    assert found_in({}, transport, "europe") == []


def test_a_stage_that_is_down_does_not_hide_what_waits_for_another(transport: Transport) -> None:
    """What is found comes first; then it shows that there may be more."""
    stages: dict[str, Mapping[str, Tags]] = {"test": {"shop": {"1.4.2": TESTED}}, "asia": {}}
    pipeline = fan_out()
    found = waiting_in(pipeline, pipeline.stages["test"], transport, Listed(stages))
    assert next(found) == waiting("shop:1.4.2")[0]
    with pytest.raises(RegistryUnavailable, match="europe is down"):
        next(found)


def test_a_stage_that_cannot_be_listed_is_an_error(transport: Transport) -> None:
    """It is not taken for an empty one."""
    with pytest.raises(PromotionError, match="test is down"):
        found_in({"europe": {}, "asia": {}}, transport)


def test_only_what_waits_is_looked_up(near: EmbeddedRegistry, transport: Transport) -> None:
    """Where lists do not tell what a tag names, one request does for each image that waits."""
    shop = RepositoryClient(Repository(near.host, "acme/test/shop"), transport)
    digests = {f"1.4.{number}": images.push_image(shop, [], f"1.4.{number}") for number in range(9)}
    gone = "9.9.9"
    pipeline = fan_out(near.host)
    listed = Listed(
        {
            "test": {"shop": dict.fromkeys([*digests, gone])},
            "europe": {"shop": {"1.4.6": None}},
            "asia": {"shop": {"1.4.7": None}},
        }
    )
    before = len(near.served)
    found = list(waiting_in(pipeline, pipeline.stages["test"], transport, listed))
    assert found == [
        Waiting(Reference(shop.repository, tag), digests[tag].digest) for tag in ("1.4.7", "1.4.8")
    ]
    asked = [(each.method, each.path.rpartition("/")[2]) for each in near.served[before:]]
    assert sorted(asked) == [("HEAD", "1.4.7"), ("HEAD", "1.4.8"), ("HEAD", gone)]


# Since when


def stated(said: Deployment | Alert | Act, minute: int) -> Evidence:
    """What a store says that keeps one such statement."""
    at = NINE + timedelta(minutes=minute)
    template = run(minute=minute)
    basis = Basis(Digest(f"sha256:{minute:064x}"), template.basis.attestation, at)
    kept = Attested(said, basis, template.manifest, template.bundle)
    if isinstance(said, Deployment):
        return Evidence(deployments=(kept,))  # type: ignore[arg-type]
    if isinstance(said, Alert):
        return Evidence(alerts=(kept,))  # type: ignore[arg-type]
    return Evidence(acts=(kept,))  # type: ignore[arg-type]


PLACE = "gcr.io/acme/fast-feedback/shop"
FIRST = histories.image(histories.shop(), "fast-feedback")
SECOND = histories.image(histories.shop(), "extended-test")


def test_it_waits_since_it_was_promoted() -> None:
    """Into this stage, under this version; not since it was tested or goes on to the next."""
    known = evidence(
        run(minute=1),
        promoted(minute=2, version="1.4.1"),
        promoted(minute=3, name="api"),
        promoted(minute=4, pipeline="other"),
        promoted("prod", minute=5, from_stage="extended-test"),
        promoted(minute=8),
        promoted(minute=6, signature=1),
    )
    assert waits_since(known, SECOND) == NINE + timedelta(minutes=6)


def test_in_the_first_stage_it_waits_since_something_was_said_of_it() -> None:
    """Nothing tells when it was pushed; what was said of it elsewhere is no measure."""
    known = evidence(
        run(minute=1, name="api"),
        run(minute=2, stage="extended-test"),
        run(minute=3, pipeline="other"),
        run("nft", minute=7),
        run(minute=5, passed=False),
        promoted(minute=9),
    )
    assert waits_since(known, FIRST) == NINE + timedelta(minutes=5)


@pytest.mark.parametrize(
    "said",
    [
        Deployment("shop", "fast-feedback", PLACE, "1.4.2", NINE),
        Alert("shop", "fast-feedback", PLACE, "0.abc", True, NINE),
        Act(Kind.HOLD, "shop", "fast-feedback", PLACE, "ann@acme.example", "why", NINE),
    ],
)
def test_every_kind_of_statement_tells_that_it_is_there(said: Deployment | Alert | Act) -> None:
    """Also a deployment, an alert or a person's decision; none that is about the stage."""
    here = stated(said, minute=3)
    assert waits_since(here, FIRST) == NINE + timedelta(minutes=3)
    about_the_stage = Act(
        Kind.HOLD,
        "shop",
        "fast-feedback",
        "gcr.io/acme/fast-feedback",
        "ann@acme.example",
        "",
        NINE,
    )
    both = here.beside(stated(about_the_stage, minute=1))
    assert waits_since(both, FIRST) == NINE + timedelta(minutes=3)


def test_without_a_record_it_does_not_wait_in_a_later_stage() -> None:
    """Its gate denies it, however long ago it was tested there."""
    assert waits_since(evidence(run(minute=1, stage="extended-test")), SECOND) is None


@pytest.mark.parametrize("keys", [{"entry": "any"}, {"pipeline": "mode: observe"}])
def test_where_no_record_is_asked_for_statements_tell(keys: dict[str, str]) -> None:
    """Images come there by other ways than a promotion."""
    image = histories.image(histories.shop(**keys), "extended-test")
    known = evidence(run(minute=2, stage="extended-test"), run(minute=1))
    assert waits_since(known, image) == NINE + timedelta(minutes=2)


def test_of_what_nothing_is_said_nothing_is_known() -> None:
    """An image that no suite has reported on yet has no age."""
    assert waits_since(evidence(), FIRST) is None
