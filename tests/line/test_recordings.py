"""Who is recorded, and what is handed over; nothing of it disturbs a call."""

from __future__ import annotations

import asyncio
import os

import pytest

from faxgw.fax.errors import Refused
from faxgw.foip import recording
from faxgw.foip.control import T38Media
from faxgw.foip.recording import Header, Medium
from faxgw.line import recordings
from faxgw.line.recordings import Studio, Tape, as_pcap, literal
from tests.foip.test_recording import HEADER
from tests.t30.conftest import send_start

MESSAGES = ((100.0, True, b"INVITE"), (101.0, False, b"SIP/2.0 200 OK"))


class Keeper:
    """Keeps in a dictionary; `wanted` numbers are asked for."""

    def __init__(self, *wanted: str) -> None:
        self.wanted = set(wanted)
        self.kept: dict[str, bytes] = {}
        self.fault: Exception | None = None
        self.may_keep = asyncio.Event()
        self.may_keep.set()

    def asked(self, *numbers: str) -> bool:
        return bool(self.wanted.intersection(numbers))

    async def keep(self, call: str, octets: bytes) -> None:
        await self.may_keep.wait()
        if self.fault is not None:
            raise self.fault
        self.kept[call] = octets


def studio(mode: str, keeper: Keeper | None = None) -> Studio:
    made = Studio(mode)
    made.keeper = keeper
    return made


def written(tape: Tape) -> Tape:
    os.write(tape.descriptor, recording.encode_entry(100.5, Medium.RTP, ours=True, octets=b"\x80" * 172))
    return tape


@pytest.mark.parametrize(
    "mode, trunk, number, recorded, always",
    [
        ("none", "", "1", False, False),
        ("none", "", "7", True, True),
        ("failed", "", "1", True, False),
        ("failed", "", "7", True, True),
        ("all", "", "1", True, True),
        ("all", "none", "1", False, False),
        ("none", "failed", "1", True, False),
        ("none", "all", "1", True, True),
    ],
)
async def test_who_is_recorded(mode: str, trunk: str, number: str, recorded: bool, always: bool) -> None:
    tape, keep = studio(mode, Keeper("7")).tape(number, "5", mode=trunk)
    assert ((tape is not None), keep) == (recorded, always)
    if tape is not None:
        tape.close()


async def test_nobody_is_recorded_where_nobody_keeps() -> None:
    assert studio("all").tape("1") == (None, False)


async def test_a_recording_has_what_daemon_and_worker_saw_in_the_order_of_time() -> None:
    keeper = Keeper()
    booth = studio("all", keeper)
    tape, _always = booth.tape("1")
    assert tape is not None
    booth.develop(written(tape), HEADER, MESSAGES, keep=True)
    await booth.close()
    read = recording.decode(keeper.kept["att_1"])
    assert [(entry.at, entry.medium) for entry in read.entries] == [
        (100.0, Medium.SIP), (100.5, Medium.RTP), (101.0, Medium.SIP),
    ]  # fmt: skip
    assert read.header.complete
    assert tape.descriptor == -1


@pytest.mark.parametrize("header, keep", [(HEADER, False), (None, True)])
async def test_a_call_that_went_well_or_had_no_media_leaves_nothing(header: Header | None, keep: bool) -> None:
    keeper = Keeper()
    booth = studio("failed", keeper)
    tape, _always = booth.tape("1")
    assert tape is not None
    booth.develop(tape, header, MESSAGES, keep=keep)
    await booth.close()
    assert keeper.kept == {} and tape.descriptor == -1


async def test_so_many_calls_are_recorded_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "MAX_AT_ONCE", 2)
    booth = studio("all", Keeper())
    tapes = [booth.tape("1")[0] for _ in range(3)]
    assert [tape is not None for tape in tapes] == [True, True, False]
    assert tapes[0] is not None and tapes[1] is not None
    booth.develop(tapes[0], None, (), keep=False)
    again, _always = booth.tape("1")
    assert again is not None
    for tape in (tapes[1], again):
        tape.close()


async def test_a_gateway_without_a_descriptor_left_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_name: str, _flags: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", none_left)
    assert studio("all", Keeper()).tape("1") == (None, False)


async def test_a_keeper_that_fails_loses_the_recording_only(caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper()
    keeper.fault = RuntimeError("no")
    booth = studio("all", keeper)
    tape, _always = booth.tape("1")
    assert tape is not None
    booth.develop(tape, HEADER, (), keep=True)
    await booth.close()
    assert tape.descriptor == -1
    assert "recording not kept" in caplog.text


async def test_the_line_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "KEEP_WITHIN", 0.01)
    keeper = Keeper()
    keeper.may_keep.clear()
    booth = studio("all", keeper)
    tape, _always = booth.tape("1")
    assert tape is not None
    booth.develop(tape, HEADER, (), keep=True)
    await booth.close()
    assert keeper.kept == {} and tape.descriptor == -1


def test_the_worker_is_told_to_record() -> None:
    tape = Tape()
    start = tape.wrap(lambda number: send_start(), 12.0)(1)
    assert start.record and tape.start == start and tape.began == 12.0
    tape.t38 = T38Media(("192.0.2.2", 4002))
    tape.close()
    tape.close()


def test_a_recording_that_reached_its_bound_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_RECORDING", recording.MAX_DATAGRAM + 100)
    tape = written(Tape())
    assert not recording.decode(tape.content(HEADER, ())).header.complete
    tape.close()


def test_only_ip_addresses_come_into_a_recording() -> None:
    assert literal(("2001:db8::1", 5060)) == ("2001:db8::1", 5060)
    assert literal(("sip.example.net", 5060)) == literal(None) == ("0.0.0.0", 9)


def test_what_is_no_recording_makes_no_capture() -> None:
    with pytest.raises(Refused):
        as_pcap(b"nothing of the kind")
