"""The mail about an import."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest

from faxgw.formats.directory_mail import directory_mail

COUNTS = {"name": "people", "created": 3, "changed": 2, "ended": 1, "unchanged": 7, "unused": {}, "refused": ""}


def mail(**more: Any) -> EmailMessage:
    octets = directory_mail(
        {"language": "en", **COUNTS, **more},
        to="it@example.org",
        sender="fax@example.org",
        message_id="<out_1@example.org>",
        date=1_795_000_000.0,
        organisation="Fax",
    )
    return email.message_from_bytes(octets, policy=email.policy.default)


def test_it_says_what_changed_and_which_columns_have_no_effect() -> None:
    told = mail(unused={"blacklist": 4})
    assert told["Subject"] == "Directory people: 3 new, 2 changed, 1 ended"
    assert told["Auto-Submitted"] == "auto-generated"
    assert told.get_content().splitlines() == [
        "3 entries are new, 2 changed, 1 ended, 7 stay as they were.",
        "",
        "Column blacklist has no effect here; 4 entries fill it.",
    ]


def test_a_refusal_says_that_nothing_changed_and_every_fault() -> None:
    told = mail(refused="line 1: bad; line 2: worse\r\nBcc: x@y.example.")
    assert told["Subject"] == "Directory people: refused, nothing was changed"
    assert told.get_content().splitlines()[2:] == ["line 1: bad", "line 2: worse Bcc: x@y.example."]
    assert told["Bcc"] is None


@pytest.mark.parametrize("language, word", [("fr", "Annuaire"), ("de", "Verzeichnis"), ("xx", "Directory")])
def test_it_speaks_the_customers_language(language: str, word: str) -> None:
    assert str(mail(language=language)["Subject"]).startswith(word)
