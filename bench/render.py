"""`python -m bench.render`: documents to fax pages, through our warm page processes, beside Ghostscript and poppler.

Each document goes in turn through our PageClient (sandboxed, warm; PDF to G4 with our own TIFF), `gs tiffg4` and
`pdftoppm -mono` (which does not compress), `rounds` times; fine resolution, 204 x 196. CPU is that of the working
processes and their children, read before and after. Then how like the pages are: similarity of pictures to poppler's
smooth grey drawing, and character errors of small text (bench.likeness), ours and Ghostscript's.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from PIL import Image
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from bench import likeness
from bench.measure import cpu_of, descendants, finish, median, rss_of, say, workplace
from faxgw.document.client import PageClient
from faxgw.document.types import Document, Kind, PageSettings, Rendered, RenderOptions, Resolution

ROUNDS = 5
TEXT = "the quick brown fox jumps over the lazy dog and writes a letter about fax machines to everybody"
WORDS = TEXT.split()
GS = ("-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=tiffg4", "-r204x196", "-sPAPERSIZE=a4")


@dataclass(frozen=True, slots=True)
class Sample:
    """A document of the set."""

    name: str
    pages: int
    pdf: bytes
    times: int = 1
    """How often in a row it is measured as one: the system counts CPU in ticks of 10 ms."""


def line(source: random.Random) -> str:
    return " ".join(source.choice(WORDS) for _ in range(14))


def letter(pages: int, size: int, step: int) -> bytes:
    out, source = io.BytesIO(), random.Random(1)
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for page in range(pages):
        canvas.setFont("Helvetica", size)
        for row in range(int(700 / step)):
            canvas.drawString(60, 780 - row * step, line(source)[: int(950 / size)])
        canvas.setFont("Helvetica", 7)
        canvas.drawString(60, 30, f"Page {page + 1} of {pages}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def photos(pages: int) -> bytes:
    """Two full-width 300 dpi pictures a page: 1/f noise with a little grain."""
    out, source = io.BytesIO(), numpy.random.default_rng(1)
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for _ in range(pages):
        for top in (430, 40):
            picture = numpy.zeros((1400, 2100))
            for size in (4, 16, 64, 256):
                small = Image.fromarray(source.random((size, size)).astype("float32"))
                picture += numpy.asarray(small.resize((2100, 1400), Image.Resampling.BICUBIC)) / size**0.5
            picture = 255 * (picture - picture.min()) / (picture.max() - picture.min())
            picture += source.normal(0, 4, picture.shape)
            jpeg = io.BytesIO()
            Image.fromarray(picture.clip(0, 255).astype("uint8")).save(jpeg, "JPEG", quality=85)
            canvas.drawImage(ImageReader(jpeg), 45, top, 505, 337)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def table(pages: int) -> bytes:
    out, source = io.BytesIO(), random.Random(2)
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for _ in range(pages):
        canvas.setFont("Helvetica", 8)
        for row in range(60):
            y = 790 - 12.5 * row
            if row % 2:
                canvas.setFillColor(colors.Color(0.9, 0.9, 0.9))
                canvas.rect(40, y - 3, 515, 12.5, stroke=0, fill=1)
            canvas.setFillColor(colors.black)
            for column in range(6):
                canvas.drawString(44 + 86 * column, y, f"{source.randrange(10**7):,}")
        canvas.setLineWidth(0.25)
        for column in range(7):
            canvas.line(40 + 86 * column, 50, 40 + 86 * column, 800)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def mixed(pages: int) -> bytes:
    """A brochure's page: heading in colour, text, a photo half as wide as the page, a small table on a light panel.

    Its faces are embedded: of those that are not, each program draws its own, and likeness would be that of the faces.
    """
    likeness.embed_faces()
    out, source = io.BytesIO(), random.Random(3)
    canvas = Canvas(out, pagesize=A4, invariant=True)
    noise = numpy.random.default_rng(3)
    for _ in range(pages):
        canvas.setFillColor(colors.Color(0.75, 0.1, 0.1))
        canvas.setFont("Sans", 18)
        canvas.drawString(60, 780, "Quarterly report of the fax gateway")
        canvas.setFillColor(colors.black)
        canvas.setFont("Serif", 10)
        for row in range(24):
            canvas.drawString(60, 750 - 13 * row, line(source)[:95])
        picture = numpy.zeros((700, 1050))
        for size in (4, 16, 64, 256):
            small = Image.fromarray(noise.random((size, size)).astype("float32"))
            picture += numpy.asarray(small.resize((1050, 700), Image.Resampling.BICUBIC)) / size**0.5
        picture = 255 * (picture - picture.min()) / (picture.max() - picture.min()) + noise.normal(0, 4, picture.shape)
        jpeg = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(jpeg, "JPEG", quality=85)
        canvas.drawImage(ImageReader(jpeg), 60, 250, 252, 168)
        canvas.setFillColor(colors.Color(0.88, 0.88, 0.88))
        canvas.rect(60, 60, 475, 160, stroke=0, fill=1)
        canvas.setFillColor(colors.black)
        canvas.setFont("Sans", 8)
        for row in range(12):
            canvas.drawString(70, 205 - 12 * row, f"{line(source)[:60]}   {source.randrange(10**6):,}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def samples(quick: bool) -> list[Sample]:
    few = 4 if quick else 1
    return [
        Sample("a_letter", 1, letter(1, 11, 18), 20 // few),
        Sample("b_text", 20 // few, letter(20 // few, 10, 12)),
        Sample("c_photos", 10 // few, photos(10 // few)),
        Sample("d_table", 50 // few, table(50 // few)),
        Sample("e_mixed", 4 // few, mixed(4 // few)),
    ]


# ------------------------------------------------------------------------------------------------------------ ways


@dataclass(slots=True)
class Run:
    """What one way needed for one document."""

    cpu: float
    wall: float
    rss: float
    octets: int
    pages: int


async def ours(client: PageClient, sample: Sample) -> Run:
    assert client.pid is not None
    fd = os.memfd_create("document")
    os.write(fd, sample.pdf)
    top = 0.0

    async def watch() -> None:
        nonlocal top
        while True:
            top = max(top, *(rss_of(pid) for pid in descendants(client.pid or 0)))
            await asyncio.sleep(0.01)

    watcher = asyncio.create_task(watch())
    # Children that end are counted by the parent that waited for them: cpu_of has both.
    before, begun = sum(map(cpu_of, descendants(client.pid))), time.perf_counter()
    for _ in range(sample.times):
        rendered = await client.render([Document(fd, "a.pdf", kind=Kind.PDF, size=len(sample.pdf))], RenderOptions())
        if not isinstance(rendered, Rendered):
            raise SystemExit(f"{sample.name} was refused: {rendered}")
        octets, pages = sum(page.octets for page in rendered.pages), len(rendered.pages)
        rendered.close()
    wall = (time.perf_counter() - begun) / sample.times
    used = (sum(map(cpu_of, descendants(client.pid))) - before) / sample.times
    watcher.cancel()
    os.close(fd)
    return Run(used, wall, top, octets, pages)


async def program(folder: Path, sample: Sample, *command: str) -> Run:
    """Run a converter to its end; its results lie in `folder/out`."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    top = 0.0
    for _ in range(sample.times):
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        while process.returncode is None:
            top = max(top, rss_of(process.pid))
            await asyncio.sleep(0.005)
        if process.returncode:
            raise SystemExit(f"{command[0]} failed with {process.returncode}")
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), (time.perf_counter() - begun) / sample.times
    used = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / sample.times
    return Run(used, wall, top, sum(path.stat().st_size for path in out.iterdir()), sample.pages)


