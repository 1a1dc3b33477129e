"""DSNs read back by the standard library, by flufl.bounce, and field by field against the grammar of RFC 3464."""

from __future__ import annotations

import email
import email.policy
import email.utils
import re
from dataclasses import replace
from email.message import EmailMessage, Message

import pytest
from flufl.bounce import all_failures
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faxgw.fax.dsn import Action, Dsn, DsnRecipient
from faxgw.fax.report import LeftOut, LeftOutParts, LeftOutReason
from faxgw.formats.dsn import (
    MAX_FIELD,
    MAX_HEADER,
    MAX_MAIL,
    Original,
    dsn_mail,
    final_recipient,
    header_of,
    original_recipient,
    plain_xtext,
)
from faxgw.formats.outgoing_mail import MailDefect
from faxgw.formats.report_payload import (
    PayloadDefect,
    dsn_from_payload,
    dsn_to_payload,
    original_from_payload,
    report_to_payload,
    told_from_payload,
    with_original,
)
from tests.formats.samples import BUSY, DELIVERED, UNKNOWN, T, job, refused

FAX = "FAX=+4962277455555@fax.example.org"
ORCPT = "rfc822;FAX+3D+2B4962277455555@fax.example.org"
MAIL = (
    b"Received: from sap.example.org by gw.example.org; Sat, 21 Nov 2026 12:00:00 +0000\r\n"
    b"From: Ann <ann@example.org>\r\nTo: <FAX=+4962277455555@fax.example.org>\r\n"
    b"Subject: =?utf-8?q?Auftrag_=C3=84?=\r\n\tzwei\r\nMessage-ID: <abc.1@mua.example.org>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nBody line\r\n.dot\r\n"
)
GRAMMAR = {
    "Original-Envelope-Id": r".+",
    "Reporting-MTA": r"dns;[A-Za-z0-9.-]+",
    "Arrival-Date": r"(?P<date>.+)",
    "Original-Recipient": r"[A-Za-z0-9-]+;\S.*",
    "Final-Recipient": r"(rfc822|utf-8);\S+",
    "Action": r"failed|delayed|delivered",
    "Status": r"[245]\.[0-9]{1,3}\.[0-9]{1,3}",
    "Diagnostic-Code": r"x-fax;\S.*",
    "Last-Attempt-Date": r"(?P<date>.+)",
    "Final-Log-ID": r"FN[A-Z0-9]{20}",
    "Will-Retry-Until": r"(?P<date>.+)",
    "X-Fax-Pages": r"[0-9]+/[0-9]+",
}
ORDER = list(GRAMMAR)


def recipient(action: Action = Action.FAILED, **changes: object) -> DsnRecipient:
    fields: dict[str, object] = {
        "address": FAX,
        "orcpt": ORCPT,
        "action": action,
        "status": {Action.DELIVERED: "2.0.0", Action.FAILED: "4.4.1", Action.DELAYED: "4.4.7"}[action],
        "diagnostic": "" if action is Action.DELIVERED else "BUSY The number was busy.",
        "fax": "FN00000000000000000001",
        "pages_confirmed": 3 if action is Action.DELIVERED else 0,
        "pages_total": 3,
        "last_attempt": T + 930,
        "retry_until": T + 86400 if action is Action.DELAYED else None,
    }
    return DsnRecipient(**(fields | changes))  # type: ignore[arg-type]  # the table above


def dsn(*people: DsnRecipient, envid: str = "QQ314159", ret: str = "") -> Dsn:
    return Dsn("msg_1", envid, ret, T, people or (recipient(),))


def octets(told: Dsn, original: bytes | None = MAIL, *, complete: bool = True, to: str = "ann@example.org") -> bytes:
    return dsn_mail(
        job([BUSY]),
        told,
        None if original is None else Original(original, complete),
        to=to,
        sender="fax@gw.example.org",
        reporting_mta="gw.example.org",
        message_id="<out_1@gw.example.org>",
        date=T + 2000,
        organisation="Acme Fax",
    )


