"""Patterns of rules: what they find, what is refused, and that none of them takes more than linear work."""

import pytest

from faxgw.fax.pattern import MAX_PATTERN, MAX_TEXT, MAX_VALUE, PatternDefect, is_expression, pattern


@pytest.mark.parametrize(
    ("source", "text", "fits"),
    [
        ("ACME*", "acme lab 7", True),
        ("ACME", "acme lab 7", False),
        ("acme lab ?", "ACME  Lab 7", True),
        ("+49 89*", "+49 89 1234", True),
        ("+49 89*", "+498912", False),
        ("a.c", "abc", False),
        ("*", "", True),
        ("?", "é", True),
        ("/^ab+$/", "ABBB", True),
        ("/b/", "abc", True),
        ("/(?-i)b/", "ABC", False),
    ],
)
def test_a_text_with_wildcards_means_the_whole_an_expression_any_part(source: str, text: str, fits: bool) -> None:
    assert pattern(source).fits(text) is fits


def test_words_of_a_page_are_found_over_line_ends_and_not_inside_others_lines() -> None:
    page = "Rechnung\nNr. 4711\n\nKunde: Muster"
    assert pattern("rechnung nr. 47*").occurs(page)
    assert not pattern("rechnung*muster").occurs(page)
    assert pattern(r"/(?s)rechnung.*muster/").occurs(page)


def test_named_groups_are_taken_out_in_their_order_and_bounded() -> None:
    found = pattern(r"/nr\.?\s*(?P<nr>\d+)(?P<rest>x)?/")
    assert found.names == ("nr", "rest")
    assert list(found.values("Nr. 12, nr 13x, Nr.14", 2)) == [{"nr": "12"}, {"nr": "13", "rest": "x"}]
    long = pattern("/(?P<all>.+)/").values("y" * 5_000, 1)
    assert len(next(iter(long))["all"]) == MAX_VALUE
    assert pattern("plain").names == ()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "1 to 400"),
        ("  ", "1 to 400"),
        ("a\nb", "1 to 400"),
        ("x" * (MAX_PATTERN + 1), "1 to 400"),
        ("/(a/", "missing )"),
        ("/(?=a)b/", "invalid perl operator"),
        (r"/(a)\1/", "invalid escape"),
        (r"/\pL{1,200}/", "repeats too much"),
        ("/" + "(a)" * 21 + "/", "more than 20 groups"),
    ],
)
def test_what_could_not_be_searched_for_is_refused_when_it_is_stored(source: str, says: str) -> None:
    with pytest.raises(PatternDefect, match=says.replace("(", r"\(").replace(")", r"\)")):
        pattern(source)


@pytest.mark.parametrize("source", ["/(a+)+$/", "/(a|aa)*b/", "/(.*a){20}x/", "a*a*a*a*a*a*a*a*a*b"])
def test_expressions_that_kill_backtracking_matchers_end(source: str) -> None:
    """With Python's `re` each of these would run for longer than the universe has."""
    assert not pattern(source).occurs("a" * (MAX_TEXT - 1) + "!")


def test_text_beyond_the_bound_is_not_searched() -> None:
    assert pattern("end").occurs("x" * (MAX_TEXT - 3) + "end")
    assert not pattern("end").occurs("x" * MAX_TEXT + "end")


def test_slashes_make_an_expression() -> None:
    assert is_expression("/a/")
    assert not is_expression("//")
    assert not is_expression("/a")
    assert pattern("/var/x*").fits("/var/xyz")
