"""What an entry of a directory means."""

from __future__ import annotations

import pytest

from faxgw.fax import directory
from faxgw.fax.directory import Wanted


def sender(**given: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in {"e_mail": "a@x.example", **given}.items()}


def test_a_sender_has_the_settings_that_are_filled() -> None:
    values = sender(e_mail="Anna@X.example", csid="+33 1", resolution="High", language="fr-FR", profile_name="office")
    found = directory.senders([(1, values)])
    assert found.faults == []
    assert found.wanted == [
        Wanted("anna@x.example", "anna@x.example", {"csid": "+33 1", "resolution": "fine", "language": "fr"}, "office")
    ]


@pytest.mark.parametrize(
    "code, country", [("+33", "FR"), ("0049", "DE"), ("1", "US"), ("44", "GB"), ("be", "BE"), ("+41", "CH")]
)
def test_a_calling_code_is_a_country(code: str, country: str) -> None:
    (wanted,) = directory.senders([(1, sender(default_country_code=code))]).wanted
    assert wanted.settings == {"country": country}


@pytest.mark.parametrize("code", ["800", "999", "+", "12345", "x1", "+33x"])
def test_what_is_no_calling_code_is_a_fault(code: str) -> None:
    (fault,) = directory.senders([(7, sender(default_country_code=code))]).faults
    assert fault.startswith("line 7: default-country-code")


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"error_to": "ops@x.example"}, {"report_error_to": ["ops@x.example"]}),
        ({"attach_tiff_to_report": "true"}, {"report_attachment": "always"}),
        ({"attach_tiff_to_report": "false"}, {}),
        ({"attach_tiff_to_report_only_if_error": "1"}, {"report_attachment": "failure_only"}),
        (
            {"attach_tiff_to_report": "1", "attach_tiff_to_report_only_if_error": "1"},
            {"report_attachment": "failure_only"},
        ),
        ({"reply_status_sorting": "Result"}, {"report_order": "result"}),
        ({"reply_status_sorting": "something"}, {}),
    ],
)
def test_what_is_said_of_reports_is_taken(given: dict[str, str], settings: dict[str, object]) -> None:
    (wanted,) = directory.senders([(1, sender(**given))]).wanted
    assert wanted.settings == settings


def test_all_faults_are_told_and_every_column_without_effect_is_counted() -> None:
    entries = [
        (1, sender(e_mail="nobody")),
        (2, sender(template_name="t", blacklist="x")),
        (3, sender(template_name="t")),
        (4, sender(e_mail="b@x.example", language="xx")),
    ]
    found = directory.senders(entries)
    assert [fault.partition(":")[0] for fault in found.faults] == ["line 1", "line 3", "line 4"]
    assert found.unused == {"template-name": 2, "blacklist": 1}


@pytest.mark.parametrize(
    "number, extension, e164",
    [
        ("+33 1 23 45 67", "89", "+33123456789"),
        ("0033123456", "7-89", "+33123456789"),
        ("+33(1)23.45.67-89", "", "+33123456789"),
    ],
)
def test_a_number_and_its_extension_are_one(number: str, extension: str, e164: str) -> None:
    (wanted,) = directory.numbers([(1, {"user-number": number, "extension": extension})]).wanted
    assert (wanted.key, wanted.settings, wanted.active) == (e164, {"csid": e164}, True)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"user-number": "0123456789"}, "international form"),
        ({"user-number": "+33123456789", "document-format": "TIFF"}, "document-format must be PDF"),
        ({"user-number": "+33123456789", "active": "maybe"}, "active must be true or false"),
        ({"user-number": "+33123456789", "recipients": "x"}, "recipients must be mail addresses"),
        ({"user-number": "+33123456789", "fax-id": "+33 1 23 45 67 89 0 1 2"}, "csid: must have at most 20"),
    ],
)
def test_what_is_wrong_with_a_number_is_said(values: dict[str, str], words: str) -> None:
    (fault,) = directory.numbers([(3, values)]).faults
    assert fault.startswith("line 3: ") and words in fault


def test_letters_of_an_identification_are_left_out() -> None:
    """The vendor's own samples have names there, which T.30 cannot send."""
    lines = [{"user-number": "+33123456789", "fax-id": fax_id} for fax_id in ("ACME +33 1", "ACME")]
    lines[1]["extension"] = "0"
    found = directory.numbers(list(enumerate(lines, 1)))
    assert [one.settings["csid"] for one in found.wanted] == ["+33 1", "+331234567890"]
    assert (found.faults, found.unused) == ([], {"fax-id": 1})
    found = directory.senders([(1, sender(csid="ACME Fax"))])
    assert (found.wanted[0].settings, found.unused) == ({}, {"csid": 1})


LOCAL, DOMAIN = "l" * 64, "a." + ".".join(["d" * 61] * 3) + ".ex"


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        (f"{LOCAL}@{DOMAIN[:189]}", True),
        (f"{LOCAL}@{DOMAIN[:189]}x", False),
        (f"l{LOCAL}@x.example", False),
        (f"{'é' * 32}@x.example", True),
        (f"{'é' * 33}@x.example", False),
        ("/c=fr/s=anna/@x.example", True),
        ("anna", False),
        ("a@b@c", False),
        ("@x.example", False),
        ("anna@", False),
        ("an na@x.example", False),
    ],
)
def test_an_address_is_as_long_as_smtp_lets_it_be(address: str, is_one: bool) -> None:
    """RFC 5321 section 4.5.3.1: 64 octets before the @, 254 in all (a path has 256 with its brackets)."""
    found = directory.senders([(7, sender(e_mail=address))])
    assert [one.address for one in found.wanted] == ([address] if is_one else [])
    words = "line 7: e-mail must be a mail address of at most 254 characters, 64 of them before the @"
    assert list(found.faults) == ([] if is_one else [words])


def test_a_user_is_called_as_his_address_where_it_is_a_name() -> None:
    assert directory.name_of("anna@x.example") == "anna@x.example"
    long = [f"{LOCAL}@x.example", f"{LOCAL}@y.example", "/c=fr/s=anna/@x.example", "_c=fr_s=anna_@x.example"]
    names = [directory.name_of(address) for address in long]
    assert len(set(names)) == 4 and all(len(name) <= 64 and "/" not in name for name in names)
    assert names == [directory.name_of(address) for address in long], "always the same"
    assert names[0].startswith("l" * 51 + "~") and names[3] == long[3]
