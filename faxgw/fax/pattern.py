r"""Patterns of routing rules: texts with wildcards, or regular expressions that take no more than linear time.

A pattern between slashes, `/invoice\s+\d+/`, is a regular expression; anything else is a text in which `*` stands for
any characters and `?` for one. Case does not count; `(?-i)` at the beginning of an expression makes it count.

Regular expressions are RE2's: an automaton reads the text once, so that no expression and no fax, whoever wrote them,
can make a search take exponential time. Backtracking matchers have that fault, and a time limit on one would make the
same fax go here on an idle machine and there on a busy one. What it costs: no look-around and no back references;
both are refused when the rule is stored. A search of MAX_TEXT characters takes 2 s in the very worst case (an
expression of MAX_PROGRAM made for it) and a few milliseconds else; it does not hold the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any  # google-re2 has no types

import re2

MAX_PATTERN = 400
"""Characters of a pattern."""
MAX_PROGRAM = 2_500
"""Instructions of a compiled expression: `\\pL` alone, every letter there is, has 1,200."""
MAX_MEMORY = 4 * 1024 * 1024
"""Octets that an expression's automaton may have; beyond them RE2 goes on more slowly, still in linear time."""
MAX_TEXT = 200_000
"""Characters of a fax that are searched: a hundred pages of letters."""
MAX_GROUPS = 20
"""Groups of an expression."""
MAX_VALUE = 1_000
"""Characters of one value that is taken out of a text."""


class PatternDefect(ValueError):
    """What is wrong with a pattern, a sentence."""


class Pattern:
    """A checked pattern.

    Args:
        source: As the rule has it.

    Raises:
        PatternDefect: If it is none.
    """

    __slots__ = ("_found", "_whole", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._whole = _compiled(source, whole=True)
        self._found = _compiled(source, whole=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its groups; a text with wildcards has none."""
        return tuple(self._found.groupindex)

    def fits(self, text: str) -> bool:
        """Whether a short text is meant: all of it by a text with wildcards, any of it by an expression."""
        expression = self._found if is_expression(self.source) else self._whole
        return expression.search(text[:MAX_TEXT]) is not None

    def occurs(self, text: str) -> bool:
        """Whether it stands anywhere in a page's text; blanks of a text with wildcards stand for line ends too."""
        return self._found.search(text[:MAX_TEXT]) is not None

    def values(self, text: str, limit: int) -> Iterator[Mapping[str, str]]:
        """What its named groups found, from the beginning on, at most `limit` times; groups without a part are left."""
        for count, match in enumerate(self._found.finditer(text[:MAX_TEXT])):
            if count >= limit:
                return
            found: Mapping[str, str | None] = match.groupdict()
            yield {name: value.strip()[:MAX_VALUE] for name, value in found.items() if value is not None}


def is_expression(source: str) -> bool:
    """Whether a pattern is a regular expression."""
    return len(source) > 2 and source.startswith("/") and source.endswith("/")


@lru_cache(maxsize=2_048)
def pattern(source: str) -> Pattern:
    """The pattern of a source, compiled once.

    Raises:
        PatternDefect: If it is none.
    """
    if not source.strip() or len(source) > MAX_PATTERN or not source.isprintable():
        raise PatternDefect(f"a pattern must have 1 to {MAX_PATTERN} printable characters")
    return Pattern(source)


def _compiled(source: str, *, whole: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = MAX_MEMORY
    text = source[1:-1] if is_expression(source) else _of_wildcards(source, whole)
    try:
        expression = re2.compile(text, options)
    except re2.error as exc:
        why = exc.args[0].decode(errors="replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
        raise PatternDefect(f"{source[:80]}: {why[:120]}") from exc
    if expression.programsize > MAX_PROGRAM:
        raise PatternDefect(f"{source[:80]}: repeats too much, or too large classes; shorten its repetitions")
    if expression.groups > MAX_GROUPS:
        raise PatternDefect(f"{source[:80]}: has more than {MAX_GROUPS} groups")
    return expression


def _of_wildcards(source: str, whole: bool) -> str:
    """A text with wildcards as an expression: over a whole text, or anywhere in a page whose lines may break it."""
    parts = []
    for word in source.split():
        parts.append("".join({"*": "[^\\n]*?", "?": "[^\\n]"}.get(c, re2.escape(c)) for c in word))
    joined = "\\s+".join(parts)
    return f"^\\s*{joined}\\s*$" if whole else joined
