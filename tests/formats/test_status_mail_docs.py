"""docs/status-mails.md: its examples are templates, and what it says is refused, is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faxgw.fax.account import SETTINGS
from faxgw.formats import cover_template, mail_letter, mail_template
from faxgw.formats.mail_examples import EXAMPLES, MAX_HTML, letter_of, try_out
from faxgw.formats.mail_letter import PLAIN
from faxgw.formats.mail_template import read
from tests.formats import test_mail_examples, test_mail_template
from tests.formats.test_mail_template import package, picture

PAGE = (Path(__file__).parents[2] / "docs" / "status-mails.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SAID = re.findall(r"^\| (`.*`) \| .*\|$", PAGE.partition("### What is refused")[2], re.MULTILINE)
REFUSED = [said for _content, said in test_mail_template.REFUSED + test_mail_examples.REFUSED]


def test_the_example_is_a_good_template() -> None:
    try_out(read(package({"logo.png": picture("PNG"), "status.html": BLOCKS["html"]}, BLOCKS["toml"])))


@pytest.mark.parametrize("text", [text for row in SAID for text in re.findall(r"`([^`]+)`", row)])
def test_each_row_of_refusals_has_its_test(text: str) -> None:
    assert any(text in said or said in text for said in REFUSED if said)


def test_the_names_that_are_listed_are_there() -> None:
    table = PAGE.partition("| name | |")[2].partition("### What is refused")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([a-z_.]+)`", row.split("|")[1])}
    there = {name for example in EXAMPLES for name in letter_of(example, "en", PLAIN).values()}
    assert len(rows) >= 10 and listed <= there


def test_the_settings_and_bounds_are_those_of_the_program() -> None:
    named = set(re.findall(r"`(report_[a-z_]+|mail_template)`", PAGE))
    assert named == {"mail_template", *(key for key in SETTINGS if key.startswith("report_"))}
    bounds = (MAX_HTML, mail_template.MAX_LOGO, mail_letter.MAX_TEXT, cover_template.MAX_STEPS)
    assert all(f"{bound:,}" in PAGE for bound in bounds)
    assert f"at most {mail_letter.MAX_FAXES_FILLED}," in PAGE
