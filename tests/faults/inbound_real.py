"""Received faxes under kill over the real line: SIP, T.38 and G.711 from machines that live on when the gateway dies.

In each life ten machines call at once, each with several pages, most over T.38, some over G.711, some without error
correction. At a random moment the gateway gets SIGKILL, alone or with everything below it, and is started again; the
next ten call. What the machines' own records say to be confirmed is the witness. At the end everything is drained and
measured: the rules of `checker`, and three of its own, named R.

R1  the octets of a delivered page are those of the page that was kept;
R2  no fax is delivered under two Message-IDs, and no page stands in two faxes of which the later does not name the
    earlier;
R3  every machine has its record.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any  # records are JSON

from PIL import Image
from pypdf import PdfReader

from tests.faults import watermark
from tests.faults.checker import Violation
from tests.faults.real_world import RealWorld
from tests.faults.scripted_callers import OUR_NUMBER, OWNER

LIVES = 5
"""Kills before a world is drained and measured."""
CALLS = 10
"""Machines that call in one life."""
PAGES = (3, 5)
"""Pages of each, at least and at most."""
INK = 40
"""Rows of noise on each page: some four kilobytes, three seconds of V.17."""
AFTER_A_PAGE = 0.8
"""Share of the kills that fall after the first page of a life was kept; the others fall after its calls began."""
LONGEST = 15.0
"""Seconds after that in which the kill falls; five pages take a little longer."""
ANSWERED_WITHIN = 180.0
"""Seconds in which all machines of a life are answered, or have given up."""
OVER_WITHIN = 240.0
"""Seconds in which the machines' last calls are over."""
LINES = (("01", "waits"), ("01", "waits"), ("01", "offers"), ("41", "waits"), ("01", "refuses"))
"""Machine and T.38 of the callers, in turn: three with error correction over T.38, one without, one over G.711."""
_MIRRORED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
"""Each octet with its bits the other way round."""
FIRST = 200_001
"""Watermark of the first fax."""


@dataclass(slots=True)
class Calls:
    """The machines, and what they have noted."""

    process: asyncio.subprocess.Process
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Call → the machine's own record, once it is over."""
    placed: dict[str, int] = field(default_factory=dict)
    """Call → pages of its document."""
    reader: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, folder: Path) -> Calls:
        """Start the machines' process."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.calling_park", str(folder),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 22,
        )  # fmt: skip
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline()) == {"id": ""}
        calls = cls(process)
        calls.reader = asyncio.create_task(calls._read())
        return calls

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            self.records[said["id"]] = said["record"]

    def place(self, name: str, pages: int, **plan: object) -> None:
        """Let a machine call."""
        assert self.process.stdin is not None
        self.placed[name] = pages
        self.process.stdin.write((json.dumps({"id": name, **plan}) + "\n").encode())

    async def over(self) -> None:
        """Wait until every machine has hung up."""
        assert self.process.stdin is not None
        assert self.reader is not None
        self.process.stdin.close()
        async with asyncio.timeout(OVER_WITHIN):
            await self.process.wait()
            await self.reader

    async def end(self) -> None:
        """Stop the process, if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self.reader is not None:
            await self.reader


@dataclass(slots=True)
class Received:
    """What was run and found."""

    kills: int = 0
    calls: int = 0
    answered: int = 0
    """Calls that the gateway answered."""
    over_g711: int = 0
    pages_confirmed: int = 0
    """To the machines, by their own records."""
    faxes_delivered: int = 0
    pages_delivered: int = 0
    mails_repeated: int = 0
    """Mails that arrived more than once under their one Message-ID: the gateway died between 250 and its note."""
    during: list[int] = field(default_factory=list)
    """Calls that stood at each kill."""
    violations: list[Violation] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """All numbers of it, those of calls that stood at a kill together."""
        numbers = {name: value for name in self.__slots__ if isinstance(value := getattr(self, name), int)}
        return {**numbers, "calls_standing_at_kills": sum(self.during)}


async def kills(world: RealWorld, count: int, random_: random.Random, calls: int = CALLS) -> Received:
    """Kill the gateway so many times while machines send, drain, and measure."""
    found = Received()
    machines = await Calls.start(world.folder / "machines")
    try:
        for _ in range(count):
            await world.start()
            await _life(world, machines, random_, found, calls)
        await world.start()
        await machines.over()
        await world.drain(world.hand_in([]))
        assert await world.stop() == 0, world.log_tail()
    finally:
        await machines.end()
    _note(world, machines, found)
    found.violations = [*world.check(), *_check(world, machines)]
    return found


