"""What a promotion.yaml, if there is one, makes of ``promotion promote``: its setting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from promotion import gates, signing
from promotion.announcement import Announcer
from promotion.by_hand.errand import Found, Setting, Terms, Unrecorded
from promotion.by_hand.terms import ByTheGate, Keeper, PastTheGate, case_of
from promotion.commands.caller import caller
from promotion.commands.in_reach import InReach, in_reach
from promotion.effects import Effects
from promotion.errors import BadConfiguration
from promotion.evidence.store import EvidenceStore
from promotion.policy import NamedPolicy, Policy
from promotion.publisher import Topic
from promotion.registry.connections import Connections
from promotion.registry.fetch import Fetch
from promotion.registry.transport import Transport
from promotion.signing import Signer
from promotion.turns import Turns


class PastTheGates:
    """Past the gates of a promotion.yaml, which has it recorded, and may forbid it."""

    def __init__(self, known: InReach, keeper: Keeper) -> None:
        self._known = known
        self._keeper = keeper
        signs = "" if known.pipelines.signing else ", unsigned, as promotion.yaml has no signing"
        self.said = (
            f"past the gates of {known.name}; between its stages, on record as by"
            f" {keeper.author.name}{signs}"
        )

    def terms_of(self, found: Found) -> Terms:
        """A promotion that asks no gate; a plain copy between places that are not its stages."""
        case = case_of(found, self._known.pipelines)
        if case is None:
            return Unrecorded(found, f"not on record: {self._known.name} has no such two stages")
        return PastTheGate(found, case, self._keeper)


class ByTheGates:
    """By the gates of a promotion.yaml."""

    def __init__(self, known: InReach, store: EvidenceStore, effects: Effects) -> None:
        self._known = known
        self._store = store
        self._effects = effects
        signs = "" if known.pipelines.signing else "; unsigned evidence counts"
        self.said = f"judging by the gates of {known.name}{signs}"

    def terms_of(self, found: Found) -> Terms:
        """A promotion that the gate has to agree to.

        Raises:
            BadConfiguration: There is no gate between the two places.
            Retryable: A registry failed.
        """
        case = case_of(found, self._known.pipelines)
        if case is None:
            raise BadConfiguration(
                f"{found.errand.origin} and {found.errand.target} are not in two stages of one"
                f" pipeline of {self._known.name}, so there is no gate to ask"
            )
        return ByTheGate(found, case, self._effects, self._store, datetime.now(UTC))


def past_the_gates(known: InReach, host: str, environment: Mapping[str, str]) -> Setting:
    """What holds without ``--gate``.

    Args:
        known: The promotion.yaml.
        host: The registry that is written to: its credentials say who promotes.
        environment: Names the credentials.

    Raises:
        BadConfiguration: Its key is not to be had here.
        AccessDenied, RegistryUnavailable: The credentials are of no use.
    """
    fetch = Connections().fetch
    store, _ = _store(known, fetch)
    return PastTheGates(known, Keeper(store, caller(host, environment, fetch)))


def by_the_gates(writer: Transport, environment: Mapping[str, str], topic: Topic) -> Setting:
    """What holds with ``--gate``.

    Raises:
        BadConfiguration: There is no promotion.yaml, it is wrong, or its key is not to be had here.
    """
    known = in_reach(environment)
    gates.check_supported(known.pipelines)
    store, signer = _store(known, Connections().fetch)
    policy = NamedPolicy(
        lambda: Policy(
            known.text.encode(), signing.public_keys(known.pipelines.signing, signer).encode()
        )
    )
    announcer = Announcer(topic, store)
    effects = Effects(writer, announcer, store, policy, Turns(), lambda: datetime.now(UTC))
    return ByTheGates(known, store, effects)


def _store(known: InReach, fetch: Fetch) -> tuple[EvidenceStore, Signer]:
    """Where statements are read and written; who promotes by hand has to be able to sign them."""
    said = known.pipelines.signing
    try:
        signer, verifier = signing.signer_and_verifier(said, fetch)
        signing.check_trusted(said, signer)
    except BadConfiguration as error:
        raise BadConfiguration(
            f"{known.name} has promotions signed, and this cannot be done here, so nothing is"
            f" promoted: {error}; have the function promote it, with `promotion advance`"
        ) from error
    return EvidenceStore(signer, verifier), signer
