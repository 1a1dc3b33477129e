"""The INVITE of a call, its branches, and goodbyes in silence (RFC 3261 sections 8.1.1 and 15)."""

from __future__ import annotations

from faxgw.foip.call import Farewell, branch_of, new_invite
from faxgw.foip.dialog import Dialog, DialogRecord
from faxgw.foip.events import CallIdentity, Ended
from faxgw.foip.headers import NameAddr
from faxgw.foip.message import Headers, Request, parse
from faxgw.foip.stack import Stack
from tests.foip.wire import CALLER, config, numbers

IDENTITY = CallIdentity("c@192.0.2.1", "own", "z9hG4bKx", 7)


def test_branches_can_be_named_from_the_identity_alone() -> None:
    assert [branch_of(IDENTITY, number) for number in range(3)] == ["z9hG4bKx", "z9hG4bKx.1", "z9hG4bKx.2"]


def test_an_invite_has_what_every_invite_needs() -> None:
    """RFC 3261 sections 8.1.1 and 13.2.1."""
    a, b = NameAddr.parse("<sip:a@192.0.2.1>"), NameAddr.parse("<sip:b@192.0.2.2>;tag=none")
    invite = new_invite(IDENTITY, "sip:b@192.0.2.2", a, b, "<sip:fax@192.0.2.1>", (("X-Y", "z"),), ("<sip:p;lr>",))
    assert invite.uri == "sip:b@192.0.2.2"
    assert (invite.from_.tag, invite.to.tag, invite.cseq.number) == ("own", "", 7)
    for name in ("Max-Forwards", "Call-ID", "Contact", "Allow", "Content-Type", "X-Y"):
        assert invite.headers.get(name)
    assert invite.headers.get_all("Route") == ["<sip:p;lr>"]


def farewell(*, silent: bool) -> tuple[Stack, Farewell]:
    stack = Stack(config(CALLER), numbers())
    record = DialogRecord(
        "c", "<sip:a@h>;tag=own", "<sip:b@h>;tag=far", 1, -1, "sip:b@192.0.2.2", (), "192.0.2.2", 5060
    )
    made = Farewell(stack, Dialog(record), silent=silent)
    made.start(0.0, Request("INVITE", "sip:b@h", Headers([("CSeq", "1 INVITE")])))
    return stack, made


def test_a_farewell_acknowledges_says_bye_and_repeats_its_ack() -> None:
    stack, made = farewell(silent=True)
    ack, bye = (parse(data) for data, _ in stack.outbox)
    assert (ack.cseq.method, bye.cseq.method) == ("ACK", "BYE")
    stack.outbox.clear()
    made.on_2xx("far", 1)
    made.on_2xx("other", 1)
    assert [data for data, _ in stack.outbox] == [ack.to_bytes()]


def test_its_end_is_told_only_where_somebody_waits() -> None:
    for silent in (True, False):
        stack, _ = farewell(silent=silent)
        while (at := stack.get_timer()) is not None:
            stack.handle_timer(at)
        assert [type(event) for event in stack.events] == ([] if silent else [Ended])
        assert stack.finished == []
