"""Keeps one LibreOffice and has it turn documents into PDF; runs under Debian's own Python, which has `uno`.

Started by `document.office`, one process per LibreOffice, in the sandbox of the page server: no network, no folder of
the gateway. It imports of faxgw only what needs nothing but the standard library. Requests and answers are JSON in
the frames of `faxgw.pipe`, documents and PDF are descriptors. The host ends when its LibreOffice ends, and takes it
along when it is ended itself.

A document is opened without macros, without updating links, by the one filter that belongs to what it was found to be
(never by LibreOffice's own guess, which makes a text of anything), and every question of LibreOffice is answered
here. How it is laid out is in docs/documents.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from faxgw import pipe
from faxgw.document import seccomp

PROGRAM = Path("/usr/lib/libreoffice/program/soffice.bin")
"""LibreOffice itself, without the launchers before it: one process id to limit and to kill."""
START_SECONDS = 25.0
"""Seconds until LibreOffice must answer; it needs about 2 with a new profile."""
RESTART = 81
"""Exit status of LibreOffice after it has made a new profile: it wants to be started again."""
MAX_STARTS = 3
"""Starts until it must have stopped asking for another."""
POLL_SECONDS = 0.05
"""Seconds between two looks whether LibreOffice answers."""
MAX_OPEN_FILES = 512
"""File descriptors of LibreOffice."""
MORE_ADDRESSES = 2 * 1024**3
"""Octets of address space beyond the memory limit: programs, fonts, and 8 MB of stack a thread."""

READABLE = 0.6
"""Scale below which a wide table is turned instead of shrunk further: 10 point become 6."""
LEAST = 0.45
"""Scale below which a turned table is not shrunk either: its columns go onto further pages."""
MAX_SHEETS = 256
"""Sheets of a spreadsheet that are looked at for their width; the others are drawn as they say themselves."""

_PDF_FILTERS = {"writer": "writer_pdf_Export", "calc": "calc_pdf_Export", "impress": "impress_pdf_Export"}
_PDF_FILTERS["draw"] = "draw_pdf_Export"
_NEVER = 0  # com.sun.star.document.MacroExecMode.NEVER_EXECUTE, UpdateDocMode.NO_UPDATE
_VALUES = "[]com.sun.star.beans.PropertyValue"

SETTINGS: dict[str, dict[str, bool | int]] = {
    "Office.Common/Security/Scripting": {
        "MacroSecurityLevel": 3,
        "DisableMacrosExecution": True,
        "BlockUntrustedRefererLinks": True,
    },
    "Office.Common/Misc": {"UseOpenCL": False},
    "Office.Recovery/AutoSave": {"Enabled": False},
    "Office.Recovery/RecoveryInfo": {"Enabled": False},
    "Office.Writer/Content/Update": {"Link": 2},
    "Office.Calc/Content/Update": {"Link": 2},
}
"""What is set in the fresh profile: no macros, nothing fetched, no links brought up to date (2: never)."""


class OfficeGone(Exception):
    """LibreOffice ended or does not answer."""


class Declined(Exception):
    """The document cannot be converted; the text is one word for `document.office`."""


def profile(settings: Mapping[str, Mapping[str, bool | int]]) -> str:
    """The text of registrymodifications.xcu."""
    items = []
    for path, values in settings.items():
        for name, value in values.items():
            said = str(value).lower() if isinstance(value, bool) else str(value)
            items.append(
                f'<item oor:path="/org.openoffice.{path}"><prop oor:name="{name}" oor:op="fuse">'
                f"<value>{said}</value></prop></item>"
            )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<oor:items xmlns:oor="http://openoffice.org/2001/registry" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        + "\n".join(items)
        + "\n</oor:items>\n"
    )


def sheet_layout(used: float, upright: float, turned: float) -> tuple[bool, int]:
    """How a table of this width goes onto pages.

    Args:
        used: Width of the table; any unit.
        upright: Width between the margins of the page as it is upright.
        turned: The same when it is turned.

    Returns:
        Whether the page is turned, and the scale in per cent; 0: as wide as the page.
    """
    if used <= upright:
        return False, 100
    if used * READABLE <= upright:
        return False, 0
    if used <= turned:
        return True, 100
    return True, 0 if used * LEAST <= turned else round(LEAST * 100)


class Office:
    """One LibreOffice and the connection to it.

    Args:
        folder: Empty and private; profile, document and PDF lie in it. Its owner removes it.
        memory: Octets of memory that it may use.
        output: Octets of the largest file that it may write.
    """

    def __init__(self, folder: Path, memory: int, output: int) -> None:
        self._folder = folder
        self._uno = importlib.import_module("uno")
        self._limits = {
            resource.RLIMIT_AS: memory + MORE_ADDRESSES,
            resource.RLIMIT_FSIZE: output,
            resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
            resource.RLIMIT_CORE: 0,
        }
        user = folder / "profile" / "user"
        user.mkdir(parents=True)
        (folder / "tmp").mkdir()
        (user / "registrymodifications.xcu").write_text(profile(SETTINGS), encoding="utf-8")
        self._pipe = secrets.token_hex(16)
        self._filter = seccomp.office_program()
        self._process = self._start()
        self._desktop = self._connect()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def convert(self, source: int, module: str, name: str, pages: int) -> int:
        """Turn a document into PDF.

        Args:
            source: Its descriptor.
            module: writer, calc, impress or draw.
            name: LibreOffice's name of the filter.
            pages: How many pages are made at most.

        Returns:
            A descriptor of the PDF, whose file has no name any more.

        Raises:
            Declined: "password", "damaged" or "empty".
            OfficeGone: If LibreOffice ended over it.
        """
        document, result = (self._folder / f"{secrets.token_hex(16)}{suffix}" for suffix in ("", ".pdf"))
        try:
            _copy(source, document)
            with _disposed_is_gone(self._uno):
                self._print(document, result, module, name, pages)
            return os.open(result, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise Declined("damaged") from exc
        finally:
            document.unlink(missing_ok=True)
            result.unlink(missing_ok=True)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                str(PROGRAM),
                f"-env:UserInstallation={(self._folder / 'profile').as_uri()}",
                *("--headless", "--invisible", "--norestore", "--nologo", "--nodefault", "--nolockcheck"),
                *("--nofirststartwizard", f"--accept=pipe,name={self._pipe};urp;"),
            ],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self._folder),
                "TMPDIR": str(self._folder / "tmp"),
                "LANG": "C.UTF-8",
                "SAL_USE_VCLPLUGIN": "svp",
                "MALLOC_ARENA_MAX": "2",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            preexec_fn=self._settle,
        )

    def _settle(self) -> None:
        """Limits and filter of LibreOffice, between fork and exec."""
        seccomp.die_with_parent()
        for what, value in self._limits.items():
            _soft, hard = resource.getrlimit(what)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(what, (value, value))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too large is a failed write
        seccomp.load(self._filter)

    def _connect(self) -> Any:  # Any: UNO objects have no types
        local = self._uno.getComponentContext()
        resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
        no_connect = self._uno.getClass("com.sun.star.connection.NoConnectException")
        deadline, starts = time.monotonic() + START_SECONDS, 1
        while time.monotonic() < deadline:
            status = self._process.poll()
            if status is not None:
                if status != RESTART or starts == MAX_STARTS:
                    raise OfficeGone(f"LibreOffice ended with status {status}")
                self._process = self._start()
                starts += 1
            try:
                context = resolver.resolve(f"uno:pipe,name={self._pipe};urp;StarOffice.ComponentContext")
                return context.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", context)
            except no_connect:
                time.sleep(POLL_SECONDS)
        self.close()
        raise OfficeGone("LibreOffice does not answer")

    def _print(self, document: Path, result: Path, module: str, name: str, pages: int) -> None:
        questions = _questions(self._uno)
        model = self._open(document, name, questions)
        if questions.password:
            raise Declined("password")
        if model is None:
            raise Declined("damaged")
        try:
            if module == "calc":
                _lay_out(model)
            elif module == "writer":
                _show_final(model)
            options = {
                "PageRange": f"1-{pages}",
                "UseLosslessCompression": False,
                "Quality": 90,
                "ReduceImageResolution": True,
                "MaxImageResolution": 300,
                "ExportFormFields": False,
                "ExportBookmarks": False,
                "ExportNotes": False,
            }
            data = self._uno.Any(_VALUES, self._properties(options))
            io_exception = self._uno.getClass("com.sun.star.io.IOException")
            try:
                model.storeToURL(
                    result.as_uri(), self._properties({"FilterName": _PDF_FILTERS[module], "FilterData": data})
                )
            except io_exception as exc:
                raise Declined("empty") from exc
        finally:
            model.close(False)

    def _open(self, document: Path, name: str, questions: Any) -> Any:  # Any: UNO objects have no types
        exceptions = tuple(
            self._uno.getClass(f"com.sun.star.{each}")
            for each in ("io.IOException", "lang.IllegalArgumentException", "uno.RuntimeException")
        )
        disposed = self._uno.getClass("com.sun.star.lang.DisposedException")
        try:
            return self._desktop.loadComponentFromURL(
                document.as_uri(),
                "_blank",
                0,
                self._properties(
                    {
                        "FilterName": name,
                        "Hidden": True,
                        "ReadOnly": True,
                        "MacroExecutionMode": _NEVER,
                        "UpdateDocMode": _NEVER,
                        "RepairPackage": False,
                        "InteractionHandler": questions,
                    }
                ),
            )
        except disposed:
            raise
        except exceptions as exc:
            raise Declined("password" if questions.password else "damaged") from exc

    def _properties(self, values: Mapping[str, object]) -> tuple[Any, ...]:  # Any: UNO objects have no types
        made = []
        for name, value in values.items():
            item = self._uno.createUnoStruct("com.sun.star.beans.PropertyValue")
            item.Name, item.Value = name, value
            made.append(item)
        return tuple(made)


def _questions(uno: Any) -> Any:  # Any: UNO objects have no types
    """What answers LibreOffice's questions: no password, no repair, else whatever goes on."""
    base = importlib.import_module("unohelper").Base
    interface = uno.getClass("com.sun.star.task.XInteractionHandler")
    approve, disapprove, abort = (
        uno.getTypeByName(f"com.sun.star.task.XInteraction{each}") for each in ("Approve", "Disapprove", "Abort")
    )

    class Questions(base, interface):  # type: ignore[misc, valid-type] # the classes exist only at run time
        """Answers, and remembers whether a password was asked for."""

        def __init__(self) -> None:
            self.password = False

        def handle(self, request: Any) -> None:  # Any: UNO objects have no types
            """XInteractionHandler."""
            asked = type(request.getRequest()).__name__
            password = "Password" in asked
            self.password = self.password or password
            wanted = (abort, disapprove) if password or "BrokenPackage" in asked else (approve, disapprove, abort)
            offered = request.getContinuations()
            for kind in wanted:
                for each in offered:
                    if each.queryInterface(kind) is not None:
                        each.select()
                        return

    return Questions()


