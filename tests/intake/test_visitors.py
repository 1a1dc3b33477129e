"""Who is in a file server, and who is shut out of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from faxgw.fax.access import Caller, Denial, Interface, Scope
from faxgw.fax.errors import FaxError
from faxgw.intake import visitors
from faxgw.intake.visitors import Visitors
from tests.patience import PATIENCE_S


class Asked:
    """Logins that hold as the test says."""

    def __init__(self) -> None:
        self.shut: set[str] = set()
        self.fault: FaxError | None = None
        self.questions: list[int] = []
        self.meanwhile: Callable[[], object] = list

    async def holds(self, callers: Sequence[Caller], interface: Interface) -> Sequence[bool]:
        assert interface is Interface.SFTP
        self.questions.append(len(callers))
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.meanwhile()
        return [caller.login not in self.shut for caller in callers]

    async def login(self, name: str, password: str, address: str, interface: Interface) -> Caller | Denial:
        raise AssertionError

    async def key(self, name: str, fingerprint: str, address: str, interface: Interface) -> Caller | Denial:
        raise AssertionError

    async def again(self, name: str, customer: str, interface: Interface) -> Caller | Denial:
        raise AssertionError


def caller(login: str) -> Caller:
    return Caller("acme", "", login, "", frozenset({Scope.FAXES_WRITE}), "192.0.2.1")


async def test_those_who_hold_no_longer_are_ended_and_no_others() -> None:
    asked, ended = Asked(), []
    inside = Visitors(asked, Interface.SFTP)
    for name in ("anna", "bert", "carl"):
        inside.enter(name, caller(name), lambda name=name: ended.append(name))  # type: ignore[misc]
    asked.shut = {"bert"}
    await inside.look()
    await inside.look()
    assert ended == ["bert"] and len(inside) == 2
    assert asked.questions == [3, 2]  # one question for all


async def test_nobody_is_asked_about_when_nobody_is_there() -> None:
    asked = Asked()
    inside = Visitors(asked, Interface.SFTP)
    await inside.look()
    inside.enter(1, caller("anna"), lambda: None)
    inside.leave(1)
    inside.leave(2)
    await inside.look()
    assert asked.questions == []


async def test_who_left_or_came_anew_while_it_was_asked_is_left_alone() -> None:
    asked, ended = Asked(), []
    inside = Visitors(asked, Interface.SFTP)
    inside.enter(1, caller("anna"), lambda: ended.append("anna"))
    inside.enter(2, caller("bert"), lambda: ended.append("bert"))
    asked.shut = {"anna", "bert"}

    def meanwhile() -> None:
        inside.leave(1)
        inside.enter(2, caller("carl"), lambda: ended.append("carl"))

    asked.meanwhile = meanwhile
    await inside.look()
    assert ended == [] and len(inside) == 1


async def test_a_store_that_fails_shuts_nobody_out_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(visitors, "RECHECK_S", 0.0)
    asked, ended = Asked(), asyncio.Event()
    inside = Visitors(asked, Interface.SFTP)
    inside.enter(1, caller("anna"), ended.set)
    asked.fault, asked.shut = FaxError("no store"), {"anna"}
    watching = asyncio.create_task(inside.watch())
    with caplog.at_level(logging.WARNING):
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
    watching.cancel()
    assert "logins not asked" in caplog.text and len(asked.questions) == 2
