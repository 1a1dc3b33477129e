"""faxgw.api.routing over HTTP: whose targets and rules they are, and keys that nothing can be encrypted for."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlalchemy import insert, select

from faxgw.api.routing import RoutingRoutes
from faxgw.fax.access import Scope
from faxgw.fax.target import Target
from faxgw.parts.routing import _key_fault
from faxgw.store import schema as t
from tests.api.desk import Desk, desk
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

OF = "/api/v1/admin/customers/acme/targets"
MAIL = {"name": "office", "kind": "mail", "address": "office@acme.example"}


class Sender:
    """Sends nothing."""

    async def test(self, target: Target) -> Mapping[str, Any]:
        return {"delivered": True, "detail": target.address}


@asynccontextmanager
async def world(house: House) -> AsyncIterator[Desk]:
    async with desk(house, lambda ground: [RoutingRoutes(ground, {}, Sender(), _key_fault).routes()]) as made:
        yield made


async def ask(made: Desk, headers: Mapping[str, str], method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with made.client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "reader")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


async def test_a_customers_targets_are_its_own(house: House) -> None:
    async with world(house) as made:
        own = await made.token(scopes=[Scope.ADMIN.value])
        foreign = await made.token(customer="beta", scopes=[Scope.ADMIN.value])
        plain = await made.token(scopes=[Scope.FAXES_READ.value])
        assert (await ask(made, own, "POST", OF, MAIL))[0] == 201
        status, listed = await ask(made, own, "GET", OF)
        assert (status, [one["name"] for one in listed["targets"]]) == (200, ["office"])
        for headers, expected in ((foreign, 404), (plain, 403), ({}, 401)):
            for method, path, body in (
                ("GET", OF, None),
                ("POST", OF, MAIL | {"name": "other"}),
                ("PATCH", f"{OF}/office", {"address": "eve@beta.example"}),
                ("DELETE", f"{OF}/office", None),
                ("POST", f"{OF}/office/test", None),
                ("GET", OF.replace("targets", "rules"), None),
            ):
                status, answer = await ask(made, headers, method, path, body)
                assert status == expected, (method, path, answer)
        assert (await ask(made, own, "DELETE", f"{OF}/office"))[0] == 204


async def test_folders_and_the_gateways_own_are_the_operators(house: House) -> None:
    async with world(house) as made:
        own = await made.token(scopes=[Scope.ADMIN.value])
        boss = await made.token(customer=None, scopes=[Scope.ADMIN.value, Scope.OPERATOR.value])
        folder = {"name": "share", "kind": "folder", "address": "/srv/faxes"}
        assert (await ask(made, own, "POST", OF, folder))[0] == 403
        assert (await ask(made, boss, "POST", OF, folder))[0] == 201
        assert (await ask(made, own, "PATCH", f"{OF}/share", {"address": "/etc"}))[0] == 403


async def test_a_key_that_nothing_can_be_encrypted_for_is_refused_at_once(house: House) -> None:
    async with world(house) as made:
        own = await made.token(scopes=[Scope.ADMIN.value])
        sealed: dict[str, Any] = {
            "name": "office",
            "kind": "webhook",
            "address": "https://app.example.org/in",
            "params": {"mode": "json"},
        }
        for how, key, why in (
            ("certificate", "not a certificate", "cannot be read"),
            ("certificate", certificate(ec.generate_private_key(ec.SECP256R1())), "RSA key"),
            ("pgp", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx\n-----END PGP PUBLIC KEY BLOCK-----", ""),
        ):
            body = sealed | {"encryption": how, "recipient_key": key}
            status, answer = await ask(made, own, "POST", OF, body)
            assert (status, answer.get("param")) == (422, "recipient_key"), answer
            assert why in answer["detail"]
        good = certificate(rsa.generate_private_key(65537, 2048))
        body = sealed | {"encryption": "certificate", "recipient_key": good}
        status, answer = await ask(made, own, "POST", OF, body)
        assert status == 201, answer
        assert (await ask(made, own, "PATCH", f"{OF}/office", {"recipient_key": "nonsense"}))[0] == 422


async def test_what_is_taken_out_of_a_stored_faxs_text_is_a_reading_of_it(house: House) -> None:
    """docs/audit.md: `text.read`; of a fax that nobody sent there is nothing to read."""
    ident = f"rcv_{9:032x}"
    await house.change(
        insert(t.receptions).values(
            id=ident, state="delivered", since=0.0, customer="acme", number="+33199000099", entry="+33199000099",
            dialled="", caller="", display="", trunk="t", call_id="c", dialog={}, node="n1", fence=1, settings={},
            started_at=0.0,
        )
    )  # fmt: skip
    columns = [t.audit.c[name] for name in ("what", "entity", "way", "customer")]

    async def readings() -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await house.rows(select(*columns).where(t.audit.c.what == "text.read"))]

    async with world(house) as made:
        own = await made.token(scopes=[Scope.ADMIN.value])
        foreign = await made.token(customer="beta", scopes=[Scope.ADMIN.value])
        path = "/api/v1/admin/routing/try"
        assert (await ask(made, foreign, "POST", path, {"reception": ident}))[0] == 404
        assert (await ask(made, own, "POST", path, {"reception": "rcv_" + "f" * 32}))[0] == 404
        assert await readings() == []
        status, said = await ask(made, own, "POST", path, {"reception": ident})
        assert (status, said["customer"]) == (200, "acme"), said
        assert await readings() == [("text.read", ident, "admin", "acme")]