class _disposed_is_gone:  # noqa: N801 - reads as a statement
    """A connection that breaks is an office that ended."""

    def __init__(self, uno: Any) -> None:  # Any: UNO objects have no types
        self._disposed = uno.getClass("com.sun.star.lang.DisposedException")

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        if kind is not None and issubclass(kind, self._disposed):
            raise OfficeGone("LibreOffice ended while it converted") from exc


def _copy(source: int, target: Path) -> None:
    size, done = os.fstat(source).st_size, 0
    with target.open("xb") as file:
        while done < size and (sent := os.sendfile(file.fileno(), source, done, size - done)):
            done += sent


def _show_final(model: Any) -> None:  # Any: UNO objects have no types
    """Changes that were recorded are drawn as accepted; what was deleted is not sent to a stranger."""
    if model.getPropertySetInfo().hasPropertyByName("ShowChanges"):
        model.ShowChanges = False


def _lay_out(model: Any) -> None:  # Any: UNO objects have no types
    """Make wide tables readable; a sheet whose author scaled it for paper stays as it is."""
    styles = model.StyleFamilies.getByName("PageStyles")
    widest: dict[str, int] = {}
    for sheet in _sheets(model):
        widest[sheet.PageStyle] = max(widest.get(sheet.PageStyle, 0), _used_width(sheet))
    for name, used in widest.items():
        style = styles.getByName(name)
        if style.ScaleToPagesX or style.ScaleToPagesY or style.ScaleToPages or style.PageScale != 100:
            continue
        short, long = sorted((style.Width, style.Height))
        margins = style.LeftMargin + style.RightMargin
        upright = (style.Width if style.IsLandscape else short) - margins
        turned, scale = sheet_layout(used, upright, long - margins)
        if turned and not style.IsLandscape:
            style.IsLandscape, style.Width, style.Height = True, long, short
        if scale == 0:
            style.ScaleToPagesX, style.ScaleToPagesY = 1, 0
        elif scale != 100:
            style.PageScale = scale


