"""The table that goes with the report of several faxes."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from faxgw.fax.report import FaxReport
from faxgw.formats.recipient_table import COLUMNS, recipient_table
from tests.formats import samples
from tests.formats.samples import call, fax, job


def rows(*faxes: FaxReport) -> list[dict[str, str]]:
    table = recipient_table(job(list(faxes)))
    assert (table.name, table.content_type) == ("recipients.csv", "text/csv; charset=utf-8")
    assert table.octets.startswith(b"\xef\xbb\xbf") and table.octets.count(b"\n") == table.octets.count(b"\r\n")
    return list(csv.DictReader(io.StringIO(table.octets.decode("utf-8-sig"))))


def test_each_recipient_has_a_line_in_the_senders_order() -> None:
    first = dataclasses.replace(samples.DELIVERED, position=1, personal="Ms. Éloïse, Sales")
    second = dataclasses.replace(samples.BUSY, position=2)
    one, two = rows(second, first)
    assert tuple(one) == COLUMNS
    assert (one["position"], one["personal"], one["result"], one["status"]) == (
        "1",
        "Ms. Éloïse, Sales",
        "delivered",
        "OK",
    )
    assert (one["pages_confirmed"], one["pages"]) == ("3", "3")
    assert (two["position"], two["result"], two["status"], two["pages_confirmed"]) == ("2", "failed", "BUSY", "0")
    assert int(one["seconds"]) > 0 and one["finished"][:4].isdigit()


@pytest.mark.parametrize(
    "ident, cell",
    [
        ("+33 1 99 00 00 01", "+33 1 99 00 00 01"),
        ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("+1+cmd", "'+1+cmd"),
        ('say "hi", twice', 'say "hi", twice'),
        ("line\r\nbreak", "line  break"),
    ],
)
def test_a_strangers_word_is_never_a_formula(ident: str, cell: str) -> None:
    found = dataclasses.replace(fax(), attempts=(dataclasses.replace(call(), remote_ident=ident),))
    assert rows(found, samples.DELIVERED)[0]["identification"] == cell
