"""Commands in subjects and merged documents: what is understood, what is refused in which words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from faxgw.fax.account import Effective, Level, Origin, resolve
from faxgw.fax.number import DialPlan, parse_number
from faxgw.formats.job_commands import MAX_COMMANDS, CommandFault, in_force, read_commands, without_commands

NOW = datetime.fromisoformat("2026-11-22T10:00:00+01:00").timestamp()


def account(**values: Any) -> Effective:
    return resolve([(Origin(Level.CUSTOMER, "acme"), {"time_zone": "Europe/Paris", **values})])


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    "command, settings",
    [
        ("resolution=standard", {"resolution": "standard"}),
        ("RES = Low", {"resolution": "standard"}),
        ("resolution=high", {"resolution": "fine"}),
        ("csid=+33 1 99", {"csid": "+33 1 99"}),
        ("fax id=+33 1 99", {"csid": "+33 1 99"}),
        ("cost centre=4711", {"billing_code": "4711"}),
        ("cost=4711", {"billing_code": "4711"}),
        ("Cost-Center=Sales; North", None),
        ('cost_center="Sales; North"', {"billing_code": "Sales; North"}),
        ("express", {"priority": "express"}),
        ("priority=normal", {"priority": "normal"}),
        ("retries=0", {"max_dials": 1}),
        ("retries=11", {"max_dials": 12}),
        ('header="%C; page %P"', {"header": "%C; page %P"}),
        ("header=none", {"header": ""}),
        ("paper=a4", {"paper": "A4"}),
        ("paper=LETTER", {"paper": "Letter"}),
        ("mode=Photo", {"mode": "photo"}),
        ("cover=Letter 1", {"cover": "Letter 1"}),
        ("cover=none", {"cover": ""}),
        ("express; cost=1 ;; res=fine;", {"priority": "express", "billing_code": "1", "resolution": "fine"}),
    ],
)
def test_a_command_overrides_a_setting(command: str, settings: dict[str, Any] | None) -> None:
    subject = f"Offer @@{command}@@ for you"
    if settings is None:
        with pytest.raises(CommandFault):
            read_commands(subject, account(), now=NOW)
        return
    asked = read_commands(subject, account(), now=NOW)
    assert (asked.rest, asked.settings) == ("Offer for you", settings)
    assert asked.given


@pytest.mark.parametrize(
    "value, moment",
    [
        ("18:30", "2026-11-22T18:30+01:00"),
        ("09:00", "2026-11-23T09:00+01:00"),
        ("10:00", "2026-11-23T10:00+01:00"),
        ("2026-11-25 08:15", "2026-11-25T08:15+01:00"),
        ("2026-11-25T8:15", "2026-11-25T08:15+01:00"),
        ("2026-11-25", "2026-11-25T00:00+01:00"),
        ("+90m", "2026-11-22T11:30+01:00"),
        ("+1d", "2026-11-23T10:00+01:00"),
    ],
)
def test_a_fax_can_be_put_off(value: str, moment: str) -> None:
    """A time of the day is the next one, in the account's zone."""
    assert read_commands(f"@@at={value}@@", account(), now=NOW).earliest == at(moment)
    assert read_commands(f"@@until={value}@@", account(), now=NOW).latest == at(moment)


def test_a_time_is_the_next_one_also_where_the_clocks_change() -> None:
    """Europe/Paris, 2026-10-25: 03:00 summer time becomes 02:00; tomorrow's 08:00 is 25 hours after today's."""
    now = at("2026-10-24T08:00:01+02:00")
    assert read_commands("@@at=08:00@@", account(), now=now).earliest == at("2026-10-25T08:00+01:00")


@pytest.mark.parametrize(
    "subject, words",
    [
        ("@@resolution=ultra@@", "“resolution”: must be one of"),
        ("@@resolutoin=fine@@", "There is no command “resolutoin=fine”. Commands are: resolution,"),
        ("@@resolution@@", "“resolution” needs a value: resolution=…"),
        ("@@resolution=fine; res=low@@", "“resolution” is given twice"),
        ("@@ref=a@@ and @@ref=b@@", "“reference” is given twice"),
        ("@@express", "begins with @@ and does not end with @@"),
        ("a @@ b", "begins with @@ and does not end"),
        ("@@ @@", "There is no command between"),
        ('@@ref="open@@', "quotation mark"),
        ("@@csid=abc@@", "“csid”: must have at most 20 characters"),
        ("@@retries=12@@", "“retries”: must be a whole number from 0 to 11"),
        ("@@retries=-1@@", "“retries”: must be a whole number"),
        ("@@retries=٣@@", "“retries”: must be a whole number"),
        ("@@at=yesterday@@", "“earliest”: must be a time such as 18:30"),
        ("@@at=25:00@@", "“earliest”: must be a time"),
        ("@@at=2026-02-30@@", "“earliest”: must be a time"),
        ("@@at=+32d@@", "“earliest”: at most 31 days ahead"),
        ("@@latest=2026-11-21@@", "this time has passed"),
        ("@@at=+2h; latest=+1h@@", "lies before “earliest”"),
        ("@@ref=" + "x" * 81 + "@@", "“reference”: must be a printable text of at most 80"),
        ("@@" + ";".join(f"ref{n}" for n in range(3)) + "@@", "There is no command “ref0”"),
        ("@@+33199000001@@", "There is no command “+33199000001”"),
        ("@@personal=Anna@@", "There is no command “personal=Anna”"),
    ],
)
def test_a_wrong_command_is_refused_with_the_reason(subject: str, words: str) -> None:
    with pytest.raises(CommandFault) as caught:
        read_commands(subject, account(), now=NOW)
    assert words in caught.value.text
    assert not caught.value.forbidden


