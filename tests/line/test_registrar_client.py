"""A trunk that registers, against a registrar of our own: challenges, refusals, failover, refresh, goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from faxgw.foip import registration as machine
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener, Secret
from tests.line.far_end import until
from tests.line.name_server import NameServer
from tests.line.registrar import PASSWORD, USER, Registrar

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


@asynccontextmanager
async def registering(
    port: int | None, sip: dict[str, object] | None = None, **changes: object
) -> AsyncIterator[SipLine]:
    values: dict[str, object] = {
        "name": "t",
        "host": "127.0.0.1",
        "port": port,
        "domain": "carrier.test",
        "login": USER,
        "password": Secret(PASSWORD),
        "registration": True,
        "keepalive": Duration(0),
        "answer_within": Duration(1.0),
        **changes,
    }
    settings = SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(24000, 24999), **(sip or {}))  # type: ignore[arg-type]
    line = SipLine(settings, [TrunkSettings(**values)], FAKE)  # type: ignore[arg-type]
    await line.start()
    try:
        yield line
    finally:
        await line.stop()


@pytest.mark.parametrize(
    ("algorithms", "qop"),
    [
        (("MD5",), "auth"),
        (("MD5",), ""),
        (("MD5-sess",), "auth"),
        (("MD5",), "auth-int"),
        (("SHA-256",), "auth,auth-int"),
        (("SHA-256-sess", "MD5"), "auth-int"),
        (("MD5", "SHA-256", "SHA-512-256"), "auth"),
    ],
)
async def test_a_trunk_registers_whatever_its_registrar_asks_for(algorithms: tuple[str, ...], qop: str) -> None:
    """RFC 2617, RFC 7616, RFC 8760; and no call is placed before."""
    async with Registrar(algorithms, qop, proxy=True) as registrar, registering(registrar.port) as line:
        assert line.trunks() == {"t": 0}
        assert line.faults["t"].startswith("not registered")
        await until(lambda: line.trunks() == {"t": 2})
        assert line.faults == {}
        assert registrar.answers == [407, 401, 200]
        first = registrar.registers()[0]
        assert first.uri == "sip:carrier.test"
        assert first.one("To") == "<sip:fax@carrier.test>"
        (contact,) = registrar.bindings
        assert contact.startswith(f"sip:fax@127.0.0.1:{line.port};line=")
        used = registrar.registers()[-1].one("Authorization")
        best = next(
            name for name in ("SHA-512-256", "SHA-256-sess", "SHA-256", "MD5-sess", "MD5") if name in algorithms
        )
        assert f"algorithm={best}," in used + ","


async def test_the_goodbye_removes_our_binding_and_no_other() -> None:
    async with Registrar(bindings={"sip:desk@192.0.2.1": 500}) as registrar:
        async with registering(registrar.port) as line:
            await until(lambda: line.trunks() == {"t": 2})
            assert len(registrar.bindings) == 2
        assert list(registrar.bindings) == ["sip:desk@192.0.2.1"]
        numbers = [int(request.one("CSeq").split()[0]) for request in registrar.registers()]
        assert numbers == sorted(set(numbers)), "rising"
        assert len({request.one("Call-ID") for request in registrar.registers()}) == 1


async def test_a_registrar_that_has_gone_does_not_hold_up_the_end() -> None:
    async with Registrar() as registrar:
        async with registering(registrar.port) as line:
            await until(lambda: line.trunks() == {"t": 2})
            registrar.silent = True
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 32.0, "less than a request lives, 64 × T1"
        assert registrar.registers()[-1].one("Expires") == "0"


async def test_the_refresh_answers_a_stale_nonce_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SHORTEST", 0.1)
    async with Registrar(uses=2, granted=1) as registrar, registering(registrar.port) as line:
        await until(lambda: registrar.answers.count(200) >= 4)
        assert registrar.answers[:6] == [401, 200, 200, 401, 200, 200]
        assert line.trunks() == {"t": 2}


async def test_the_next_nonce_saves_the_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7616 section 3.5."""
    monkeypatch.setattr(machine, "SHORTEST", 0.1)
    async with Registrar(uses=1, granted=1, next_nonces=True) as registrar, registering(registrar.port):
        await until(lambda: registrar.answers.count(200) >= 3)
        assert registrar.answers[:4] == [401, 200, 200, 200]


async def test_too_brief_a_time_is_asked_for_again_at_once() -> None:
    async with Registrar(min_expires=1800) as registrar, registering(registrar.port) as line:
        await until(lambda: line.trunks() == {"t": 2})
        assert registrar.answers == [401, 423, 200]
        assert list(registrar.bindings.values()) == [1800]


async def test_a_refusal_keeps_the_trunk_down_and_says_why() -> None:
    async with Registrar(password="another") as registrar, registering(registrar.port) as line:
        await until(lambda: "401" in line.faults.get("t", ""))
        assert line.trunks() == {"t": 0}
        assert line.faults["t"] == "not registered (401 Said)"
        assert registrar.answers == [401, 401], "a wrong password is tried once"


