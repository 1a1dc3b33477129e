"""What the gateway and its mail processes say to one another arrives as it was said."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from faxgw.fax.ports import MailRecipient, MailSubmission, Principal, Receipt, Rejection, StoredFile
from faxgw.intake import smtp_pipe
from faxgw.intake.smtp_logins import Verdict
from faxgw.intake.smtp_pipe import FRAME_OCTETS, Answer, BadMessage, Opening, Outbox, answer_of, answer_row
from faxgw.intake.smtp_tls import Pair
from faxgw.logs import Manner
from faxgw.pipe import MAX_DESCRIPTORS, Pipe
from faxgw.pipe import pair as pipe_pair
from faxgw.settings import Tls
from faxgw.store.files import SpoolPlace
from tests.conftest import MakeCertificate
from tests.intake.world import listener, settings
from tests.patience import PATIENCE_S

WHO = Principal("c1", "u1", "login", "ü@\udcff", "auth")
TO = MailRecipient("a@b", "0199", "+33199", "12", "c1", "SUCCESS,FAILURE", "rfc822;x", "list.txt")


@pytest.fixture
async def pipes() -> AsyncIterator[tuple[Pipe, Pipe]]:
    """Both ends."""
    ends = Pipe((both := pipe_pair())[0]), Pipe(both[1])
    yield ends
    for end in ends:
        end.close()


def test_an_opening_arrives_whole(make_certificate: MakeCertificate) -> None:
    certificate, key = make_certificate()
    chosen = settings(
        tls=Tls(certificate=certificate, key=key),
        listeners=(listener("a", security="starttls", allow=("10.0.0.0/8", "::1/128")), listener("b")),
        message_limit=5_000_000,
        data_deadline=0.25,
    )
    said = Opening(chosen, SpoolPlace("/data", "n1", 7), True, Manner("DEBUG", "json", True))
    ((message,),) = [smtp_pipe.messages_of(f"[{json.dumps(said.row())}]".encode())]
    assert Opening.of(message) == said
    assert Opening.of(Opening(chosen, said.place, False, None).row()).logs is None
    place, pair = SpoolPlace("/data", "n1", 7, "0" * 12), Pair(certificate.read_bytes(), key.read_bytes())
    held = replace(said, pair=pair, place=place)
    key.unlink()
    assert Opening.of(held.row()) == held, "whatever the files look like by now"
    with pytest.raises(BadMessage):
        Opening.of(replace(held, pair=Pair(b"none", b"")).row())
    with pytest.raises(BadMessage):
        Opening.of(["enter", 1, 2, 3, 4])


@pytest.mark.parametrize(
    "answer", [None, WHO, TO, Rejection(550, "5.7.1", "No."), Receipt("msg_1", "msg_0"), *Verdict], ids=str
)
def test_an_answer_arrives_whole(answer: Answer) -> None:
    assert answer_of(smtp_pipe.messages_of(f"[{json.dumps(answer_row(answer))}]".encode())[0]) == answer


def test_a_mail_arrives_whole() -> None:
    mail = MailSubmission(
        "msg_1", WHO, "s@x", (TO, TO), StoredFile("spool/ab/c", "00ff", 5), "<1@x>", "Ångström", True, 1.5, "e", "HDRS",
        True,
    )  # fmt: skip
    (row,) = smtp_pipe.messages_of(f"[{json.dumps(smtp_pipe.mail_row(mail))}]".encode())
    assert smtp_pipe.mail_of(row) == mail


@pytest.mark.parametrize("payload", [b"", b"\xff", b"{}", b"[1]", b"[[]]", b"[[" * 50_000])
def test_what_is_no_message_is_told_from_one(payload: bytes) -> None:
    with pytest.raises(BadMessage):
        smtp_pipe.messages_of(payload)


async def test_what_is_said_in_one_turn_goes_in_one_frame(pipes: tuple[Pipe, Pipe]) -> None:
    outbox = Outbox(pipes[0], pytest.fail)
    for number in range(5):
        outbox.say(["ping", number])
    frame = await asyncio.wait_for(pipes[1].receive(), PATIENCE_S)
    assert frame is not None
    assert smtp_pipe.messages_of(frame.payload) == [["ping", number] for number in range(5)]


async def test_frames_hold_so_many_octets_and_sockets(pipes: tuple[Pipe, Pipe], tmp_path: Path) -> None:
    """More sockets than a frame takes, and a message larger than a frame: all arrive, each with its own."""
    outbox = Outbox(pipes[0], pytest.fail)
    before = set(os.listdir("/proc/self/fd"))
    for number in range(MAX_DESCRIPTORS + 5):
        outbox.say(["enter", number], socket.socket())
    outbox.say(["ask", "x" * FRAME_OCTETS])
    outbox.say(["ask", "y"])
    seen: list[list[object]] = []
    descriptors: list[int] = []
    while len(seen) < MAX_DESCRIPTORS + 7:
        frame = await asyncio.wait_for(pipes[1].receive(), PATIENCE_S)
        assert frame is not None
        descriptors += frame.descriptors
        seen += smtp_pipe.messages_of(frame.payload)
    assert [message[1] for message in seen[:-2]] == list(range(MAX_DESCRIPTORS + 5))
    assert [str(message[1])[0] for message in seen[-2:]] == ["x", "y"]
    assert len(descriptors) == MAX_DESCRIPTORS + 5
    for descriptor in descriptors:
        os.close(descriptor)
    assert set(os.listdir("/proc/self/fd")) == before


async def test_a_pipe_that_takes_no_more_is_told_once_and_keeps_no_socket(pipes: tuple[Pipe, Pipe]) -> None:
    told: list[str] = []
    outbox = Outbox(pipes[0], told.append)
    pipes[0].close()
    before = set(os.listdir("/proc/self/fd"))
    outbox.say(["enter"], socket.socket())
    outbox.flush()
    assert told == ["pipe is closed"]
    outbox.say(["enter"], socket.socket())
    outbox.close()
    outbox.flush()
    assert told == ["pipe is closed"]
    assert set(os.listdir("/proc/self/fd")) == before
