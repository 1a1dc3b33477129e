"""What all interfaces of the administration have in common: whose things they are, refusals, names for the audit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from faxgw.api.administration import (
    MAX_WHO,
    PREFIX,
    Office,
    Row,
    customer_of,
    owner_of,
    require_operator,
    told,
    who_of,
    whole,
)
from faxgw.api.answers import Refusal
from faxgw.fax.access import OPERATOR, Caller, Scope
from faxgw.fax.errors import FaxError, Refused, Stale
from faxgw.store.accounts import Conflict, NotFound
from faxgw.store.templates import UnknownTemplate

ADMIN = Caller("acme", "", "anna", "", frozenset({Scope.ADMIN}), "192.0.2.7")


def asked(path: str = "/", **match: str) -> web.Request:
    return make_mocked_request("GET", path, match_info=match)


def status_of(refused: pytest.ExceptionInfo[Refusal]) -> tuple[int, str]:
    return refused.value.status, refused.value.code


def test_a_customer_sees_itself_and_nothing_of_another() -> None:
    assert customer_of(asked(customer="acme"), ADMIN) == "acme"
    with pytest.raises(Refusal) as refused:
        customer_of(asked(customer="beta"), ADMIN)
    assert status_of(refused) == (404, "not_found")
    assert customer_of(asked(customer="beta"), OPERATOR) == "beta"


def test_what_belongs_to_no_customer_is_the_operators() -> None:
    assert owner_of(asked(), OPERATOR) == ""
    assert owner_of(asked(customer="acme"), ADMIN) == "acme"
    for refusing in (lambda: owner_of(asked(), ADMIN), lambda: require_operator(ADMIN)):
        with pytest.raises(Refusal) as refused:
            refusing()
        assert status_of(refused) == (403, "scope_missing")


def test_only_the_command_line_names_who_does_it() -> None:
    """A caller with credentials cannot put somebody else's name into the audit."""
    assert who_of(asked("/?who=root"), ADMIN) == "login:anna"
    assert who_of(asked("/?who=root"), OPERATOR) == "root"
    assert who_of(asked(), OPERATOR) == "operator"
    assert len(who_of(asked("/?who=" + "x" * 500), OPERATOR)) == MAX_WHO


@pytest.mark.parametrize("given", ["-1", "1.5", "", "²", "1" * 19, "0x1", " 1"])
def test_what_is_no_whole_number_is_refused(given: str) -> None:
    with pytest.raises(Refusal) as refused:
        whole(asked(f"/?limit={given}"), "limit", 100)
    assert (status_of(refused), refused.value.param) == ((422, "invalid"), "limit")


def test_a_number_that_is_not_given_is_the_default() -> None:
    assert (whole(asked(), "limit", 100), whole(asked("/?limit=7"), "limit", 100)) == (100, 7)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (NotFound("x"), (404, "not_found")),
        (UnknownTemplate("x"), (404, "not_found")),
        (Stale("x", temporary=False), (404, "not_found")),
        (Conflict("x"), (409, "conflict")),
        (Refused("x"), (422, "bad_paper")),
        (FaxError("x", temporary=False), (422, "bad_paper")),
    ],
)
async def test_what_would_come_again_is_told(fault: FaxError, expected: tuple[int, str]) -> None:
    async def work() -> None:
        raise fault

    with pytest.raises(Refusal) as refused:
        await told(work(), "bad_paper")
    assert (status_of(refused), refused.value.detail) == (expected, fault.public)


async def test_what_may_pass_is_left_to_the_table_which_says_when_to_come_again() -> None:
    async def work() -> None:
        raise FaxError("the disk")

    with pytest.raises(FaxError):
        await told(work())


class Bell(Office):
    """One route, which is refused with what the test wants."""

    tag = "Bells"

    def rows(self) -> Sequence[Row]:
        return [Row("POST", "/bell/{page}", self.ring, 5)]

    async def ring(self, request: web.Request, caller: Caller) -> web.Response:
        if request.match_info["page"] == "0":
            raise Refusal(422, "Ring at least once.")
        return web.json_response({"by": caller.name, "at": self._author(request, caller).now})


async def test_the_socket_serves_the_same_rows_and_tells_refusals_in_one_word() -> None:
    office = Bell(cast(Any, SimpleNamespace(clock=lambda: 7.0)))
    (route,) = office.control_routes(OPERATOR)
    assert isinstance(route, web.RouteDef) and (route.method, route.path) == ("POST", "/admin/bell/{page}")
    serve: Any = route.handler
    rung = await serve(asked("/admin/bell/1", page="1"))
    assert json.loads(rung.text) == {"by": "operator", "at": 7.0}
    refused = await serve(asked("/admin/bell/0", page="0"))
    assert (refused.status, json.loads(refused.text)) == (422, {"error": "Ring at least once."})


async def test_the_public_server_has_them_under_its_own_prefix() -> None:
    (route,) = Bell(cast(Any, SimpleNamespace())).routes()
    assert isinstance(route, web.RouteDef) and route.path == PREFIX + "/bell/{page}"
