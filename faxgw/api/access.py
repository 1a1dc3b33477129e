"""Who is asking: HTTP Basic (RFC 7617) against the logins, Bearer (RFC 6750) against the tokens.

An unknown name costs the work of a known one, and whatever is wrong about credentials is answered alike. Failures are
counted per client, per login and per both. A client that a login came from before is not locked out because others
guess that login, nor because others behind its address guess; what it fails itself counts for itself.
A secret is never logged, nor is a name that was not found: people type passwords into name fields.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web
from sqlalchemy import Connection

from faxgw.api.answers import Refusal
from faxgw.fax.access import Caller, Denial, Interface, Scope, is_allowed, scopes_in
from faxgw.fax.account import AccountState
from faxgw.fax.limits import Failures, client_of
from faxgw.store import credentials, login_keys
from faxgw.store.credentials import Credential
from faxgw.store.engine import Store
from faxgw.store.errors import StoreError
from faxgw.store.passwords import Passwords, TooManyChecks
from faxgw.store.shared_read import SharedRead

WINDOW_S = 600.0
"""Seconds in which failures are counted."""
PAIR_FAILURES = 10
"""Failures of one client at one login, from which on it is barred for the rest of the window."""
CLIENT_FAILURES = 30
"""The same of one client at all logins; clients that the login came from before are exempt."""
LOGIN_FAILURES = 100
"""The same of one login from all clients; clients that it came from before are exempt."""
KNOWN_FOR_S = 86_400.0
"""Seconds for which a client is known as one that a login comes from."""
MAX_KNOWN = 10_000
"""Such pairs at most; the longest unseen is forgotten first."""
USED_EVERY_S = 300.0
"""Seconds between two notes that a credential was used."""
MAX_NAME = 320
"""Characters of a login at most, as in the table."""
KEY = "key:"
"""How the proof of a caller begins who has a key; its fingerprint follows."""
BUSY_RETRY_S = 5
"""Seconds after which a client may come again while too many passwords wait to be checked."""

log = logging.getLogger(__name__)


class Access:
    """Decides who a request is from.

    Args:
        store: Logins and tokens.
        passwords: Checks passwords; shared with the other ways in.
        clock: Unix seconds.
        ticks: Monotonic seconds.
        system: Settings of the system level.
    """

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        clock: Callable[[], float],
        ticks: Callable[[], float],
        system: Mapping[str, object],
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._ticks = ticks
        self._system = system
        self._pairs = Failures(PAIR_FAILURES, WINDOW_S)
        self._clients = Failures(CLIENT_FAILURES, WINDOW_S)
        self._logins = Failures(LOGIN_FAILURES, WINDOW_S)
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._touching: set[str] = set()
        self._stored: SharedRead[str, Credential | None] = SharedRead(self._read_login)

    async def caller(self, request: web.Request, address: str, interface: Interface, realm: str) -> Caller:
        """Who a request is from, by its field Authorization alone: the body is not touched.

        Args:
            request: The request.
            address: The client's address.
            interface: The way in, which the account must have.
            realm: For the challenge of a 401.

        Raises:
            Refusal: 401, 403, 429 or 503.
        """
        scheme, _, value = request.headers.get("Authorization", "").strip().partition(" ")
        found: Caller | Denial = Denial.UNKNOWN
        match scheme.lower():
            case "basic" if (pair := basic_pair(value)) is not None:
                found = await self.login(*pair, address, interface)
            case "bearer":
                found = await self.token(value.strip(), address, interface)
        if isinstance(found, Caller):
            return found
        raise refusal_of(found, realm)

    async def login(self, name: str, password: str, address: str, interface: Interface) -> Caller | Denial:
        """Who a name and a password stand for, for every interface that knows passwords."""
        now, client = self._ticks(), client_of(address)
        stored = await self._stored.ask(name[:MAX_NAME])
        if self._barred(name, client, now):  # whatever is remembered: else it would answer guesses for nothing
            log.warning("login barred", extra={"event": "access.barred", "peer": address})
            return Denial.BARRED
        try:
            good = await self._passwords.check(name, password, None if stored is None else stored.password)
        except TooManyChecks:
            return Denial.BUSY
        if not good:
            self._failed(name, client, now)
        if stored is None or not good:
            log.warning("login refused", extra={"event": "access.refused", "peer": address})
            return Denial.UNKNOWN
        admitted = await self._admit(stored, address, interface)
        if isinstance(admitted, Caller):
            self._keep_known(name, client, now)
            return dataclasses.replace(admitted, proof=_mark(stored.password))
        return admitted

    async def token(self, secret: str, address: str, interface: Interface) -> Caller | Denial:
        """Whom a token stands for. It cannot be guessed, so failures bar nobody who has a right one."""
        now, client = self._ticks(), client_of(address)
        stored = None
        if secret.startswith(credentials.TOKEN_MARK):
            stored = await self._store.read(lambda conn: credentials.find_token(conn, self._system, secret))
        if stored is None:
            self._clients.note((client,), now)
            log.warning("token refused", extra={"event": "access.refused", "peer": address})
            return Denial.BARRED if self._clients.barred((client,), now) else Denial.UNKNOWN
        return await self._admit(stored, address, interface)

    async def key(self, name: str, fingerprint: str, address: str, interface: Interface) -> Caller | Denial:
        """Whom a name and a public key stand for (`fax.access.Logins`). A key cannot be guessed: none is counted."""
        system = self._system
        stored = await self._store.read(lambda conn: login_keys.find(conn, system, name[:MAX_NAME], fingerprint))
        if stored is None:
            return Denial.UNKNOWN
        admitted = await self._admit(stored, address, interface)
        if not isinstance(admitted, Caller):
            return admitted
        await self._note_key(stored, fingerprint)
        return dataclasses.replace(admitted, proof=KEY + fingerprint)

    async def again(self, name: str, customer: str, interface: Interface) -> Caller | Denial:
        """What a login that was let in before may do now (`fax.access.Logins`)."""
        stored = await self._stored.ask(name[:MAX_NAME])
        if stored is None or stored.customer != customer:
            return Denial.UNKNOWN
        return await self._admit(stored, None, interface)

    async def holds(self, callers: Sequence[Caller], interface: Interface) -> Sequence[bool]:
        """Whether callers would be let in as they were (`fax.access.Logins`); one read for all, nothing is noted."""
        found = await self._store.read(lambda conn: [self._proved(conn, caller) for caller in callers])
        return [self._is_same(caller, stored, interface) for caller, stored in zip(callers, found, strict=True)]

    def _proved(self, conn: Connection, caller: Caller) -> Credential | None:
        """What is stored of a login, if its key or password is still one."""
        if caller.proof.startswith(KEY):
            return login_keys.find(conn, self._system, caller.login, caller.proof.removeprefix(KEY))
        stored = credentials.find_login(conn, self._system, caller.login)
        return stored if stored is not None and caller.proof in ("", _mark(stored.password)) else None

    def _is_same(self, caller: Caller, stored: Credential | None, interface: Interface) -> bool:
        if stored is None or (stored.customer, stored.user) != (caller.customer, caller.user):
            return False
        allowed = not caller.address or is_allowed(caller.address, stored.allow)
        shut = stored.own_state is AccountState.ENDED or stored.state is AccountState.SUSPENDED
        if shut or not allowed or interface.value not in stored.interfaces:
            return False
        return scopes_in(stored.state, [Scope(scope) for scope in stored.scopes]) == caller.scopes

    async def _read_login(self, name: str) -> Credential | None:
        return await self._store.read(lambda conn: credentials.find_login(conn, self._system, name))

    async def _admit(self, stored: Credential, address: str | None, interface: Interface) -> Caller | Denial:
        """What the right credentials are good for; without an address, wherever they came from."""
        who = {"login": stored.login} if stored.login else {"token": stored.token}
        expired = stored.expires_at is not None and stored.expires_at <= self._clock()
        ended = stored.own_state is AccountState.ENDED
        if expired or ended or (address is not None and not is_allowed(address, stored.allow)):
            why = "expired" if expired else "ended" if ended else "address"
            log.warning("access refused", extra={"event": "access.refused", "peer": address, "why": why, **who})
            return Denial.UNKNOWN
        if stored.state is AccountState.SUSPENDED:
            log.info("account suspended", extra={"event": "access.suspended", "peer": address, **who})
            return Denial.SUSPENDED
        if stored.customer and interface.value not in stored.interfaces:
            return Denial.CLOSED
        await self._note_use(stored)
        given = frozenset(Scope(scope) for scope in stored.scopes)
        left = scopes_in(stored.state, given)
        return Caller(
            customer=stored.customer,
            user=stored.user,
            login=stored.login,
            token=stored.token,
            scopes=left,
            barred=given - left,
            address=address or "",
            interfaces=frozenset(stored.interfaces),
        )

    async def _note_use(self, stored: Credential) -> None:
        """Write down, now and then, that it was used; failing to is no reason to refuse."""
        now, key = self._clock(), stored.login or stored.token
        if now - stored.last_used_at < USED_EVERY_S or key in self._touching:
            return
        self._touching.add(key)
        try:
            with contextlib.suppress(StoreError):
                await self._store.run(lambda conn: credentials.touch(conn, stored, now=now))
        finally:
            self._touching.discard(key)

    async def _note_key(self, stored: Credential, fingerprint: str) -> None:
        """The same of a key."""
        now, key = self._clock(), KEY + fingerprint
        if key in self._touching:
            return
        self._touching.add(key)
        try:
            with contextlib.suppress(StoreError):
                due = await self._store.read(lambda conn: login_keys.used_at(conn, stored.login, fingerprint))
                if now - due >= USED_EVERY_S:
                    await self._store.run(lambda conn: login_keys.touch(conn, stored.login, fingerprint, now=now))
        finally:
            self._touching.discard(key)

    def _barred(self, name: str, client: str, now: float) -> bool:
        if self._pairs.barred((name, client), now):
            return True
        if self._known.get((name, client), 0.0) > now:
            return False
        return self._clients.barred((client,), now) or self._logins.barred((name,), now)

    def _failed(self, name: str, client: str, now: float) -> None:
        name = name[:MAX_NAME]
        self._pairs.note((name, client), now)
        if self._known.get((name, client), 0.0) <= now:
            self._clients.note((client,), now)
            self._logins.note((name,), now)

    def _keep_known(self, name: str, client: str, now: float) -> None:
        self._known.pop((name, client), None)
        self._known[name, client] = now + KNOWN_FOR_S
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _mark(password: str) -> str:
    """Stands for a password in what is kept of a caller: SHA-256 of its argon2id hash."""
    return hashlib.sha256(password.encode()).hexdigest()


def basic_pair(value: str) -> tuple[str, str] | None:
    """Name and password of Basic credentials (RFC 7617 section 2); None when they cannot be read.

    The URL-safe alphabet and missing padding are taken too: the vendor's Python SDK sends `-` and `_` (interfaces
    section 1.2). UTF-8 first, else ISO 8859-1, as clients without a hint do.
    """
    text = value.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        pair = octets.decode()
    except UnicodeDecodeError:
        pair = octets.decode("iso-8859-1")
    name, colon, password = pair.partition(":")
    return (name, password) if colon and name and "\0" not in pair else None


def refusal_of(denial: Denial, realm: str) -> Refusal:
    """What a client that is not let in is told."""
    match denial:
        case Denial.BARRED:
            text = "There were too many wrong logins; try again later."
            return Refusal(429, text, code="too_many_failures", headers={"Retry-After": str(int(WINDOW_S))})
        case Denial.SUSPENDED:
            return Refusal(403, "This account is suspended.", code="account_suspended")
        case Denial.CLOSED:
            return Refusal(403, "This account does not have this interface.", code="interface_not_booked")
        case Denial.BUSY:
            headers = {"Retry-After": str(BUSY_RETRY_S)}
            return Refusal(503, TooManyChecks.default_public, code="busy", headers=headers)
        case _:
            challenge = f'Basic realm="{realm}", charset="UTF-8"'
            text = "Credentials are missing or not right."
            return Refusal(401, text, code="unauthorized", headers={"WWW-Authenticate": challenge})
