"""Where a registry may lead: to whom its credential goes, and to whom nobody goes at all."""

from __future__ import annotations

import pytest

from promotion.errors import RegistryUntrusted
from promotion.registry.addresses import is_internal, is_internal_elsewhere, spelt_address
from promotion.registry.leads import lead

HOST = "registry.example"
BASE = f"https://{HOST}/v2/shop/blobs/1"

OWN = [
    "/v2/up/1",
    "up/1?state=x",
    "?state=x",
    "",
    f"https://{HOST}/v2/up/1",
    f"https://{HOST}",
    f"https://{HOST}:443/v2/up/1",
    f"HTTPS://{HOST.upper()}/v2/up/1",
    f"//{HOST}/v2/up/1",
    f"/v2/@evil.example/{HOST}",
    "/\\evil.example/x",
    "/v2/..//evil.example",
    "https:store.example",
    "https:///store.example",
]
OTHERS = [
    ("https://store.example/x", "store.example"),
    (f"https://{HOST}.evil.example/x", f"{HOST}.evil.example"),
    (f"https://{HOST}.", f"{HOST}."),
    (f"https://{HOST}:444/x", f"{HOST}:444"),
    (f"https://{HOST}:0443/x", f"{HOST}:0443"),
    ("https://registry/x", "registry"),
    (f"https://evil-{HOST}/x", f"evil-{HOST}"),
    (f"//store.example/{HOST}", "store.example"),
    ("https://93.184.216.34/x", "93.184.216.34"),
    ("https://[2606:2800:220:1::1]:8443/x", "[2606:2800:220:1::1]:8443"),
    ("https://10.0.0.7/x", "10.0.0.7"),
    ("https://my_bucket.store.example/x?sig=@:/", "my_bucket.store.example"),
]
ASTRAY = [
    f"http://{HOST}/v2/up/1",
    "http://store.example/x",
    "ftp://store.example/x",
    "file:///etc/passwd",
    "http://[",
    f"https://user:password@{HOST}/x",
    f"https://{HOST}@evil.example/x",
    f"https://{HOST}:443@evil.example/x",
    f"https://evil.example\\@{HOST}/x",
    f"https://{HOST}%40evil.example/x",
    "https://%31%32%37.0.0.1/x",
    "https://reg\xe9stry.example/x",
    "https://regi\u017ftry.example/x",
    "https://\u212aegistry.example/x",
    "https://store.example:99999999/x",
    "https://store.example:65536/x",
    "https://store.example:port/x",
    "https://localhost.:/x y@[",
    "https://[fe80::1%25eth0]/x",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://METADATA.google.internal./x",
    "https://metadata/x",
    "https://metadata.goog/x",
    "https://[:::1]/x",
]
SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.255.1.9:8443",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "0.0.0.0",
    "0",
    "169.254.169.254",
    "169.254.0.7:443",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.254.0xa9fe",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]:443",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[64:ff9b:1:abcd::127.0.0.1]",
    "[::ffff:0:a9fe:a9fe]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[febf::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "[ff02::1]",
]


@pytest.mark.parametrize("location", OWN)
def test_its_own_origin_is_the_registry(location: str) -> None:
    """However it is written, what leads there may be shown the credential."""
    led = lead(HOST, BASE, location)
    assert led.is_registry
    assert led.forbids is None


@pytest.mark.parametrize(("location", "host"), OTHERS)
def test_every_other_origin_is_not_the_registry(location: str, host: str) -> None:
    """Neither a name that begins or ends like its own nor another port is shown the credential."""
    led = lead(HOST, BASE, location)
    assert (led.host, led.is_registry) == (host, False)


@pytest.mark.parametrize("location", ASTRAY)
def test_nobody_goes_where_the_host_is_in_doubt_or_the_road_is_open(location: str) -> None:
    """Without TLS, with a user's name, and where two parsers could read two hosts."""
    with pytest.raises(RegistryUntrusted):
        lead(HOST, BASE, location)


