"""What is written to a registry by somebody without the key changes no verdict: kind by way.

A kind is a statement that would change the verdict if it were true; that it would is tested first.
A way is how somebody who can write there, and can read all other stages, brings it about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dev.anonymous import anonymous_transport
from dev.registry import EmbeddedRegistry
from promotion.dsse import Envelope, Signature
from promotion.evidence import kinds
from promotion.evidence.statement import PAYLOAD_TYPE
from promotion.registry.transport import Transport
from tests.unit.attesting import KEY, STRANGER, bundle
from tests.unit.trusting import LONG_AGO, WORDS, Word, World, codes

Worlds = Callable[[str], World]

CENTURY = timedelta(days=36_500)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """A world for each kind, which all forgeries of that kind are tried on, one after the other."""
    folder = tmp_path_factory.mktemp("worlds")
    made: dict[str, World] = {}
    transport = anonymous_transport()

    with EmbeddedRegistry(folder / "registry") as registry:

        def world(kind: str) -> World:
            if kind not in made:
                name = kind.replace(" ", "-")
                made[kind] = World(registry.host, name, transport, folder).prepared(WORDS[kind])
            return made[kind]

        yield world
        transport.close()


def _payload(world: World, word: Word) -> bytes:
    said = word.said(world.place, LONG_AGO)
    return kinds.write(said, world.subject(word, world.place))


def _unsigned(world: World, word: Word) -> bytes:
    return bundle(_payload(world, word))


def _signed_by_a_stranger(world: World, word: Word) -> bytes:
    return bundle(_payload(world, word), STRANGER)


def _signed_in_the_keys_name(world: World, word: Word) -> bytes:
    payload = _payload(world, word)
    (signature,) = Envelope.from_bundle(bundle(payload, STRANGER)).signatures
    claimed = Signature(signature.value, KEY.public.key_id)
    return Envelope(PAYLOAD_TYPE, payload, (claimed,)).to_bundle()


def _with_the_signature_of_another(world: World, word: Word) -> bytes:
    true = Envelope.from_bundle(bundle(_of_fast_feedback(world, word), KEY))
    return Envelope(PAYLOAD_TYPE, _payload(world, word), true.signatures).to_bundle()


def _dated_in_the_future(world: World, word: Word) -> bytes:
    said = word.said(world.place, LONG_AGO + CENTURY)
    return bundle(kinds.write(said, world.subject(word, world.place)), STRANGER)


def _from_elsewhere(world: World, word: Word, **changes: str) -> bytes:
    place = replace(world.place, **changes)
    return kinds.write(word.said(place, LONG_AGO), world.subject(word, place))


def _of_another_digest(world: World, word: Word) -> bytes:
    return world.signed(word.said(world.place, LONG_AGO), world.other_image.digest)


def _of_another_name(world: World, word: Word) -> bytes:
    return bundle(_from_elsewhere(world, word, name="another"), KEY)


def _of_another_stage(world: World, word: Word) -> bytes:
    return bundle(_of_fast_feedback(world, word), KEY)


def _of_fast_feedback(world: World, word: Word) -> bytes:
    return _from_elsewhere(world, word, stage="fast-feedback")


def _of_another_pipeline(world: World, word: Word) -> bytes:
    return bundle(_from_elsewhere(world, word, pipeline="other", stage="others-test"), KEY)


def _of_a_pipeline_with_this_stage(world: World, word: Word) -> bytes:
    return bundle(_from_elsewhere(world, word, pipeline="other"), KEY)


Way = Callable[[World, Word], bytes]

WAYS: dict[str, Way] = {
    "unsigned": _unsigned,
    "signed by a stranger": _signed_by_a_stranger,
    "signed in the key's name": _signed_in_the_keys_name,
    "with the signature of another": _with_the_signature_of_another,
    "dated in the future": _dated_in_the_future,
    "of another digest": _of_another_digest,
    "of another name": _of_another_name,
    "of another stage": _of_another_stage,
    "of another pipeline": _of_another_pipeline,
    "of a pipeline with this stage": _of_a_pipeline_with_this_stage,
}


def _is_a_forgery(kind: str, way: str) -> bool:
    """Whether there is such a one: a stage has no other name, and what counts everywhere counts."""
    word = WORDS[kind]
    if word.of_stage and way == "of another name":
        return False
    return not (word.everywhere and way == "of another stage")


FORGERIES = [(kind, way) for kind in WORDS for way in WAYS if _is_a_forgery(kind, way)]


@pytest.mark.parametrize(("kind", "way"), FORGERIES)
def test_a_forged_statement_changes_no_verdict(worlds: Worlds, kind: str, way: str) -> None:
    """Neither for one who has looked at the image before, nor for one who has not."""
    world, word = worlds(kind), WORDS[kind]
    before = world.before
    world.attach(word, WAYS[way](world, word))
    assert world.findings() == before


@pytest.mark.parametrize("kind", WORDS)
def test_the_true_statement_changes_it(
    near: EmbeddedRegistry, transport: Transport, tmp_path: Path, kind: str
) -> None:
    """So each forgery above is the only thing that the verdict lacks."""
    word = WORDS[kind]
    world = World(near.host, "shop", transport, tmp_path).prepared(word)
    before = world.findings()
    world.state(word, LONG_AGO)
    assert codes(before) ^ codes(world.findings()) >= {word.changes}


@pytest.mark.parametrize("kind", [kind for kind, word in WORDS.items() if word.everywhere])
def test_what_stops_a_digest_stops_it_in_every_stage(
    near: EmbeddedRegistry, transport: Transport, tmp_path: Path, kind: str
) -> None:
    """Said of it in another stage, and carried here: that is no forgery."""
    word = WORDS[kind]
    world = World(near.host, "shop", transport, tmp_path).prepared(word)
    assert word.changes not in codes(world.findings())
    world.attach(word, _of_another_stage(world, word))
    assert word.changes in codes(world.findings())
