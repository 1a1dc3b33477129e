"""The end of DATA, lines and the time allowance, without sockets."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.intake import smtp_stream
from faxgw.intake.smtp_stream import Allowance, DataScanner, EndlessLine, Inlet, LineTooLong, NameWatch, Patience


def scan(chunks: list[bytes]) -> tuple[bytes, DataScanner]:
    scanner = DataScanner()
    content = b""
    for chunk in chunks:
        assert scanner.rest is None
        content += scanner.feed(chunk)
    return content, scanner


def stuffed(lines: list[bytes]) -> bytes:
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)


@given(
    lines=st.lists(st.lists(st.sampled_from([b".", b"..", b"a", b" ", b"\0", b"\xff"]), max_size=4).map(b"".join)),
    rest=st.sampled_from([b"", b"QUIT\r\n", b".\r\n", b"\r\n.\r\n"]),
    seed=st.integers(0, 1000),
)
def test_what_was_stuffed_comes_out_again_however_it_is_cut(lines: list[bytes], rest: bytes, seed: int) -> None:
    """RFC 5321 section 4.5.2."""
    wire = stuffed(lines) + b".\r\n"
    cuts = sorted(random.Random(seed).sample(range(1, len(wire)), k=min(len(wire) - 1, seed % 12)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    pieces[-1] += rest
    content, scanner = scan(pieces)
    assert content == b"".join(line + b"\r\n" for line in lines)
    assert scanner.rest == rest
    assert not scanner.bare_cr
    assert not scanner.bare_lf


@pytest.mark.parametrize(
    ("octets", "cr", "lf"),
    [
        (b"a\nb\r\n", False, True),
        (b"a\rb\r\n", True, False),
        (b"\n.\r\n\r\n", False, True),
        (b"\r.\r\n", True, False),
        (b"x\r\r\n", True, False),
        (b"x\r\n\n", False, True),
        (b"x\r\n.\rMAIL\r\n", True, False),
        (b"x\r\n.\nMAIL\r\n", False, True),
        (b"\n", False, True),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_bare_line_end_is_noticed_and_ends_nothing(octets: bytes, cr: bool, lf: bool, size: int) -> None:
    """RFC 5321 section 2.3.8."""
    wire = octets + b"more\r\n"
    _, scanner = scan([wire[i : i + size] for i in range(0, len(wire), size)])
    assert scanner.rest is None
    scanner.feed(b".\r\n")
    assert scanner.rest == b""
    assert (scanner.bare_cr, scanner.bare_lf) == (cr, lf)


def test_an_empty_mail_has_no_content() -> None:
    content, scanner = scan([b".", b"\r", b"\nRSET\r\n"])
    assert (content, scanner.rest) == (b"", b"RSET\r\n")


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_name_is_noticed_however_it_is_written_or_cut(cut: int) -> None:
    watch = NameWatch({"distribution-list.txt", "liste.csv"})
    content = b'Content-Disposition: attachment; filename="Distribution-LIST.txt"\r\n'
    for start in range(0, len(content), cut):
        watch.feed(content[start : start + cut])
    assert watch.seen


def test_a_name_that_does_not_come_is_not_noticed() -> None:
    watch, none = NameWatch({"distribution-list.txt"}), NameWatch(())
    for chunk in (b"distribution-list", b"", b"-txt distribution", b"list.txt"):
        watch.feed(chunk)
        none.feed(chunk)
    assert not watch.seen and not none.seen


def test_a_steady_sender_has_all_the_time_in_the_world() -> None:
    """Postfix smtpd_min_data_rate: at the rate, the allowance stays."""
    allowance = Allowance(10.0, 500)
    for _ in range(1000):
        allowance.charge(1.0, 500, 10.0)
    assert allowance.left == 10.0


def test_a_slow_sender_runs_out_of_time_and_a_burst_saves_nothing_up() -> None:
    allowance = Allowance(10.0, 500)
    allowance.charge(0.0, 1_000_000, 10.0)
    assert allowance.left == 10.0
    for _ in range(11):
        allowance.charge(1.0, 25, 10.0)
    assert allowance.left < 0


class Pipe(asyncio.Transport):
    """Counts pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def test_the_peer_is_not_read_while_the_buffer_is_full() -> None:
    inlet, pipe = Inlet(), Pipe()
    inlet.attach(pipe)
    inlet.feed(b"x" * (smtp_stream.BUFFER_OCTETS + 1))
    assert pipe.paused
    assert len(await inlet.some()) == smtp_stream.BUFFER_OCTETS + 1
    assert not pipe.paused


