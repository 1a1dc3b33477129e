"""Received faxes: from the last page's MCF to the mail's 250, how fast and how well pages are read, barcodes found.

    python -m bench.receive [--calls 16] [--within 480] [--only calls|text|codes]

Calls: one text page from the simulator by T.38; the clock starts when the page is committed, just before its MCF
leaves, and stops when the mailbox has stored the mail. Then calls of three pages that are read: from the commit of
each page until its text is there, against the plain `tesseract` command, which reads the same pages right afterwards.
Text: pages set in two faces and three sizes, scanned (blurred, thresholded, with and without specks), at fine and
standard resolution, read by a page process and by the command in turn. Codes: symbols at random places of a page, by
size and resolution. Nothing waits without an end: a call that hangs is ended and counted, and on a busy machine fewer
calls are made (`mcf_to_250_calls`), fewer pages of text read (`ocr_pages`) and fewer kinds of codes looked for. Goals:
p99 below 1 s without reading; a page's text within 1.3 times of what the command takes; no more wrong letters than the
command at either resolution.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zxingcpp
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.measure import end, finish, median, percentile, say, workplace
from faxgw.document.client import PageClient
from faxgw.document.types import ReadOptions, Refused
from faxgw.fax.reading import Symbology
from faxgw.rig import CALLER, Rig, running

Black = npt.NDArray[np.bool_]
FACES = "/usr/share/fonts/truetype/liberation/Liberation{}-Regular.ttf"
WIDTH, ROWS = 1728, 2200
SPECKS = (0.0, 0.002)
"""Share of pixels that the line turned over."""
TEXT = (
    "Please find attached the signed agreement of 14 March 2026 between the supplier and the buyer. "
    "The total amount of EUR 12,849.75 is due within thirty days; late payment carries interest of 8.5 % per year. "
    "Goods remain our property until they are paid in full. Deliveries go to warehouse B-17, gate 3, 7:30 to 4 pm. "
    "Questions? Call Mrs. Quincy-Walker, phone +44 20 7946 0958, or write to accounts@example.org. "
    "The jury found the defendant guilty on two of six counts; sentencing was fixed for Friday. "
)
CODES = {
    Symbology.CODE128: ("Code128", "ACME-0815"),
    Symbology.CODE39: ("Code39", "ACME0815"),
    Symbology.EAN13: ("EAN13", "4006381333931"),
    Symbology.ITF: ("ITF", "12345678"),
    Symbology.QR: ("QRCode", "https://example.org/4711"),
    Symbology.DATAMATRIX: ("DataMatrix", "ACME-0815-4711"),
    Symbology.PDF417: ("PDF417", "ACME-0815-4711"),
}
SIZES = (8, 10, 12)
"""Points of the type."""
MODULES = (0.33, 0.5)
"""Millimetres of a code's narrowest bar."""
CALL_SECONDS = 180.0
"""Seconds on the clock after which a call is taken for hung. Calls take their time: a page of 34 lines has 50 kB, which
is half a minute at 14,400 bit/s."""
PLAIN_LINES = 6
"""Lines of the page that is not read: 8 kB, some five seconds."""
READ_LINES = 16
"""Lines of a page that is read."""
MAIL_SECONDS = 60.0
"""Seconds after the last call up to which its mail is waited for."""
READ_CALLS = 2
"""Calls whose pages are read, one after the other."""
READ_PAGES = 3
"""Pages of each."""


# ---------------------------------------------------------------------------------------------------------- pages


def scanned(drawn: Image.Image, seed: int, specks: float, standard: bool) -> Black:
    """A page drawn at 408 × 392 dots per inch as a scanner sees it and a line brings it."""
    grey = np.asarray(drawn.filter(ImageFilter.GaussianBlur(1.2)), dtype=np.float32)
    each = 4 if standard else 2
    rows = grey.shape[0] // each
    black: Black = grey[: rows * each].reshape(rows, each, WIDTH, 2).mean(axis=(1, 3)) < 150
    turned: Black = black ^ (np.random.default_rng(seed).random(black.shape) < specks)
    return turned


