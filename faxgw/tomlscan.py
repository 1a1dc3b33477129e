"""Where in a TOML text each key stands, and which keys stand there twice (TOML 1.0.0).

`tomllib` gives values without lines and stops at the first duplicate. This scanner knows just enough of the grammar
to walk keys, tables and values; it judges nothing else: what it does not understand ends the walk, and `tomllib`
says why. It knows nothing of settings.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Keys from the top, with the index of an entry in an array: `("trunk", 0, "host")`."""

MAX_DEPTH = 50
"""Arrays and inline tables within one another, before the walk ends."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"((?:[^"\\\n]|\\.)*)"'),
    re.compile(r"'([^'\n]*)'"),
)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that has a value already."""

    path: Path
    line: int
    """Where it stands again, counted from 1."""
    first_line: int
    start: int
    """Offset of the key in the text, in characters."""
    end: int
    """Offset behind its value."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a walk over a text found."""

    lines: dict[Path, int]
    """Line of each key, table and array entry, counted from 1."""
    duplicates: tuple[Duplicate, ...]

    def line_of(self, path: Path) -> int | None:
        """Line of the key, else of the nearest table around it; None when nothing around it is in the text."""
        for length in range(len(path), 0, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return None


def scan(text: str) -> Scan:
    """Walk a TOML text. Never raises: a faulty text is walked up to its fault."""
    return _Walk(text).run()


class _End(Exception):
    """Something that is not TOML, or deeper than MAX_DEPTH."""


class _Walk:
    """One walk over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}
        self._values: set[Path] = set()
        self._duplicates: list[Duplicate] = []

    def run(self) -> Scan:
        table: Path = ()
        try:
            while True:
                self._match(_BLANK)
                if self._at >= len(self._text):
                    break
                if self._peek("["):
                    table = self._header()
                else:
                    self._assignment(table, depth=0)
        except _End:
            pass
        return Scan(self._lines, tuple(self._duplicates))

    def _header(self) -> Path:
        line = self._line()
        many = self._peek("[[")
        self._at += 2 if many else 1
        keys = self._key()
        self._expect("]]" if many else "]")
        path = (*self._resolve(keys[:-1]), keys[-1])
        if many:
            index = self._arrays.get(path, -1) + 1
            self._arrays[path] = index
            self._lines.setdefault(path, line)
            path += (index,)
        elif path in self._arrays:
            path += (self._arrays[path],)
        self._lines.setdefault(path, line)
        return path

    def _resolve(self, keys: tuple[str, ...]) -> Path:
        """A table's path in terms of the newest entries of the arrays of tables that it runs through."""
        path: Path = ()
        for key in keys:
            path += (key,)
            if path in self._arrays:
                path += (self._arrays[path],)
        return path

    def _assignment(self, table: Path, depth: int) -> None:
        start, line = self._at, self._line()
        path = table + self._key()
        self._expect("=")
        self._match(_SPACE)
        known = path in self._values
        if not known:
            self._values.add(path)
            for length in range(len(table) + 1, len(path) + 1):
                self._lines.setdefault(path[:length], line)
        self._value(path, depth)
        if known:
            self._duplicates.append(Duplicate(path, line, self._lines[path], start, self._at))

    def _value(self, path: Path, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _End
        for string in _STRINGS:
            if self._match(string):
                return
        if self._peek("["):
            self._array(path, depth + 1)
        elif self._peek("{"):
            self._inline_table(path, depth + 1)
        elif not self._match(_SCALAR).strip():
            raise _End

    def _array(self, path: Path, depth: int) -> None:
        self._at += 1
        index = 0
        while True:
            self._match(_BLANK)
            if self._peek("]"):
                break
            self._lines.setdefault((*path, index), self._line())
            self._value((*path, index), depth)
            self._match(_BLANK)
            index += 1
            if not self._peek("]"):
                self._expect(",")
        self._at += 1

    def _inline_table(self, path: Path, depth: int) -> None:
        self._at += 1
        while True:
            self._match(_BLANK)
            if self._peek("}"):
                break
            self._assignment(path, depth)
            self._match(_BLANK)
            if not self._peek("}"):
                self._expect(",")
        self._at += 1

    def _key(self) -> tuple[str, ...]:
        parts = []
        while True:
            self._match(_SPACE)
            part = self._match(_BARE)
            if not part:
                quoted = next((m for s in _STRINGS[2:] if (m := s.match(self._text, self._at))), None)
                if quoted is None:
                    raise _End
                part, self._at = quoted.group(1), quoted.end()
            parts.append(part)
            self._match(_SPACE)
            if not self._peek("."):
                return tuple(parts)
            self._at += 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found.group()

    def _peek(self, what: str) -> bool:
        return self._text.startswith(what, self._at)

    def _expect(self, what: str) -> None:
        if not self._peek(what):
            raise _End
        self._at += len(what)

    def _line(self) -> int:
        return bisect_right(self._newlines, self._at - 1) + 1
