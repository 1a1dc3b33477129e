"""Every address form of a mail to fax, from the argument of RCPT to the number that is dialled (features A2)."""

from __future__ import annotations

import pytest

from faxgw.dispatch.gate import read_number
from faxgw.fax.account import Level, Origin, resolve
from faxgw.fax.errors import Refused
from faxgw.fax.number import LIST, MERGE, place_of
from faxgw.intake.smtp_syntax import SyntaxFault, parse_recipient

FRANCE = resolve([])
LONDON = resolve([(Origin(Level.CUSTOMER, "acme"), {"country": "GB", "area_code": "020"})])
POTSDAM = resolve([(Origin(Level.CUSTOMER, "acme"), {"country": "DE", "area_code": "0331"})])
BOSTON = resolve([(Origin(Level.CUSTOMER, "acme"), {"country": "US", "area_code": "617"})])
PLUS = resolve([(Origin(Level.CUSTOMER, "acme"), {"plus_sign": True})])
ONE = "+33199000001"


def local_of(argument: str) -> str:
    """The local part of RCPT's argument."""
    return parse_recipient(argument, smtputf8=False).address.rpartition("@")[0]


@pytest.mark.parametrize(
    "local, e164, sub",
    [
        ("+33199000001", ONE, ""),
        ("0033199000001", ONE, ""),
        ("33199000001", ONE, ""),
        ("0199000001", ONE, ""),
        ("01.99.00.00.01", ONE, ""),
        ("01-99-00-00-01", ONE, ""),
        ("01/99000001", ONE, ""),
        ("(01)99000001", ONE, ""),
        ('"01 99 00 00 01"', ONE, ""),
        ('"+33 (1) 99.00-00.01"', ONE, ""),
        ('"01\\ 99\\ 00\\ 00\\ 01"', ONE, ""),
        ("01 99 00 00 01", ONE, ""),
        ("FAX=+33199000001", ONE, ""),
        ("fax=+33199000001", ONE, ""),
        ("Fax=+33-1-99-00-00-01", ONE, ""),
        ("FAX=33199000001", ONE, ""),
        ("FAX=4962277455555", "+4962277455555", ""),
        ("FAX=0199000001", ONE, ""),
        ("faxnumber=+33199000001", ONE, ""),
        ("FAX=+33199000001/T33S=12", ONE, "12"),
        ("fax=+33199000001/t33s=1*2#", ONE, "1*2#"),
        ("+33199000001/T33S=7", ONE, "7"),
        ("[Fax:+33199000001]", ONE, ""),
        ("[FAX:+33 1 99 00 00 01]", ONE, ""),
        ("[fax:0199000001]", ONE, ""),
        ("[Fax:Jane Doe@+33 1 99 00 00 01]", ONE, ""),
        ('"[Fax:+33 1 99 00 00 01]"', ONE, ""),
        ("IMCEAFAX-+2B33199000001", ONE, ""),
        ("imceafax-+2b33+20199000001", ONE, ""),
        ("IMCEAFAX-Jane+20Doe+40+2B33+20+281+29+2099+2E000001", ONE, ""),
        ("IMCEAFAX-+2B33199000001_T33S+3D5", ONE, "5"),
    ],
)
def test_one_number_in_every_form(local: str, e164: str, sub: str) -> None:
    number = read_number(local_of(f"TO:<{local}@fax.example>"), FRANCE)
    assert (number.e164, number.sub_address) == (e164, sub)


@pytest.mark.parametrize(
    "local, settings, e164",
    [
        ("02079460001", LONDON, "+442079460001"),
        ("33199000001", POTSDAM, "+4933199000001"),
        ("FAX=33199000001", POTSDAM, ONE),  # RFC 3191: never a misdial for a forgotten +
        ("FAX=033199000001", POTSDAM, "+4933199000001"),
        ("FAX=6175550123", BOSTON, "+16175550123"),
        ("79460001", LONDON, "+442079460001"),
        ("442079460001", LONDON, "+442079460001"),
        ("5550123", BOSTON, "+16175550123"),
        ("6175550123", BOSTON, "+16175550123"),
        ("16175550123", BOSTON, "+16175550123"),
        ("4962277455555", PLUS, "+4962277455555"),
        ("0199000001", PLUS, ONE),
        ("0033199000001", PLUS, ONE),
    ],
)
def test_national_forms_are_read_by_the_account(local: str, settings: object, e164: str) -> None:
    assert read_number(local_of(f"TO:<{local}@fax.example>"), settings).e164 == e164  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "local, text",
    [
        ("alice", "“alice” is not a telephone number."),
        ("FAX=", "“” is not a telephone number."),
        ("FAX=+33199000001/ISUB=4", "“+33199000001/ISUB=4” is not a telephone number."),
        ("[Fax:]", "“” is not a telephone number."),
        ("+33 1 99 00 00 01;ext=5", "“+33 1 99 00 00 01;ext=5” is not a telephone number."),
        ("IMCEASMTP-alice+40example+2Eorg", "“IMCEASMTP-alice+40example+2Eorg” is not a telephone number."),
        ("IMCEAEX-_O=ACME_CN=ALICE", "“IMCEAEX-_O=ACME_CN=ALICE” is not a telephone number."),
        ("4962277455555", "“4962277455555” cannot be dialled: it is too long."),
        ("12", "“12” cannot be dialled: it is too short."),
        ("+999123456789", "“+999123456789” cannot be dialled: its country code does not exist."),
        ("112", "Emergency numbers are never dialled."),
        ("FAX=112", "Emergency numbers are never dialled."),
        ("0899123456", "“0899123456” is a premium number, which is not open here."),
        ("1" * 129, "The number is too long."),
    ],
)
def test_what_is_no_number_is_refused_in_words(local: str, text: str) -> None:
    with pytest.raises(Refused) as caught:
        read_number(local_of(f"TO:<{local}@fax.example>"), FRANCE)
    assert caught.value.public == text


@pytest.mark.parametrize(
    "argument",
    ["TO:Jane <+331@fax.example>", "TO:<+331@fax.example", 'TO:<"+331@fax.example>', "TO:<+33\x01@fax.example>"],
)
def test_what_is_no_address_is_refused_by_syntax(argument: str) -> None:
    with pytest.raises(SyntaxFault, match=r"50. 5\.(1\.3 The address|5\.4 A parameter) is malformed"):
        parse_recipient(argument, smtputf8=False)


@pytest.mark.parametrize(
    "local, place",
    [
        ("distribution-list", LIST),
        ("List", LIST),
        ('"LIST"', LIST),
        ("merge", MERGE),
        ("Serial-Fax", MERGE),
        ("lists", ""),
        ("+33199000001", ""),
    ],
)
def test_some_addresses_say_where_the_numbers_stand(local: str, place: str) -> None:
    assert place_of(local_of(f"TO:<{local}@fax.example>")) == place