async def _life(world: RealWorld, machines: Calls, random_: random.Random, found: Received, calls: int) -> None:
    mine = []
    for place in range(calls):
        number, pages = FIRST + len(machines.placed), random_.randint(*PAGES)
        machine, t38 = LINES[place % len(LINES)]
        path = world.folder / "machines" / f"{number}.tif"
        document = await asyncio.to_thread(watermark.document, number, pages, INK)
        await asyncio.to_thread(path.write_bytes, document)
        mine.append(str(number))
        machines.place(
            str(number), pages, uri=f"sip:{OUR_NUMBER}@127.0.0.1:{world.own_sip}", host="127.0.0.1",
            port=world.own_sip, file=str(path), caller=f"+498955{number}", machine=machine, t38=t38,
        )  # fmt: skip
    await _answered(world, mine, machines)
    if random_.random() < AFTER_A_PAGE:
        callers = ", ".join(f"'+498955{name}'" for name in mine)
        await world.until(
            f"SELECT 1 FROM reception_pages JOIN receptions ON id = reception WHERE caller IN ({callers})"
        )
    await asyncio.sleep(random_.uniform(0.0, LONGEST))
    found.during.append(sum(name not in machines.records for name in mine))
    await world.kill(children=random_.random() < 0.7)
    found.kills += 1


async def _answered(world: RealWorld, names: list[str], machines: Calls) -> None:
    """Wait until each machine was answered, or is done."""
    callers = ", ".join(f"'+498955{name}'" for name in names)
    query = f"SELECT caller FROM receptions WHERE answered_at IS NOT NULL AND caller IN ({callers})"
    async with asyncio.timeout(ANSWERED_WITHIN):
        while True:
            answered = {row[0].removeprefix("+498955") for row in world.ask(query)}
            if all(name in answered or name in machines.records for name in names):
                return
            await asyncio.sleep(0.05)


def _note(world: RealWorld, machines: Calls, found: Received) -> None:
    """Write down what was confirmed, for the checker and for the reader."""
    found.calls = len(machines.placed)
    for name, record in machines.records.items():
        found.answered += bool(record["answered"])
        found.over_g711 += record["transport"] == "g711"
        found.pages_confirmed += record["pages_confirmed"]
        hashes = watermark.pixel_hashes((world.folder / "machines" / f"{name}.tif").read_bytes())
        for page in range(1, record["pages_confirmed"] + 1):
            world.note_confirmed(name, page, hashes[page - 1])
    mails = [mail for mail in (stored.message for stored in world.mailbox.mails()) if mail["Delivered-To"] == OWNER]
    names = {str(mail["Message-ID"]) for mail in mails}
    found.faxes_delivered, found.mails_repeated = len(names), len(mails) - len(names)
    found.pages_delivered = sum(map(len, world.delivered_faxes()))


def _check(world: RealWorld, machines: Calls) -> Iterator[Violation]:
    for name in machines.placed.keys() - machines.records.keys():
        yield Violation("R3", f"machine {name} has no record")
    kept: dict[str, list[bytes]] = defaultdict(list)
    for reception, key in world.ask("SELECT reception, key FROM reception_pages ORDER BY reception, page"):
        kept[reception].append(_strips((world.data / key).read_bytes()))
    under: dict[str, set[str]] = defaultdict(set)
    stands: dict[str, str] = {}
    for stored in world.mailbox.mails():
        mail = stored.message
        if mail["Delivered-To"] != OWNER:
            continue
        fax, document = str(mail["X-Fax-Id"]), _document(mail)
        under[fax].add(str(mail["Message-ID"]))
        if _coded(document) != kept[fax]:
            yield Violation("R1", f"the pages of {fax} are not those that were kept")
        body = mail.get_body(("plain",))
        said = str(body.get_content()) if body is not None else ""
        for page in watermark.pixel_hashes(document):
            earlier = stands.setdefault(page, fax)
            if earlier != fax and earlier not in said:
                yield Violation("R2", f"a page of {earlier} is delivered again by {fax}, which does not say so")
    for fax, names in under.items():
        if len(names) > 1:
            yield Violation("R2", f"{fax} was delivered as {len(names)} mails")


def _document(mail: EmailMessage) -> bytes:
    (part,) = [part for part in mail.iter_attachments() if part.get_content_type() == "application/pdf"]
    content = part.get_content()
    assert isinstance(content, bytes)
    return content


def _coded(document: bytes) -> list[bytes]:
    """The coded octets of each page of a PDF, as they stand in it."""
    found = []
    for page in PdfReader(io.BytesIO(document)).pages:
        (image,) = page["/Resources"]["/XObject"].values()  # type: ignore[index]
        stream: Any = image.get_object()
        assert stream["/Filter"] in ("/CCITTFaxDecode", ["/CCITTFaxDecode"])
        found.append(bytes(stream._data))
    return found


def _strips(tiff: bytes) -> bytes:
    """The coded octets of a page file, the most significant bit first, as a PDF has them (TIFF 6.0, FillOrder)."""
    with Image.open(io.BytesIO(tiff)) as image:
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
    octets = b"".join(tiff[at : at + size] for at, size in zip(tags[273], tags[279], strict=True))
    return octets.translate(_MIRRORED) if tags.get(266, 1) == 2 else octets
