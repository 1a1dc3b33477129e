"""Documents, times and faults: what is taken, what is refused, and where a fault is said to be."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from faxgw.api.answers import Refusal
from faxgw.api.v1.patterns import TIME_GIVEN
from faxgw.api.v1.types import (
    MAX_FAULTS,
    Document,
    GivenTime,
    Query,
    Whole,
    checked,
    place,
    shown,
    shown_or_none,
    unix,
)

NUMBER: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, le=10), Whole])


class Inner(Document):
    """One recipient."""

    number: str


class Sample(Document):
    """A document."""

    to: list[Inner] = Field(default_factory=list)
    count: int = 0


class Filters(Query):
    """Parameters."""

    limit: Annotated[int, Field(ge=1), Whole] = 50


def refusal(model: type[Document] | type[Query], given: object) -> Refusal:
    with pytest.raises(Refusal) as refused:
        checked(model, given)
    return refused.value


class Every(Document):
    """A member of each kind."""

    text: Annotated[str, Field(min_length=2, max_length=3)] = ""
    number: Annotated[int, Field(ge=1, le=9), Whole] = 1
    share: Annotated[float, Field(ge=0.5)] = 1.0
    flag: bool = False
    word: Literal["a", "b"] = "a"
    things: Annotated[list[int], Field(min_length=1, max_length=2)] = Field(default=[1])
    values: dict[str, str] = Field(default_factory=dict)
    inner: Inner = Inner(number="1")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "The body: It must be an object."),
        ([], "The body: It must be an object."),
        ({"text": 3}, "text: It must be a text."),
        ({"text": "x"}, "text: It must have at least 2 characters."),
        ({"text": "xxxx"}, "text: It may have at most 3 characters."),
        ({"number": None}, "number: It must be a whole number."),
        ({"number": 1.5}, "number: It must be a whole number."),
        ({"number": 0}, "number: It must be 1 or more."),
        ({"number": 10}, "number: It must be 9 or less."),
        ({"share": "x"}, "share: It must be a number."),
        ({"share": 0.25}, "share: It must be 0.5 or more."),
        ({"flag": "yes"}, "flag: It must be true or false."),
        ({"word": "c"}, "word: It must be 'a' or 'b'."),
        ({"things": 1}, "things: It must be a list."),
        ({"things": []}, "things: It must have at least 1 of them."),
        ({"things": [1, 2, 3]}, "things: It may have at most 2 of them."),
        ({"values": []}, "values: It must be an object."),
        ({"inner": "1"}, "inner: It must be an object."),
        ({"inner": {}}, "inner.number: It must be given."),
        ({"nothing": 1}, "nothing: There is no such member or parameter."),
    ],
)
def test_faults_are_told_in_words_and_without_names_of_ours(given: object, words: str) -> None:
    assert refusal(Every, given).detail == words


@pytest.mark.parametrize(("given", "number"), [("7", 7), (7, 7), (7.0, 7)])
def test_a_whole_number_may_stand_in_a_url_or_in_json(given: object, number: int) -> None:
    """JSON Schema section 4.2.3: 7.0 is an integer."""
    assert NUMBER.validate_python(given) == number


@pytest.mark.parametrize("given", ["", " 7", "7.0", "1e1", "+7", "²", "0x7", "9" * 19, 7.5, "-1", 11])
def test_what_is_no_whole_number_or_out_of_bounds_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        NUMBER.validate_python(given)


@pytest.mark.parametrize(
    "given",
    ["2026-11-22T08:00:00Z", "2026-02-28T23:59:59.123456+13:59", "2000-01-01T00:00:00-05:00", "2099-12-31T00:00:00Z"],
)
def test_every_time_that_fits_the_pattern_is_one(given: str) -> None:
    TypeAdapter(GivenTime).validate_python(given)
    assert unix(given) > 946_000_000


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-22", "2026-11-22T08:00:00", "2026-02-30T08:00:00Z", "2026-04-31T08:00:00Z", "2026-11-22T24:00:00Z",
        "1999-12-31T08:00:00Z", "2100-01-01T08:00:00Z", "2026-11-22T08:00:00+14:00", "2026-11-22 08:00:00Z",
        "2026-11-22T08:00:60Z", "2026-11-22T08:00:00z\n",
    ],
)  # fmt: skip
def test_a_time_without_a_zone_or_that_never_comes_is_refused(given: str) -> None:
    assert re.fullmatch(TIME_GIVEN, given) is None


def test_times_are_told_in_utc_to_the_millisecond() -> None:
    assert shown(1_795_000_000.1239) == "2026-11-18T11:06:40.123Z"
    assert unix(shown(1_795_000_000.25)) == 1_795_000_000.25
    assert shown_or_none(None) is None


def test_members_that_are_not_known_are_refused_by_name() -> None:
    found = refusal(Sample, {"to": [], "tone": 1})
    assert (found.status, found.code, found.param) == (422, "invalid", "tone")
    assert found.members["faults"] == [{"param": "tone", "detail": "There is no such member or parameter"}]
    assert refusal(Filters, {"limits": "7"}).param == "limits"


def test_a_fault_says_where_it_is_and_how_many_there_are() -> None:
    found = refusal(Sample, {"to": [{"number": "1"}, {"number": 7}], "count": "x"})
    assert found.param == "to[1].number"
    assert found.detail.endswith("(1 more fault)")


def test_a_body_that_is_no_object_is_a_fault_of_the_whole() -> None:
    found = refusal(Sample, [])
    assert (found.param, found.detail.startswith("The body: ")) == ("", True)


def test_faults_without_end_are_told_in_part() -> None:
    assert len(refusal(Sample, {"to": [{} for _ in range(500)]}).members["faults"]) == MAX_FAULTS  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (("to", 0, "number"), "to[0].number"),
        ((0, "x"), "[0].x"),
        (("documents", 1, "<marked>", "url"), "documents[1].url"),
        (("a\x1b[31m",), "a?[31m"),
        (("x" * 99,), "x" * 40),
        ((), ""),
    ],
)
def test_places_are_told_without_marks_of_ours_and_without_control_characters(
    where: tuple[int | str, ...], told: str
) -> None:
    assert place(where) == told
