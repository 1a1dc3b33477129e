from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.tomlscan import Path, scan

TEXT = """\
# a comment with = and [
title = "with # and = and ["

[smtp]
listen = "127.0.0.1:25" # behind
tls.certificate = '/c.pem'
"quoted key" = 1
hosts = [
  "a, ]",  # one
  'b',
]
banner = \"\"\"
first = 1
second\"\"\"
limits = { size = "30MB", names = ["x"] }

[[trunk]]
host = "a"
[trunk.contract]
channels = 2

[[trunk]]
host = "b"
contract.channels = 4
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("smtp",), 4),
        (("smtp", "listen"), 5),
        (("smtp", "tls"), 6),
        (("smtp", "tls", "certificate"), 6),
        (("smtp", "quoted key"), 7),
        (("smtp", "hosts"), 8),
        (("smtp", "hosts", 1), 10),
        (("smtp", "banner"), 12),
        (("smtp", "limits", "size"), 15),
        (("trunk", 0, "host"), 18),
        (("trunk", 0, "contract", "channels"), 20),
        (("trunk", 1), 22),
        (("trunk", 1, "host"), 23),
        (("trunk", 1, "contract", "channels"), 24),
    ],
)
def test_every_key_is_found_in_its_line(path: Path, line: int) -> None:
    assert scan(TEXT).lines[path] == line


def test_a_missing_key_gets_the_line_of_the_table_around_it() -> None:
    found = scan(TEXT)
    assert found.line_of(("trunk", 1, "password")) == 22
    assert found.line_of(("log", "level")) is None


def test_a_key_given_twice_is_named_with_both_lines_and_its_extent() -> None:
    text = '[smtp]\nlisten = "a"\nsize = 1\nlisten = [\n "b"]\n'
    (duplicate,) = scan(text).duplicates
    assert (duplicate.path, duplicate.first_line, duplicate.line) == (("smtp", "listen"), 2, 4)
    assert text[duplicate.start : duplicate.end] == 'listen = [\n "b"]'


def test_the_same_key_of_two_entries_is_no_duplicate() -> None:
    assert scan(TEXT).duplicates == ()


def test_deep_nesting_ends_the_walk_without_an_error() -> None:
    assert scan("a = 1\nb = " + "[" * 100_000).lines[("a",)] == 1


KEYS = st.sampled_from(["a", "b", "c d", "é", "listen"])
SCALARS = st.one_of(st.integers(0, 99), st.booleans(), st.text("ab#=[]{},'\" ", max_size=6))


def toml(value: object) -> str:
    """Write a value on one line."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return '"' + value.replace('"', '\\"') + '"'
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            return "{ " + ", ".join(f'"{key}" = {toml(item)}' for key, item in value.items()) + " }"
    raise AssertionError(value)


def paths(value: object, path: Path = ()) -> set[Path]:
    """Every key and entry in a value, with its path."""
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found |= paths(item, (*path, key))
    return found


@given(
    st.dictionaries(
        KEYS,
        st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=8),
    )
)
def test_whatever_tomllib_reads_is_found(tree: dict[str, object]) -> None:
    text = "".join(f'"{key}" = {toml(value)}\n' for key, value in tree.items())
    assert tomllib.loads(text) == tree
    found = scan(text)
    assert set(found.lines) == paths(tree)
    assert [found.lines[key,] for key in tree] == list(range(1, len(tree) + 1))


@given(st.text("ab=[]{}\"'#., \n\\", max_size=60))
def test_no_text_raises(text: str) -> None:
    scan(text)
