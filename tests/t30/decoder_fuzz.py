"""Pages drawn by seed through the guard of the library's decoder: `python -m tests.t30.decoder_fuzz SEED COUNT`.

Each is fed in pieces as T.38, ECM and a modem bring them. Whatever it holds, the decoder's cursors stay in its buffers
(asked after each piece, and by a trail of numbers at their ends that nothing may overwrite), rows are whole, and sums
small. Both guards do the same. Pages of a real encoder, whole or with errors of a line, are decoded bit for bit as the
bare library does.
"""

from __future__ import annotations

import functools
import random
import sys
from collections import Counter
from typing import Final

from faxgw.foip.t30_frames import from_line
from faxgw.simulator import coding
from faxgw.simulator.coding import EOL, Row
from faxgw.t30 import decoder, native
from faxgw.t30.binding import ffi
from faxgw.t30.decoder import Harm
from tests.t30.crafted import BLACK_0, HORIZONTAL, MAKE_UP, MH, MMR, MR, PASS, WHITE_0, Decoder, octets_of

WIDTHS: Final = (1728, 1728, 1728, 864, 2048, 2432, 3456, 4864)
"""Of ITU-T T.4 Table 2."""
TRAIL: Final = 64
"""Places at the end of a run buffer that no piece may reach."""
TRACE: Final = 7
"""What stands there."""
VERTICALS: Final = ("1", "1", "1", "011", "010", "000011", "000010", "0000011", "0000010")
CODES: Final = (
    WHITE_0, BLACK_0, HORIZONTAL, PASS, MAKE_UP, EOL, EOL + "1", EOL + "0", *VERTICALS, "0000001111", "000000", "11",
    "010011011", "11011", "000111", "010", "0000001", "00000001000", "0000000",
)  # fmt: skip
"""Codes of all three codings, extensions, and what is none."""
PICTURES: Final = 5
"""Of each coding and width."""
FRAMES: Final = (256, 256, 64, 54, 1, 255)
"""Octets that come at once: ECM frames, T.38 packets."""


def a_picture(draw: random.Random, width: int) -> list[Row]:
    """Rows as of a text, of a screen, or of the finest pattern there is."""
    step = draw.choice((1, 2, 7, 40, 300, 300))
    rows: list[Row] = []
    for _ in range(draw.randint(1, 30) if step > 2 else 3):
        if rows and draw.random() < 0.5:
            rows.append(tuple(sorted({min(width - 1, max(0, at + draw.choice((-1, 0, 0, 1)))) for at in rows[-1]})))
        else:
            rows.append(tuple(range(draw.randrange(3), width, step)))
    return rows


@functools.cache
def a_real_page(kind: int, width: int, number: int) -> bytes:
    """What an encoder makes of a picture, first bit lowest."""
    draw = random.Random(f"{kind} {width} {number}")
    encode = {MH: coding.mh, MR: coding.mr, MMR: coding.mmr}[kind]
    return from_line(encode(a_picture(draw, width), width))


def hurt(draw: random.Random, octets: bytes) -> bytes:
    """With some bits turned over, or a piece missing or twice."""
    spoiled = bytearray(octets)
    for _ in range(draw.choice((0, 1, 3, 10))):
        spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
    at, size = draw.randrange(len(spoiled)), draw.randrange(30)
    match draw.randrange(4):
        case 0:
            del spoiled[at : at + size]
        case 1:
            spoiled[at:at] = spoiled[at : at + size]
    return bytes(spoiled)


