"""The header line's control characters: what each prints, and what is refused at submission."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.fax.header import (
    MAX_TEMPLATE,
    MAX_VALUE,
    HeaderContext,
    HeaderLine,
    HeaderRefused,
    expand,
    parse,
    zone,
)

SUMMER = datetime(2026, 7, 5, 22, 4, 9, tzinfo=UTC)  # a Sunday; Monday in Berlin
WINTER = datetime(2026, 1, 31, 11, 59, 58, tzinfo=UTC)


def context(when: datetime = SUMMER, **more: str) -> HeaderContext:
    return HeaderContext(when, **{"number": "+33123456789", "csid": "+49 89 555", **more})


def left(template: str, when: datetime = SUMMER, page: int = 3, total: int = 12, **more: str) -> str:
    (line,) = expand(parse(template), context(when, **more), page, total)
    return line.left


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("%Y %y %m %d", "2026 26 07 05"),
        ("%b %B %a %A", "Jul July Sun Sunday"),
        ("%H:%M:%S %I %p", "22:04:09 10 PM"),
        ("%P %R %T", "03 003 12"),
        ("%# / %C", "+33123456789 / +49 89 555"),
        ("%z %Z", "+0000 UTC"),
        ("100%% fax", "100% fax"),
        ("%K", "att. Mme Durand"),
        ("plain text", "plain text"),
        ("%tz=Europe/Berlin;%d.%m.%Y %H:%M %z %Z", "06.07.2026 00:04 +0200 CEST"),
        ("%tz=CEST Testfax %H:%M", "Testfax 00:04"),
        ("%tz=America/New_York; %H:%M %Z", "18:04 EDT"),
        ("%H %tz=Europe/Berlin;%H", "22 00"),
        ("%l=fr;%A %d %B", "dimanche 05 juillet"),
        ("%l=de %A %d. %B", "Sonntag 05. Juli"),
        ("%l=de-AT;%a", "So"),
    ],
)
def test_every_control_character_prints_its_value(template: str, printed: str) -> None:
    """retarus-interfaces 1.7."""
    assert left(template, personal="att. Mme Durand") == printed


@pytest.mark.parametrize(
    ("hour", "printed"), [(0, "12 AM"), (1, "01 AM"), (11, "11 AM"), (12, "12 PM"), (13, "01 PM"), (23, "11 PM")]
)
def test_the_twelve_hour_clock_has_no_hour_zero(hour: int, printed: str) -> None:
    assert left("%I %p", SUMMER.replace(hour=hour)) == printed


def test_a_summer_abbreviation_prints_winter_time_in_winter() -> None:
    """Ours: an abbreviation stands for the region that uses it."""
    assert left("%tz=CEST %H:%M %Z", WINTER) == "12:59 CET"


PARIS_SPRING, PARIS_AUTUMN = datetime(2026, 3, 29, 1, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
NEW_YORK_SPRING, NEW_YORK_AUTUMN = datetime(2026, 3, 8, 7, 0, tzinfo=UTC), datetime(2026, 11, 1, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("place", "change", "before", "after"),
    [
        ("Europe/Paris", PARIS_SPRING, "29.03. 01:59:59 +0100 CET", "29.03. 03:00:00 +0200 CEST"),
        ("Europe/Paris", PARIS_AUTUMN, "25.10. 02:59:59 +0200 CEST", "25.10. 02:00:00 +0100 CET"),
        ("America/New_York", NEW_YORK_SPRING, "08.03. 01:59:59 -0500 EST", "08.03. 03:00:00 -0400 EDT"),
        ("America/New_York", NEW_YORK_AUTUMN, "01.11. 01:59:59 -0400 EDT", "01.11. 01:00:00 -0500 EST"),
    ],
)
def test_the_hour_that_is_left_out_and_the_one_that_comes_twice_are_told_by_their_offset(
    place: str, change: datetime, before: str, after: str
) -> None:
    """Both changes of the clock, in zones that change on different days; the account's zone and the template's."""
    for at, printed in ((change - timedelta(seconds=1), before), (change, after)):
        assert left("%d.%m. %H:%M:%S %z %Z", at, zone=place) == printed
        assert left(f"%tz={place};%d.%m. %H:%M:%S %z %Z", at) == printed


@pytest.mark.parametrize("code", list("YymbBdaAHIMSpPRT#CKzZ"))
def test_every_code_of_the_vendors_table_stands_alone_and_beside_others(code: str) -> None:
    """retarus-interfaces 1.7: no code swallows the character behind it."""
    alone = left(f"%{code}", personal="P")
    assert alone and "%" not in alone
    assert left(f"a%{code}b%%", personal="P") == f"a{alone}b%"


def test_a_new_line_begins_left_and_in_the_zone_and_language_chosen_before() -> None:
    one, two = expand(parse("%l=fr;%tz=Europe/Paris;left%ccentre%rright%n%A %H:%M%r%P"), context(), 3, 12)
    assert (one.left, one.centre, one.right) == ("left", "centre", "right")
    assert (two.left, two.centre, two.right) == ("lundi 00:04", "", "03")


def test_zone_and_language_of_the_context_hold_where_the_template_names_none() -> None:
    assert left("%H %A", zone="Europe/Berlin", language="fr") == "00 lundi"


def test_a_page_above_99_is_printed_whole() -> None:
    assert left("%P/%T", page=250, total=1000) == "250/1000"


def test_parts_are_left_centred_and_right() -> None:
    lines = expand(parse("A %d%cB %m%rC %P%n%ronly right"), context(), 1, 2)
    assert lines == (HeaderLine("A 05", "B 07", "C 01"), HeaderLine("", "", "only right"))


def test_the_vendors_samples_are_right() -> None:
    for sample in (
        "Retarus Services %r%Y-%m-%dT%H:%m:%S Page %P/%T",
        "%tz=CEST Testfax: CSID: %C Recipient number: %# Date: %d.%m.%Y %H:%M %z.",
        "%d.%m.%Y %H:%M %r%P/%T",
    ):
        assert not parse(sample).empty


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("100 %", "stands alone"),
        ("% d", "stands alone"),
        ("%q", "“%q” at character 1"),
        ("%rA%cB", "%c"),
        ("%cA%cB", "%c"),
        ("%rA%rB", "%r"),
        ("%tz=Mars/Olympus;", "Mars/Olympus"),
        ("%tz=../../etc/passwd", "time zone"),
        ("%tz=;", "time zone"),
        ("%l=tlh;", "tlh"),
        ("%l=", "language"),
        ("a%nb%nc%nd", "more than 3 lines"),
        ("x" * (MAX_TEMPLATE + 1), "longer than"),
    ],
)
def test_a_wrong_template_is_refused_with_the_place(template: str, hint: str) -> None:
    with pytest.raises(HeaderRefused) as refused:
        parse(template)
    assert hint in refused.value.public
    assert not refused.value.temporary


def test_nothing_to_print_is_known_beforehand() -> None:
    assert parse("").empty
    assert parse("%n").empty
    assert not parse("%P").empty


def test_inserted_values_are_cut_and_cleaned_of_controls() -> None:
    """A hostile ident cannot turn the line's direction or fill the page."""
    assert left("%C", csid="\u202eevil\x07\n" + "x" * 1000) == "evil" + "x" * (MAX_VALUE - 7)


def test_a_value_is_not_read_as_a_template() -> None:
    assert left("%K", personal="%Y %n %q") == "%Y %n %q"


def test_a_zone_is_found_by_name_or_abbreviation() -> None:
    assert zone("MESZ").key == "Europe/Berlin"
    with pytest.raises(HeaderRefused):
        zone("Nowhere")


@given(st.text(alphabet=st.sampled_from("%YymbBdaAHIMSpPRTzZcCrnKl=#;tz/ E\x00é"), max_size=60))
def test_any_template_is_read_or_refused(template: str) -> None:
    try:
        parsed = parse(template)
    except HeaderRefused:
        return
    lines = expand(parsed, context(), 1, 1)
    assert all(isinstance(part, str) for line in lines for part in (line.left, line.centre, line.right))
