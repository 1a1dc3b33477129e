"""Program: our own engine calls our own engine and sends a page made to harm: `GUARD MEDIUM MODE`.

GUARD is `C` or `Python`, and so is the media loop, or `bare`; MEDIUM `t38` or `g711`; MODE `ecm` or `plain`, or, over
G.711, the name of a frame that kills: `fcd` or `width` (docs/transport.md, "Guard"). Printed: the receiver's reason and
text, and how many pages it has handed over. Run as a process: the bare library dies, and the sender is made over.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Final

from faxgw.t30 import binding, decoder, hooks, native
from faxgw.t30.binding import ffi
from faxgw.t30.callback import callback
from tests.t30.conftest import Line, page_image, receive_start, send_start, tiff
from tests.t30.crafted import PAGES

END: Final = -7
"""The library's sign for the end of the data."""
OCTETS: Final = PAGES["horizontal in MR"][1]
_sent: list[int] = [0]

ffi.cdef(
    """
typedef int (*sender_bit_t)(void *s);
typedef int (*sender_chunk_t)(void *s, uint8_t *octets, int size);
typedef void (*sender_frame_t)(void *s, const uint8_t *octets, int size);
void fax_modems_hdlc_tx_frame(void *s, const uint8_t *octets, int size);
"""
)


@callback("sender_bit_t", error=END)
def _bit(_state: Any) -> int:
    at = _sent[0]
    if at >= 8 * len(OCTETS):
        return END
    _sent[0] = at + 1
    return OCTETS[at // 8] >> at % 8 & 1


@callback("sender_bit_t", error=2)
def _check(_state: Any) -> int:
    return 2 if _sent[0] >= 8 * len(OCTETS) else 0


@callback("sender_bit_t", error=0)
def _byte(_state: Any) -> int:
    at = _sent[0] // 8
    if at >= len(OCTETS):
        return 0x100
    _sent[0] += 8
    return OCTETS[at]


@callback("sender_chunk_t", error=0)
def _chunk(_state: Any, octets: Any, size: int) -> int:
    at = _sent[0] // 8
    piece = OCTETS[at : at + size]
    ffi.memmove(octets, piece, len(piece))
    _sent[0] += 8 * len(piece)
    return len(piece)


def _short(octets: bytes) -> bytes:
    """An FCD of three octets in the place of each."""
    return octets[:3] if len(octets) > 3 and octets[2] & 0xFE == 0x06 else octets


def _wide(octets: bytes) -> bytes:
    """A DCS with both bits of the width."""
    wide = len(octets) > 5 and octets[2] & 0xFE == 0x82
    return octets[:5] + bytes((octets[5] | 3,)) + octets[6:] if wide else octets


@callback("sender_frame_t")
def _frame(state: Any, octets: Any, size: int) -> None:
    change = _short if sys.argv[3] == "fcd" else _wide
    frame = b"" if size <= 0 else change(bytes(ffi.buffer(octets, size)))
    kept: Any = ffi.from_buffer("uint8_t[]", frame) if frame else ffi.NULL
    binding.library().fax_modems_hdlc_tx_frame(state, kept, len(frame) if frame else size)


def main(guard: str, medium: str, mode: str) -> None:
    """One call."""
    functions = {"t4_tx_get_bit": _bit, "t4_tx_get_byte": _byte, "t4_tx_get_chunk": _chunk, "t4_tx_check_bit": _check}
    if mode in ("fcd", "width"):
        functions = {"fax_modems_hdlc_tx_frame": _frame}
    hooks.replace(binding.SONAME, {name: int(ffi.cast("uintptr_t", function)) for name, function in functions.items()})
    if guard == "bare":
        decoder.protect = lambda functions=None: None
    elif guard == "Python":
        native.library = lambda: None  # type: ignore[assignment]  # no cache is needed
    ecm = mode != "plain"
    line = Line(
        [tiff([page_image(1)])],
        t38=medium == "t38",
        sender=replace(send_start(), ecm=ecm, compressions=6),  # MH and MR
        receiver=replace(receive_start(), ecm=ecm),
    )
    line.run(120.0)
    result = line.receiver.result
    sys.stdout.write(f"{result.reason}|{result.text}|{len(line.receiver.pages)}\n")
    line.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
