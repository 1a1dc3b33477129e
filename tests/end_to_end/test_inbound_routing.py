"""Routing of received faxes through a real gateway: rules and targets of the file, three mails, and a reply's call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from faxgw.client import Control
from faxgw.fax.errors import FaxError
from tests.end_to_end.test_inbound import ADDRESSES, TWO, VALUES, call, mail_to, reception
from tests.end_to_end.world import Gateway, gateway_at
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

NUMBER, OWNER, DESK, BOSS, ARCHIVE = (
    "+33199000099",
    "owner@example.org",
    "desk@example.org",
    "boss@example.org",
    "archive@example.org",
)
CALLER = "+33199000001"
"""A machine of the park that answers as it should: it has to take the reply."""
SETTINGS = f"""
[[customer.number]]
e164 = "{NUMBER}"
deliver_to = ["{OWNER}"]

[[target]]
name = "boss"
customer = "acme"
kind = "mail"
address = "{BOSS}"

[[target]]
name = "archive"
kind = "mail"
address = "{ARCHIVE}"

[[rule]]
name = "all"
customer = "acme"
position = 1
stop = false
then = {{ deliver = ["archive"], tags = ["kept"] }}

[[rule]]
name = "friends"
customer = "acme"
number = "{NUMBER}"
position = 1
stop = false
when = {{ caller = "{CALLER}" }}
then = {{ deliver = ["boss", "owner"], reply = "plain", language = "de" }}

