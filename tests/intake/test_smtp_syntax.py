"""Arguments of MAIL, RCPT and AUTH, and replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.intake.smtp_syntax import (
    MailArgument,
    RecipientArgument,
    SyntaxFault,
    decode_base64,
    one_line,
    parse_mail,
    parse_recipient,
    plain_credentials,
)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("FROM:<a@b.example>", MailArgument("a@b.example")),
        ("from: <a@b.example>", MailArgument("a@b.example")),
        ("FROM:a@b.example", MailArgument("a@b.example")),
        ("FROM:<>", MailArgument("")),
        ("FROM:<@x.example,@y.example:a@b.example>", MailArgument("a@b.example")),
        ('FROM:<"a> b"@b.example>', MailArgument('"a> b"@b.example')),
        ("FROM:<a@b> SIZE=1234 BODY=8BITMIME", MailArgument("a@b", 1234)),
        ("FROM:<ä@b.example> SMTPUTF8", MailArgument("ä@b.example", 0, True)),
        ("FROM:<a@b> RET=HDRS ENVID=QQ314159+3D", MailArgument("a@b", 0, False, "HDRS", "QQ314159+3D")),
        ("FROM:<a@b> AUTH=<>", MailArgument("a@b")),
    ],
)
def test_mail_is_read(argument: str, expected: MailArgument) -> None:
    """RFC 5321 section 4.1.1.2, RFC 1870, 3461, 4954, 6531."""
    assert parse_mail(argument) == expected


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("", "501"),
        ("TO:<a@b>", "501"),
        ("FROM:", "501"),
        ("FROM:<a@b", "501"),
        ("FROM:<a<b>", "501"),
        ("FROM:<a@b>SIZE=1", "501"),
        ("FROM:a>b", "501"),
        ("FROM:<" + "a" * 600 + "@b>", "501"),
        ("FROM:<a@b> SIZE=x", "501"),
        ("FROM:<a@b> SIZE=٣", "501"),
        ("FROM:<a@b> SIZE=" + "1" * 21, "501"),
        ("FROM:<a@b> SIZE=1 SIZE=2", "501"),
        ("FROM:<a@b> BODY=BINARYMIME", "501"),
        ("FROM:<a@b> RET=ALL", "501"),
        ("FROM:<a@b> ENVID=" + "a" * 101, "501"),
        ("FROM:<a@b> ENVID=a+zz", "501"),
        ("FROM:<a@b> SMTPUTF8=1", "501"),
        ("FROM:<a@b> XFOO=1", "555"),
        ("FROM:<a@b> " + " ".join(f"X{n}" for n in range(11)), "501"),
        ("FROM:<ä@b.example>", "553"),
    ],
)
def test_a_wrong_mail_is_answered(argument: str, code: str) -> None:
    with pytest.raises(SyntaxFault, match=f"^{code} 5"):
        parse_mail(argument)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("TO:<+33123456789@fax.example>", RecipientArgument("+33123456789@fax.example")),
        ("TO:<01 23 45 67 89@fax.example>", RecipientArgument("01 23 45 67 89@fax.example")),
        ('TO:<"FAX=+33 1"@fax.example>', RecipientArgument('"FAX=+33 1"@fax.example')),
        ('TO:<"[Fax:+331]"@fax.example>', RecipientArgument('"[Fax:+331]"@fax.example')),
        ("TO:<[Fax:(0)1-2]@fax.example>", RecipientArgument("[Fax:(0)1-2]@fax.example")),
        ("TO:<IMCEAFAX-+2B33@fax.example>", RecipientArgument("IMCEAFAX-+2B33@fax.example")),
        (
            "TO:<1@f> NOTIFY=success,failure ORCPT=rfc822;Bob+40example.com",
            RecipientArgument("1@f", "SUCCESS,FAILURE", "rfc822;Bob+40example.com"),
        ),
        ("TO:<1@f> NOTIFY=NEVER", RecipientArgument("1@f", "NEVER")),
    ],
)
def test_a_recipient_is_read(argument: str, expected: RecipientArgument) -> None:
    assert parse_recipient(argument, smtputf8=False) == expected


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("TO:<>", "501"),
        ("TO:<1@f> NOTIFY=NEVER,SUCCESS", "501"),
        ("TO:<1@f> NOTIFY=", "501"),
        ("TO:<1@f> NOTIFY=MAYBE", "501"),
        ("TO:<1@f> NOTIFY=SUCCESS,SUCCESS", "501"),
        ("TO:<1@f> ORCPT=noaddress", "501"),
        ("TO:<1@f> ORCPT=rfc822;" + "a" * 600, "501"),
        ("TO:<1@f> SIZE=1", "555"),
        ("TO:<é@f>", "553"),
    ],
)
def test_a_wrong_recipient_is_answered(argument: str, code: str) -> None:
    with pytest.raises(SyntaxFault, match=f"^{code} 5"):
        parse_recipient(argument, smtputf8=False)


@given(st.text(max_size=80))
def test_whatever_is_said_is_read_or_answered(text: str) -> None:
    for prefix in ("FROM:<", "FROM:", ""):
        try:
            parsed = parse_mail(prefix + text)
        except SyntaxFault as fault:
            assert str(fault)[:3] in ("501", "553", "555")
            assert str(fault).isascii()
        else:
            assert parsed.sender.isprintable()


@given(st.text(max_size=2000))
def test_a_reply_is_one_short_line_of_ascii(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 450
    assert line.isascii()
    assert line.isprintable()


def test_a_reply_keeps_what_people_read() -> None:
    assert one_line("“01 é” – no…\r\nQUIT") == '"01 e" - no... QUIT'


def test_credentials_are_split_and_nobody_acts_for_another() -> None:
    """RFC 4616 section 2."""
    assert plain_credentials("\0anna\0päss".encode()) == ("anna", "päss")
    assert plain_credentials(b"anna\0anna\0x") == ("anna", "x")
    for octets, code in [(b"eve\0anna\0x", "535"), (b"\0anna", "501"), (b"\0a\0\xff", "501"), (b"\0a\0b\0", "501")]:
        with pytest.raises(SyntaxFault, match=code):
            plain_credentials(octets)
    with pytest.raises(SyntaxFault, match="501"):
        plain_credentials(b"\0a\0" + b"x" * 2000)


def test_what_is_no_base64_is_answered() -> None:
    assert decode_base64("=") == b""
    for text in ("a", "ä", "a b="):
        with pytest.raises(SyntaxFault, match="501"):
            decode_base64(text)