def test_a_job_is_given_a_reference() -> None:
    asked = read_commands("@@Ref = Order 4711/a@@ Offer", account(), now=NOW)
    assert (asked.reference, asked.rest, asked.given) == ("Order 4711/a", "Offer", True)


@pytest.mark.parametrize(
    "typed",
    [
        "+33\u00a01\u00a099\u00a000\u202f00 01", "+33\u20111\u201199\u201100\u201100\u201101", "+33 1 99\r\n00 00 01",
        "\u200b+33199000001", "＋３３１９９０００００１", "+33\u20131 99 00 00 01",
    ],
)  # fmt: skip
def test_a_number_is_read_as_word_processors_write_it(typed: str) -> None:
    """Spaces and hyphens that do not break, lines that do, and what nobody sees."""
    (number,) = read_commands(f"@@{typed}@@", account(), now=NOW, numbers=True).numbers
    assert parse_number(number, DialPlan("FR")).e164 == "+33199000001"


@pytest.mark.parametrize(
    "value",
    [
        '"Müller; Söhne"',
        "„Müller; Söhne“",
        "“Müller; Söhne”",
        "”Müller; Söhne”",
        "«Müller; Söhne»",
        "« Müller; Söhne »",
    ],
)
def test_quotation_marks_are_read_as_word_processors_write_them(value: str) -> None:
    asked = read_commands(f"@@+33199000001; personal = {value}; ref=A 1@@", account(), now=NOW, numbers=True)
    assert (asked.personal, asked.reference) == ("Müller; Söhne", "A 1")


def test_quotation_marks_within_a_value_are_a_part_of_it() -> None:
    asked = read_commands("@@+33199000001; personal=Café «Rex» 5“; ref=6“@@", account(), now=NOW, numbers=True)
    assert (asked.personal, asked.reference) == ("Café «Rex» 5“", "6“")


def test_a_value_that_goes_over_two_lines_is_one() -> None:
    asked = read_commands("@@+33199000001; personal=Anna\r\nMül\u00adler@@", account(), now=NOW, numbers=True)
    assert asked.personal == "Anna Müller"


def test_many_quotation_marks_are_read_in_time() -> None:
    with pytest.raises(CommandFault, match="not closed"):
        read_commands("@@ref=" + "“„" * 20_000 + ";x=„@@", account(), now=NOW)


def test_there_are_only_so_many_commands() -> None:
    with pytest.raises(CommandFault, match=f"more than {MAX_COMMANDS}"):
        read_commands("@@" + ";".join(["+33199000001"] * 21) + "@@", account(), now=NOW, numbers=True)


@pytest.mark.parametrize(
    "values, subject, words",
    [
        ({"may_express": False}, "@@express@@", "Express faxes are not open"),
        ({"commands": ["reference"]}, "@@csid=+1@@", "“csid” is not open to this account"),
        (
            {"header_policy": "us-tcpa", "caller_name": "Acme", "csid": "+1 212 555 0100", "country": "US",
             "header": "%m/%d/%Y %H:%M Acme %C"},
            "@@header=none@@",
            "“header”: Faxes of this account must have a header line",
        ),
    ],
)  # fmt: skip
def test_a_command_has_no_more_authority_than_its_account(values: dict[str, Any], subject: str, words: str) -> None:
    with pytest.raises(CommandFault) as caught:
        in_force(account(**values), read_commands(subject, account(**values), now=NOW))
    assert words in caught.value.text
    assert caught.value.forbidden


def test_retries_stay_within_what_the_account_has() -> None:
    with pytest.raises(CommandFault, match="from 0 to 2"):
        read_commands("@@retries=3@@", account(max_dials=3), now=NOW)


def test_an_account_without_commands_has_its_subjects_as_they_are() -> None:
    asked = read_commands("Price @@ 5 @@resolution=ultra@@", account(commands=[]), now=NOW)
    assert (asked.rest, asked.given) == ("Price @@ 5 @@resolution=ultra@@", False)


@pytest.mark.parametrize("subject", ["", "Hello", "me@example.org", "@@@ urgent @@@", "@@@@", "a@b@c"])
def test_an_ordinary_subject_has_no_command(subject: str) -> None:
    asked = read_commands(subject, account(), now=NOW)
    assert (asked.rest, asked.given) == (subject, False)


def test_a_documents_command_may_name_numbers_and_a_person() -> None:
    asked = read_commands(
        "@@+33 1 99 00 00 01; 0199000002; personal=Ms. Éloïse@@ Dear", account(), now=NOW, numbers=True
    )
    assert (asked.numbers, asked.personal, asked.rest) == (("+33 1 99 00 00 01", "0199000002"), "Ms. Éloïse", "Dear")


def test_a_job_says_where_its_values_come_from() -> None:
    settings = in_force(account(), read_commands("@@express@@", account(), now=NOW))
    assert (settings["priority"], str(settings.origins["priority"])) == ("express", "job command")


def test_what_people_are_shown_has_no_commands() -> None:
    assert without_commands("Offer @@express; nonsense@@ 4711") == "Offer 4711"