def codes(draw: random.Random, width: int) -> bytes:
    """Codes without sense: at random, a few again and again, or rows that leave as much behind them as they can."""
    match draw.randrange(3):
        case 0:
            bits = "".join(draw.choices(CODES, k=draw.choice((10, 100, 1000))))
        case 1:
            few = draw.choices(CODES, k=draw.randint(1, 5))
            bits = "".join(draw.choices(CODES, k=draw.randrange(20))) + "".join(few) * draw.choice((50, 500, 5000))
        case _:
            pair = HORIZONTAL + WHITE_0 + BLACK_0
            near = (width + draw.randint(-40, 40) + draw.choice((0, 0, decoder.RUNS_SLACK, decoder.ROOM // 2))) // 2
            row = (
                pair * near
                + "".join(draw.choices(CODES, k=draw.randrange(30)))
                + draw.choice((EOL, EOL + "0", "1" * 9))
            )
            bits = row * draw.randint(1, 3) + PASS * draw.choice((0, 20, 500)) + "".join(draw.choices(CODES, k=30))
    prefix = draw.choice((EOL, EOL + "1", EOL + "0", ""))
    return octets_of(prefix + bits)


def feed(draw: random.Random, engine: Decoder, octets: bytes) -> None:
    """In pieces; the buffers are looked at after each."""
    state = engine.state
    size, by_bits = draw.choice(FRAMES), len(octets) < 600 and draw.random() < 0.2
    length = state.image_width + decoder.ROOM
    for runs in (state.cur_runs, state.ref_runs):
        for at in range(length - TRAIL, length):
            runs[at] = TRACE
    for at in range(0, len(octets), size):
        piece = octets[at : at + size]
        ended = engine.put_bits(piece) if by_bits else engine.put(piece)
        assert 0 <= state.a_cursor < length - TRAIL, "beyond the row that is written"
        assert 0 <= state.b_cursor < length - TRAIL, "beyond the reference row"
        assert abs(state.run_length) <= 2 * decoder.MAX_RUN
        assert 0 <= state.image_length <= decoder.MAX_ROWS + 8 * decoder.PIECE + 13
        assert state.image_size == state.image_length * state.bytes_per_row <= state.image_buffer_size
        if ended:
            break
    for runs in (state.cur_runs, state.ref_runs):
        assert list(runs[length - TRAIL : length]) == [TRACE] * TRAIL, "the end of a buffer was written to"


def one(seed: int) -> str:
    """One page; what became of it: `real`, `hurt` or `codes`, and the mark."""
    draw = random.Random(seed)
    kind, width = draw.choice((MH, MR, MMR, MMR)), draw.choice(WIDTHS)
    what = draw.choice(("real", "hurt", "hurt", "codes", "codes", "codes", "noise"))
    if what == "codes":
        octets = codes(draw, width)
    elif what == "noise":
        octets = draw.randbytes(draw.choice((1, 40, 4000)))
    else:
        octets = a_real_page(kind, width, draw.randrange(PICTURES))
        octets = octets if what == "real" else hurt(draw, octets)
    guards = ("C", "Python") if draw.random() < 0.05 else ("C",)
    way = draw.randrange(1 << 30)
    found = []
    for guard in guards:
        engine = Decoder(guard, kind, width)
        try:
            feed(random.Random(way), engine, octets)
            found.append((engine.harm, engine.rows, engine.picture))
            engine.end()
        finally:
            engine.close()
    assert found[0] == found[-1], "the guards differ"
    harm = found[0][0]
    if what in ("real", "hurt"):
        assert harm is Harm.NONE, "a page of an encoder was refused"
        bare = Decoder("bare", kind, width)
        bare.put(octets)
        assert found[0] == (Harm.NONE, bare.rows, bare.picture), "decoded otherwise than by the bare library"
        bare.close()
    return f"{what} {harm.name}"


def run(seed: int, count: int) -> Counter[str]:
    """Many pages; how many of each kind."""
    decoder.install(native.decoder_functions())
    assert ffi.sizeof("decoder_t") > 0
    return Counter(one(seed + number) for number in range(count))


if __name__ == "__main__":
    first, pages = int(sys.argv[1]), int(sys.argv[2])
    for kind, times in sorted(run(first, pages).items()):
        sys.stdout.write(f"{kind:15} {times}\n")