[[rule]]
name = "broken"
customer = "acme"
number = "{NUMBER}"
position = 2
when = {{ result = "partial" }}
then = {{ deliver = ["nobody@example..org"] }}
"""
CHANGES = {
    ADDRESSES: ADDRESSES + SETTINGS.replace("{", "{{").replace("}", "}}"),
    VALUES: f'{VALUES}fallback_mailbox = "{DESK}"\n',
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with gateway_at(tmp_path_factory.mktemp("routing"), "34000-34999", changes=CHANGES) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def routed(gateway: Gateway) -> Mapping[str, Any]:
    """A fax of the caller whom a rule means."""
    sent = await call(gateway, NUMBER, TWO, "--from", CALLER)
    assert (sent.code, sent.record["pages_confirmed"]) == (0, 2)
    return await reception(gateway, "delivered", caller=CALLER)


async def test_two_rules_bring_one_fax_to_three_mailboxes(gateway: Gateway, routed: Mapping[str, Any]) -> None:
    row = routed["reception"]
    assert row["routing"]["rules"] == ["friends", "all"]
    assert row["routing"]["tags"] == ["kept"]
    assert sorted(d["target"] for d in routed["deliveries"]) == sorted([BOSS, OWNER, ARCHIVE])
    assert {d["state"] for d in routed["deliveries"]} == {"done"}
    for address in (BOSS, OWNER, ARCHIVE):
        mail = await mail_to(gateway, address, row["id"])
        assert mail["Subject"].startswith("Fax von")


async def test_deliveries_are_written_before_the_call_says_goodbye(routed: Mapping[str, Any]) -> None:
    at = {e["what"]: e["at"] for e in routed["events"]}
    assert at["reception.routed"] < at["reception.ended"]


async def test_the_caller_is_called_and_faxed_the_reply(gateway: Gateway, routed: Mapping[str, Any]) -> None:
    (record,) = await gateway.records(CALLER, within=90.0)
    assert len(gateway.pages_received(record)) == 1
    found = await gateway.control.find(routed["reception"]["id"])
    assert (found["reply"]["state"], found["reply"]["caller"]) == ("sent", CALLER)
    assert "reception.replied" in [e["what"] for e in found["events"]]


async def test_the_next_fax_of_the_same_caller_is_not_replied_to(gateway: Gateway, routed: Mapping[str, Any]) -> None:
    await call(gateway, NUMBER, TWO, "--from", CALLER)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [r for r in await gateway.control.receptions(limit=10, everything=True) if r["caller"] == CALLER]
            if len(found) == 2 and all(r["state"] == "delivered" for r in found):
                break
            await asyncio.sleep(0.1)
    (second,) = [r for r in found if r["id"] != routed["reception"]["id"]]
    told = await gateway.control.find(second["id"])
    assert told["reply"]["state"] == "not"
    assert told["reply"]["why"].startswith("the caller was replied to")


async def test_a_fax_that_breaks_off_and_cannot_be_delivered_is_the_fallback_mailboxes(gateway: Gateway) -> None:
    caller = "+498955505"
    await call(gateway, NUMBER, TWO, "--from", caller, "--goes-wrong", "after first page")
    found = await reception(gateway, "retained", caller=caller)
    assert found["reception"]["routing"]["rules"] == ["broken"]
    assert await mail_to(gateway, DESK, found["reception"]["id"])
    assert found["reply"] is None


async def test_what_would_happen_is_what_happens(gateway: Gateway, routed: Mapping[str, Any]) -> None:
    tried = await _ask(gateway.control, "routing", "try", number=NUMBER, caller=CALLER, pages=2)
    stored = await _ask(gateway.control, "routing", "try", reception=routed["reception"]["id"])
    for said in (tried, stored):
        assert [d["address"] for d in said["deliveries"]] == [BOSS, OWNER, ARCHIVE]
        assert (said["tags"], said["reply"], said["language"]) == (["kept"], "plain", "de")
    other = await _ask(gateway.control, "routing", "try", number=NUMBER)
    assert [d["address"] for d in other["deliveries"]] == [ARCHIVE]
    assert [(step["rule"], step["verdict"]) for step in other["rules"]] == [
        ("friends", "does not fit"),
        ("broken", "does not fit"),
        ("all", "fits"),
    ]


async def test_targets_and_rules_are_made_changed_tried_and_removed(gateway: Gateway) -> None:
    control = gateway.control
    body = {"name": "late", "kind": "mail", "address": "late@example.org"}
    assert (await control.admin("POST", "customers", "acme", "targets", body=body))["name"] == "late"
    with pytest.raises(FaxError, match="already"):
        await control.admin("POST", "customers", "acme", "targets", body=body)
    with pytest.raises(FaxError, match="mail address"):
        await control.admin("PATCH", "customers", "acme", "targets", "late", body={"address": "late"})
    with pytest.raises(FaxError, match="settings file"):
        await control.admin("PATCH", "customers", "acme", "targets", "boss", body={"address": "x@example.org"})
    rule = {"name": "late", "when": {"caller": "+4930*"}, "then": {"deliver": "late"}, "number": NUMBER, "position": 0}
    made = await control.admin("POST", "customers", "acme", "rules", body=rule)
    said = await _ask(control, "routing", "try", number=NUMBER, caller="+493012345")
    assert [d["target"] for d in said["deliveries"]] == ["late"]
    with pytest.raises(FaxError, match="rule late"):
        await control.admin("DELETE", "customers", "acme", "targets", "late")
    await control.admin("PUT", "customers", "acme", "rules", made["id"], body={"active": False})
    said = await _ask(control, "routing", "try", number=NUMBER, caller="+493012345")
    assert [d["target"] for d in said["deliveries"]] == ["archive"]
    await control.admin("DELETE", "customers", "acme", "rules", made["id"])
    await control.admin("DELETE", "customers", "acme", "targets", "late")


async def test_a_target_is_tested_without_a_fax(gateway: Gateway) -> None:
    result = await _ask(gateway.control, "customers", "acme", "targets", "boss", "test")
    assert result["delivered"], result
    assert any("+33 1 99 00 00 00" in str(m.message["Subject"]) for m in gateway.mailbox.mails())


async def test_an_operator_sends_a_fax_on(gateway: Gateway, routed: Mapping[str, Any]) -> None:
    ident = routed["reception"]["id"]
    made = await _ask(gateway.control, "receptions", ident, "deliver", target="new@example.org")
    assert made["reception"] == ident
    assert await mail_to(gateway, "new@example.org", ident)
    with pytest.raises(FaxError, match="no target nobody"):
        await _ask(gateway.control, "receptions", ident, "deliver", target="nobody")


async def _ask(control: Control, *path: str, **body: Any) -> Mapping[str, Any]:
    return await control.admin("POST", *path, query={"who": "ann"}, body=body)
