"""Numbers: 100 spellings of one, the refusals, and the classes that are never dialled (reliability F-01)."""

import pytest

from faxgw.fax.errors import Refused
from faxgw.fax.number import (
    DialPlan,
    NumberClass,
    dialled_forms,
    local_part_to_number,
    masked,
    national_form,
    parse_number,
    recipient_zone,
)

FRANCE = DialPlan(country="FR")


def refusal(typed: str, plan: DialPlan = FRANCE) -> str:
    with pytest.raises(Refused) as caught:
        parse_number(typed, plan)
    return caught.value.public


@pytest.mark.parametrize(
    "typed",
    [
        f"{prefix}{sep.join(('1', '99', '00', '00', '01'))}"
        for prefix in ("+33", "0033", "+33 ", "0033-", "+33.", "0", "+33(0)"[:3])
        for sep in ("", " ", ".", "-", "/", " - ", "\u00a0")
    ]
    + ["(01) 99 00 00 01", "+33 (1) 99.00.00.01", "01-99-00-00-01"]
    + [
        "\u202a+33 1 99 00 00 01\u202c",
        "\u200e+33199000001",
        "+33\u202f1\u202f99\u202f00\u202f00\u202f01",
        "＋３３１９９０００００１",
    ],
)
def test_many_spellings_are_one_number(typed: str) -> None:
    assert parse_number(typed, FRANCE).e164 == "+33199000001"


@pytest.mark.parametrize(
    "typed, word",
    [
        ("hello", "not a telephone number"),
        ("+33 1 99 00 00 01;ext=5", "not a telephone number"),
        ("+3319900p0001", "not a telephone number"),
        ("+331٩٩000001", "not a telephone number"),
        ("+33199000001²", "not a telephone number"),
        ("12", "too short"),
        ("+33199000001999999", "too long"),
        ("+999123456789", "country code"),
        ("112", "Emergency"),
        ("18", "Emergency"),
        ("+33899123456", "premium"),
        ("+8816123456", "satellite"),
        ("+870773111632", "satellite"),
        ("", "not a telephone number"),
        ("9" * 200, "too long"),
    ],
)
def test_what_cannot_be_dialled_is_refused_in_words(typed: str, word: str) -> None:
    assert word in refusal(typed)


def test_a_refusal_never_repeats_control_characters() -> None:
    assert "\n" not in refusal("12\n34abc\x1b[31m")


def test_only_open_countries_are_dialled() -> None:
    plan = DialPlan("FR", allowed_countries=frozenset({"FR"}))
    assert parse_number("+33199000001", plan).country == "FR"
    assert "(GB) are not open" in refusal("+442079460001", plan)


def test_a_closed_class_can_be_opened_but_never_emergency() -> None:
    plan = DialPlan("FR", open_classes=frozenset({NumberClass.PREMIUM, NumberClass.EMERGENCY}))
    assert parse_number("+33899123456", plan).kind is NumberClass.PREMIUM
    assert "Emergency" in refusal("112", plan)


def test_an_area_code_completes_a_local_number() -> None:
    assert parse_number("79460001", DialPlan("GB", area_code="020")).e164 == "+442079460001"


@pytest.mark.parametrize(
    "local_part, expected",
    [
        ("+33199000001", ("+33199000001", "")),
        ("FAX=+33199000001", ("+33199000001", "")),
        ("fax=+33199000001/T33S=42", ("+33199000001", "42")),
        ("[Fax:+33 1 99 00 00 01]", ("+33 1 99 00 00 01", "")),
        ("IMCEAFAX-+2B33+20199000001", ("+33 199000001", "")),
        ("IMCEAFAX-Jane+20Doe+40+2B33199000001", ("+33199000001", "")),
        ('"+33 199000001"', ("+33 199000001", "")),
    ],
)
def test_wrappings_of_an_address_are_taken_away(local_part: str, expected: tuple[str, str]) -> None:
    """RFC 3191, RFC 3192, Exchange encapsulation (features A2)."""
    assert local_part_to_number(local_part) == expected


def test_the_vendor_form_and_the_log_form() -> None:
    number = parse_number("0199000001", FRANCE)
    assert number.vendor == "0033199000001"
    assert masked(number.e164) == "+33…01"
    assert masked("12") == "…"


def test_the_zone_of_a_recipient_is_known() -> None:
    assert recipient_zone(parse_number("+33199000001", FRANCE)) == "Europe/Paris"
    assert recipient_zone(parse_number("+442079460001", FRANCE)) == "Europe/London"


@pytest.mark.parametrize(
    "dialled, forms",
    [
        ("+33199000099", ("+33199000099",)),
        ("+33 1 99 00 00 99", ("+33199000099",)),
        ("0033199000099", ("+33199000099",)),
        ("33199000099", ("+33199000099", "+33199000099")),
        ("0199000099", ("+0199000099", "+33199000099")),
        ("anonymous", ()),
        ("", ()),
        ("+", ()),
        ("12", ("+3312",)),
        ("+" + "9" * 16, ()),
        ("9" * 200, ()),
    ],
)
def test_a_number_dialled_is_read_as_carriers_write_it(dialled: str, forms: tuple[str, ...]) -> None:
    assert dialled_forms(dialled, "FR") == tuple(dict.fromkeys(forms))


@pytest.mark.parametrize(
    ("typed", "country", "why"),
    [
        ("144", "CH", "emergency"),
        ("911", "US", "emergency"),
        ("115", "IT", "emergency"),
        ("116117", "DE", "special service"),
        ("1199", "DE", "special service"),
        ("0900123456", "DE", "premium"),
        ("0900 1234567", "DE", "premium"),
        ("07012345678", "GB", "premium"),
        ("+979123456789", "FR", "premium"),
        ("01805123456", "DE", "shared-cost"),
    ],
)
def test_special_numbers_of_each_country_are_refused_with_the_reason(typed: str, country: str, why: str) -> None:
    """Features D9: emergency and special numbers are never dialled."""
    with pytest.raises(Refused) as caught:
        parse_number(typed, DialPlan(country))
    assert why in caught.value.public.lower()


@pytest.mark.parametrize("typed", ["0153123456", "153123456", "+33153123456", "0800123456"])
def test_a_number_that_only_begins_like_a_special_one_may_be_dialled(typed: str) -> None:
    assert parse_number(typed, DialPlan("FR")).kind is NumberClass.ORDINARY


def test_the_allow_list_opens_numbers_of_closed_classes_and_countries_but_no_special_ones() -> None:
    plan = DialPlan("FR", allowed_countries=frozenset({"FR"}), open_numbers=("+33899123456", "+4930"))
    assert parse_number("0899123456", plan).e164 == "+33899123456"
    assert parse_number("+49301234567", plan).country == "DE"
    for refused in ("0899123457", "+49891234567", "112"):
        with pytest.raises(Refused):
            parse_number(refused, plan)


@pytest.mark.parametrize(
    ("e164", "country", "dialled"),
    [
        ("+33199000001", "FR", "0199000001"),
        ("+33199000001", "DE", "0033199000001"),
        ("+390612345678", "IT", "0612345678"),
        ("+12025550123", "US", "12025550123"),
        ("+99", "FR", "0099"),
    ],
)
def test_the_national_form_of_a_number(e164: str, country: str, dialled: str) -> None:
    assert national_form(e164, country) == dialled


def test_a_sandbox_dials_simulated_machines_only() -> None:
    plan = DialPlan(sandbox=True)
    assert parse_number("01 99 00 00 10", plan).e164 == "+33199000010"
    with pytest.raises(Refused) as refused:
        parse_number("+33145678901", plan)
    assert "sandbox" in refused.value.public
