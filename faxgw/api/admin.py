"""Accounts over HTTP, under `/api/v1/admin`, and on the operator's socket: the same table with the operator as caller.

A customer's administrator (scope `admin`) sees his own customer and nothing else: another's is answered like one that
does not exist. What was booked and what was proven is the operator's (scope `operator`): customers and their states,
entitlements, domains, senders without a login, whose number it is and who may show it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol  # Any: JSON

from aiohttp import web

from faxgw.api import admin_answers as answers
from faxgw.api import admin_models as models
from faxgw.api import admin_queries as queries
from faxgw.api.administration import Office, Row, customer_of, document_of, owner_of, require_operator, told, whole
from faxgw.api.answers import Refusal
from faxgw.api.http import Ground, read_body
from faxgw.api.v1.types import Answer, Document
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


@dataclass(frozen=True, slots=True)
class _Things:
    """A kind of things that a customer has, as it stands in paths."""

    kind: Kind
    param: str
    """Name of the key in paths."""
    new: type[Document]
    change: type[Document] | None
    """None: they are not changed."""
    shown: type[Answer]
    listed: type[Answer]


_THINGS: Mapping[str, _Things] = {
    "profiles": _Things(
        PROFILE, "profile", models.ProfileNew, models.ProfileChange, answers.ProfileShown, answers.Profiles
    ),
    "users": _Things(USER, "user", models.UserNew, models.UserChange, answers.UserShown, answers.Users),
    "numbers": _Things(NUMBER, "e164", models.NumberNew, models.NumberChange, answers.NumberShown, answers.Numbers),
    "domains": _Things(DOMAIN, "domain", models.DomainNew, None, answers.DomainShown, answers.Domains),
    "logins": _Things(LOGIN, "login", models.LoginNew, models.LoginChange, answers.LoginShown, answers.Logins),
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

    tag = "Accounts"

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
        one, of_token = "/customers/{customer}", "/tokens/{token}/state"
        state: Any = {"body": models.StateChange}
        made: Any = {"status": 201}
        gone: Any = {"status": 204}
        boss: Any = {"operator": True}
        shown: Any = {"answer": answers.CustomerShown}
        token: Any = made | {"body": models.TokenNew, "answer": answers.TokenMade}
        rows = [
            Row("GET", "/customers", self.list_customers, query=queries.Part, answer=answers.Customers),
            Row("POST", "/customers", self.create_customer, body=models.CustomerNew, **made, **boss, **shown),
            Row("GET", one, self.get_customer, **shown),
            Row("PATCH", one, self.change_customer, body=models.CustomerChange, **shown),
            Row("POST", one + "/state", self.set_customer_state, **state, **boss, **shown),
            Row("GET", one + "/settings", self.get_settings, query=queries.OfUser, answer=answers.SettingsInForce),
            Row("GET", one + "/audit", self.get_audit, query=queries.Before, answer=answers.Changes),
            Row("GET", one + "/senders", self.list_senders, query=queries.SenderPart, answer=answers.Senders),
            Row("POST", one + "/senders", self.allow_sender, body=models.SenderNew, answer=answers.SenderMade,
                **made, **boss),
            Row("DELETE", one + "/senders", self.forbid_sender, query=queries.OneSender, **gone, **boss),
            Row("GET", one + "/keys", self.list_keys, query=queries.OfLogin, answer=answers.Keys),
            Row("POST", one + "/keys", self.add_key, body=models.KeyNew, answer=answers.KeyMade, **made),
            Row("DELETE", one + "/keys", self.remove_key, query=queries.OneKey, **gone),
            Row("GET", one + "/tokens", self.list_tokens, answer=answers.Tokens),
            Row("POST", one + "/tokens", self.create_token, **token),
            Row("POST", one + of_token, self.set_token_state, **state, **gone),
            Row("GET", "/directories", self.list_directories, answer=answers.DirectoryNames),
            Row("POST", "/directories/{directory}/import", self.import_directory, MAX_DIRECTORY, octets="text/csv",
                query=queries.DryRun, answer=answers.Imported),
            Row("POST", "/directories/{directory}/pull", self.pull_directory, query=queries.DryRun,
                answer=answers.Imported, may_be_empty=True),
            Row("GET", "/tokens", self.list_tokens, answer=answers.Tokens, name="listOperatorTokens", **boss),
            Row("POST", "/tokens", self.create_token, name="createOperatorToken", **token, **boss),
            Row("POST", of_token, self.set_token_state, name="setOperatorTokenState", **state, **gone, **boss),
        ]  # fmt: skip
        return [*rows, *(row for name in _THINGS for row in self._rows_of(name))]

    def _rows_of(self, name: str) -> Sequence[Row]:
        """The routes of one kind of things that a customer has."""
        things = _THINGS[name]
        every = f"/customers/{{customer}}/{name}"
        one = f"{every}/{{{things.param}}}"
        singular = name[:-1].capitalize()
        boss = name in _PROVEN
        made = answers.LoginMade if name == "logins" else things.shown
        rows = [
            Row("GET", every, partial(self.list_things, name), query=queries.Part, answer=things.listed,
                name=f"list{name.capitalize()}"),
            Row("POST", every, partial(self.create_thing, name), body=things.new, answer=made, status=201,
                operator=boss, name=f"create{singular}"),
            Row("GET", one, partial(self.get_thing, name), answer=things.shown, name=f"get{singular}"),
            Row("DELETE", one, partial(self.remove_thing, name), status=204, operator=boss, name=f"remove{singular}"),
        ]  # fmt: skip
        if things.change is not None:
            changed = partial(self.change_thing, name)
            rows.append(Row("PATCH", one, changed, body=things.change, answer=made, name=f"change{singular}"))
        if name in _STATES:
            state, named = partial(self.set_thing_state, name), f"set{singular}State"
            rows.append(
                Row(
                    "POST",
                    one + "/state",
                    state,
                    body=models.StateChange,
                    answer=things.shown,
                    operator=boss,
                    name=named,
                )
            )
        return rows

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
        new, by = await document_of(request, models.CustomerNew), self._author(request, caller)
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
        change, by = await document_of(request, models.CustomerChange), self._author(request, caller)
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

    async def list_things(self, name: str, request: web.Request, caller: Caller) -> web.Response:
        """The customer's things of a kind, from `after` on."""
        customer, kind = customer_of(request, caller), _THINGS[name].kind
        after, limit = request.query.get("after", ""), _limit(request)
        rows = await self._read(lambda conn: accounts.rows(conn, customer, kind, after=after, limit=limit))
        return web.json_response({name: list(rows)})

    async def get_thing(self, name: str, request: web.Request, caller: Caller) -> web.Response:
        """One of them."""
        return await self._thing(customer_of(request, caller), _THINGS[name].kind, _key(name, request))

    async def create_thing(self, name: str, request: web.Request, caller: Caller) -> web.Response:
        """Make one; 201."""
        customer, things = customer_of(request, caller), _THINGS[name]
        if name in _PROVEN:
            require_operator(caller)
        document, by = await document_of(request, things.new), self._author(request, caller)
        values = document.given() if name == "domains" else document.model_dump(mode="json")
        key = str(values.pop(things.kind.key))
        shown = await self._check_values(name, values, caller)
        await self._run(lambda conn: accounts.create(conn, customer, things.kind, key, values, by=by))
        return await self._thing(customer, things.kind, key, 201, shown)

    async def change_thing(self, name: str, request: web.Request, caller: Caller) -> web.Response:
        """Change what was sent of it."""
        customer, things = customer_of(request, caller), _THINGS[name]
        assert things.change is not None  # only these have the route
        values = (await document_of(request, things.change)).given()
        if name == "numbers" and _PROVEN_COLUMNS & values.keys():
            require_operator(caller)
        key, by = _key(name, request), self._author(request, caller)
        shown = await self._check_values(name, values, caller, drawn=False)
        await self._run(lambda conn: accounts.change(conn, customer, things.kind, key, values, by=by))
        return await self._thing(customer, things.kind, key, 200, shown)

    async def remove_thing(self, name: str, request: web.Request, caller: Caller) -> web.Response:
        """Remove what has no history; 204."""
        customer, kind = customer_of(request, caller), _THINGS[name].kind
        if name in _PROVEN:
            require_operator(caller)
        key, by = _key(name, request), self._author(request, caller)
        await self._run(lambda conn: accounts.remove(conn, customer, kind, key, by=by))
        return web.Response(status=204)

    async def set_thing_state(self, name: str, request: web.Request, caller: Caller) -> web.Response:
        """Suspend, resume, end."""
        customer, kind = customer_of(request, caller), _THINGS[name].kind
        if name in _PROVEN:
            require_operator(caller)
        key = _key(name, request)
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
        """Who may send without a login, from `after` on."""
        customer, after = customer_of(request, caller), request.query.get("after", "")
        limit = _limit(request, MAX_PAGE)
        rows = await self._read(lambda conn: accounts.sender_rows(conn, customer, after=after, limit=limit))
        return web.json_response({"senders": list(rows)})

    async def allow_sender(self, request: web.Request, caller: Caller) -> web.Response:
        """Let somebody; 201."""
        customer = customer_of(request, caller)
        require_operator(caller)
        new, by = await document_of(request, models.SenderNew), self._author(request, caller)
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
        new, by = await document_of(request, models.KeyNew), self._author(request, caller)
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
        new, by = await document_of(request, models.TokenNew), self._author(request, caller)
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
        if not octets:
            raise Refusal(422, "The body must be a CSV file.", code="invalid")
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
        change, by = await document_of(request, models.StateChange), self._author(request, caller)
        return change.state, Author(by.who, by.now, change.reason)

    async def _read(self, unit: Callable[..., Any]) -> Any:
        return await told(self._ground.store.read(unit))

    async def _run(self, unit: Callable[..., Any]) -> Any:
        return await told(self._ground.store.run(unit))


def _import_answer(result: Any) -> web.Response:
    if result.refused:
        raise Refusal(422, result.refused, code="import_refused")
    return web.json_response(asdict(result))


def _check_entitlements(settings: Mapping[str, Any] | None, caller: Caller) -> None:
    """What was booked is the operator's to set, at every level."""
    if settings is None or caller.may(Scope.OPERATOR):
        return
    for key in settings:
        if key in SETTINGS and SETTINGS[key].narrow is not None:
            raise Refusal(403, f"Only an operator of the gateway sets {key}.", code="scope_missing", param=key)


def _key(name: str, request: web.Request) -> str:
    return request.match_info[_THINGS[name].param]


def _limit(request: web.Request, default: int = 100) -> int:
    return max(1, min(whole(request, "limit", default), MAX_PAGE))