async def test_forbidden_is_not_asked_again_at_once() -> None:
    async with Registrar(refuse=[(403, "")]) as registrar, registering(registrar.port) as line:
        await until(lambda: "403" in line.faults.get("t", ""))
        await asyncio.sleep(0.3)
        assert registrar.answers == [403]


async def test_a_registrar_that_comes_back_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "BACK_OFF_FIRST", 0.2)
    async with Registrar(refuse=[(503, ""), (500, "")]) as registrar, registering(registrar.port) as line:
        await until(lambda: line.trunks() == {"t": 2})
        assert registrar.answers == [503, 500, 401, 200]


async def test_a_redirection_is_followed() -> None:
    async with Registrar() as home, Registrar() as other:
        home.refuse = [(302, f"Contact: <sip:127.0.0.1:{other.port}>\r\n")]
        async with registering(home.port) as line:
            await until(lambda: line.trunks() == {"t": 2})
            assert home.answers == [302] and other.answers == [401, 200]
        assert other.bindings == {}


async def test_a_silent_registrar_leaves_it_to_the_next_of_the_name() -> None:
    """RFC 3263: SRV records name both."""
    async with Registrar(silent=True) as first, Registrar() as second:
        zone = [f"_sip._udp.sip.test. 300 IN SRV {n} 0 {r.port} one.test." for n, r in enumerate((first, second))]
        async with (
            NameServer(*zone, "one.test. 300 IN A 127.0.0.1") as names,
            registering(None, {"nameservers": (names.listener,)}, host="sip.test") as line,
        ):
            await until(lambda: line.trunks() == {"t": 2})
            assert len(first.bindings) == 0 and len(second.bindings) == 1
            assert {request.one("Call-ID") for request in first.registers()} == {
                request.one("Call-ID") for request in second.registers()
            }


async def test_the_public_address_is_learnt_where_it_is_wanted() -> None:
    """RFC 3581 behind a NAT that keeps its ports."""
    async with Registrar(received=("198.51.100.7", 40123)) as registrar:
        async with registering(registrar.port, learn_address=True) as line:
            await until(lambda: line.trunks() == {"t": 2})
            await until(lambda: any("198.51.100.7:40123" in uri for uri in registrar.bindings))
            await until(lambda: len(registrar.bindings) == 1)
        assert registrar.bindings == {}


async def test_requests_go_by_the_proxy_with_a_route() -> None:
    async with Registrar() as registrar:
        proxy = f"127.0.0.1:{registrar.port}"
        async with registering(5060, host="192.0.2.1", proxy=proxy) as line:
            await until(lambda: line.trunks() == {"t": 2})
            assert registrar.registers()[0].one("Route") == f"<sip:{proxy};lr>"


async def test_a_trunk_over_tcp_registers_by_the_connection_it_opened() -> None:
    """The contact names the transport; REGISTER messages have no body, so that one ends at the empty line."""
    registrar = Registrar(proxy=True)

    class Writer:
        def __init__(self, writer: asyncio.StreamWriter) -> None:
            self._writer = writer

        def sendto(self, data: bytes, _destination: tuple[str, int]) -> None:
            self._writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        registrar.transport = Writer(writer)  # type: ignore[assignment]
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                data = await reader.readuntil(b"\r\n\r\n")
                registrar.datagram_received(data.lstrip(), writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with registering(port, transport="tcp") as line:
            await until(lambda: line.trunks() == {"t": 2})
            (contact,) = registrar.bindings
            assert ";transport=tcp;line=" in contact
            assert registrar.registers()[0].one("Via").startswith("SIP/2.0/TCP ")
        assert registrar.bindings == {}
        assert registrar.answers == [407, 401, 200, 200]


async def test_two_accounts_at_one_registrar_have_contacts_of_their_own() -> None:
    async with Registrar() as registrar:
        entries = [
            TrunkSettings(
                name=name,
                host="127.0.0.1",
                port=registrar.port,
                login=USER,
                password=Secret(PASSWORD),
                registered_user=name,
                registration=True,
                keepalive=Duration(0),
            )
            for name in ("a", "b")
        ]
        line = SipLine(SipSettings(listen=Listener("127.0.0.1", 0)), entries, FAKE)
        await line.start()
        try:
            await until(lambda: line.trunks() == {"a": 2, "b": 2})
            assert sorted(uri.partition("@")[0] for uri in registrar.bindings) == ["sip:a", "sip:b"]
            found = [line._trunk_at("127.0.0.1", user) for user in ("b", "a", "", "+33199")]
            assert [trunk.name for trunk in found if trunk] == ["b", "a", "a", "a"], "by the user, else the first"
        finally:
            await line.stop()
        assert registrar.bindings == {}
