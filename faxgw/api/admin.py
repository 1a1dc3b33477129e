"""Accounts over HTTP, under `/api/v1/admin`, and on the operator's socket: the same table with the operator as caller.

A customer's administrator (scope `admin`) sees his own customer and nothing else: another's is answered like one that
does not exist. What was booked and what was proven is the operator's (scope `operator`): customers and their states,
entitlements, domains, senders without a login, whose number it is and who may show it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar  # Any: JSON

from aiohttp import web
from pydantic import ValidationError

from faxgw.api import admin_models as models
from faxgw.api.administration import Office, Row, customer_of, owner_of, require_operator, told, whole
from faxgw.api.answers import Refusal
from faxgw.api.http import Ground, read_body, read_json
from faxgw.fax import ids
from faxgw.fax.access import Caller, Scope
from faxgw.fax.account import SETTINGS, AccountState
from faxgw.fax.errors import Refused
from faxgw.store import accounts, credentials, login_keys
from faxgw.store.accounts import DOMAIN, LOGIN, NUMBER, PROFILE, USER, Author, Kind, NotFound
from faxgw.store.credentials import TOKEN_MARK, TOKEN_OCTETS, TokenDraft
from faxgw.store.passwords import Passwords

MAX_PAGE = 1_000
"""Things in one answer at most."""
MAX_DIRECTORY = 50_000_000
"""Octets of a posted directory at most."""
PASSWORD_OCTETS = 18
"""Random octets of a password that is drawn."""

M = TypeVar("M", bound=models.Document)

_KINDS: Mapping[str, tuple[Kind, type[models.Document], type[models.Document] | None]] = {
    "profiles": (PROFILE, models.ProfileNew, models.ProfileChange),
    "users": (USER, models.UserNew, models.UserChange),
    "numbers": (NUMBER, models.NumberNew, models.NumberChange),
    "domains": (DOMAIN, models.DomainNew, None),
    "logins": (LOGIN, models.LoginNew, models.LoginChange),
}
_PROVEN = frozenset({"numbers", "domains"})
"""Kinds that only an operator makes and removes."""
_PROVEN_COLUMNS = frozenset({"inbound", "clip", "clip_until", "origin"})
"""Columns of a number that only an operator changes."""
_STATES = frozenset({"users", "numbers", "logins"})


class Directories(Protocol):
    """Imports of directories (the intake's)."""

    def owned(self, customer: str) -> Sequence[str]:
        """Names of a customer's directories; without one, all."""
        ...

    def customer_of(self, name: str) -> str:
        """Whose directory it is; empty when there is none."""
        ...

    async def take(self, name: str, octets: bytes, who: str, *, dry_run: bool = False) -> Any:
        """Import a CSV file."""
        ...

    async def pull(self, name: str, who: str, *, dry_run: bool = False) -> Any:
        """Fetch and import; None when nothing has changed or there is nowhere to fetch from."""
        ...


class AdminRoutes(Office):
    """The accounts interface.

    Args:
        ground: What it stands on.
        passwords: Makes the hashes of passwords.
        system: Settings of the system level.
        directories: Imports of directories; None: there are none.
    """

    def __init__(
        self,
        ground: Ground,
        passwords: Passwords,
        system: Mapping[str, object],
        directories: Directories | None = None,
    ) -> None:
        super().__init__(ground)
        self._directories = directories
        self._passwords = passwords
        self._system = system

    def rows(self) -> Sequence[Row]:
        """Every route."""
        kinds = "{kind:" + "|".join(_KINDS) + "}"
        one = "/customers/{customer}"
        return [
            Row("GET", "/customers", self.list_customers),
            Row("POST", "/customers", self.create_customer),
            Row("GET", one, self.get_customer),
            Row("PATCH", one, self.change_customer),
            Row("POST", one + "/state", self.set_customer_state),
            Row("GET", one + "/settings", self.get_settings),
            Row("GET", one + "/audit", self.get_audit),
            Row("GET", one + "/senders", self.list_senders),
            Row("POST", one + "/senders", self.allow_sender),
            Row("DELETE", one + "/senders", self.forbid_sender),
            Row("GET", one + "/keys", self.list_keys),
            Row("POST", one + "/keys", self.add_key),
            Row("DELETE", one + "/keys", self.remove_key),
            Row("GET", one + "/tokens", self.list_tokens),
            Row("POST", one + "/tokens", self.create_token),
            Row("POST", one + "/tokens/{token}/state", self.set_token_state),
            Row("GET", "/directories", self.list_directories),
            Row("POST", "/directories/{directory}/import", self.import_directory, MAX_DIRECTORY),
            Row("POST", "/directories/{directory}/pull", self.pull_directory),
            Row("GET", "/tokens", self.list_tokens),
            Row("POST", "/tokens", self.create_token),
            Row("POST", "/tokens/{token}/state", self.set_token_state),
            Row("GET", f"{one}/{kinds}", self.list_things),
            Row("POST", f"{one}/{kinds}", self.create_thing),
            Row("GET", f"{one}/{kinds}/{{key}}", self.get_thing),
            Row("PATCH", f"{one}/{kinds}/{{key}}", self.change_thing),
            Row("DELETE", f"{one}/{kinds}/{{key}}", self.remove_thing),
            Row("POST", f"{one}/{kinds}/{{key}}/state", self.set_thing_state),
        ]

    # -------------------------------------------------------------------------------------------------- customers

    async def list_customers(self, request: web.Request, caller: Caller) -> web.Response:
        """The customers that the caller may see."""
        if not caller.may(Scope.OPERATOR):
            row = await self._read(lambda conn: accounts.customer_row(conn, caller.customer))
            return web.json_response({"customers": [row]})
        after, limit = request.query.get("after", ""), _limit(request)
        rows = await self._read(lambda conn: accounts.customer_rows(conn, after=after, limit=limit))
        return web.json_response({"customers": list(rows)})

    async def create_customer(self, request: web.Request, caller: Caller) -> web.Response:
        """Make one; 201."""
        require_operator(caller)
        new, by = await _document(request, models.CustomerNew), self._author(request, caller)
        await self._run(
            lambda conn: accounts.create_customer(conn, new.id, name=new.name or new.id, settings=new.settings, by=by)
        )
        return await self._customer(new.id, 201)

    async def get_customer(self, request: web.Request, caller: Caller) -> web.Response:
        """One customer."""
        return await self._customer(customer_of(request, caller))

    async def change_customer(self, request: web.Request, caller: Caller) -> web.Response:
        """Name and settings."""
        customer = customer_of(request, caller)
        change, by = await _document(request, models.CustomerChange), self._author(request, caller)
        _check_entitlements(change.settings, caller)
        await self._run(
            lambda conn: accounts.change_customer(conn, customer, name=change.name, settings=change.settings, by=by)
        )
        return await self._customer(customer)

    async def set_customer_state(self, request: web.Request, caller: Caller) -> web.Response:
        """Suspend, resume, end."""
        customer = customer_of(request, caller)
        require_operator(caller)
        change, by = await self._state(request, caller)
        await self._run(lambda conn: accounts.set_customer_state(conn, customer, change, by=by))
        return await self._customer(customer)

    async def get_settings(self, request: web.Request, caller: Caller) -> web.Response:
        """What is in force for `user` or the customer as a whole, each value with its origin."""
        customer, user = customer_of(request, caller), request.query.get("user", "")
        found = await self._read(lambda conn: accounts.in_force(conn, customer, user, self._system))
        shown = {key: {"value": value, "origin": str(found.origins[key])} for key, value in found.values.items()}
        return web.json_response({"customer": customer, "user": user, "settings": shown})

    async def get_audit(self, request: web.Request, caller: Caller) -> web.Response:
        """Changes, newest first; `before` is the serial of the last one seen."""
        customer, before, limit = customer_of(request, caller), whole(request, "before", 0), _limit(request)
        events = await self._read(lambda conn: accounts.audit(conn, customer, before=before, limit=limit))
        shown = [{"serial": e.serial, "at": e.at, "what": e.what, "who": e.who, "data": dict(e.data)} for e in events]
        return web.json_response({"events": shown})

    # ----------------------------------------------------------------------------------------- what a customer has

    async def list_things(self, request: web.Request, caller: Caller) -> web.Response:
        """The customer's things of a kind, from `after` on."""
        customer, (name, kind, _new, _change) = customer_of(request, caller), _kind(request)
        after, limit = request.query.get("after", ""), _limit(request)
        rows = await self._read(lambda conn: accounts.rows(conn, customer, kind, after=after, limit=limit))
        return web.json_response({name: list(rows)})

    async def get_thing(self, request: web.Request, caller: Caller) -> web.Response:
        """One of them."""
        customer, (_name, kind, _new, _change) = customer_of(request, caller), _kind(request)
        return await self._thing(customer, kind, request.match_info["key"])

    async def create_thing(self, request: web.Request, caller: Caller) -> web.Response:
        """Make one; 201."""
        customer, (name, kind, new, _change) = customer_of(request, caller), _kind(request)
        if name in _PROVEN:
            require_operator(caller)
        document, by = await _document(request, new), self._author(request, caller)
        values = document.given() if name == "domains" else document.model_dump(mode="json")
        key = str(values.pop(kind.key))
        shown = await self._check_values(name, values, caller)
        await self._run(lambda conn: accounts.create(conn, customer, kind, key, values, by=by))
        return await self._thing(customer, kind, key, 201, shown)

    async def change_thing(self, request: web.Request, caller: Caller) -> web.Response:
        """Change what was sent of it."""
        customer, (name, kind, _new, change) = customer_of(request, caller), _kind(request)
        if change is None:
            raise Refusal(405, "This is not changed.", code="not_changed", headers={"Allow": "GET, DELETE"})
        values = (await _document(request, change)).given()
        if name == "numbers" and _PROVEN_COLUMNS & values.keys():
            require_operator(caller)
        key, by = request.match_info["key"], self._author(request, caller)
        shown = await self._check_values(name, values, caller, drawn=False)
        await self._run(lambda conn: accounts.change(conn, customer, kind, key, values, by=by))
        return await self._thing(customer, kind, key, 200, shown)

    async def remove_thing(self, request: web.Request, caller: Caller) -> web.Response:
        """Remove what has no history; 204."""
        customer, (name, kind, _new, _change) = customer_of(request, caller), _kind(request)
        if name in _PROVEN:
            require_operator(caller)
        key, by = request.match_info["key"], self._author(request, caller)
        await self._run(lambda conn: accounts.remove(conn, customer, kind, key, by=by))
        return web.Response(status=204)

    async def set_thing_state(self, request: web.Request, caller: Caller) -> web.Response:
        """Suspend, resume, end."""
        customer, (name, kind, _new, _change) = customer_of(request, caller), _kind(request)
        if name not in _STATES:
            raise Refusal.missing()
        if name in _PROVEN:
            require_operator(caller)
        key = request.match_info["key"]
        state, by = await self._state(request, caller)
        await self._run(lambda conn: accounts.set_state(conn, customer, kind, key, state, by=by))
        return await self._thing(customer, kind, key)

    async def _check_values(
        self, name: str, values: dict[str, Any], caller: Caller, *, drawn: bool = True
    ) -> dict[str, str]:
        """Check what only some may set, and hash the password; what is to be shown this once."""
        _check_entitlements(values.get("settings"), caller)
        if Scope.OPERATOR in values.get("scopes", ()):
            raise Refusal(422, "A customer has no operators.", code="invalid", param="scopes")
        if name != "logins":
            return {}
        given = values.pop("password", None)
        if given is None and not drawn:
            return {}
        password = given or secrets.token_urlsafe(PASSWORD_OCTETS)
        values["password"] = await self._passwords.hash(password)
        return {} if given else {"password": password}

    # ------------------------------------------------------------------------------------------------------ senders

    async def list_senders(self, request: web.Request, caller: Caller) -> web.Response:
        """Who may send without a login."""
        customer = customer_of(request, caller)
        rows = await self._read(lambda conn: accounts.sender_rows(conn, customer))
        return web.json_response({"senders": list(rows)})

    async def allow_sender(self, request: web.Request, caller: Caller) -> web.Response:
        """Let somebody; 201."""
        customer = customer_of(request, caller)
        require_operator(caller)
        new, by = await _document(request, models.SenderNew), self._author(request, caller)
        await self._run(lambda conn: accounts.allow_sender(conn, customer, new.kind, new.value, new.user or "", by=by))
        return web.json_response(new.model_dump(mode="json"), status=201)

    async def forbid_sender(self, request: web.Request, caller: Caller) -> web.Response:
        """Take it back: `kind` and `value` in the query; 204."""
        customer = customer_of(request, caller)
        require_operator(caller)
        kind, value, by = request.query.get("kind", ""), request.query.get("value", ""), self._author(request, caller)
        await self._run(lambda conn: accounts.forbid_sender(conn, customer, kind, value.lower(), by=by))
        return web.Response(status=204)

    # --------------------------------------------------------------------------------------------------------- keys

    async def list_keys(self, request: web.Request, caller: Caller) -> web.Response:
        """Public keys of the login that the query names."""
        customer, login = customer_of(request, caller), request.query.get("login", "")
        rows = await self._read(lambda conn: login_keys.rows(conn, customer, login))
        return web.json_response({"keys": list(rows)})

    async def add_key(self, request: web.Request, caller: Caller) -> web.Response:
        """Give a login a public key; 201."""
        customer = customer_of(request, caller)
        new, by = await _document(request, models.KeyNew), self._author(request, caller)
        try:
            key = login_keys.read_key(new.key)
        except Refused as exc:
            raise Refusal(422, exc.public, code="invalid", param="key") from exc
        await self._run(lambda conn: login_keys.add(conn, customer, new.login, key, by=by))
        return web.json_response({"login": new.login, "fingerprint": key.shown, "comment": key.comment}, status=201)

    async def remove_key(self, request: web.Request, caller: Caller) -> web.Response:
        """Take one away: `login` and `fingerprint` in the query; 204."""
        customer, by = customer_of(request, caller), self._author(request, caller)
        login, key = request.query.get("login", ""), request.query.get("fingerprint", "")
        await self._run(lambda conn: login_keys.remove(conn, customer, login, key, by=by))
        return web.Response(status=204)

    # ------------------------------------------------------------------------------------------------------- tokens

    async def list_tokens(self, request: web.Request, caller: Caller) -> web.Response:
        """Tokens, never their secrets."""
        owner = owner_of(request, caller)
        rows = await self._read(lambda conn: credentials.token_rows(conn, owner))
        return web.json_response({"tokens": list(rows)})

    async def create_token(self, request: web.Request, caller: Caller) -> web.Response:
        """Make one; 201. The secret is in this answer alone."""
        owner = owner_of(request, caller)
        new, by = await _document(request, models.TokenNew), self._author(request, caller)
        scopes = [scope.value for scope in new.scopes]
        if not owner and scopes != [Scope.OPERATOR]:
            raise Refusal(422, "A token without a customer is an operator's.", code="invalid", param="scopes")
        if owner and Scope.OPERATOR in new.scopes:
            raise Refusal(422, "A customer has no operators.", code="invalid", param="scopes")
        secret = TOKEN_MARK + secrets.token_urlsafe(TOKEN_OCTETS)
        draft = TokenDraft(
            id=ids.prefixed("tok", by.now, secrets.token_bytes(ids.RANDOM_OCTETS)),
            hash=credentials.digest_of(secret),
            name=new.name,
            scopes=tuple(scopes),
            user=new.user or "",
            allow=new.allow,
            expires_at=new.expires_at,
        )
        await self._run(lambda conn: credentials.create_token(conn, owner, draft, by=by))
        answer = {"id": draft.id, "name": draft.name, "scopes": scopes, "expires_at": draft.expires_at, "token": secret}
        return web.json_response(answer, status=201)

    async def set_token_state(self, request: web.Request, caller: Caller) -> web.Response:
        """Suspend, resume, revoke; 204."""
        owner, token = owner_of(request, caller), request.match_info["token"]
        state, by = await self._state(request, caller)
        await self._run(lambda conn: credentials.set_token_state(conn, owner, token, state, by=by))
        return web.Response(status=204)

    # -------------------------------------------------------------------------------------------------- directories

    async def list_directories(self, request: web.Request, caller: Caller) -> web.Response:
        """Names of the directories that the caller may import."""
        mine = "" if caller.may(Scope.OPERATOR) else caller.customer
        names = self._directories.owned(mine) if self._directories is not None else ()
        return web.json_response({"directories": list(names)})

    async def import_directory(self, request: web.Request, caller: Caller) -> web.Response:
        """Import the CSV of the body; with `dry_run=1` only say what would happen. 422 when it is refused."""
        directories, name = self._directory(request, caller)
        octets = await read_body(request, MAX_DIRECTORY)
        dry = request.query.get("dry_run") == "1"
        return _import_answer(await directories.take(name, octets, self._author(request, caller).who, dry_run=dry))

    async def pull_directory(self, request: web.Request, caller: Caller) -> web.Response:
        """Fetch the directory now and import it; `dry_run` as above. 204: it has not changed since."""
        directories, name = self._directory(request, caller)
        dry = request.query.get("dry_run") == "1"
        found = await directories.pull(name, self._author(request, caller).who, dry_run=dry)
        return web.Response(status=204) if found is None else _import_answer(found)

    def _directory(self, request: web.Request, caller: Caller) -> tuple[Directories, str]:
        name = request.match_info["directory"]
        owner = self._directories.customer_of(name) if self._directories is not None else ""
        if self._directories is None or not owner or not (caller.may(Scope.OPERATOR) or owner == caller.customer):
            raise Refusal.missing(NotFound.default_public)
        return self._directories, name

    # ------------------------------------------------------------------------------------------------------ helpers

    async def _customer(self, customer: str, status: int = 200) -> web.Response:
        return web.json_response(await self._read(lambda conn: accounts.customer_row(conn, customer)), status=status)

    async def _thing(
        self, customer: str, kind: Kind, key: str, status: int = 200, shown: Mapping[str, str] | None = None
    ) -> web.Response:
        row = await self._read(lambda conn: accounts.row(conn, customer, kind, key))
        return web.json_response({**row, **(shown or {})}, status=status)

    async def _state(self, request: web.Request, caller: Caller) -> tuple[AccountState, Author]:
        change, by = await _document(request, models.StateChange), self._author(request, caller)
        return change.state, Author(by.who, by.now, change.reason)

    async def _read(self, unit: Callable[..., Any]) -> Any:
        return await told(self._ground.store.read(unit))

    async def _run(self, unit: Callable[..., Any]) -> Any:
        return await told(self._ground.store.run(unit))


def _import_answer(result: Any) -> web.Response:
    if result.refused:
        raise Refusal(422, result.refused, code="import_refused")
    return web.json_response(asdict(result))


async def _document(request: web.Request, model: type[M]) -> M:
    """The body as a document. Raises Refusal: 400, 413, 422 with every fault."""
    try:
        return model.model_validate(await read_json(request))
    except ValidationError as exc:
        faults = [
            {"param": ".".join(str(part) for part in error["loc"]) or "body", "detail": error["msg"]}
            for error in exc.errors(include_url=False, include_input=False, include_context=False)
        ][:50]
        first = faults[0]
        text = f"{first['param']}: {first['detail']}."
        raise Refusal(422, text, code="invalid", param=first["param"], faults=faults) from exc


def _check_entitlements(settings: Mapping[str, Any] | None, caller: Caller) -> None:
    """What was booked is the operator's to set, at every level."""
    if settings is None or caller.may(Scope.OPERATOR):
        return
    for key in settings:
        if key in SETTINGS and SETTINGS[key].narrow is not None:
            raise Refusal(403, f"Only an operator of the gateway sets {key}.", code="scope_missing", param=key)


def _kind(request: web.Request) -> tuple[str, Kind, type[models.Document], type[models.Document] | None]:
    name = request.match_info["kind"]
    return (name, *_KINDS[name])


def _limit(request: web.Request) -> int:
    return max(1, min(whole(request, "limit", 100), MAX_PAGE))
