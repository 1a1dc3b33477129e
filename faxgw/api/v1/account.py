"""The caller's own account: who it is, its settings with their origin, its numbers and users; and numbers to dial.

Accounts are changed under /api/v1/admin (docs/accounts.md); here a program looks at what it needs to send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal  # Any: rows, values of settings

from pydantic import Field

from faxgw.api.answers import Refusal
from faxgw.api.http import Ground
from faxgw.api.v1 import patterns
from faxgw.api.v1.table import Call, Operation, Outcome, Reply
from faxgw.api.v1.types import Answer, Moment, Query, Whole, shown_or_none
from faxgw.fax.access import Scope
from faxgw.fax.account import NO_LIMIT, Effective
from faxgw.fax.errors import Refused
from faxgw.fax.number import DialPlan, parse_number
from faxgw.fax.outcome import Cause
from faxgw.store import accounts, directory, own_calls, quota
from faxgw.store.accounts import NUMBER, USER, NotFound

ANY = (Scope.FAXES_READ, Scope.FAXES_WRITE, Scope.INBOX_READ, Scope.INBOX_WRITE, Scope.TEMPLATES, Scope.WEBHOOKS)
"""Whoever may do anything may know who it is."""
MANY = 1_000
"""Things in one answer at most."""


class Account(Answer):
    """Who is calling."""

    customer: str
    name: str
    user: str
    """Name of the user; empty: the account as a whole."""
    login: str
    token: str
    """Id of the token; empty: a login."""
    scopes: list[Scope]
    interfaces: list[str]
    """Ways in that the account may use."""
    faxes_per_day: int | None
    """Faxes that are accepted in 24 hours; null: without limit."""
    pages_per_day: int | None
    max_pages: int
    """Of one fax."""
    max_recipients: int
    """Of one fax, as was booked; what the server takes at most stands in the description of the API."""


class SettingShown(Answer):
    """A setting in force."""

    value: Any
    origin: str
    """The level that gave it, and whose."""


class SettingsShown(Answer):
    """The settings in force for the caller."""

    settings: dict[str, SettingShown]


class NumberShown(Answer):
    """A number of the account."""

    number: str
    state: str
    inbound: bool
    """Faxes are received at it."""
    caller: bool
    """It may be shown as caller number."""
    caller_until: Moment | None
    profile: str


class Numbers(Answer):
    """Numbers, in their order."""

    numbers: list[NumberShown]
    next: str | None
    """`after` of the following part."""


class UserShown(Answer):
    """A user of the account."""

    name: str
    state: str
    profile: str


class Users(Answer):
    """Users, by name."""

    users: list[UserShown]
    next: str | None


class Destination(Answer):
    """A number to dial, and what the account's own calls taught of it."""

    number: str
    open: bool
    """It may be dialled by this account."""
    detail: str
    """Why it may not; else empty."""
    country: str | None
    """ISO 3166, or 001 for numbers of the whole world."""
    kind: str | None
    """`ordinary`, `premium`, …"""
    faxes: int
    sent: int
    last_call_at: Moment | None
    last_cause: Cause | None
    station_id: str
    transport: Literal["t38", "g711"] | None
    bit_rate: int | None
    ecm: bool | None


class NumbersQuery(Query):
    """Where the list goes on."""

    after: Annotated[str, Field(pattern=patterns.NUMBERS_AFTER)] | None = None
    limit: Annotated[int, Field(ge=1, le=MANY), Whole] = 100


class UsersQuery(Query):
    """Where the list goes on."""

    after: Annotated[str, Field(pattern=patterns.USER)] | None = None
    limit: Annotated[int, Field(ge=1, le=MANY), Whole] = 100


