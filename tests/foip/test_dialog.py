"""Dialogs: records, route sets, sequence numbers, the next hop (RFC 3261 section 12)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from faxgw.foip.dialog import Dialog, DialogRecord
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.message import Request, parse, response_to
from tests.foip.wire import request

RECORD = DialogRecord(
    call_id="c",
    local='"Fax" <sip:a@192.0.2.1>;tag=l',
    remote="<sip:b@192.0.2.2>;tag=r",
    local_seq=7,
    remote_seq=-1,
    remote_target="sip:b@198.51.100.1:5070",
    route_set=(),
    host="192.0.2.2",
    port=5060,
    invite_seq=7,
)


def test_a_record_survives_json() -> None:
    record = replace(RECORD, route_set=("<sip:p.example.com;lr>",))
    assert DialogRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert Dialog(record).record() == record


@pytest.mark.parametrize(
    "values", [{}, {"call_id": 1}, {**RECORD.to_dict(), "remote": "<"}, {**RECORD.to_dict(), "x": 1}]
)
def test_what_is_no_record_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        DialogRecord.from_dict(values)


def test_requests_count_up_and_bear_the_tags() -> None:
    dialog = Dialog(RECORD)
    bye = dialog.build("BYE")
    assert bye.start_line() == "BYE sip:b@198.51.100.1:5070 SIP/2.0"
    assert (bye.from_.tag, bye.to.tag, str(bye.cseq)) == ("l", "r", "8 BYE")
    assert str(dialog.build("INVITE").cseq) == "9 INVITE"
    assert str(dialog.build_ack(7).cseq) == "7 ACK"


@pytest.mark.parametrize(
    ("target", "routes", "hop"),
    [
        ("sip:b@198.51.100.1:5070", (), ("198.51.100.1", 5070)),
        ("sip:b@[2001:db8::1]", (), ("2001:db8::1", 5060)),
        ("sip:b@pbx.example.com", (), ("192.0.2.2", 5060)),
        ("sip:b@198.51.100.1", ("<sip:203.0.113.1;lr>", "<sip:203.0.113.2;lr>"), ("203.0.113.1", 5060)),
        ("tel:5", (), ("192.0.2.2", 5060)),
    ],
)
def test_the_next_hop_is_never_resolved(target: str, routes: tuple[str, ...], hop: tuple[str, int]) -> None:
    assert Dialog(replace(RECORD, remote_target=target, route_set=routes)).next_hop == hop


def test_a_strict_router_gets_the_request_uri() -> None:
    """RFC 3261 section 12.2.1.1."""
    dialog = Dialog(replace(RECORD, route_set=("<sip:203.0.113.1>", "<sip:203.0.113.2;lr>")))
    bye = dialog.build("BYE")
    assert bye.uri == "sip:203.0.113.1"
    assert bye.headers.get_all("Route") == ["<sip:203.0.113.2;lr>", "<sip:b@198.51.100.1:5070>"]


def test_the_called_side_keeps_the_routes_in_order() -> None:
    invite = parse(request("INVITE", ("Record-Route", "<sip:p1;lr>, <sip:p2;lr>")))
    assert isinstance(invite, Request)
    record = Dialog.of_callee(invite, "mine", ("203.0.113.9", 5999)).record()
    assert record.route_set == ("<sip:p1;lr>", "<sip:p2;lr>")
    assert (record.remote_target, record.remote_seq, record.invite_seq) == ("sip:x@203.0.113.9:5999", 1, 0)
    assert record.local.endswith(";tag=mine")


def test_too_many_routes_make_no_dialog() -> None:
    invite = parse(request("INVITE", ("Record-Route", ", ".join(["<sip:p;lr>"] * 21))))
    assert isinstance(invite, Request)
    with pytest.raises(RemoteProtocolError):
        Dialog.of_callee(invite, "mine", ("203.0.113.9", 5999))


def test_without_a_contact_the_first_addresses_serve() -> None:
    invite = parse(request("INVITE").replace(b"Contact: <sip:x@203.0.113.9:5999>\r\n", b""))
    assert isinstance(invite, Request)
    assert Dialog.of_callee(invite, "t", ("1.2.3.4", 5)).remote_target == "sip:x@203.0.113.9"
    answer = response_to(invite, 200, tag="z")
    assert Dialog.of_caller(invite, answer, ("1.2.3.4", 5)).remote_target == "sip:100@192.0.2.2"


def test_a_refresh_moves_the_target() -> None:
    dialog = Dialog(RECORD)
    dialog.refresh_target(parse(request("INVITE")))
    assert dialog.remote_target == "sip:x@203.0.113.9:5999"
    dialog.refresh_target(parse(request("INVITE").replace(b"Contact: <sip:x@203.0.113.9:5999>\r\n", b"")))
    assert dialog.remote_target == "sip:x@203.0.113.9:5999"
