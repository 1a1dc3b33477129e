"""`python -m bench.office`: Office documents in a row through the warm LibreOffice, one of them killed in the middle.

Sixty ordinary documents of six kinds, three pages each where the kind has pages, as fine fax pages by the gateway's own
client in its sandbox. CPU is that of all processes beneath the page server, LibreOffice's included; memory that of
LibreOffice. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from bench.measure import cpu_of, descendants, finish, median, rss_of, say
from faxgw.document.client import PageClient
from faxgw.document.types import Document, PageSettings, Rendered
from tests.document import office_files as files

DOCUMENTS = 60
LINE = "The quick brown fox jumps over the lazy dog, and 0123456789 sheep look on without a word. "


def samples() -> list[tuple[str, bytes]]:
    page = [LINE * 4] * 8
    text = [*page, "\f", *page, "\f", *page]
    rows = [[f"article {at}", at, at * 1.19, "on stock"] for at in range(120)]
    return [
        ("letter.docx", files.docx(*text)),
        ("letter.odt", files.odt(*(page * 5))),
        ("letter.rtf", files.rtf(*text)),
        ("list.xlsx", files.xlsx(rows)),
        ("list.ods", files.ods(rows)),
        ("talk.pptx", files.pptx("One", "Two", "Three")),
    ]


def office_of(root: int) -> int | None:
    """Process id of the LibreOffice beneath a process."""
    for pid in descendants(root):
        if Path(f"/proc/{pid}/comm").read_text().strip() == "soffice.bin":
            return pid
    return None


async def convert(client: PageClient, name: str, data: bytes) -> bool:
    fd = os.memfd_create("document")
    try:
        os.write(fd, data)
        made = await client.render([Document(fd, name, size=len(data))])
    finally:
        os.close(fd)
    if isinstance(made, Rendered):
        made.close()
        return True
    say(f"{name}: {made.public}")
    return False


async def killed(client: PageClient, name: str, data: bytes) -> bool:
    """Convert a document, and kill the LibreOffice as soon as it works on it; true if a new one did it."""
    assert client.pid is not None
    victim = office_of(client.pid)
    assert victim is not None
    before = cpu_of(victim)
    work = asyncio.create_task(convert(client, name, data))
    while cpu_of(victim) <= before and not work.done():  # noqa: ASYNC110 - another process, it tells no event
        await asyncio.sleep(0.002)
    if work.done():
        raise SystemExit("the document was done before its LibreOffice could be killed")
    os.kill(victim, signal.SIGKILL)
    done = await work
    return done and office_of(client.pid) not in (None, victim)


async def measure(documents: int) -> dict[str, Any]:
    client = PageClient(PageSettings(children=1))
    await client.start()
    assert client.pid is not None
    try:
        kinds = samples()
        for name, data in kinds:
            await convert(client, name, data)  # warm
        failed, memory, walls = 0, [], []
        cpu, recovered = 0.0, False
        for number in range(documents):
            name, data = kinds[number % len(kinds)]
            if number == documents // 2:
                big = files.docx(*([LINE * 4] * 1_000))
                recovered = await killed(client, "long.docx", big)
                failed += not recovered
                for warm in kinds:
                    await convert(client, *warm)
                continue
            before, begun = sum(cpu_of(pid) for pid in descendants(client.pid)), time.perf_counter()
            failed += not await convert(client, name, data)
            walls.append(time.perf_counter() - begun)
            cpu += sum(cpu_of(pid) for pid in descendants(client.pid)) - before
            memory.append(rss_of(office_of(client.pid) or 0))
            if number % 10 == 9:
                say(f"{number + 1} documents, {memory[-1]:.0f} MB")
    finally:
        await client.close()
    return {
        "documents": documents,
        "failed": failed,
        "cpu_s_per_document": round(cpu / (documents - 1), 3),
        "wall_s_per_document": round(median(walls), 3),
        "rss_first_mb": round(memory[0]),
        "rss_last_mb": round(memory[-1]),
        "rss_top_mb": round(max(memory)),
        "killed_and_recovered": recovered,
    }


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.office", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="12 documents")
    options = parser.parse_args()
    finish("office", await measure(12 if options.quick else DOCUMENTS))


if __name__ == "__main__":
    asyncio.run(main())
