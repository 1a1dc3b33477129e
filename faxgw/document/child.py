"""What a forked child does with its one request: limits on itself, the work, the answer, the end.

A child's life is one document's or one mail's: whatever that does to it ends with it. It never returns to its
template's code.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from faxgw import pipe
from faxgw.document import (
    compose,
    mail,
    merge,
    pdf,
    protocol,
    read,
    received,
    refusal,
    render,
    sandbox,
    seccomp,
    signature,
    tiff_out,
    written,
)
from faxgw.document.limits import MAX_OPEN_FILES, Limits
from faxgw.document.office import Programs, Unavailable
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import (
    ComposeOptions,
    Cut,
    Document,
    Kind,
    PdfOptions,
    Progress,
    ReadOptions,
    Refused,
    RenderOptions,
    SignedOptions,
    TiffOptions,
    WalkOptions,
    WriteOptions,
)

TEMPLATE_MEMORY = 512 * 1024 * 1024
"""Octets of address space allowed for the template where /proc does not tell; measured 140 MB."""
THREADED = ("render", "compose")
"""Requests that may set HTML: Pango looks for fonts in a thread, which RLIMIT_NPROC would count as a process."""
READ_NICE = 10
"""By how much reading a page gives way to everything else (nice(2))."""
OUT_OF_MEMORY = 3
"""Exit status: an allocation failed."""
FILE_TOO_LARGE = 4
"""Exit status: a result exceeded its limit."""
UNAVAILABLE = 5
"""Exit status: a program outside failed without the document's fault."""


def run(
    message: protocol.Message,
    descriptors: tuple[int, ...],
    channel: socket.socket,
    stderr: int,
    parent: int,
    outside: frozenset[Kind],
    limits: Limits,
) -> NoReturn:
    """Do one request and end. Called directly after fork, in the child.

    Args:
        message: The request.
        descriptors: Its documents.
        channel: Socket to the server.
        stderr: Where error output goes.
        parent: Process id of the server.
        outside: Kinds that the server's programs convert.
        limits: Of the message.
    """
    status = 1
    try:
        _settle(message, {*descriptors, channel.fileno()}, stderr, parent, limits)
        answers = pipe.BlockingPipe(channel)
        try:
            _work(message, descriptors, answers, outside, limits)
            status = 0
        except DocumentRefused as exc:
            _refuse(answers, exc.refused)
            status = 0
        except Unavailable as exc:
            sys.stderr.write(f"{exc}\n")
            status = UNAVAILABLE
        except MemoryError:
            status = OUT_OF_MEMORY
        except OSError as exc:
            traceback.print_exc()
            status = FILE_TOO_LARGE if exc.errno == errno.EFBIG else 1
    except BaseException:  # noqa: BLE001 - nothing may return into the template's event loop
        traceback.print_exc()
    finally:
        try:
            sys.stderr.flush()
        finally:
            os._exit(status)


def rehearse() -> None:
    """Do the request for a letter in the template itself: PDFium keeps its faces, the linker what it has found, the
    interpreter its caches, and a child forked later writes to fewer pages of memory that it shares.
    """
    document = render.memory_file(pdf.sample())
    assert document is not None  # memory_file of octets
    cpu = resource.getrlimit(resource.RLIMIT_CPU)
    ours, theirs = map(pipe.BlockingPipe, pipe.pair())
    options = protocol.plain(RenderOptions())
    asked = protocol.plain((Document(document, "rehearsal", kind=Kind.PDF),), lambda _descriptor: 0)
    try:
        _work({"type": "render", "documents": asked, "options": options}, (document,), theirs, frozenset(), Limits())
        theirs.close()
        while (frame := ours.receive()) is not None:
            for descriptor in frame.descriptors:
                os.close(descriptor)
    finally:
        ours.close()
        theirs.close()
        os.close(document)
        resource.setrlimit(resource.RLIMIT_CPU, cpu)


