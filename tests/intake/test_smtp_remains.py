"""When the files of a mail process that ended may go: not before its commits have, and not when one is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from faxgw.fax.ports import MailRecipient, MailSubmission, Principal, Receipt, Rejection
from faxgw.intake import smtp_remains
from faxgw.intake.smtp_mail import UNCERTAIN
from faxgw.intake.smtp_remains import Remains, Trail
from faxgw.store.files import Files, Kind
from tests.intake.world import Gate


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    """The gateway's own."""
    files = Files(tmp_path, "node", 1)
    await files.start()
    yield files
    await files.close()


async def left_by(trail: Trail, files: Files) -> MailSubmission:
    """A mail whose file a process made, before it ended."""
    place = files.place
    theirs = Files(Path(place.root), place.node, place.incarnation, trail.mark)
    stored = await theirs.keep(b"mail", Kind.MAIL)
    await theirs.close()
    who = Principal("c1", "", "", "anna@example.com", "address")
    to = MailRecipient("+33123456789@fax.example", "+33123456789", "+33123456789", "", "c1")
    return MailSubmission(
        "msg_1", who, "anna@example.com", (to,), stored, stored.key, "", False, 1.0, "", "", False
    )  # fmt: skip


def lies(files: Files, mail: MailSubmission) -> bool:
    return (Path(files.place.root) / mail.file.key).exists()


@pytest.mark.parametrize(
    "answer, stays",
    [
        (None, True),  # committed: a row names it
        (Receipt("msg_2", "msg_0"), False),
        (Rejection(550, "5.6.0", "Nothing was sent."), False),
        (UNCERTAIN, True),
    ],
    ids=["committed", "sent before", "refused", "uncertain"],
)
async def test_a_file_stays_when_a_row_names_it_or_may(
    files: Files, answer: Receipt | Rejection | None, stays: bool
) -> None:
    gate, trail = Gate(answer=answer), Trail()
    mail = await left_by(trail, files)
    await trail.commit(gate, mail)
    await Remains(files, gate.known).remove(trail, ())
    assert lies(files, mail) is stays


async def test_commits_are_waited_for(files: Files) -> None:
    gate, trail = Gate(), Trail()
    mail = await left_by(trail, files)
    go = asyncio.Event()

    async def held() -> None:
        await go.wait()

    gate.before_commit = held
    committing = asyncio.create_task(_commit(trail, gate, mail))
    removing = asyncio.create_task(Remains(files, gate.known).remove(trail, {committing}))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not removing.done() and lies(files, mail)
    go.set()
    await removing
    assert committing.done() and lies(files, mail)


async def _commit(trail: Trail, gate: Gate, mail: MailSubmission) -> None:
    await trail.commit(gate, mail)


async def test_after_too_many_commits_of_unknown_fate_all_files_stay(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_remains, "MAX_SPARED", 2)
    gate, trail = Gate(answer=UNCERTAIN), Trail()
    mail, other = await left_by(trail, files), await left_by(trail, files)
    for number in range(3):
        stored = replace(other.file, key=f"{other.file.key}{number}")
        await trail.commit(gate, replace(other, file=stored))
    await Remains(files, gate.known).remove(trail, ())
    assert trail.lost and lies(files, mail)


async def test_marks_differ() -> None:
    assert len({Trail().mark for _ in range(100)}) == 100
