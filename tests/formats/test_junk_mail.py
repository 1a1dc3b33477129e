"""The mail about junk in its three languages: each fax with its reasons and its release."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest

from faxgw.fax.junk import Signal
from faxgw.formats.junk_mail import _WORDS, junk_mail

FAX: dict[str, Any] = {
    "reception": "rcv_1",
    "number": "+33199000099",
    "caller": "+498955500",
    "ident": "BEST\r\nBcc: x@example.org OFFERS",
    "at": 1_795_000_000.0,
    "pages": 2,
    "score": 64,
    "reasons": [["advert", 40, "free, offer"], ["night", 8, ""], ["correspondent", -40, "1 sent, 2 received"]],
    "release_at": None,
}


def mail(language: str, *faxes: dict[str, Any], count: int | None = None) -> Any:
    payload = {
        "language": language,
        "time_zone": "Europe/Berlin",
        "faxes": list(faxes),
        "count": len(faxes) if count is None else count,
    }
    octets = junk_mail(
        payload,
        to="alice@example.org",
        sender="fax@example.org",
        message_id="<out_1@example.org>",
        date=1_795_100_000.0,
        organisation="Fax",
    )
    return email.message_from_bytes(octets, policy=email.policy.default)


@pytest.mark.parametrize("language, word", [("en", "Release by a click"), ("fr", "d’un clic"), ("de", "einem Klick")])
def test_a_link_is_named_with_the_time_until_which_it_holds(language: str, word: str) -> None:
    address = "https://fax.example.org/junk/rcv_1/" + "a" * 39
    text = mail(language, {**FAX, "link": address, "link_until": 1_796_300_000.0}).get_content()
    assert word in text and address in text.split()
    assert word not in mail(language, FAX).get_content()


def test_a_fax_is_named_with_its_reasons_and_its_release() -> None:
    found = mail("en", FAX)
    text = found.get_content()
    assert found["Subject"] == "1 fax was set aside as junk" and found["Auto-Submitted"] == "auto-generated"
    assert found["Bcc"] is None
    assert "from BEST Bcc: x@example.org OFFERS, +49 89 55500 to +33 1 99 00 00 99, 2 pages" in text
    assert "Score 64 of 100: words of advertisements [free, offer] (+40); came in the night (+8)" in text
    assert "a known correspondent (-40)" in text
    assert "Stays where it is until somebody decides" in text and "Release: faxgw junk good rcv_1" in text


@pytest.mark.parametrize("language, says", [("de", "Geht von selbst hinaus: 2"), ("fr", "Part de lui-même : 2")])
def test_a_fax_that_goes_by_itself_says_when(language: str, says: str) -> None:
    text = mail(language, {**FAX, "release_at": 1_795_200_000.0}).get_content()
    assert says in text and "CET" in text


def test_several_faxes_and_those_that_found_no_place() -> None:
    found = mail("de", FAX, {**FAX, "reception": "rcv_2", "caller": "", "ident": ""}, count=1_234)
    text = found.get_content()
    assert found["Subject"] == "1.234 Faxe wurden als unerwünscht zurückgehalten"
    assert "von einem unbekannten Anrufer an" in text and "junk good rcv_2" in text and "und 1.232 weitere" in text


def test_another_language_is_told_in_english() -> None:
    assert mail("xx", FAX)["Subject"] == "1 fax was set aside as junk"


@pytest.mark.parametrize("language", sorted(_WORDS))
def test_every_reason_has_its_words(language: str) -> None:
    assert set(_WORDS[language].reasons) == set(Signal)
    for signal in Signal:
        mail(language, {**FAX, "reasons": [[signal.value, 5, ""]]})