async def test_a_long_line_is_dropped_to_its_end() -> None:
    inlet = Inlet()
    inlet.attach(Pipe())
    task = asyncio.create_task(inlet.line(100))
    for _ in range(5):
        inlet.feed(b"x" * 80)
        await asyncio.sleep(0)
    inlet.feed(b"end\r\nnext\r\n")
    with pytest.raises(LineTooLong):
        await task
    assert await inlet.line(100) == b"next"


async def test_a_line_without_end_is_given_up() -> None:
    inlet = Inlet()
    inlet.attach(Pipe())
    task = asyncio.create_task(inlet.line(100))
    while not task.done():
        inlet.feed(b"x" * 50_000)
        await asyncio.sleep(0)
    with pytest.raises(EndlessLine):
        await task


async def test_half_a_line_before_the_end_is_no_line() -> None:
    inlet = Inlet()
    inlet.feed(b"NOOP\nQUI")
    inlet.feed_eof()
    assert await inlet.line(100) == b"NOOP"
    with pytest.raises(EOFError):
        await inlet.line(100)


async def test_a_wait_can_be_shortened_but_not_lengthened() -> None:
    patience, loop = Patience(), asyncio.get_running_loop()
    started = loop.time()
    loop.call_later(0.02, patience.shorten, 0.02)
    loop.call_later(0.03, patience.shorten, 100)
    with pytest.raises(TimeoutError):
        await patience.wait(loop.create_future(), 60)
    assert 0.03 < loop.time() - started < 60


async def test_a_wait_that_is_over_ends_no_later_one() -> None:
    patience, loop = Patience(), asyncio.get_running_loop()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await patience.wait(loop.create_future(), 0.02)
        assert await patience.wait(asyncio.sleep(0.03, "done"), 60) == "done"
    assert await patience.wait(asyncio.sleep(0, "at once"), 0) == "at once"
    await asyncio.sleep(0.01)
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()


async def test_of_nested_waits_each_has_its_time() -> None:
    patience, loop = Patience(), asyncio.get_running_loop()

    async def inner(seconds: float) -> str:
        with pytest.raises(TimeoutError):
            await patience.wait(loop.create_future(), seconds)
        return await asyncio.sleep(0.1, "inner is over")

    started = loop.time()
    with pytest.raises(TimeoutError):
        await patience.wait(inner(0.01), 0.05)
    assert loop.time() - started > 0.04
    assert await patience.wait(inner(0.01), 60) == "inner is over"


async def test_who_is_cancelled_while_he_waits_is_cancelled() -> None:
    patience, loop = Patience(), asyncio.get_running_loop()

    async def wait(seconds: float) -> None:
        await patience.wait(loop.create_future(), seconds)

    for seconds in (60.0, 0.0):  # alone, and in the moment in which the time is over as well
        task = asyncio.create_task(wait(seconds))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_patience_that_is_ended_leaves_no_timer() -> None:
    patience = Patience()
    await patience.wait(asyncio.sleep(0), 60)
    assert patience._timer is not None
    timer = patience._timer
    patience.end()
    assert timer.cancelled()


async def test_a_line_is_at_hand_when_it_is_whole_and_short_enough() -> None:
    inlet = Inlet()
    inlet.feed(b"NOOP\r\nQUIT\nHEL")
    assert inlet.line_at_hand(3) is None
    assert [inlet.line_at_hand(10) for _ in range(3)] == [b"NOOP", b"QUIT", None]
    inlet.feed(b"P\r\n")
    assert await inlet.line(10) == b"HELP"