def _work(
    message: protocol.Message,
    descriptors: tuple[int, ...],
    answers: pipe.BlockingPipe,
    outside: frozenset[Kind],
    limits: Limits,
) -> None:
    programs = Programs(outside, lambda *asked: _to_pdf(answers, *asked))
    options = message.get("options")
    result: object
    match message["type"]:
        case "walk":
            result = mail.walk(descriptors[0], protocol.value(WalkOptions, options), programs)
        case "render":
            documents = protocol.value(tuple[Document, ...], message.get("documents"), descriptors)
            if not message.get("outside") and render.needs(documents, programs):
                answers.send(protocol.pack({"type": "outside"}))
                return
            result = render.render(
                documents, protocol.value(RenderOptions, options), limits, lambda at: _tell(answers, at), programs
            )
        case "signed":
            asked = protocol.value(SignedOptions, options)
            result = (signature.look if asked.keys is None else signature.verify)(descriptors[0], asked)
        case "merge":
            (merged,) = protocol.value(tuple[Document, ...], message.get("documents"), descriptors)
            if not message.get("outside") and render.needs((merged,), programs):
                answers.send(protocol.pack({"type": "outside"}))
                return
            result = merge.merge(merged, limits, programs)
        case "cut":
            result = merge.cut(descriptors[0], protocol.value(Cut, options))
        case "compose":
            result = compose.compose(descriptors[0], protocol.value(ComposeOptions, options, descriptors))
        case "pdf":
            readings = written.load(descriptors[1]) if len(descriptors) > 1 else {}
            result = received.make(descriptors[0], protocol.value(PdfOptions, options), limits, readings)
        case "tiff":
            result = tiff_out.make(descriptors[0], protocol.value(TiffOptions, options), limits)
        case "write":
            result = written.write(descriptors[0], protocol.value(WriteOptions, options))
        case "read":
            result = read.read(descriptors[0], protocol.value(ReadOptions, options), limits)
        case other:
            raise protocol.BadMessage(f"unknown request {other}")
    results: list[int] = []

    def place(descriptor: int) -> int:
        results.append(descriptor)
        return len(results) - 1

    answers.send(protocol.pack({"type": "result", "value": protocol.plain(result, place)}), results)
    for descriptor in results:
        os.close(descriptor)


def _to_pdf(answers: pipe.BlockingPipe, data: bytes, kind: Kind, name: str, pages: int) -> bytes:
    """Have the server's programs make a PDF.

    Raises:
        DocumentRefused: If they cannot because of the document.
        Unavailable: If they cannot now.
    """
    document = render.memory_file(data)
    assert document is not None  # memory_file of octets
    try:
        answers.send(protocol.pack({"type": "convert", "kind": kind.value, "pages": pages}), (document,))
        frame = answers.receive()
    finally:
        os.close(document)
    if frame is None:
        raise Unavailable("the page server has gone")
    message = protocol.unpack(frame.payload)
    match message["type"]:
        case "converted":
            made = render.read_all(frame.descriptors[0])
            os.close(frame.descriptors[0])
            return made
        case "declined":
            raise _DECLINED.get(str(message.get("why")), refusal.damaged)(name)
        case _:
            raise Unavailable(str(message.get("detail")))


_DECLINED: dict[str, Callable[[str], DocumentRefused]] = {
    "password": refusal.encrypted,
    "damaged": refusal.damaged,
    "empty": refusal.blank,
    "slow": refusal.too_slow,
    "memory": refusal.too_much_memory,
}


def _tell(answers: pipe.BlockingPipe, progress: Progress) -> None:
    answers.send(protocol.pack({"type": "progress", "value": protocol.plain(progress)}))


def _refuse(answers: pipe.BlockingPipe, refused: Refused) -> None:
    answers.send(protocol.pack({"type": "refused", "value": protocol.plain(refused)}))


def _settle(message: protocol.Message, keep: set[int], stderr: int, parent: int, limits: Limits) -> None:
    """Descriptors, signals, limits and system calls of a child."""
    sandbox.prctl_child()
    if os.getppid() != parent:
        os._exit(1)  # the server died before the death signal was asked for
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open("/dev/null", os.O_RDWR)
    for standard, source in ((0, nothing), (1, nothing), (2, stderr)):
        os.dup2(source, standard)
    _close_others({0, 1, 2, *keep})
    seconds = int(limits.job_seconds) + 1
    _limit(resource.RLIMIT_AS, _template_memory() + limits.memory)
    _limit(resource.RLIMIT_FSIZE, limits.output)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    if message["type"] not in THREADED:  # the system call filter forbids processes to all
        _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_CORE, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (min(limits.page_cpu, seconds), seconds))
    if message["type"] == "read":  # calls come first
        with contextlib.suppress(OSError):  # a service manager may forbid it
            os.nice(READ_NICE)
    seccomp.load(seccomp.child_program())


def _limit(what: int, value: int) -> None:
    _soft, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _template_memory() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return TEMPLATE_MEMORY


def _close_others(keep: set[int]) -> None:
    edges = sorted(keep)
    for low, high in zip([-1, *edges], [*edges, MAX_OPEN_FILES * 16], strict=True):
        if low + 1 < high:  # closerange(0, 0) closes everything: its end becomes -1
            os.closerange(low + 1, high)