class AccountRoutes:
    """Serves the account.

    Args:
        ground: The store.
        system: Settings of the system level.
        plan: How an account's settings have numbers read.
    """

    def __init__(self, ground: Ground, system: Mapping[str, object], plan: Callable[[Effective], DialPlan]) -> None:
        self._ground = ground
        self._system = system
        self._plan = plan

    def operations(self) -> Sequence[Operation]:
        """Their rows."""
        return (
            Operation(
                "getAccount", "GET", "/account", "Account", "Who these credentials are", self.account, ANY,
                (Outcome(200, "The account.", Account),),
            ),
            Operation(
                "getSettings", "GET", "/account/settings", "Account", "The settings in force, with their origin",
                self.settings, ANY, (Outcome(200, "Every setting.", SettingsShown),),
                doc="Of the credentials' user, or of the account as a whole. They are changed under `/api/v1/admin`.",
            ),
            Operation(
                "listNumbers", "GET", "/numbers", "Account", "List the account's numbers", self.numbers, ANY,
                (Outcome(200, "A part of the list.", Numbers),), query=NumbersQuery,
            ),
            Operation(
                "getNumber", "GET", "/numbers/{e164}", "Account", "Look at a number of the account", self.number, ANY,
                (Outcome(200, "The number.", NumberShown),),
            ),
            Operation(
                "listUsers", "GET", "/users", "Account", "List the account's users", self.users, (Scope.ADMIN,),
                (Outcome(200, "A part of the list.", Users),), query=UsersQuery,
            ),
            Operation(
                "getUser", "GET", "/users/{user}", "Account", "Look at a user", self.user, (Scope.ADMIN,),
                (Outcome(200, "The user.", UserShown),),
            ),
            Operation(
                "getDestination", "GET", "/destinations/{e164}", "Destinations", "What is known of a number to dial",
                self.destination, (Scope.FAXES_READ,), (Outcome(200, "The number.", Destination),),
                doc="Whether the account may dial it, and what its own calls taught; never other accounts' calls.",
            ),
        )  # fmt: skip

    async def account(self, call: Call) -> Reply:
        """GET /account."""
        caller = call.caller
        row = await self._ground.store.read(lambda conn: accounts.customer_row(conn, caller.customer))
        settings = await self._settings(call)
        faxes, pages = settings[quota.LIMITS[0]], settings[quota.LIMITS[1]]
        return Reply(
            Account(
                customer=caller.customer,
                name=row["name"],
                user=caller.user.partition("/")[2],
                login=caller.login,
                token=caller.token,
                scopes=[scope for scope in Scope if scope in caller.scopes],
                interfaces=sorted(caller.interfaces),
                faxes_per_day=None if faxes >= NO_LIMIT else faxes,
                pages_per_day=None if pages >= NO_LIMIT else pages,
                max_pages=settings["max_pages"],
                max_recipients=settings["max_recipients"],
            )
        )

    async def settings(self, call: Call) -> Reply:
        """GET /account/settings."""
        found = await self._settings(call)
        shown = {
            key: SettingShown(value=list(value) if isinstance(value, tuple) else value, origin=str(found.origins[key]))
            for key, value in found.values.items()
        }
        return Reply(SettingsShown(settings=shown))

    async def numbers(self, call: Call) -> Reply:
        """GET /numbers."""
        rows, following = await self._part(call, NUMBER)
        return Reply(Numbers(numbers=[_number(row) for row in rows], next=following))

    async def number(self, call: Call) -> Reply:
        """GET /numbers/{e164}."""
        return Reply(_number(await self._row(call, NUMBER, call.path["e164"])))

    async def users(self, call: Call) -> Reply:
        """GET /users."""
        rows, following = await self._part(call, USER)
        return Reply(Users(users=[_user(row) for row in rows], next=following))

    async def user(self, call: Call) -> Reply:
        """GET /users/{user}."""
        return Reply(_user(await self._row(call, USER, call.path["user"])))

    async def destination(self, call: Call) -> Reply:
        """GET /destinations/{e164}."""
        caller, typed = call.caller, call.path["e164"]
        settings = await self._settings(call)
        try:
            number, detail = parse_number(typed, self._plan(settings)), ""
        except Refused as exc:
            number, detail = None, exc.public
        known = await self._ground.view(caller).read(own_calls.to_number, typed, user=caller.user)
        return Reply(
            Destination(
                number=typed,
                open=number is not None,
                detail=detail,
                country=number.country if number else None,
                kind=number.kind.value if number else None,
                faxes=known.faxes,
                sent=known.sent,
                last_call_at=shown_or_none(known.called_at),
                last_cause=known.cause,
                station_id=known.station_id,
                transport=known.transport if known.transport in ("t38", "g711") else None,  # type: ignore[arg-type]
                bit_rate=known.bit_rate or None,
                ecm=known.ecm if known.bit_rate else None,
            )
        )

    async def _settings(self, call: Call) -> Effective:
        caller = call.caller
        return await self._ground.store.read(
            lambda conn: directory.effective(conn, self._system, caller.customer, caller.user)
        )

    async def _part(self, call: Call, kind: accounts.Kind) -> tuple[Sequence[Mapping[str, Any]], str | None]:
        """One part of a list, and `after` of the following one."""
        query: NumbersQuery | UsersQuery = call.query
        view = self._ground.view(call.caller)
        rows = await view.read(accounts.rows, kind, after=query.after or "", limit=query.limit + 1)
        part = rows[: query.limit]
        return part, part[-1][kind.key] if len(rows) > query.limit else None

    async def _row(self, call: Call, kind: accounts.Kind, key: str) -> Mapping[str, Any]:
        try:
            return await self._ground.view(call.caller).read(accounts.row, kind, key)
        except NotFound as exc:
            raise Refusal.missing() from exc


def _number(row: Mapping[str, Any]) -> NumberShown:
    return NumberShown(
        number=row["e164"],
        state=row["state"],
        inbound=row["inbound"],
        caller=row["clip"],
        caller_until=shown_or_none(row["clip_until"]),
        profile=row["profile"] or "",
    )


def _user(row: Mapping[str, Any]) -> UserShown:
    return UserShown(name=row["name"], state=row["state"], profile=row["profile"] or "")
