"""Which endpoints there are, and whose certificate is expected where."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.line.endpoints import Endpoints, NotListening
from faxgw.line.trunk import SipSettings, Trunk, TrunkSettings
from faxgw.settings import Listener, Tls
from tests.conftest import MakeCertificate

ANY = Listener("127.0.0.1", 0)


def trunk(name: str, host: str, **changes: object) -> Trunk:
    return Trunk(TrunkSettings(name=name, host=host, **changes))  # type: ignore[arg-type]


def endpoints(*trunks: Trunk, **changes: object) -> Endpoints:
    settings = SipSettings(listen=ANY, **changes)  # type: ignore[arg-type]
    return Endpoints(settings, trunks, lambda endpoint, event: None, lambda source: None)


async def test_a_transport_is_spoken_where_we_listen_or_a_trunk_wants_it() -> None:
    for made, spoken in (
        (endpoints(), {"udp"}),
        (endpoints(listen_tcp=ANY), {"udp", "tcp"}),
        (endpoints(trunk("a", "192.0.2.1", transport="tcp"), trunk("b", "192.0.2.2")), {"udp", "tcp"}),
        (endpoints(trunk("a", "192.0.2.1", transport="tls")), {"udp", "tls"}),
    ):
        await made.start()
        assert set(made.ports) == spoken
        assert all(made.ports.values())
        assert {made.of(name).port for name in spoken} == set(made.ports.values())
        await made.stop()


def test_the_certificate_must_be_that_of_the_trunk_at_the_address() -> None:
    first = trunk("first", "192.0.2.1", transport="tls", peers=("192.0.2.16/28",))
    second = trunk("second", "192.0.2.2", transport="tls")
    plain = trunk("plain", "192.0.2.3")
    made = endpoints(first, second, plain)
    made.renew(None)
    names = {
        host: None if (found := made._security((host, 5061))) is None else found.server_name
        for host in ("192.0.2.1", "192.0.2.17", "192.0.2.2", "192.0.2.3", "198.51.100.1")
    }
    assert names == {
        "192.0.2.1": "192.0.2.1", "192.0.2.17": "192.0.2.1", "192.0.2.2": "192.0.2.2",
        "192.0.2.3": None, "198.51.100.1": None,
    }  # fmt: skip


def test_elsewhere_it_must_be_that_of_the_only_trunk() -> None:
    """A Contact that DNS does not tell."""
    made = endpoints(trunk("only", "sip.example.net", transport="tls"), trunk("plain", "192.0.2.3"))
    made.renew(None)
    found = made._security(("198.51.100.1", 5061))
    assert found is not None and found.server_name == "sip.example.net"


def test_behind_a_proxy_it_must_be_that_of_the_proxy() -> None:
    """RFC 5922 section 7.1: the next hop proves itself."""
    made = endpoints(trunk("only", "sip.example.net", transport="tls", proxy="sbc.example.net:5061"))
    made.renew(None)
    found = made._security(("198.51.100.1", 5061))
    assert found is not None and found.server_name == "sbc.example.net"


async def test_a_certificate_that_is_gone_is_told_at_the_start(make_certificate: MakeCertificate) -> None:
    certificate, key = make_certificate()
    tls = Tls(certificate=certificate, key=key)
    made = endpoints(listen_tls=ANY, tls=tls)
    certificate.unlink()
    with pytest.raises(NotListening) as caught:
        await made.start()
    assert caught.value.place == "SIP over TLS"
    await made.stop()


@pytest.mark.parametrize(
    "changes",
    [{"listen_tls": ANY}, {"listen_tcp": Listener("0.0.0.0", 0)}, {"tls": "here"}],
)
def test_settings_that_do_not_go_together(changes: dict[str, object], make_certificate: MakeCertificate) -> None:
    certificate, key = make_certificate()
    if "tls" in changes:
        changes = {"tls": Tls(certificate=certificate, key=key)}
    with pytest.raises(ValueError, match=r"belong together|public_address"):
        SipSettings(**changes)  # type: ignore[arg-type]


def test_what_is_for_tls_only(tmp_path: Path, make_certificate: MakeCertificate) -> None:
    certificate, _key = make_certificate()
    empty = tmp_path / "empty.pem"
    empty.touch()
    TrunkSettings(name="a", host="b", transport="tls", ca_file=certificate)
    for values in ({"ca_file": certificate}, {"transport": "tls", "ca_file": empty}):
        with pytest.raises(ValueError, match=r"ca_file|no certificate"):
            TrunkSettings(name="a", host="b", **values)
