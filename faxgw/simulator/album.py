"""What the park has received, in a folder to be looked at: a TIFF and a PNG per page, a JSON per call, index.html.

Files appear whole (written under another name, then renamed); the JSON of a call comes after its pages. Nothing here
promises durability: it is a test bench. Beyond MAX_CALLS the oldest calls are removed.
"""

from __future__ import annotations

import html
import io
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final  # JSON read back has no types

from PIL import Image

MAX_CALLS: Final = 1000
"""Calls kept in the folder."""
MAX_SHOWN: Final = 200
"""Calls shown in index.html."""
_PNG_WIDTH: Final = 864
"""Pixels across a PNG; half of a fax page."""
_STYLE: Final = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #f4f4f1; color: #222 }
section { background: #fff; border: 1px solid #ddd; border-radius: 6px; padding: 1rem; margin: 0 0 1rem }
h2 { font-size: 1.05rem; margin: 0 0 .3rem } p { margin: .2rem 0 } .bad { color: #a40000 } .ok { color: #256b00 }
img { height: 260px; border: 1px solid #999; margin: .5rem .5rem 0 0; background: #fff }
"""


@dataclass(slots=True)
class StoredPage:
    """One received page."""

    tiff: str
    """File name."""
    png: str
    """File name."""
    rows: int
    width: int
    bad_rows: int
    confirmed: bool
    """False: received, and never confirmed to the sender."""


@dataclass(slots=True)
class CallRecord:
    """One call, as its JSON says."""

    id: str
    """Unique; files of the call begin with it."""
    direction: str
    """`in` or `out`, from the park's point of view."""
    number: str
    """The number dialled."""
    caller: str
    behaviour: str
    """Name of the behaviour; empty for a call the park placed."""
    started: str
    """ISO 8601, UTC."""
    answered: str = ""
    """Empty: never answered."""
    ended: str = ""
    status: int = 0
    """Final SIP status of the INVITE."""
    ended_by: str = ""
    """`local`, `remote` or `timeout`."""
    transport: str = ""
    """`t38`, `g711` or `audio`."""
    code: int | None = None
    """T.30 completion code; None without a fax."""
    result: str = ""
    """It in words."""
    remote_ident: str = ""
    bit_rate: int = 0
    ecm: bool = False
    encoding: str = ""
    pages: list[StoredPage] = field(default_factory=list)
    pages_confirmed: int = 0
    """Pages confirmed to the sender (in), or by the receiver (out)."""
    pages_sent: int = 0
    """Pages of the document of a call the park placed."""
    trace: list[tuple[float, str, str]] = field(default_factory=list)
    """Seconds, `>` or `<`, T.30 frame in words."""


class Album:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made if need be; calls of earlier runs stay in the index."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._records: list[dict[str, Any]] = []
        for path in sorted(folder.glob("*.json")):
            try:
                record = json.loads(path.read_text("utf-8"))
            except (OSError, ValueError):
                continue  # not ours
            if isinstance(record, dict) and isinstance(record.get("id"), str):
                self._records.append(record)
        self._write_index()

    def store_page(self, record: CallRecord, octets: bytes, rows: int, width: int, bad_rows: int) -> StoredPage:
        """Keep a page as it was received; its PNG comes with `finish`."""
        name = f"{record.id}-{len(record.pages) + 1:03}"
        page = StoredPage(f"{name}.tif", f"{name}.png", rows, width, bad_rows, confirmed=False)
        self._write(page.tiff, octets)
        record.pages.append(page)
        return page

    def finish(self, record: CallRecord) -> None:
        """Draw the pages and write the call's JSON and the index. Takes a while: not for an event loop."""
        for page in record.pages:
            self._write(page.png, _png((self._folder / page.tiff).read_bytes()))
        values = asdict(record)
        self._write(f"{record.id}.json", json.dumps(values, indent=1, ensure_ascii=False).encode())
        self._records.append(values)
        while len(self._records) > MAX_CALLS:
            self._remove(self._records.pop(0))
        self._write_index()

    def _remove(self, record: dict[str, Any]) -> None:
        for path in self._folder.glob(f"{record['id']}*"):
            path.unlink(missing_ok=True)

    def _write(self, name: str, octets: bytes) -> None:
        temporary = self._folder / f".{name}.{os.getpid()}.part"  # several simulators may share a folder
        temporary.write_bytes(octets)
        temporary.rename(self._folder / name)

    def _write_index(self) -> None:
        shown = "".join(_section(record) for record in reversed(self._records[-MAX_SHOWN:]))
        text = (
            "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>"
            f"<title>faxgw simulator</title><style>{_STYLE}</style><h1>Fax machines of the simulator</h1>"
            f"{shown or '<p>No call yet.</p>'}</html>\n"
        )
        self._write("index.html", text.encode())


def _png(tiff: bytes) -> bytes:
    """A page half as wide, with its true proportions."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(tiff)) as image:
        across, down = (float(value) for value in image.info.get("dpi", (204, 196)))
        height = max(1, round(image.height * _PNG_WIDTH / image.width * across / down))
        image.convert("L").resize((_PNG_WIDTH, height), Image.Resampling.BOX).save(out, "PNG", optimize=True)
    return out.getvalue()


def _section(record: dict[str, Any]) -> str:
    def text(name: str) -> str:
        return html.escape(str(record.get(name) or ""))

    good = record.get("code") == 0 and all(page["confirmed"] for page in record.get("pages", []))
    pages = "".join(
        f'<a href="{html.escape(page["tiff"])}"><img src="{html.escape(page["png"])}" alt="page"></a>'
        for page in record.get("pages", [])
    )
    facts = [
        f"{text('started')[:19].replace('T', ' ')} to {text('ended')[11:19]} UTC",
        f"{text('transport')} {text('bit_rate')} bit/s {text('encoding')}" if record.get("bit_rate") else "",
        text("remote_ident"),
        f'<a href="{text("id")}.json">details</a>',
    ]
    count, kept = record.get("pages_confirmed", 0), len(record.get("pages", []))
    arrow = "→" if record.get("direction") == "in" else "placed →"
    result = (
        f"{text('result')}: {count} {'page' if count == 1 else 'pages'} confirmed, {kept} kept"
        if text("result")
        else "no fax"
    )
    return (
        f"<section><h2>{text('caller')} {arrow} {text('number')} · {text('behaviour')}</h2>"
        f'<p class="{"ok" if good else "bad"}">{text("status")} {result}</p>'
        f"<p>{' · '.join(fact for fact in facts if fact)}</p>{pages}</section>"
    )
