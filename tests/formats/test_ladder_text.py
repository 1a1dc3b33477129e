"""The ladder as text."""

from __future__ import annotations

from faxgw.formats.ladder import read
from faxgw.formats.ladder_text import text
from tests.formats.test_ladder import GOOD, long_call, rows


def test_every_step_has_its_time_its_arrow_and_its_words() -> None:
    assert text(read(rows(GOOD))) == [
        "    0.000  SIP  ---->  INVITE, audio",
        "    1.000  SIP  <----  200 OK to INVITE",
        "                       ... 5.0 s",
        "    6.000  T.30 <----  DIS takes",
        "    7.000  T.30 ---->  DCS pages come",
        "                       ... 5.0 s",
        "   12.000  T.30 <----  CFR ready",
        "   12.000  page ====>  page 1, 10.0 s, 17,920 octets on the line, 900 rows, 17000 octets of MMR: confirmed",
        "   22.000  T.30 ---->  PPS-MPS end; page 1, block 1: 70 frames",
        "   23.000  T.30 <----  MCF confirmed",
        "   23.000  page ====>  page 2, 10.0 s, 17,920 octets on the line: confirmed",
        "   33.000  T.30 ---->  PPS-EOP end",
        "   34.000  T.30 <----  MCF confirmed",
        "   34.100  T.30 ---->  DCN goodbye",
        "   36.000  SIP  ---->  BYE",
    ]


def test_notes_stand_in_brackets_without_an_arrow() -> None:
    (line,) = text(read(rows("1.0 = T.38 to 192.0.2.1")))
    assert line == "    1.000              (T.38 to 192.0.2.1)"


def test_a_limit_folds_and_none_does_not() -> None:
    call = long_call(100)
    assert len(text(call, 60)) < 40
    assert sum("====>" in line for line in text(call)) == 100