def parse(raw: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    parts = list(parsed.iter_parts())
    assert all(isinstance(p, EmailMessage) for p in parts)
    return parsed, parts  # type: ignore[return-value]  # asserted


def blocks(raw: bytes) -> list[dict[str, str]]:
    """The blocks of message/delivery-status, each field checked against its grammar and place."""
    _, parts = parse(raw)
    payload = parts[1].get_payload()
    assert isinstance(payload, list)
    found = []
    for block in payload:
        assert isinstance(block, Message)
        fields = {name: str(value) for name, value in block.items()}
        assert len(fields) == len(block.items()), "a field stands once"
        assert list(fields) == sorted(fields, key=ORDER.index)
        for name, value in fields.items():
            match = re.fullmatch(GRAMMAR[name], value)
            assert match, f"{name}: {value}"
            if "date" in match.groupdict():
                assert email.utils.parsedate_to_datetime(match["date"]).utcoffset() is not None
        found.append(fields)
    assert "Reporting-MTA" in found[0]
    assert all({"Final-Recipient", "Action", "Status"} <= set(fields) for fields in found[1:])
    return found


def test_a_dsn_is_a_report_of_three_parts_that_answers_its_mail() -> None:
    """RFC 6522 section 3, RFC 3834 section 5."""
    raw = octets(dsn())
    mail, parts = parse(raw)
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert [p.get_content_type() for p in parts] == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["In-Reply-To"] == "<abc.1@mua.example.org>"
    assert str(mail["To"]) == "ann@example.org"
    assert mail["X-Fax-Job"] == "FABCDEFGHIJKLMNOPQRST1"
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_the_text_is_the_status_mail() -> None:
    mail, parts = parse(octets(dsn()))
    text = str(parts[0].get_content())
    assert "The number was busy" in text
    assert "FN00000000000000000001" in text
    assert "Acme Fax" in text
    assert "+33 1 99 00 00 01" in str(mail["Subject"])


def test_the_text_names_what_of_the_mail_was_not_faxed() -> None:
    parts = (LeftOut("Tür.ics", LeftOutReason.CALENDAR),)
    report = replace(job([BUSY]), left_out=LeftOutParts(parts, 2))
    raw = dsn_mail(
        report, dsn(), None, to="ann@example.org", sender="fax@gw.example.org", reporting_mta="gw.example.org",
        message_id="<out_1@gw.example.org>", date=T + 2000,
    )  # fmt: skip
    _, (text, _status) = parse(raw)
    assert "Tür.ics (calendar entry), and 1 more" in str(text.get_content())


def test_the_same_arguments_make_the_same_octets() -> None:
    assert octets(dsn()) == octets(dsn())


def test_the_fields_say_what_was_asked_and_what_became_of_it() -> None:
    """RFC 3464 sections 2.2 and 2.3; ENVID and ORCPT decoded (RFC 3461 section 6.3)."""
    per_message, per_recipient = blocks(octets(dsn(envid="SAP+2BQAS+3D800.000042")))
    assert per_message == {
        "Original-Envelope-Id": "SAP+QAS=800.000042",
        "Reporting-MTA": "dns;gw.example.org",
        "Arrival-Date": "Sat, 21 Nov 2026 12:43:20 +0000",
    }
    assert per_recipient == {
        "Original-Recipient": "rfc822;FAX=+4962277455555@fax.example.org",
        "Final-Recipient": "rfc822;FAX=+4962277455555@fax.example.org",
        "Action": "failed",
        "Status": "4.4.1",
        "Diagnostic-Code": "x-fax;BUSY The number was busy.",
        "Last-Attempt-Date": "Sat, 21 Nov 2026 12:58:50 +0000",
        "Final-Log-ID": "FN00000000000000000001",
        "X-Fax-Pages": "0/3",
    }


def test_what_the_client_did_not_give_is_not_made_up() -> None:
    per_message, per_recipient = blocks(octets(dsn(recipient(orcpt=""), envid="")))
    assert "Original-Envelope-Id" not in per_message
    assert "Original-Recipient" not in per_recipient


def test_a_success_and_a_delay_say_what_belongs_to_them() -> None:
    _, good, late = blocks(octets(dsn(recipient(Action.DELIVERED), recipient(Action.DELAYED))))
    assert (good["Action"], good["Status"], good["X-Fax-Pages"]) == ("delivered", "2.0.0", "3/3")
    assert "Diagnostic-Code" not in good
    assert "Will-Retry-Until" not in good
    assert (late["Action"], late["Status"]) == ("delayed", "4.4.7")
    assert late["Will-Retry-Until"] == "Sun, 22 Nov 2026 12:43:20 +0000"


def test_an_independent_reader_finds_the_failed_recipients_and_no_others() -> None:
    """flufl.bounce, which takes what follows a `=` in an address for a parameter: so numbers without `FAX=`."""
    people = [
        recipient(address="+33199000001@fax.example.org", orcpt="", status="5.1.1"),
        recipient(address="+33199000002@fax.example.org", orcpt="", status="4.4.1"),
        recipient(Action.DELIVERED, address="+33199000003@fax.example.org", orcpt=""),
        recipient(Action.DELAYED, address="+33199000004@fax.example.org", orcpt=""),
    ]
    temporary, permanent = all_failures(email.message_from_bytes(octets(dsn(*people))))
    assert permanent == {b"+33199000001@fax.example.org", b"+33199000002@fax.example.org"}
    assert temporary == {b"+33199000004@fax.example.org"}
    temporary, permanent = all_failures(email.message_from_bytes(octets(dsn(recipient(Action.DELIVERED)))))
    assert not temporary | permanent


def test_a_mail_that_was_refused_after_it_was_accepted_has_its_own_text() -> None:
    raw = dsn_mail(
        refused(),
        dsn(recipient(status="5.6.0", diagnostic="RENDERING_ERROR The PDF is encrypted.", fax="", pages_total=0)),
        Original(MAIL, True),
        to="ann@example.org",
        sender="fax@gw.example.org",
        reporting_mta="gw.example.org",
        message_id="<out_1@gw.example.org>",
        date=T,
    )
    mail, parts = parse(raw)
    assert "The PDF is encrypted." in str(parts[0].get_content())
    assert mail["X-Fax-Result"] == "refused"
    _, fields = blocks(raw)
    assert "Final-Log-ID" not in fields
    assert fields["Diagnostic-Code"] == "x-fax;RENDERING_ERROR The PDF is encrypted."


# --------------------------------------------------------------------------------------------------------- returned


def third(raw: bytes) -> EmailMessage:
    return parse(raw)[1][2]


def test_the_header_comes_back_as_it_was_and_nothing_of_the_body() -> None:
    part = third(octets(dsn()))
    assert part.get_content_type() == "text/rfc822-headers"
    assert str(part.get_payload()).encode() == MAIL.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert b"Body line" not in octets(dsn())


def test_ret_full_brings_the_whole_mail_back_octet_for_octet() -> None:
    """RFC 3461 section 4.3."""
    raw = octets(dsn(ret="FULL"))
    assert third(raw).get_content_type() == "message/rfc822"
    assert b"\r\nContent-Type: message/rfc822\r\n\r\n" + MAIL + b"\r\n--=_dsn_" in raw


@pytest.mark.parametrize(
    ("mail", "complete"),
    [
        (MAIL, False),
        (MAIL + b"x" * 999 + b"\r\n", True),
        (MAIL + "Grüße\r\n".encode(), True),
        (MAIL + b"\0\r\n", True),
        (MAIL + b"x\r\n" * (MAX_MAIL // 3), True),
    ],
    ids=["cut", "long line", "8 bit", "NUL", "large"],
)
def test_a_mail_that_is_not_fit_for_every_relay_comes_back_as_its_header(mail: bytes, complete: bool) -> None:
    raw = octets(dsn(ret="FULL"), mail, complete=complete)
    assert third(raw).get_content_type() == "text/rfc822-headers"
    assert raw.isascii()


def test_the_whole_mail_stays_out_of_a_success() -> None:
    assert third(octets(dsn(recipient(Action.DELIVERED), ret="FULL"))).get_content_type() == "text/rfc822-headers"


def test_a_header_that_is_not_ascii_is_quoted_printable() -> None:
    """RFC 6532 headers, in a part that any relay takes."""
    raw = octets(dsn(), "Subject: Grüße \r\nX-Long: {}\r\nX-Raw: ".format("ä" * 600).encode() + b"\xff\r\n\r\nbody")
    part = third(raw)
    assert raw.isascii()
    assert part.get_content() == f"Subject: Grüße \r\nX-Long: {'ä' * 600}\r\nX-Raw: \ufffd\r\n"


def test_without_the_original_the_report_has_two_parts() -> None:
    _, parts = parse(octets(dsn(ret="FULL"), None))
    assert [p.get_content_type() for p in parts] == ["text/plain", "message/delivery-status"]


def test_a_mail_that_knows_our_boundary_cannot_leave_its_part() -> None:
    boundary = parse(octets(dsn(ret="FULL")))[0].get_boundary()
    hostile = MAIL + f"--{boundary}--\r\n--{boundary}\r\nContent-Type: text/html\r\n\r\nhello\r\n".encode()
    raw = octets(dsn(ret="FULL"), hostile)
    mail, parts = parse(raw)
    assert mail.get_boundary() != boundary
    assert [p.get_content_type() for p in parts] == ["text/plain", "message/delivery-status", "message/rfc822"]
    assert hostile in raw


@pytest.mark.parametrize(
    ("octets_", "header"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nbody", b"A: 1\r\nB: 2\r\n"),
        (b"A: 1\r\nB: 2", b"A: 1\r\nB: 2\r\n"),
        (b"\r\nbody only", b""),
        (b"A: 1\rx\ny\r\n\r\n", b"A: 1 x y\r\n"),
        (b"A: 1\r\n" * 20_000, b"A: 1\r\n" * (MAX_HEADER // 6)),
        (b"A: " + b"x" * 2 * MAX_HEADER + b"\r\n\r\n", b"\r\n"),
    ],
)
def test_the_header_is_bounded_and_ends_at_a_line(octets_: bytes, header: bytes) -> None:
    assert header_of(octets_) == header


# --------------------------------------------------------------------------------------------------------- echoes


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("QQ314159", "QQ314159"),
        ("a+2Bb+3Dc", "a+b=c"),
        ("two+20words", "two words"),
        ("x+0D+0AAction:+20delivered", "x+0D+0AAction:+20delivered"),
        ("+C3+84", "+C3+84"),
        ("+2b", "+2b"),
        ("not=xtext", "not=xtext"),
        ("ends+", "ends+"),
        ("Ä", "?"),
    ],
)
def test_xtext_is_decoded_where_it_is_fit_to_be_shown(given: str, shown: str) -> None:
    """RFC 3461 section 4: anything else comes back as the client gave it."""
    assert plain_xtext(given) == shown


@pytest.mark.parametrize(
    ("orcpt", "shown"),
    [
        (ORCPT, f"rfc822;{FAX}"),
        (f"rfc822;{FAX}", f"rfc822;{FAX}"),
        ("RFC822;fax=+4962277455555@FAX.example.org", "RFC822;fax=+4962277455555@FAX.example.org"),
        ("x400;/C+3DDE/A+3D+20", "x400;/C=DE/A= "),
        (r"utf-8;gr\x{FC}n@example.org", r"utf-8;gr\x{FC}n@example.org"),
        ("utf-8;grün+@example.org", r"utf-8;gr\x{FC}n\x{2B}@example.org"),
        ("rfc822;grün@example.org", r"utf-8;gr\x{FC}n@example.org"),
        ("no type", "unknown;no type"),
    ],
)
def test_orcpt_comes_back_as_original_recipient(orcpt: str, shown: str) -> None:
    assert original_recipient(recipient(orcpt=orcpt)) == shown


def test_a_number_that_looks_like_xtext_but_is_the_rcpt_is_not_decoded() -> None:
    """`+49` would be an `I`: a client that forgot to encode it is understood."""
    number = "+4962277455555@fax.example.org"
    assert original_recipient(recipient(address=number, orcpt=f"rfc822;{number}")) == f"rfc822;{number}"
    assert original_recipient(recipient(address=number, orcpt=f"rfc822;+2B{number[1:]}")) == f"rfc822;{number}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (FAX, f"rfc822;{FAX}"),
        ('"49 6227"@fax.example.org', 'rfc822;"49 6227"@fax.example.org'),
        ("+49 (6227) 7:45@fax.example.org", 'rfc822;"+49 (6227) 7:45"@fax.example.org'),
        ('a"b\\@fax.example.org', 'rfc822;"a\\"b\\\\"@fax.example.org'),
        ("für+1@fax.example.org", r"utf-8;f\x{FC}r\x{2B}1@fax.example.org"),
        ("1@fäx.example.org", r"utf-8;1@f\x{E4}x.example.org"),
    ],
)
def test_an_address_comes_back_as_final_recipient(address: str, shown: str) -> None:
    """RFC 5322 section 3.4.1: parentheses outside quotes would be a comment. RFC 6533 section 3."""
    assert final_recipient(address) == shown


def test_fields_fit_their_line_however_long_the_address() -> None:
    person = recipient(address="ü" * 500 + "@fax.example.org", orcpt="utf-8;" + "😀" * 400, diagnostic="Ä " * 2000)
    raw = octets(dsn(person))
    _, fields = blocks(raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert len(fields["Final-Recipient"]) <= MAX_FIELD + 10


def test_a_return_path_that_needs_smtputf8_is_written_as_it_is() -> None:
    """RFC 6532: the header only; the fields stay ASCII."""
    raw = octets(dsn(), to="änn@example.org")
    assert "To: änn@example.org\r\n".encode() in raw
    assert raw.partition(b"\r\n\r\n")[2].isascii()


def test_a_name_that_is_no_host_is_a_defect_of_ours() -> None:
    with pytest.raises(MailDefect):
        dsn_mail(
            job([BUSY]),
            dsn(),
            None,
            to="ann@example.org",
            sender="fax@gw.example.org",
            reporting_mta="gw\r\nAction: delivered",
            message_id="<out_1@gw.example.org>",
            date=T,
        )


@settings(max_examples=60, deadline=None)
@given(
    envid=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=100),
    orcpt=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    address=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200),
    original=st.binary(max_size=400),
    ret=st.sampled_from(["", "FULL", "HDRS"]),
)
@example(
    envid="+0D+0A+0D+0A", orcpt="rfc822;+0D+0AAction:+20x", address="\u202e@x", original=b"\r\n\r\n--=_dsn_", ret="FULL"
)
def test_nothing_a_client_gives_breaks_the_report(
    envid: str, orcpt: str, address: str, original: bytes, ret: str
) -> None:
    raw = octets(dsn(recipient(address=address, orcpt=orcpt), envid=envid, ret=ret), original)
    mail, parts = parse(raw)
    assert raw.isascii()
    assert len(parts) == 3
    payload = parts[1].get_payload()
    assert isinstance(payload, list)
    assert len(payload) == 2
    assert isinstance(payload[1], Message)
    assert payload[1].get_all("Action") == ["failed"]
    assert mail.get_all("To") == ["ann@example.org"]


# --------------------------------------------------------------------------------------------------------- payloads


def test_a_dsn_survives_the_outbox() -> None:
    told = dsn(recipient(), recipient(Action.DELAYED), ret="FULL")
    for report in (job([BUSY, DELIVERED, UNKNOWN]), refused()):
        payload = dsn_to_payload(report, told)
        assert dsn_from_payload(payload) == told
        assert told_from_payload(payload) == report
        assert original_from_payload(payload) is None
        original = Original(b"\0\xff\r\n", complete=True)
        assert original_from_payload(with_original(payload, original)) == original


def test_a_damaged_payload_is_refused() -> None:
    payload = dsn_to_payload(job([BUSY]), dsn())
    with pytest.raises(PayloadDefect):
        dsn_from_payload(report_to_payload(job([BUSY])))
    with pytest.raises(PayloadDefect):
        dsn_from_payload({**payload, "dsn": {"recipients": "none"}})
    with pytest.raises(PayloadDefect):
        original_from_payload({**payload, "original": {"octets": "?"}})