def letter(face: str, points: int, seed: int, most: int = 34) -> tuple[Image.Image, str]:
    """A page of text, and the text."""
    words = (TEXT * 8).split()
    first = random.Random(seed).randrange(len(words))
    words = words[first:] + words[:first]
    page = Image.new("L", (2 * WIDTH, 2 * ROWS), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(FACES.format(face), round(points / 72 * 400))
    lines: list[str] = []
    while len(lines) < most and words and (y := 300 + len(lines) * round(points * 1.45 / 72 * 392)) < 4_000:
        line = words.pop(0)
        while words and draw.textlength(f"{line} {words[0]}", font=font) < 2_900:
            line += " " + words.pop(0)
        draw.text((260, y), line, font=font, fill=0)
        lines.append(line)
    return page, " ".join(lines)


def coded(kind: Symbology, module_mm: float, seed: int, turn: int, specks: float, standard: bool) -> Black:
    """A page with one code."""
    name, text = CODES[kind]
    symbol = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, name)).to_image(
        scale=4, add_quiet_zones=True
    )
    image = Image.fromarray(np.asarray(symbol)).convert("L")
    scale = module_mm / 25.4 * 400 / 4
    image = image.resize(
        (round(image.width * scale), round(image.height * scale * 392 / 400)), Image.Resampling.BICUBIC
    )
    image = image.rotate(turn, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
    page, place = Image.new("L", (2 * WIDTH, 2 * ROWS), 255), random.Random(seed)
    page.paste(image, (place.randrange(100, 2 * WIDTH - image.width - 100), place.randrange(100, 2_000)))
    return scanned(page, seed, specks, standard)


def tiff(black: Black, standard: bool) -> bytes:
    """The page as the gateway keeps it: one strip of G4, metric resolution."""
    out = io.BytesIO()
    image = Image.fromarray(~black)
    image.save(
        out,
        "TIFF",
        compression="group4",
        tiffinfo={278: image.height, 282: 80.31, 283: 38.5 if standard else 77.0, 296: 3},
    )
    return out.getvalue()


def memory(octets: bytes) -> int:
    descriptor = os.memfd_create("page")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(octets)
    return descriptor


# ----------------------------------------------------------------------------------------------------------- text


def error_rate(meant: str, found: str) -> float:
    """Levenshtein's distance over the length of what was meant, per cent; spaces and lines as single spaces."""
    one, other = (np.frombuffer(" ".join(t.split()).encode("utf-32-le"), np.uint32) for t in (meant, found))
    places = np.arange(len(other) + 1)
    row = places.copy()
    for count, c in enumerate(one, 1):
        cheapest = np.minimum(row[:-1] + (other != c), row[1:] + 1)
        row = np.minimum.accumulate(np.concatenate(([count], cheapest)) - places) + places
    return 100.0 * int(row[-1]) / len(one)


def command(black: Black, standard: bool, folder: Path) -> tuple[str, float]:
    """What `tesseract page.tif -` says, and its seconds."""
    page = folder / "page.tif"
    Image.fromarray(~black).save(page, compression="group4", dpi=(204, 98 if standard else 196))
    began = time.perf_counter()
    done = subprocess.run(
        ["tesseract", str(page), "-", "-l", "eng"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
    )
    return done.stdout, time.perf_counter() - began


async def texts(client: PageClient, folder: Path, sizes: Sequence[int], until: float) -> dict[str, Any]:
    """CER and seconds of a page, of both; the two take turns, so that both see the same machine."""
    cases = [(p, s, f) for p in sizes for s in SPECKS for f in ("Sans", "Serif")]
    mine, plain = list[float](), list[float]()
    ours: dict[bool, list[float]] = {False: [], True: []}
    theirs: dict[bool, list[float]] = {False: [], True: []}
    for seed, (points, specks, face) in enumerate(sorted(cases, key=lambda case: (case[2], -case[1], case[0]))):
        if seed and time.monotonic() > until:
            say(f"time is up after {len(mine)} pages")
            break
        drawn, meant = letter(face, points, seed)
        for standard in (False, True):
            black = scanned(drawn, seed, specks, standard)
            page = memory(tiff(black, standard))
            began = time.perf_counter()
            found = await client.read(page, ReadOptions(1, ("eng",)))
            mine.append(time.perf_counter() - began)
            os.close(page)
            assert not isinstance(found, Refused), found
            said, seconds = await asyncio.to_thread(command, black, standard, folder)
            plain.append(seconds)
            ours[standard].append(error_rate(meant, found.text))
            theirs[standard].append(error_rate(meant, said))
            say(
                f"{'standard' if standard else 'fine':8} {face:5} {points:2} pt, specks {specks:5}: "
                f"{ours[standard][-1]:5.2f} % in {mine[-1]:.2f} s, "
                f"tesseract {theirs[standard][-1]:5.2f} % in {seconds:.2f} s"
            )
    result: dict[str, Any] = {"ocr_pages": len(mine)}
    for standard, name in ((False, "fine"), (True, "standard")):
        result[f"ocr_cer_{name}"] = round(sum(ours[standard]) / len(ours[standard]), 2)
        result[f"tesseract_cer_{name}"] = round(sum(theirs[standard]) / len(theirs[standard]), 2)
    result["ocr_pages_per_s"] = round(len(mine) / sum(mine), 2)
    result["tesseract_pages_per_s"] = round(len(plain) / sum(plain), 2)
    ratios = [one / other for one, other in zip(mine, plain, strict=True)]
    result["read_vs_tesseract_p50"] = round(median(ratios), 2)
    result["read_vs_tesseract_worst"] = round(max(ratios), 2)
    return result


async def codes(client: PageClient, modules: Sequence[float], until: float) -> dict[str, Any]:
    """Share found of each kind, by resolution and size, turned by 0, 90, 180 and 2 degrees."""
    table: dict[str, dict[str, float]] = {}
    for kind, (_name, text) in CODES.items():
        if table and time.monotonic() > until:
            say(f"time is up before {kind.value}")
            break
        for standard in (False, True):
            for module in modules:
                found = list[bool]()
                for seed, turn in enumerate((0, 90, 180, 2)):
                    black = coded(kind, module, seed, turn, 0.001, standard)
                    page = memory(tiff(black, standard))
                    reading = await client.read(page, ReadOptions(1, barcodes=True))
                    os.close(page)
                    assert not isinstance(reading, Refused), reading
                    found.append(any(code.kind is kind and code.text.strip("*") == text for code in reading.barcodes))
                cell = f"{'standard' if standard else 'fine'} {module} mm"
                table.setdefault(kind.value, {})[cell] = round(100 * sum(found) / len(found))
        say(f"{kind.value:10} {table[kind.value]}")
    return {"barcodes_found_percent": table}


# ---------------------------------------------------------------------------------------------------------- calls


async def call(number: str, port: int, document: Path, caller: str) -> int:
    """A simulated machine sends us a document; its exit status, or -1 when it was ended because it hung."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.simulator",
        "--received", str(document.with_suffix("")),
        "--call", f"sip:{number}@127.0.0.1:{port}",
        "--file", str(document),
        "--from", caller,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(CALL_SECONDS):
            said, _ = await process.communicate()
            if process.returncode:
                say(f"{caller}: {said.decode(errors='replace')[-300:]}")
            return process.returncode or 0
    except TimeoutError:
        return -1
    finally:
        await end(process)


async def mails(rig: Rig, count: int) -> dict[str, float]:
    """When each fax's mail was stored, once there are so many, or time is up."""
    until = time.monotonic() + MAIL_SECONDS
    while True:
        stored = {m.message["X-Fax-Id"]: m.path.stat().st_mtime for m in rig.mailbox.mails()}
        if len(stored) >= count or time.monotonic() > until:
            return stored
        await asyncio.sleep(0.2)


async def plain_calls(folder: Path, calls: int, until: float) -> dict[str, Any]:
    """From the commit of the only page to the mail in the mailbox, of each call; two at a time."""
    drawn, _text = letter("Sans", 10, 1, PLAIN_LINES)
    document, made, failed = folder / "fax.tif", 0, 0
    await asyncio.to_thread(folder.mkdir, parents=True)
    await asyncio.to_thread(document.write_bytes, sent([scanned(drawn, 1, 0.0, False)]))
    async with running(folder) as rig:
        port = int(str(rig.daemon.status()["sip_port"]))
        while made < calls and (not made or time.monotonic() < until):  # two at a time: a quiet machine, not a busy one
            ended = await asyncio.gather(*(call(CALLER, port, document, f"+49895550{made + k:02}") for k in (0, 1)))
            made, failed = made + 2, failed + sum(map(bool, ended))
        stored = await mails(rig, made - failed)
        kept, routed = await asyncio.to_thread(moments, rig.data / "faxgw.db")
    whole = [stored[fax] - at for fax, at in kept.items() if fax in stored]
    return {
        **summary("mcf_to_250", whole),
        **summary("mcf_to_routed", [routed[fax] - at for fax, at in kept.items() if fax in routed]),
        "mcf_to_250_calls": len(whole),
        "calls_failed": failed,
    }


async def read_calls(folder: Path, calls: int, until: float) -> dict[str, Any]:
    """From the commit of each page to its text, against the plain command; and to the mail of the whole fax."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    document, ratios, made, failed = folder / "fax.tif", list[float](), 0, 0
    async with running(folder, values={"ocr": True, "barcodes": True}) as rig:
        port, database = int(str(rig.daemon.status()["sip_port"])), rig.data / "faxgw.db"
        known: set[tuple[str, int]] = set()
        while made < calls and (not made or time.monotonic() < until):
            seeds = range(READ_PAGES * made, READ_PAGES * made + READ_PAGES)
            pages = [scanned(letter("Sans", 11, seed, READ_LINES)[0], seed, 0.0, False) for seed in seeds]
            await asyncio.to_thread(document.write_bytes, sent(pages))
            failed += bool(await call(CALLER, port, document, f"+49895551{made:02}"))
            made += 1
            await mails(rig, made - failed)
            took = await asyncio.to_thread(readings, database)
            for (fax, page), seconds in sorted(took.items()):
                if (fax, page) not in known:
                    _said, plain = await asyncio.to_thread(command, pages[page - 1], False, folder)
                    ratios.append(seconds / plain)
                    say(f"page {page}: its text {seconds:.2f} s after it was kept; tesseract takes {plain:.2f} s")
            known |= took.keys()
        stored = await mails(rig, made - failed)
        kept, _routed = await asyncio.to_thread(moments, database)
    return {
        **summary("mcf_to_250_read", [stored[fax] - at for fax, at in kept.items() if fax in stored]),
        "ocr_time_vs_tesseract": round(median(ratios), 2),
        "ocr_time_vs_tesseract_worst": round(max(ratios, default=0.0), 2),
        "ocr_time_pages": len(ratios),
        "calls_read_failed": failed,
    }


def moments(database: Path) -> tuple[dict[str, float], dict[str, float]]:
    """When the last page of each fax was committed, and when its deliveries were."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        pages = connection.execute("SELECT reception, max(at) FROM reception_pages GROUP BY reception").fetchall()
        routed = connection.execute("SELECT entity, min(at) FROM events WHERE what = 'reception.routed' GROUP BY 1")
        return dict(pages), dict(routed.fetchall())


def readings(database: Path) -> dict[tuple[str, int], float]:
    """Seconds from a page's being kept to its text."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT reception, page, done_at - asked_at FROM readings WHERE state = 'read'")
        return {(fax, page): seconds for fax, page, seconds in found}


def sent(pages: Sequence[Black]) -> bytes:
    """Pages as the simulator sends them."""
    out = io.BytesIO()
    first, *rest = [Image.fromarray(~black) for black in pages]
    first.save(
        out,
        "TIFF",
        compression="group4",
        dpi=(204, 196),
        tiffinfo={278: first.height},
        save_all=True,
        append_images=rest,
    )
    return out.getvalue()


def summary(name: str, seconds: Sequence[float]) -> dict[str, Any]:
    """Median and worst but one of a hundred, in milliseconds; None where there is nothing."""
    if not seconds:
        return {f"{name}_p50_ms": None, f"{name}_p99_ms": None}
    return {
        f"{name}_p50_ms": round(1000 * median(seconds)),
        f"{name}_p99_ms": round(1000 * percentile(seconds, 0.99)),
    }


async def main() -> None:
    """All of it, or a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=16)
    parser.add_argument("--within", type=float, default=480.0, help="seconds after which nothing more is begun")
    parser.add_argument("--quick", action="store_true", help="four calls, one of them read, few pages and codes")
    parser.add_argument("--only", choices=("calls", "text", "codes"))
    arguments = parser.parse_args()
    quick, only, within, began = arguments.quick, arguments.only, arguments.within, time.monotonic()
    result: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="receive-", dir=workplace()))
    try:
        if only in (None, "calls"):
            result |= await plain_calls(folder / "plain", 4 if quick else arguments.calls, began + 0.4 * within)
            say(str(result))
            result |= await read_calls(folder / "read", 1 if quick else READ_CALLS, began + 0.6 * within)
            say(str(result))
        client = PageClient()
        await client.start()
        try:
            if only in (None, "text"):
                result |= await texts(client, folder, SIZES[1:2] if quick else SIZES, began + 0.8 * within)
            if only in (None, "codes"):
                result |= await codes(client, MODULES[1:] if quick else MODULES, began + within)
        finally:
            await client.close()
    finally:
        shutil.rmtree(folder)
    finish("receive", result)


if __name__ == "__main__":
    asyncio.run(main())