def _sheets(model: Any) -> Iterator[Any]:  # Any: UNO objects have no types
    for index in range(min(model.Sheets.Count, MAX_SHEETS)):
        sheet = model.Sheets.getByIndex(index)
        if sheet.IsVisible and not sheet.getPrintAreas():
            yield sheet


def _used_width(sheet: Any) -> int:  # Any: UNO objects have no types
    """Width of the used part in 1/100 mm, from column A on."""
    cursor = sheet.createCursor()
    cursor.gotoEndOfUsedArea(False)
    last = cursor.RangeAddress
    area = sheet.getCellRangeByPosition(0, 0, last.EndColumn, 0)
    drawn = [shape.Position.X + shape.Size.Width for shape in _shapes(sheet)]
    return max(int(area.Size.Width), *drawn) if drawn else int(area.Size.Width)


def _shapes(sheet: Any) -> Iterator[Any]:  # Any: UNO objects have no types
    for index in range(min(sheet.DrawPage.Count, MAX_SHEETS)):
        yield sheet.DrawPage.getByIndex(index)


def serve(channel: pipe.BlockingPipe, office: Office) -> None:
    """Convert what is asked for until the other side closes, or LibreOffice is gone."""
    _say(channel, {"type": "ready", "pid": office.pid})
    while (frame := channel.receive()) is not None:
        asked = json.loads(frame.payload)
        (source,) = frame.descriptors
        try:
            made = office.convert(source, asked["module"], asked["filter"], asked["pages"])
        except Declined as exc:
            _say(channel, {"type": "declined", "why": str(exc)})
        else:
            channel.send(json.dumps({"type": "made"}).encode(), (made,))
            os.close(made)
        finally:
            os.close(source)


def _say(channel: pipe.BlockingPipe, message: Mapping[str, object]) -> None:
    channel.send(json.dumps(message).encode())


def main() -> int:
    """Entry point: `python3 -m faxgw.document.office_host --fd N --folder PATH --memory OCTETS --output OCTETS`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--output", type=int, required=True)
    arguments = parser.parse_args()
    seccomp.die_with_parent()
    sock = socket.socket(fileno=arguments.fd)
    sock.set_inheritable(False)
    try:
        office = Office(arguments.folder, arguments.memory, arguments.output)
    except (ImportError, OfficeGone, OSError) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - goes to the page server's log
        return 1
    try:
        serve(pipe.BlockingPipe(sock), office)
    except (OfficeGone, pipe.PipeClosed) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - goes to the page server's log
        return 1
    finally:
        office.close()
        shutil.rmtree(arguments.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
