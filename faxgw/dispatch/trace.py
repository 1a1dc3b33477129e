"""What is stored of a call to be looked at afterwards: T.30 frames, SIP messages and notes in the order of time.

A row is `[seconds since the INVITE, way, frame in hexadecimal or "", words]`; the way is `>` from us, `<` from the far
end, `=` a note of ours. Bounded by MAX_ROWS: of a longer call the middle is left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Final

from faxgw.fax.outcome import Outcome

MAX_ROWS: Final = 2000
"""Rows of one call; a 500-page fax with ECM has some 1,500."""
LAST_ROWS: Final = 200
"""Rows kept of the end of a longer call."""

Row = tuple[float, str, str, str]


def trace_rows(outcome: Outcome, describe: Callable[[bytes], str]) -> list[Row]:
    """The rows of a call.

    Args:
        outcome: What it came to.
        describe: A T.30 frame in words.
    """
    frames: list[Row] = [(at, way, frame.hex(), "") for at, way, frame in outcome.frames]
    steps: list[Row] = [(at, way, "", words) for at, way, words in outcome.steps]
    rows = sorted([*frames, *steps], key=itemgetter(0))
    if len(rows) > MAX_ROWS:
        first = MAX_ROWS - LAST_ROWS - 1
        left_out = len(rows) - first - LAST_ROWS
        note = (rows[first][0], "=", "", f"{left_out} entries are left out here")
        rows = [*rows[:first], note, *rows[-LAST_ROWS:]]
    return [(at, way, octets, words or describe(bytes.fromhex(octets))) for at, way, octets, words in rows]
