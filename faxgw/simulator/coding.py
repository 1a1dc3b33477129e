"""The three codings of a fax page in pure Python: MH and MR (ITU-T T.4 section 4), MMR (ITU-T T.6).

A row is the positions at which the colour changes, in pixels, rising, beginning from white: `(10, 20)` is a black bar
from 10 to 19. Coded octets have the first bit on the line as the most significant one, as T.38 carries them. It is
written for reading and for machines that send nonsense on purpose; the gateway itself codes with its library, so a
page that both agree on has been coded twice, independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

_Code = TypeVar("_Code", int, str)

Row = tuple[int, ...]
"""Changes of colour from left to right, beginning from white."""

MAX_ROWS: Final = 20_000
"""Rows of one page that are decoded."""
EOL: Final = "000000000001"
"""T.4 section 4.1.2."""
_RTC: Final = EOL * 6
_RTC_2D: Final = (EOL + "1") * 6
_EOFB: Final = EOL * 2
"""T.6 section 2.4.1.1."""
_SMALL: Final = (
    "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011 "
    "0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 "
    "00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 "
    "00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 "
    "01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100",
    "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 "
    "0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 "
    "00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 "
    "000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 "
    "000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 "
    "000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 "
    "000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111",
)
"""Terminating codes for 0 to 63, white and black (T.4 Table 2)."""
_LARGE: Final = (
    "11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010 "
    "011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001 "
    "010011010 011000 010011011",
    "0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 "
    "0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 "
    "0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 "
    "0000001011011 0000001100100 0000001100101",
)
"""Make-up codes for 64 to 1,728 in steps of 64, white and black (T.4 Table 3a)."""
_HUGE: Final = (
    "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 "
    "000000010111 000000011100 000000011101 000000011110 000000011111"
)
"""Make-up codes for 1,792 to 2,560, of either colour (T.4 Table 3b)."""
_PASS: Final = "0001"
_HORIZONTAL: Final = "001"
_VERTICAL: Final = {0: "1", 1: "011", 2: "000011", 3: "0000011", -1: "010", -2: "000010", -3: "0000010"}
"""a1 to the right (positive) or left of b1 (T.4 Table 4)."""


def _codes(colour: int) -> dict[int, str]:
    codes = dict(enumerate(_SMALL[colour].split()))
    codes |= {64 * (n + 1): code for n, code in enumerate((_LARGE[colour] + " " + _HUGE).split())}
    return codes


_RUNS: Final = (_codes(0), _codes(1))
_READ_RUNS: Final = tuple({code: run for run, code in codes.items()} for codes in _RUNS)
_READ_MODES: Final = {_PASS: "P", _HORIZONTAL: "H"} | {code: str(shift) for shift, code in _VERTICAL.items()}
_LONGEST_RUN: Final = 13
_LONGEST_MODE: Final = 7


class Undecodable(Exception):
    """The bits are no row."""


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded page."""

    rows: tuple[Row, ...]
    bad_rows: int = 0
    """Rows that could not be read and were taken from the row above."""
    ended: bool = False
    """True when its end was marked: EOFB or RTC."""


# Encoding.


def mh(rows: Sequence[Row], width: int) -> bytes:
    """One-dimensional coding with EOL before each row and RTC at the end."""
    return pack("".join(EOL + row_bits(row, width) for row in rows) + _RTC)


def mr(rows: Sequence[Row], width: int, k: int = 2) -> bytes:
    """Two-dimensional coding; every `k`th row is one-dimensional."""
    parts = []
    above: Row = ()
    for number, row in enumerate(rows):
        plain = number % k == 0
        parts.append(EOL + ("1" + row_bits(row, width) if plain else "0" + _changes(above, row, width)))
        above = row
    return pack("".join(parts) + _RTC_2D)


def mmr(rows: Sequence[Row], width: int) -> bytes:
    """T.6 coding with EOFB at the end."""
    return pack("".join(_changes(above, row, width) for above, row in zip(((), *rows), rows, strict=False)) + _EOFB)


def row_bits(row: Row, width: int) -> str:
    """The runs of one row as `0` and `1`."""
    edges = (0, *row, width)
    return "".join(_run(edges[n + 1] - edges[n], n % 2) for n in range(len(edges) - 1))


