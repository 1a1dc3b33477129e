"""Becomes an interpreter of a printer language, shut in: limits and a system call filter, then exec.

Started by `document.printer`, one process a document, in the sandbox of the page server, so that nothing needs to run
between fork and exec there. The document is its standard input, the PDF its standard output.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from pathlib import Path

from faxgw.document import seccomp

MAX_OPEN_FILES = 64
"""File descriptors of an interpreter."""


def words(program: Path, folder: Path, pages: int, crop: bool) -> list[str]:
    """The command line. SAFER (the interpreters' own) lets a document open nothing but what is named here.

    Args:
        program: Ghostscript or GhostPCL.
        folder: Private, for its temporary files.
        pages: How many pages are made at most.
        crop: The page is what an EPS drawing says of itself.
    """
    made = [str(program), "-dSAFER", "-dNOPAUSE", "-dBATCH", "-dQUIET", "-sDEVICE=pdfwrite", "-sPAPERSIZE=a4"]
    made += [f"-dLastPage={pages}", "-sstdout=%stderr", "-sOutputFile=%stdout", f"-sTempDir={folder}"]
    return [*made, *(("-dEPSCrop",) if crop else ()), "-"]


def main() -> int:
    """Entry point: `python3 -m faxgw.document.printer_host --program PATH --folder PATH …`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--output", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--crop", action="store_true")
    given = parser.parse_args()
    command = words(given.program, given.folder, given.pages, given.crop)
    limits = {
        resource.RLIMIT_AS: given.memory,
        resource.RLIMIT_FSIZE: given.output,
        resource.RLIMIT_CPU: given.seconds,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for what, value in limits.items():
        _soft, hard = resource.getrlimit(what)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))
    seccomp.die_with_parent()
    seccomp.load(seccomp.office_program())
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(given.folder), "TMPDIR": str(given.folder), "LANG": "C.UTF-8"}
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    sys.exit(main())
