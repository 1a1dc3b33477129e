"""A broadcast whose gateway is killed in the midst of its calls: nobody is left out, nobody gets his fax twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from faxgw.formats.report_payload import report_from_payload
from faxgw.store import migrate
from faxgw.store.reports import item_id
from tests.dispatch.broadcast_calls_life import JOB, READER, number_of

RECIPIENTS = 120
CHANNELS = 4
KILLED_AFTER = (25, 90, 150)
"""Lines of the far end after which a life is ended: two of each fax."""


def seen(folder: Path) -> list[tuple[str, str]]:
    path = folder / "far-end"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(what, number) for what, number in (line.split() for line in lines)]


def wrong(states: dict[str, str], far_end: list[tuple[str, str]], kills: int) -> list[str]:
    """What is not as the spine promises: each recipient once, and told the truth.

    Args:
        states: Of each number's fax, at the end.
        far_end: What the machines saw.
        kills: How often the gateway died.
    """
    exposed = Counter(number for what, number in far_end if what == "exposed")
    received = Counter(number for what, number in far_end if what == "received")
    found = [f"{number} ended as {state}" for number, state in states.items() if state not in ("sent", "unknown")]
    found += [f"{number} was sent its pages {times} times" for number, times in exposed.items() if times > 1]
    sent = [number for number, state in states.items() if state == "sent"]
    found += [f"{number} is sent and was not received once" for number in sent if received[number] != 1]
    unknown = [number for number, state in states.items() if state == "unknown"]
    if len(unknown) > kills * CHANNELS:
        found.append(f"{len(unknown)} are unknown after {kills} kills on {CHANNELS} channels")
    return found


async def life(folder: Path, ahead: int, kill_after: int = 0) -> int:
    """A gateway; killed when the far end has seen so much, or run until there is nothing left to call. Its status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.dispatch.broadcast_calls_life",
        str(folder), str(RECIPIENTS), str(ahead), "on" if kill_after else "once",
    )  # fmt: skip
    if kill_after:
        async with asyncio.timeout(120):
            while len(seen(folder)) < kill_after and process.returncode is None:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.005)
        if process.returncode is None:
            process.kill()
    return await asyncio.wait_for(process.wait(), 200)


async def test_killed_in_the_midst_of_its_calls_it_reaches_everybody_once(tmp_path: Path) -> None:
    """docs/spine.md section 5: a call that was exposed is never repeated by itself, one that was not is."""
    await asyncio.to_thread(migrate.upgrade, f"sqlite:///{tmp_path}/faxgw.db")
    for ahead, kill_after in enumerate(KILLED_AFTER):
        assert await life(tmp_path, ahead, kill_after) == -signal.SIGKILL
    for ahead in (len(KILLED_AFTER), len(KILLED_AFTER) + 1):  # the second one calls what waited for its second dial
        assert await life(tmp_path, ahead) == 0
    with closing(sqlite3.connect(tmp_path / "faxgw.db")) as conn:
        states = dict(conn.execute("SELECT e164, state FROM faxes").fetchall())
        (jobs,) = conn.execute("SELECT id, open, finished_at IS NOT NULL FROM jobs").fetchall()
        last = conn.execute("SELECT payload FROM outbox WHERE id = ?", (item_id(JOB, "finished", READER),)).fetchall()
        waits = conn.execute("SELECT count(*) FROM callable_jobs").fetchone()
    assert set(states) == {number_of(place) for place in range(RECIPIENTS)}
    assert wrong(states, seen(tmp_path), len(KILLED_AFTER)) == []
    assert jobs == (JOB, 0, 1)
    assert waits == (0,)
    assert len(last) == 1, "one cumulative report"
    told = {fax.number_e164: fax.state.value for fax in report_from_payload(json.loads(last[0][0])).faxes}
    assert told == states


@pytest.mark.parametrize(
    ("states", "far_end", "words"),
    [
        ({"+1": "waiting"}, [], "ended as waiting"),
        ({"+1": "sent"}, [("exposed", "+1"), ("exposed", "+1"), ("received", "+1")], "2 times"),
        ({"+1": "sent"}, [("exposed", "+1")], "was not received"),
        ({f"+{n}": "unknown" for n in range(5)}, [], "5 are unknown"),
    ],
)
def test_the_check_finds_what_is_wrong(states: dict[str, str], far_end: list[tuple[str, str]], words: str) -> None:
    """A check that cannot fail proves nothing."""
    (found,) = wrong(states, far_end, 1)
    assert words in found