def pack(bits: str) -> bytes:
    """Octets of a string of `0` and `1`, padded with zeros."""
    padded = bits + "0" * (-len(bits) % 8)
    return int(padded or "0", 2).to_bytes(len(padded) // 8, "big")


def _run(length: int, colour: int) -> str:
    parts = []
    while length > 2560:
        parts.append(_RUNS[colour][2560])
        length -= 2560
    if length >= 64:
        parts.append(_RUNS[colour][length - length % 64])
    parts.append(_RUNS[colour][length % 64])
    return "".join(parts)


def _changes(above: Row, row: Row, width: int) -> str:
    """One row by its differences from the row above (T.4 section 4.2.1.3)."""
    parts = []
    a0, colour, at = -1, 0, 0
    while a0 < width:
        a1 = row[at] if at < len(row) else width
        b1, b2 = _reference(above, a0, colour, width)
        if b2 < a1:
            parts.append(_PASS)
            a0 = b2
        elif abs(a1 - b1) <= 3:
            parts.append(_VERTICAL[a1 - b1])
            a0, colour, at = a1, colour ^ 1, at + 1
        else:
            a2 = row[at + 1] if at + 1 < len(row) else width
            parts.append(_HORIZONTAL + _run(a1 - max(a0, 0), colour) + _run(a2 - a1, colour ^ 1))
            a0, at = a2, at + 2
    return "".join(parts)


def _reference(above: Row, a0: int, colour: int, width: int) -> tuple[int, int]:
    """b1 and b2: the change of the row above to the other colour right of a0, and the next one."""
    for n in range(colour, len(above), 2):
        if above[n] > a0:
            return above[n], above[n + 1] if n + 1 < len(above) else width
    return width, width


# Decoding.


def read_mmr(octets: bytes, width: int) -> Page:
    """A page coded after T.6; it ends at EOFB, at the end of the octets or where it cannot be read."""
    reader = _Reader(octets, width)
    rows: list[Row] = []
    above: Row = ()
    while len(rows) < MAX_ROWS and not reader.exhausted:
        if reader.skip(_EOFB):
            return Page(tuple(rows), ended=True)
        try:
            above = reader.changes(above)
        except Undecodable:
            return Page(tuple(rows), bad_rows=1)
        rows.append(above)
    return Page(tuple(rows))


def read_t4(octets: bytes, width: int, *, two_dimensional: bool) -> Page:
    """A page coded after T.4, with EOL before each row; a bad row is replaced by the one above."""
    reader = _Reader(octets, width)
    rows: list[Row] = []
    bad = 0
    above: Row = ()
    while len(rows) < MAX_ROWS and reader.to_end_of_eol():
        plain = not two_dimensional or reader.bit()
        if reader.at_eol():
            return Page(tuple(rows), bad, ended=True)
        try:
            above = reader.runs() if plain else reader.changes(above)
            bad += not reader.at_eol()
        except Undecodable:
            bad += 1
        rows.append(above)
    return Page(tuple(rows), bad)


class _Reader:
    """Bits, read from the left."""

    def __init__(self, octets: bytes, width: int) -> None:
        self._bits = bin(int.from_bytes(b"\1" + octets, "big"))[3:]
        self._at = 0
        self._width = width

    @property
    def exhausted(self) -> bool:
        return self._at >= len(self._bits)

    def bit(self) -> bool:
        self._at += 1
        return self._bits[self._at - 1 : self._at] == "1"

    def skip(self, bits: str) -> bool:
        if not self._bits.startswith(bits, self._at):
            return False
        self._at += len(bits)
        return True

    def at_eol(self) -> bool:
        """Whether an EOL comes next, fill included, or nothing comes at all."""
        one = self._bits.find("1", self._at)
        return one < 0 or one - self._at >= len(EOL) - 1

    def to_end_of_eol(self) -> bool:
        found = self._bits.find(EOL, self._at)
        self._at = found + len(EOL)
        return found >= 0

    def changes(self, above: Row) -> Row:
        row: list[int] = []
        a0, colour = -1, 0
        while a0 < self._width:
            mode = self._read(_READ_MODES, _LONGEST_MODE)
            b1, b2 = _reference(above, a0, colour, self._width)
            if mode == "P":
                a0 = b2
            elif mode == "H":
                first = max(a0, 0) + self._run(colour)
                a0 = first + self._run(colour ^ 1)
                row += (first, a0)
            else:
                a1 = b1 + int(mode)
                if a1 < max(a0, 0):
                    raise Undecodable
                a0, colour = a1, colour ^ 1
                row.append(a0)
        return self._checked(row)

    def runs(self) -> Row:
        row: list[int] = []
        at = colour = 0
        while at < self._width:
            at += self._run(colour)
            colour ^= 1
            row.append(at)
        return self._checked(row)

    def _checked(self, row: list[int]) -> Row:
        if row and row[-1] > self._width:
            raise Undecodable
        while row and row[-1] == self._width:
            row.pop()
        return tuple(row)

    def _run(self, colour: int) -> int:
        total = 0
        while True:
            run = self._read(_READ_RUNS[colour], _LONGEST_RUN)
            total += run
            if run < 64:
                return total
            if total > self._width:
                raise Undecodable

    def _read(self, codes: dict[str, _Code], longest: int) -> _Code:
        for length in range(1, longest + 1):
            found = codes.get(self._bits[self._at : self._at + length])
            if found is not None:
                self._at += length
                return found
        raise Undecodable
