"""PostScript and PCL to PDF, by Ghostscript and GhostPCL, where they are installed and switched on.

Both are programs with many faults behind them, and their languages are programs too: each document has a process of
its own (`document.printer_host`), within the sandbox of the page server, without network, other processes or files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

from faxgw.document import sandbox
from faxgw.document.limits import MAX_OUTPUT, Limits
from faxgw.document.office_pool import PYTHON, Declined, NoOffice, Why
from faxgw.document.types import Kind, Use

PROGRAMS = {Kind.POSTSCRIPT: Path("/usr/bin/gs"), Kind.PCL: Path("/usr/bin/gpcl6")}
"""Ghostscript (package ghostscript), GhostPCL (built by oneself; Debian has none)."""
HEAD = 4_096
"""Octets at the start in which PostScript says what it is."""


def installed() -> frozenset[Kind]:
    """What could be converted here."""
    return frozenset(kind for kind, program in PROGRAMS.items() if program.exists())


def chosen(postscript: Use, pcl: Use) -> frozenset[Kind]:
    """What is converted.

    Raises:
        NoOffice: If what must be there is not.
    """
    wanted = {Kind.POSTSCRIPT: postscript, Kind.PCL: pcl}
    missing = [PROGRAMS[kind] for kind, use in wanted.items() if use is Use.ON and kind not in installed()]
    if missing:
        raise NoOffice(f"{missing[0]} is to be used, and is not installed")
    return frozenset(kind for kind, use in wanted.items() if use is not Use.OFF) & installed()


async def convert(source: int, kind: Kind, pages: int, limits: Limits, kinds: Collection[Kind]) -> int:
    """Turn a document into PDF.

    Args:
        source: Its descriptor; stays the caller's.
        kind: What it is.
        pages: How many pages are made at most.
        limits: Of the request; an interpreter has those of an Office program.
        kinds: What is switched on.

    Returns:
        A descriptor of the PDF, the caller's.

    Raises:
        Declined: If it is the document's fault.
        NoOffice: If the interpreter does not start.
    """
    if kind not in kinds:
        raise NoOffice(f"{kind.value} is switched off")
    folder = Path(tempfile.mkdtemp(prefix="printer-"))
    made = os.memfd_create("pdf", os.MFD_CLOEXEC)
    try:
        head = os.pread(source, HEAD, 0)
        await _run(source, made, _words(kind, folder, pages, limits, b"EPSF" in head.split(b"\n", 1)[0]), limits)
        if not os.pread(made, 5, 0).startswith(b"%PDF-"):
            raise Declined(Why.DAMAGED)
        return os.dup(made)
    finally:
        os.close(made)
        await asyncio.to_thread(shutil.rmtree, folder, True)


def _words(kind: Kind, folder: Path, pages: int, limits: Limits, crop: bool) -> list[str]:
    words = [str(PYTHON), "-P", "-B", "-m", "faxgw.document.printer_host", "--program", str(PROGRAMS[kind])]
    words += ["--folder", str(folder), "--memory", str(limits.office_memory), "--output", str(MAX_OUTPUT)]
    words += ["--seconds", str(max(1, int(limits.office_seconds))), "--pages", str(pages)]
    return [*words, "--crop"] if crop else words


async def _run(source: int, made: int, words: list[str], limits: Limits) -> None:
    os.lseek(source, 0, os.SEEK_SET)
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=source, stdout=made, stderr=subprocess.DEVNULL, env=sandbox.environment(), cwd="/"
        )
    except OSError as exc:
        raise NoOffice(str(exc)) from exc
    try:
        async with asyncio.timeout(limits.office_seconds):
            status = await process.wait()
    except TimeoutError as exc:
        raise Declined(Why.SLOW) from exc
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if status in (-9, -24):  # SIGKILL and SIGXCPU: the CPU it may have
        raise Declined(Why.SLOW)
    if status:
        raise Declined(Why.DAMAGED)
