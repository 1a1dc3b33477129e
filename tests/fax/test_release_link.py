"""Links that release junk: for one fax, one owner, some days, and nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.fax import release_link

KEY, OTHER = b"k" * 32, b"o" * 32
FAX = "rcv_" + "1" * 32
ALICE, BOB = "alice@example.org", "Bob@Example.org"
NOON = 1_795_000_000.0


def token(address: str = ALICE, until: float = NOON + 60, key: bytes = KEY, fax: str = FAX) -> str:
    return release_link.path(key, fax, address, until).removeprefix(f"/junk/{fax}/")


def owner(given: str, *, fax: str = FAX, now: float = NOON, key: bytes = KEY) -> str | None:
    return release_link.owner(key, fax, given, (BOB, ALICE), now=now)


def test_a_link_says_whose_it_is_and_shows_no_address() -> None:
    assert owner(token()) == ALICE
    assert owner(token("bob@example.org")) == BOB  # however it is written
    assert len(token()) == release_link.TOKEN and "alice" not in token()


def test_it_holds_for_its_time() -> None:
    assert owner(token(), now=NOON + 60) == ALICE
    assert owner(token(), now=NOON + 61) is None


def test_it_is_for_this_fax_this_owner_and_this_gateway() -> None:
    assert owner(token(), fax="rcv_" + "2" * 32) is None
    assert owner(token("carol@example.org")) is None
    assert owner(token(), key=OTHER) is None


def test_every_character_of_a_token_counts() -> None:
    good = token()
    for at in range(len(good)):
        for other in "AZaz09-_":
            changed = good[:at] + other + good[at + 1 :]
            assert changed == good or owner(changed) is None


@pytest.mark.parametrize("bad", ["", "x", "=" * 39, "é" * 39, "A" * 38, "A" * 39, "A" * 40, "A" * 10_000, "\0" * 39])
def test_what_is_no_token_is_nobodys(bad: str) -> None:
    assert owner(bad) is None


@given(st.text(max_size=60))
def test_any_words_are_nobodys(words: str) -> None:
    assert owner(words) is None
