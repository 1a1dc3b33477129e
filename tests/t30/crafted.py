"""Page data made to harm libspandsp's T.4 decoder, and a decoder of one's own to feed it to.

As a program it decodes one page of `PAGES` behind a guard (`C`, `Python`) or `bare`, where it dies, and prints what
came of it: the mark, the rows, the bad rows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, Final

from faxgw.simulator.coding import EOL
from faxgw.t30 import binding, decoder, native
from faxgw.t30.binding import ffi
from faxgw.t30.decoder import Harm

MH, MR, MMR = 1, 2, 3
"""The library's numbers of the codings."""
HORIZONTAL, PASS, VERTICAL = "001", "0001", "1"
WHITE_0, BLACK_0 = "00110101", "0000110111"
MAKE_UP = "000000011111"
"""2,560 pixels of either colour (T.4 Table 3b)."""
SUMS = (
    HORIZONTAL + "01101010000101001" + MAKE_UP * 838_860 + "00000001000" + "000001100111"
    + HORIZONTAL + MAKE_UP * 838_859 + WHITE_0 + MAKE_UP * 2 + "000000110100" + "00000011000" + VERTICAL * 20
)  # fmt: skip
"""White 1,000 and black 2^31 - 193, white 2^31 - 4,608 and black 5,529: together 2^32 + 1,728,
which 32 bits take for 1,728."""


def octets_of(bits: str) -> bytes:
    """Bits as the library has them: the first one is the lowest."""
    return int(bits[::-1] or "0", 2).to_bytes((len(bits) + 7) // 8, "little")


PAGES: Final = {
    "runs in MH": (MH, octets_of(EOL + (WHITE_0 + BLACK_0) * 2000)),
    "runs in MR": (MR, octets_of(EOL + "1" + (WHITE_0 + BLACK_0) * 2000)),
    "horizontal in MR": (MR, octets_of(EOL + "0" + (HORIZONTAL + WHITE_0 + BLACK_0) * 2000)),
    "horizontal in MMR": (MMR, octets_of((HORIZONTAL + WHITE_0 + BLACK_0) * 2000)),
    "passes in MR": (MR, octets_of(EOL + "0") + octets_of(PASS * 2) * (1 << 23)),
    "passes in MMR": (MMR, octets_of(PASS * 2) * (1 << 23)),
    "sums in MMR": (MMR, octets_of(SUMS)),
    "rows": (MMR, b"\xff" * 20_000),
}
"""Coding and octets. All but the last kill the bare library: pass codes once they are some megabytes."""


class Decoder:
    """A decoder of the library, fed by the functions of a guard.

    Args:
        guard: `bare`, `Python` or `C`.
        width: Pixels of a row.
        coding: MH, MR or MMR.
    """

    def __init__(self, guard: str, coding: int, width: int = 1728) -> None:
        self._lib = lib = binding.library()
        own: Any = native.library()
        self._start, self._chunk, self._octet, self._bit = {
            "bare": (lib.t4_rx_start_page, lib.t4_rx_put_chunk, lib.t4_rx_put_byte, lib.t4_rx_put_bit),
            "Python": (decoder.start, decoder.put_chunk, decoder.put_byte, decoder.put_bit),
            "C": (own.decoder_start, own.decoder_put_chunk, own.decoder_put_byte, own.decoder_put_bit),
        }[guard]
        self._file = os.memfd_create("decoded", os.MFD_CLOEXEC)
        self.state: Any = lib.t4_rx_init(ffi.NULL, f"/proc/self/fd/{self._file}".encode(), MMR)
        """Its numbers (`decoder_t`)."""
        lib.t4_rx_set_rx_encoding(self.state, coding)
        lib.t4_rx_set_image_width(self.state, width)
        self._start(self.state)

    def put(self, octets: bytes) -> bool:
        """Feed; True when the page has ended."""
        return bool(self._chunk(self.state, ffi.from_buffer("uint8_t[]", octets), len(octets)))

    def put_bits(self, octets: bytes) -> bool:
        """The same, bit by bit."""
        return any(self._bit(self.state, octet >> at & 1) for octet in octets for at in range(8))

    def put_octets(self, octets: Iterable[int]) -> bool:
        """The same, octet by octet."""
        return any(self._octet(self.state, octet) for octet in octets)

    @property
    def harm(self) -> Harm:
        """The mark."""
        return Harm(self.state.mark)

    @property
    def rows(self) -> tuple[int, int]:
        """Rows, and bad ones among them."""
        return self.state.image_length, self.state.bad_rows

    @property
    def picture(self) -> bytes:
        """The rows, decoded."""
        return bytes(ffi.buffer(self.state.image_buffer, self.state.image_size)) if self.state.image_size else b""

    def end(self) -> None:
        """End the page: it is written to the file."""
        self._lib.t4_rx_end_page(self.state)

    def close(self) -> None:
        """Free everything."""
        self._lib.t4_rx_free(self.state)
        os.close(self._file)


def main(guard: str, page: str) -> None:
    """Decode a page of `PAGES`."""
    if guard == "C":
        decoder.install(native.decoder_functions())
    elif guard == "Python":
        decoder.install()
    coding, octets = PAGES[page]
    engine = Decoder(guard, coding)
    engine.put(octets)
    mark, (rows, bad) = engine.harm, engine.rows
    engine.end()
    engine.close()
    sys.stdout.write(f"{mark.name} {rows} {bad}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
