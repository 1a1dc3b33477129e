"""Distribution lists: what a line may look like, and faults told by their lines."""

from __future__ import annotations

import pytest

from faxgw.fax.number import DialPlan
from faxgw.formats.distribution_list import Entry, Faults, Listed, entries, listed

PLAN = DialPlan("FR", "1")


def read(text: str) -> tuple[dict[str, Listed], str]:
    faults, known = Faults("distribution-list.txt", []), dict[str, Listed]()
    listed(list(entries(text)), PLAN, faults, known)
    found = faults.sentence()
    return known, found.told() if found else ""


@pytest.mark.parametrize(
    "line, typed, personal",
    [
        ("+33199000001", "+33199000001", ""),
        ("08102740567,Retarus att. Mr. X", "08102740567", "Retarus att. Mr. X"),
        (" 01 99 00 00 01 , Anna, Sales ", "01 99 00 00 01", "Anna, Sales"),
        ('"01 99 00 00 01";"Müller ""Söhne"""', "01 99 00 00 01", 'Müller "Söhne"'),
        ("0199000001\tTab\tbed", "0199000001", "Tab bed"),
        ("\ufeff0199000001,first line of a Windows file", "0199000001", "first line of a Windows file"),
        ("0199000001,", "0199000001", ""),
        ("0199000001,bell\x07\u2028", "0199000001", "bell"),
        ('0199"000001', '0199"000001', ""),
    ],
)
def test_a_line_is_a_number_and_a_text(line: str, typed: str, personal: str) -> None:
    assert next(entries(line)) == Entry(1, typed, personal)


def test_empty_lines_and_comments_say_nothing() -> None:
    text = "# our customers\r\n\r\n  \r\n+33199000001\r\n#+33199000002\r\n+33199000003"
    assert [entry.line for entry in entries(text)] == [4, 6]


def test_who_stands_twice_gets_one_fax_by_the_first_line() -> None:
    known, faults = read("+33 1 99 00 00 01,Anna\n0199000002\n01.99.00.00.01,Bert\n")
    assert not faults
    assert [(one.number.e164, one.personal) for one in known.values()] == [
        ("+33199000001", "Anna"),
        ("+33199000002", ""),
    ]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("+33199000001\nAnna,+33199000002", "line 2: “Anna” is not a telephone number."),
        (",Anna", "line 1: “” is not a telephone number."),
        ("112", "line 1: Emergency numbers are never dialled."),
        ("\n0899000000", "line 2: “0899000000” is a premium number, which is not open here."),
        ("+3319", "line 1: “+3319” cannot be dialled: it is too short."),
        ("+33199000001," + "x" * 121, "line 1: the personal text is too long."),
        ("9" * 129, "line 1: the number is too long."),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, sentence: str) -> None:
    assert read(text)[1] == f"distribution-list.txt, {sentence}"


def test_of_many_faults_the_first_are_told() -> None:
    _, sentence = read("\n".join(f"x{n}" for n in range(12)))
    assert sentence.count("line ") == 5
    assert sentence.endswith("line 5: “x4” is not a telephone number; and 7 more lines.")