async def measure(quick: bool, rounds: int) -> dict[str, Any]:
    for tool in ("gs", "pdftoppm", "tesseract"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing: apt install ghostscript poppler-utils tesseract-ocr")
    client = PageClient(PageSettings(children=1))
    await client.start()
    found: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory(dir=workplace()) as name:
            folder = Path(name)
            for sample in samples(quick):
                found[sample.name] = await one(client, folder, sample, rounds)
                say(f"{sample.name}: {found[sample.name]}")
            liked = await quality(client, folder, quick)
    finally:
        await client.close()
    return {**summary(found), **liked, "documents": found}


async def our_pages(client: PageClient, pdf: bytes, resolution: Resolution) -> list[likeness.Page]:
    fd = os.memfd_create("document")
    os.write(fd, pdf)
    options = RenderOptions(resolution=resolution)
    rendered = await client.render([Document(fd, "a.pdf", kind=Kind.PDF, size=len(pdf))], options)
    os.close(fd)
    if not isinstance(rendered, Rendered):
        raise SystemExit(f"refused: {rendered}")
    octets = os.pread(rendered.fd, os.fstat(rendered.fd).st_size, 0)
    rendered.close()
    return likeness.pages_of(octets)


async def squashed(client: PageClient, pdf: bytes) -> list[likeness.Page]:
    """Pages made for fine, two rows put together: what a machine without fine gets if they are not rendered again."""
    pages = await our_pages(client, pdf, Resolution.FINE)
    return [numpy.minimum(page[0::2], page[1::2]) for page in pages]


async def gs_pages(folder: Path, pdf: bytes, resolution: str) -> list[likeness.Page]:
    (folder / "in.pdf").write_bytes(pdf)
    out = folder / "gs.tif"
    command = [resolution if word.startswith("-r") else word for word in GS]
    process = await asyncio.create_subprocess_exec("gs", *command, f"-sOutputFile={out}", str(folder / "in.pdf"))
    if await process.wait():
        raise SystemExit("gs failed")
    return likeness.pages_of(out.read_bytes())


def original(pdf: bytes, rows_per_inch: float) -> likeness.Page:
    """The first page in grey, each pixel the mean of 16 that poppler draws: the yardstick of likeness."""
    finer = ("-rx", str(4 * 204), "-ry", str(4 * rows_per_inch))
    drawn = subprocess.run(("pdftoppm", "-gray", "-l", "1", *finer, "-"), input=pdf, capture_output=True, check=True)
    with Image.open(io.BytesIO(drawn.stdout)) as image:
        grey = numpy.asarray(image.convert("L").reduce(4))[:, : likeness.COLUMNS]
    return numpy.pad(grey, ((0, 0), (0, likeness.COLUMNS - grey.shape[1])), constant_values=255)


async def quality(client: PageClient, folder: Path, quick: bool) -> dict[str, Any]:
    """Likeness of pictures and legibility of small text, ours beside Ghostscript's."""
    found: dict[str, Any] = {}
    for name, pdf in (("photo", photos(1)), ("mixed", mixed(1))):
        # T.4 has 7.7 rows a millimetre, which are 195.58 an inch; Ghostscript was asked for 196
        ways = {
            "": (195.58, await our_pages(client, pdf, Resolution.FINE)),
            "_ghostscript": (196, await gs_pages(folder, pdf, "-r204x196")),
        }
        for way, (rows_per_inch, pages) in ways.items():
            seen = original(pdf, rows_per_inch)
            found[f"{name}_similarity{way}"] = round(likeness.similarity(seen, pages[0]), 4)
            near = likeness.similarity(seen, pages[0], likeness.NEAR_SIGMA)
            found[f"{name}_similarity_near{way}"] = round(near, 4)
    sizes = ((8, "standard"),) if quick else ((6, "fine"), (8, "fine"), (8, "standard"), (10, "standard"))
    for size, resolution in sizes:
        pdf, texts = likeness.text_document(size, 2)
        standard = resolution == "standard"
        mine = await our_pages(client, pdf, Resolution.STANDARD if standard else Resolution.FINE)
        theirs = await gs_pages(folder, pdf, "-r204x98" if standard else "-r204x196")
        for way, pages in (("", mine), ("_ghostscript", theirs)):
            rate = await asyncio.to_thread(likeness.error_rate, pages, texts, standard)
            found[f"cer_{size}pt_{resolution}{way}"] = round(rate, 3)
        if standard:
            rate = await asyncio.to_thread(likeness.error_rate, await squashed(client, pdf), texts, standard)
            found[f"cer_{size}pt_{resolution}_squashed"] = round(rate, 3)
        found[f"characters_{size}pt"] = sum(map(len, texts))
        say(f"{size} pt at {resolution}: {found}")
    return found


def summary(documents: dict[str, Any]) -> dict[str, Any]:
    def ratio(name: str, what: str) -> float:
        return round(float(documents[name]["faxgw"][what] / documents[name]["gs_tiffg4"][what]), 3)

    return {
        "text_ms_per_page": round(1000 / documents["b_text"]["faxgw"]["pages_per_cpu_s"], 1),
        "text_cpu_vs_ghostscript": round(1 / documents["b_text"]["faxgw_to_gs"], 2),
        "one_page_speed_vs_ghostscript": documents["a_letter"]["faxgw_to_gs"],
        "one_page_wall_vs_ghostscript": round(1 / ratio("a_letter", "wall_s"), 2),
        "text_bytes_vs_ghostscript": ratio("b_text", "octets"),
        "photo_line_seconds_vs_ghostscript": ratio("c_photos", "octets"),
        "mixed_line_seconds_vs_ghostscript": ratio("e_mixed", "octets"),
    }


async def one(client: PageClient, folder: Path, sample: Sample, rounds: int) -> dict[str, Any]:
    pdf = folder / "in.pdf"
    pdf.write_bytes(sample.pdf)
    out = folder / "out"
    runs: dict[str, list[Run]] = {"faxgw": [], "gs_tiffg4": [], "pdftoppm_mono": []}
    await ours(client, sample)  # warm
    for _ in range(rounds):
        runs["faxgw"].append(await ours(client, sample))
        runs["gs_tiffg4"].append(await program(folder, sample, "gs", *GS, f"-sOutputFile={out}/a.tif", str(pdf)))
        poppler = ("pdftoppm", "-mono", "-rx", "204", "-ry", "196", str(pdf), f"{out}/a")
        runs["pdftoppm_mono"].append(await program(folder, sample, *poppler))
    assert all(run.pages == sample.pages for run in runs["faxgw"])
    shown: dict[str, Any] = {"pages": sample.pages}
    for way, several in runs.items():
        shown[way] = {
            "pages_per_cpu_s": round(sample.pages / max(0.001, median([run.cpu for run in several])), 1),
            "wall_s": round(median([run.wall for run in several]), 3),
            "rss_mb": round(median([run.rss for run in several])),
            "octets": round(median([run.octets for run in several])),
        }
    ratio = shown["faxgw"]["pages_per_cpu_s"] / shown["gs_tiffg4"]["pages_per_cpu_s"]
    return {**shown, "faxgw_to_gs": round(ratio, 2)}


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.render", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the pages, one round")
    options = parser.parse_args()
    rounds = 1 if options.quick else ROUNDS
    found = await measure(options.quick, rounds)
    finish("render", {"rounds": rounds, "resolution": "204x196", **found})


if __name__ == "__main__":
    asyncio.run(main())
