"""Every machine of the park is called once, all at the same time, over real SIP and real media."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from faxgw.simulator.album import CallRecord
from faxgw.simulator.behaviour import BEHAVIOURS, Behaviour, Ending, Fax
from faxgw.simulator.park import Park, ParkConfig
from tests.ports import free_ports
from tests.t30.conftest import STANDARD, page_image, pixels, tiff

pytestmark = pytest.mark.realtime
ONE = tiff([page_image(1, 100)])
TWO = tiff([page_image(1, 100), page_image(2, 100)])
STANDARD_ONE = tiff([page_image(1, 100)], STANDARD)


@dataclass(frozen=True)
class Dial:
    """One call to place."""

    number: str
    document: bytes
    behaviour: Behaviour = BEHAVIOURS["01"]
    give_up: float = 0.0
    """Seconds after which the caller hangs up; 0: never."""


DIALS = {
    "good": Dial("4930100", TWO),
    "another number": Dial("49308877", ONE),
    "we offer first": Dial("4930101", ONE, BEHAVIOURS["00"]),
    "on hearing V.21": Dial("4930201", ONE),
    "refuses T.38": Dial("4930102", ONE, BEHAVIOURS["00"]),
    "we refuse T.38": Dial("4930300", ONE, BEHAVIOURS["02"]),
    "busy": Dial("4930110", ONE),
    "no answer": Dial("4930111", ONE, give_up=3.0),
    "rejects": Dial("4930112", ONE),
    "unknown": Dial("4930113", ONE),
    "out of service": Dial("4930114", ONE),
    "person": Dial("4930120", ONE),
    "silence": Dial("4930121", ONE, give_up=6.0),
    "hangs up": Dial("4930130", TWO),
    "hangs up, one page": Dial("4930230", ONE),
    "drops": Dial("4930131", TWO),
    "silent last page": Dial("4930132", ONE),
    "slow": Dial("4930140", ONE),
    "no ECM": Dial("4930141", ONE),
    "V.29": Dial("4930142", ONE),
    "standard": Dial("4930143", STANDARD_ONE),
    "too fine": Dial("4930243", ONE),
    "MH": Dial("4930144", ONE),
    "caller hangs up": Dial("4930400", TWO, replace(BEHAVIOURS["01"], ending=Ending.AFTER_FIRST_PAGE)),
}


@dataclass
class Outcome:
    """What both ends wrote down."""

    placed: CallRecord
    answered: CallRecord
    seconds: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("received")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> Iterator[dict[str, Outcome]]:
    yield asyncio.run(dial_all(folder))


async def dial_all(folder: Path) -> dict[str, Outcome]:
    park = Park(ParkConfig(folder, pace=0.1))
    caller = Park(ParkConfig(folder.with_name("placed")))
    address = await park.start()
    await caller.start()
    seconds: dict[str, float] = {}

    async def dial(name: str, what: Dial) -> CallRecord:
        begun = time.monotonic()
        uri = f"sip:{what.number}@{address[0]}:{address[1]}"
        placing = caller.place(uri, address, what.document, behaviour=what.behaviour, give_up=what.give_up)
        record = await placing
        seconds[name] = time.monotonic() - begun
        return record

    async with asyncio.timeout(90):
        placed = await asyncio.gather(*(dial(name, what) for name, what in DIALS.items()))
    await park.stop()
    await caller.stop()
    answered = {record.number: record for record in park.records}
    assert len(answered) == len(DIALS)
    return {
        name: Outcome(record, answered[what.number], seconds[name])
        for (name, what), record in zip(DIALS.items(), placed, strict=True)
    }


@pytest.mark.parametrize(
    ("name", "transport", "rate", "encoding"),
    [
        ("good", "t38", 14400, "MMR"),
        ("another number", "t38", 14400, "MMR"),
        ("we offer first", "t38", 14400, "MMR"),
        ("on hearing V.21", "t38", 14400, "MMR"),
        ("refuses T.38", "g711", 14400, "MMR"),
        ("we refuse T.38", "g711", 14400, "MMR"),
        ("slow", "t38", 4800, "MMR"),
        ("no ECM", "t38", 14400, "MR"),
        ("V.29", "t38", 9600, "MMR"),
        ("standard", "t38", 14400, "MMR"),
        ("MH", "t38", 14400, "MH"),
        ("hangs up, one page", "t38", 14400, "MMR"),
    ],
)
def test_machines_that_receive(
    outcomes: dict[str, Outcome], folder: Path, name: str, transport: str, rate: int, encoding: str
) -> None:
    outcome = outcomes[name]
    for record in (outcome.placed, outcome.answered):
        assert (record.status, record.code, record.transport) == (200, 0, transport)
        assert (record.bit_rate, record.encoding) == (rate, encoding)
        assert record.ecm is (name != "no ECM")
    document = DIALS[name].document
    assert outcome.placed.pages_confirmed == outcome.answered.pages_confirmed == len(pixels(document))
    stored = [folder / page.tiff for page in outcome.answered.pages]
    assert [page for path in stored for page in pixels(path.read_bytes())] == pixels(document)


@pytest.mark.parametrize(
    ("name", "status"), [("busy", 486), ("rejects", 603), ("unknown", 404), ("out of service", 503)]
)
def test_machines_that_refuse_the_call(outcomes: dict[str, Outcome], name: str, status: int) -> None:
    outcome = outcomes[name]
    assert (outcome.placed.status, outcome.answered.status) == (status, status)
    assert outcome.placed.code is None


def test_no_answer_rings_until_the_caller_gives_up(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["no answer"]
    assert outcome.placed.answered == outcome.answered.answered == ""
    assert outcome.seconds >= 3


def test_a_person_is_no_fax_and_hangs_up(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["person"]
    assert (outcome.placed.status, outcome.placed.transport, outcome.placed.pages_confirmed) == (200, "audio", 0)
    assert outcome.placed.ended_by == "remote"


def test_silence_lasts_until_the_caller_gives_up(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["silence"]
    assert (outcome.placed.status, outcome.placed.transport) == (200, "audio")
    assert outcome.answered.ended_by == "remote"


def test_hanging_up_after_page_1_leaves_one_page_confirmed(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["hangs up"]
    assert (outcome.placed.pages_confirmed, outcome.answered.pages_confirmed) == (1, 1)
    assert (outcome.placed.ended_by, outcome.placed.code) == ("remote", 49)


def test_dropping_in_mid_page_confirms_nothing(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["drops"]
    assert (outcome.placed.pages_confirmed, outcome.answered.pages_confirmed) == (0, 0)
    assert outcome.placed.code != 0


def test_the_silent_last_page_is_kept_and_never_confirmed(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["silent last page"]
    assert (outcome.placed.pages_confirmed, outcome.placed.code) == (0, 21)
    assert [page.confirmed for page in outcome.answered.pages] == [False]


def test_a_machine_for_standard_resolution_takes_no_fine_page(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["too fine"].placed.code == 11


def test_a_caller_can_hang_up_after_page_1(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["caller hangs up"]
    assert (outcome.placed.pages_confirmed, outcome.answered.pages_confirmed) == (1, 1)
    assert outcome.answered.ended_by == "remote"


def test_the_records_lie_in_the_folder(outcomes: dict[str, Outcome], folder: Path) -> None:
    records = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert len(records) == len(DIALS)
    good = next(record for record in records if record["number"] == "4930100")
    assert [line for line in good["trace"] if "MCF" in line[2]]
    assert good["remote_ident"] == "+493055500"
    index = (folder / "index.html").read_text()
    assert all((folder / page["png"]).read_bytes()[:4] == b"\x89PNG" for page in good["pages"])
    assert good["pages"][0]["png"] in index
    assert not list(folder.glob(".*"))


async def test_a_number_may_behave_differently_the_first_times(tmp_path: Path) -> None:
    park = Park(ParkConfig(tmp_path / "in", pace=0.1))
    caller = Park(ParkConfig(tmp_path / "out"))
    address = await park.start()
    await caller.start()
    statuses = []
    for _ in range(2):
        uri = f"sip:4930150@{address[0]}:{address[1]}"
        statuses.append((await caller.place(uri, address, ONE)).status)
    placing = asyncio.create_task(caller.place(uri, address, ONE))
    while not park.legs:  # noqa: ASYNC110 - the park has no event for it
        await asyncio.sleep(0.02)
    (leg,) = park.legs
    assert leg.record.behaviour == "busy twice"
    assert statuses == [486, 486]
    await park.stop()
    record = await placing
    assert (record.ended_by, record.status in (200, 480)) == ("remote", True)
    await caller.stop()


async def test_stopping_hangs_up(tmp_path: Path) -> None:
    park = Park(ParkConfig(tmp_path / "in", pace=0.0))
    caller = Park(ParkConfig(tmp_path / "out"))
    address = await park.start()
    await caller.start()
    answered = asyncio.create_task(caller.place(f"sip:00@{address[0]}:{address[1]}", address, ONE))
    ringing = asyncio.create_task(caller.place(f"sip:11@{address[0]}:{address[1]}", address, ONE))
    while not any(leg.record.answered for leg in caller.legs):  # noqa: ASYNC110 - the park has no event for it
        await asyncio.sleep(0.02)
    await park.stop()
    assert (await answered).ended_by == "remote"
    assert (await ringing).status == 480
    await caller.stop()
    assert {record.status for record in park.records} == {200, 480}


async def test_without_media_ports_a_call_is_refused(tmp_path: Path) -> None:
    """And the ports of a call that is over are free again."""
    ports = next(pair for pair in itertools.pairwise(free_ports(8)) if pair[0] % 2 == 0 and pair[1] == pair[0] + 1)
    park = Park(ParkConfig(tmp_path / "in", media_ports=ports))
    caller = Park(ParkConfig(tmp_path / "out"))
    address = await park.start()
    await caller.start()
    first = asyncio.create_task(caller.place(f"sip:11@{address[0]}:{address[1]}", address, ONE, give_up=5.0))
    while not park.legs:  # noqa: ASYNC110 - the park has no event for it
        await asyncio.sleep(0.02)
    assert (await caller.place(f"sip:10@{address[0]}:{address[1]}", address, ONE)).status == 503
    await first
    assert (await caller.place(f"sip:10@{address[0]}:{address[1]}", address, ONE)).status == 486
    await park.stop()
    await caller.stop()


def test_the_machines_are_told_apart_by_suffix_and_name() -> None:
    assert len({behaviour.name for behaviour in BEHAVIOURS.values()}) == len(BEHAVIOURS)
    assert all(behaviour.suffix == suffix for suffix, behaviour in BEHAVIOURS.items())
    assert all(set(behaviour.first) <= set(BEHAVIOURS) for behaviour in BEHAVIOURS.values())
    assert {behaviour.fax for behaviour in BEHAVIOURS.values()} == set(Fax)