@pytest.mark.parametrize("host", SPELLINGS)
def test_nobody_goes_to_addresses_inside(host: str) -> None:
    """Loopback, link-local and metadata addresses are known in every spelling."""
    with pytest.raises(RegistryUntrusted, match="internal"):
        lead(HOST, BASE, f"https://{host}/x")


@pytest.mark.parametrize(
    ("registry", "location"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:9000/x"),
        ("127.0.0.1:5000", "http://localhost:9000/x"),
        ("localhost:5000", "http://[::1]:9000/x"),
        ("localhost", "https://store.example/x"),
        ("10.0.0.7", "https://10.0.0.7:9000/x"),
        ("169.254.9.9", "https://169.254.9.9:9000/x"),
    ],
)
def test_a_registry_that_is_inside_may_lead_there(registry: str, location: str) -> None:
    """One on this machine may keep its content on it too, and any on its own host."""
    lead(registry, f"http://{registry}/", location)


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.google.internal", "[fe80::1]"])
def test_a_registry_on_this_machine_leads_to_nothing_beside_it(host: str) -> None:
    """That it is on loopback opens loopback, and nothing else."""
    with pytest.raises(RegistryUntrusted, match="internal"):
        lead("127.0.0.1:5000", "http://127.0.0.1:5000/", f"http://{host}/x")


def test_what_is_forbidden_is_forbidden_of_names_too() -> None:
    """A name's address is judged when it is known, by the same rule."""
    led = lead(HOST, BASE, "https://store.example/x")
    assert led.forbids is not None
    assert led.forbids("127.0.0.1")
    from_loopback = lead("localhost", "http://localhost/", "http://store.example/x")
    assert from_loopback.forbids is not None
    assert not from_loopback.forbids("127.0.0.1")
    assert from_loopback.forbids("169.254.169.254")


@pytest.mark.parametrize("address", ["93.184.216.34", "10.1.2.3", "192.168.0.1", "2606:2800::1"])
def test_other_addresses_are_not_internal(address: str) -> None:
    """Private networks may hold a registry's storage: an address on one is no secret service."""
    assert not is_internal(address)
    assert not is_internal_elsewhere(address)


def test_names_spell_no_address() -> None:
    """Only what every resolver takes for an address is one."""
    assert spelt_address("store.example") is None
    assert spelt_address("0x7g.1") is None
    assert spelt_address("0x7f.1") == "127.0.0.1"


@pytest.mark.parametrize("place", [f"user:pass-word@{HOST}", f"{HOST}:65536"])
def test_what_is_said_of_a_place_has_nothing_that_would_let_anybody_in(place: str) -> None:
    """The text goes to logs and events, and a place that a registry leads to may be signed."""
    location = f"https://{place}/download-path?X-Amz-Signature=signature"
    with pytest.raises(RegistryUntrusted) as caught:
        lead(HOST, BASE, location)
    assert HOST in str(caught.value)
    assert not any(each in str(caught.value) for each in ("pass-word", "path", "=signature"))


@pytest.mark.parametrize(
    ("registry", "host", "local"),
    [
        (HOST, "store.example", False),
        (HOST, "internal.example", False),
        (HOST, "notlocal", True),
        (HOST, "store", True),
        (HOST, "LOCALHOST.", True),
        (HOST, "store.localhost", True),
        (HOST, "printer.local", True),
        (HOST, "store.localdomain", True),
        (HOST, "store.corp.internal", True),
        (HOST, "store.home.arpa.", True),
        (HOST, "10.0.0.7", False),
        (HOST, "[2606:2800:220:1::1]", False),
        ("registry.corp.internal", "store.corp.internal", False),
        ("registry.corp.internal", "printer.local", True),
        ("registry.corp.internal", "store.example", False),
        ("registry", "store", False),
    ],
)
def test_a_name_of_one_site_is_told_from_others(registry: str, host: str, local: bool) -> None:
    """By how it ends: names that are set aside, unless the registry's own is of that kind."""
    assert lead(registry, f"https://{registry}/", f"https://{host}/x").is_local is local
