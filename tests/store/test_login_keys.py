"""Public keys of logins."""

from __future__ import annotations

import base64

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import insert, select

from faxgw.fax.access import USER_SCOPES
from faxgw.fax.errors import Refused
from faxgw.store import accounts, login_keys
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from tests.house import House

BY = Author("test", 1.0)


def line(key: object, comment: str = "erp@host") -> str:
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)  # type: ignore[attr-defined]
    return f"{public.decode()} {comment}\n"


@pytest_asyncio.fixture(loop_scope="session")
async def login(house: House) -> str:
    values: dict[str, object] = {
        "name": "erp",
        "customer": "acme",
        "user": None,
        "password": "x",
        "allow": [],
        "state": "active",
    }
    await house.change(insert(t.logins).values(scopes=list(USER_SCOPES), **values))
    return "erp"


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())])
def test_keys_are_known_by_the_fingerprint_that_ssh_keygen_shows(key: object) -> None:
    read = login_keys.read_key(line(key))
    assert read.comment == "erp@host" and read.shown.startswith("SHA256:") and len(read.fingerprint) == 64
    assert login_keys.shown(read.fingerprint) == read.shown


@pytest.mark.parametrize(
    "given, said",
    [
        ("", "in one line"),
        ("ssh-ed25519", "in one line"),
        ("ssh-ed25519 ????", "not a public key"),
        ("ssh-ed25519 " + base64.b64encode(b"x" * 40).decode(), "not a public key"),
        (line(rsa.generate_private_key(65_537, 1_024)), "2048 bits"),
        ("ssh-ed25519 AAAA\nssh-ed25519 AAAA", "in one line"),
        ("x " + "A" * 5_000, "in one line"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "not a public key"),
    ],
)
def test_what_is_no_key_is_refused(given: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        login_keys.read_key(given)
    assert said in caught.value.public


@pytest.mark.asyncio(loop_scope="session")
async def test_a_key_finds_its_own_login_alone(house: House, login: str) -> None:
    key = login_keys.read_key(line(ed25519.Ed25519PrivateKey.generate()))
    await house.do(login_keys.add, "acme", login, key, by=BY)
    await house.do(login_keys.add, "acme", login, key, by=BY)
    found = await house.ask(login_keys.find, {}, login, key.fingerprint)
    assert found is not None and (found.login, found.customer) == ("erp", "acme")
    assert await house.ask(login_keys.find, {}, "other", key.fingerprint) is None
    assert await house.ask(login_keys.find, {}, login, "0" * 64) is None
    (row,) = await house.ask(login_keys.rows, "acme", login)
    assert row["fingerprint"] == key.shown
    with pytest.raises(accounts.NotFound):
        await house.ask(login_keys.rows, "beta", login)
    await house.do(login_keys.remove, "acme", login, key.shown, by=BY)
    assert await house.ask(login_keys.find, {}, login, key.fingerprint) is None


@pytest.mark.asyncio(loop_scope="session")
async def test_keys_are_bounded_and_go_with_their_login(house: House, login: str) -> None:
    for number in range(login_keys.MAX_KEYS):
        key = login_keys.PublicKey("ssh-ed25519 A", "", f"{number:064x}")
        await house.do(login_keys.add, "acme", login, key, by=BY)
    with pytest.raises(Refused):
        await house.do(login_keys.add, "acme", login, login_keys.PublicKey("ssh-ed25519 A", "", "f" * 64), by=BY)
    await house.do(accounts.remove, "acme", accounts.LOGIN, login, by=BY)
    assert await house.rows(select(t.login_keys)) == []
