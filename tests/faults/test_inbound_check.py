"""The measure of received faxes finds each mistake that it is about."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from faxgw.document import pdf_out
from tests.faults import inbound_real, watermark
from tests.faults.inbound_real import Calls
from tests.faults.real_world import RealWorld
from tests.faults.scripted_callers import OWNER


def mail(fax: str, load: int, name: str = "", body: str = "A fax.") -> EmailMessage:
    """The mail that brings a fax of one page."""
    out = io.BytesIO()
    writer = pdf_out.Writer(out, "Fax", datetime(2026, 1, 1, tzinfo=UTC))
    strip = inbound_real._strips(watermark.document(load, 1))
    writer.add(pdf_out.Picture(strip, watermark.WIDTH, watermark.ROWS, 8031, 7717))
    writer.finish()
    made = EmailMessage()
    made["Delivered-To"], made["X-Fax-Id"], made["Message-ID"] = OWNER, fax, name or f"<{fax}@x>"
    made.set_content(body)
    made.add_attachment(out.getvalue(), maintype="application", subtype="pdf", filename="fax.pdf")
    return made


def found(folder: Path, mails: Sequence[EmailMessage], kept: dict[str, int], records: Sequence[str] = ("1",)) -> Any:
    """The rules that are broken when these mails came of these pages (fax → watermark)."""
    for fax, load in kept.items():
        (folder / fax).write_bytes(watermark.document(load, 1))
    world = SimpleNamespace(
        data=folder,
        ask=lambda _query: [(fax, fax) for fax in kept],
        mailbox=SimpleNamespace(mails=lambda: [SimpleNamespace(message=one) for one in mails]),
    )
    calls = Calls(cast(asyncio.subprocess.Process, None), {name: {} for name in records}, {"1": 1})
    return [violation.rule for violation in inbound_real._check(cast(RealWorld, world), calls)]


def test_a_fax_delivered_as_it_was_kept_is_right(tmp_path: Path) -> None:
    again = mail(
        "rcv_b", 1, body="It may be the same as the fax rcv_a, of whose arrival the sender was perhaps not told."
    )
    assert found(tmp_path, [mail("rcv_a", 1), mail("rcv_a", 1), again], {"rcv_a": 1, "rcv_b": 1}) == []


@pytest.mark.parametrize(
    "mails, kept, records, rules",
    [
        ([("rcv_a", 1, "")], {"rcv_a": 2}, ["1"], ["R1"]),
        ([("rcv_a", 1, ""), ("rcv_b", 1, "")], {"rcv_a": 1, "rcv_b": 1}, ["1"], ["R2"]),
        ([("rcv_a", 1, ""), ("rcv_a", 1, "<other@x>")], {"rcv_a": 1}, ["1"], ["R2"]),
        ([("rcv_a", 1, "")], {"rcv_a": 1}, [], ["R3"]),
    ],
)
def test_what_is_wrong_is_found(
    tmp_path: Path,
    mails: Sequence[tuple[str, int, str]],
    kept: dict[str, int],
    records: Sequence[str],
    rules: Sequence[str],
) -> None:
    assert found(tmp_path, [mail(*one) for one in mails], kept, records) == rules
