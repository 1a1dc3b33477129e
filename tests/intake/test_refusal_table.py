"""The table of answers in docs/smtp.md: every refusal of a mail stands in it, and nothing that is never said."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (
    *sorted((ROOT / "faxgw" / "intake").glob("smtp*.py")),
    ROOT / "faxgw" / "dispatch" / "gate.py",
    ROOT / "faxgw" / "dispatch" / "evidence.py",
)


def in_table() -> set[str]:
    """`code status` of every row."""
    text = (ROOT / "docs" / "smtp.md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| `[245]\d\d ", line)]
    return {found for row in rows for found in re.findall(r"`([45]\d\d [45]\.\d\.\d+)[` ]", row)}


def test_every_refusal_stands_in_the_table() -> None:
    said = set()
    for source in SOURCES:
        for code, status in re.findall(r'Rejection\(\s*(\d{3}),\s*"(\d\.\d\.\d+)"', source.read_text()):
            said.add(f"{code} {status}")
    assert said - in_table() == set()


def test_nothing_stands_in_the_table_that_is_never_said() -> None:
    text = "".join(source.read_text() for source in SOURCES)
    unsaid = {row for row in in_table() if row not in text and f'"{row[4:]}"' not in text}
    assert unsaid - {"538 5.7.11"} == set(), "538 is the engine's own (aiosmtpd)"
