"""The guard inside libspandsp: coded page data reach its T.4 decoder in small pieces, with a look at it in between.

The decoder of 0.0.6 (soname 2) keeps the runs of a row (ITU-T T.4 section 4, T.6) in two buffers and does not watch
where it is in them. A run of length zero takes a place and no pixel, so a row of them writes beyond the buffer in all
three codings (2.2 KB of MH are enough: a heap overflow with numbers of the sender's choice); pass codes read beyond it;
make-up codes without end overflow its sums. Nothing of T.38 or G.711 needs to be broken for that: good frames carry it.

So the functions by which the library's T.30 engine hands data to its decoder are replaced (`hooks`) by those here:

- `start`: the buffers get `ROOM` places more than the library gives them, and a width no fax has is none;
- `put_chunk`, `put_byte`, `put_bit`: at most `PIECE` octets at a time go on to the library's own functions, and only
  while its cursors are where a row can lead them (`harm_in`). `ROOM` is more than one piece can go beyond that.
- `accept`: frames that kill the library (`guard.is_deadly`) have a bad FCS, also those of its own modems (G.711).

A decoder that was led astray gets no data any more ("the page has ended") and is marked; the terminal finds the mark
after the call into the library, hands no page over and ends the call before anything is confirmed. Everything legal,
and everything hurt on the line, is decoded by the library as ever.

This is the twin in Python of what `_media.c` does; `native` puts those functions in the place of these where they are
built. `verify` looks whether the decoder of this library is laid out as we think; otherwise nothing is received.
"""

from __future__ import annotations

import enum
import functools
import os
from collections.abc import Mapping
from typing import Any, Final  # cffi objects have no types

from faxgw.t30 import binding, guard, hooks
from faxgw.t30.binding import LibraryFault, ffi
from faxgw.t30.bounds import MAX_PAGE_ROWS
from faxgw.t30.callback import callback

PIECE: Final = 32
"""Octets that go to the decoder between two looks."""
ROOM: Final = 512
"""Places of a run buffer beyond the row's width. A piece has at most 268 codes with the bits that waited, and each
writes at most one run; a pass code of four bits reads two: 134. With SLACK that stays below."""
RUNS_SLACK: Final = 16
"""Runs of a row above its width in pixels that are no harm: one of length 0 at its beginning is legal, and errors on
the line bring some."""
REFERENCE_SLACK: Final = 64
"""Runs beyond the reference row that may be passed over: errors on the line in MR."""
MAX_RUN: Final = 1 << 26
"""Pixels of a run that is being put together: make-up codes of a legal one end at the row's width, noise without an end
of line brings some more. One piece adds at most 67 pass codes over all that earlier rows left in ROOM (512 runs of a
width), 167 million: the decoder's 32 bits are never full."""
MAX_WIDTH: Final = 4864
"""Pixels of a row: A3 at 16 per mm, the widest of ITU-T T.4 Table 2 that a machine may send unasked."""
SAFE_WIDTH: Final = 1728
"""What a page gets whose width is none; its call ends."""
MAX_ROWS: Final = MAX_PAGE_ROWS

ffi.cdef(
    """
typedef struct {
    int rx, line_encoding;
    int64_t page_start_time;
    void *header_info, *zone;
    int line_image_size, bytes_per_row, image_size, image_buffer_size;
    uint8_t *image_buffer;
    int current_page, x_resolution, y_resolution, image_width, image_length;
    int mark;
    int row_is_2d, row_len;
    uint32_t *cur_runs, *ref_runs;
    uint8_t others[184];
    int last_row_starts_at, consecutive_eols, a0, b1, run_length, black_white, its_black, a_cursor, b_cursor;
    uint32_t rx_bitstream;
    int rx_bits, rx_skip_bits, curr_bad_row_run, longest_bad_row_run, bad_rows;
} decoder_t;
typedef int (*decoder_start_t)(decoder_t *s);
typedef int (*decoder_put_t)(decoder_t *s, int data);
typedef int (*decoder_chunk_t)(decoder_t *s, const uint8_t *octets, int length);
typedef void (*frame_accept_t)(void *s, const uint8_t *octets, int length, int good);

decoder_t *t4_rx_init(decoder_t *s, const char *file, int output_encoding);
int t4_rx_start_page(decoder_t *s);
int t4_rx_put_bit(decoder_t *s, int bit);
int t4_rx_put_byte(decoder_t *s, uint8_t octet);
int t4_rx_put_chunk(decoder_t *s, const uint8_t *octets, int length);
int t4_rx_end_page(decoder_t *s);
void t4_rx_set_rx_encoding(decoder_t *s, int encoding);
void t4_rx_set_image_width(decoder_t *s, int width);
int t4_rx_free(decoder_t *s);
void t30_hdlc_accept(void *s, const uint8_t *octets, int length, int good);

void *calloc(size_t count, size_t size);
void free(void *memory);
size_t malloc_usable_size(void *memory);
"""
)


class Harm(enum.IntEnum):
    """What page data would have done: the mark in the decoder. C knows the same numbers."""

    NONE = 0
    RUNS = 1
    """Runs without pixels, or pass codes, without end."""
    ROWS = 2
    """More than MAX_ROWS rows."""
    WIDTH = 3
    """A width that is none."""
    MEMORY = 4
    """The page could not be begun."""

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self]


_TEXTS: Final[Mapping[Harm, str]] = {
    Harm.NONE: "",
    Harm.RUNS: "a page of codes that no picture has (made to harm the decoder)",
    Harm.ROWS: f"a page of more than {MAX_ROWS} rows",
    Harm.WIDTH: "a page of a width that no fax has",
    Harm.MEMORY: "a received page cannot be begun",
}
_MMR: Final = 3
_OUTPUT_MMR: Final = 3


@functools.cache
def _memory() -> Any:
    """The C library whose memory libspandsp takes and gives back."""
    return ffi.dlopen(None)


def state_of(t30: Any) -> Any:
    """The decoder of a T.30 engine that receives: the first thing in it.

    `mark` is the number of a row, which the library counts when it sends; beginning to receive a document clears it.
    """
    return ffi.cast("decoder_t *", t30)


def harm_in(state: Any) -> bool:
    """Whether a decoder must not be given anything more; it is marked then."""
    if state.mark:
        return True
    width = state.image_width
    if (
        not 0 <= state.a_cursor <= width + RUNS_SLACK
        or not 0 <= state.b_cursor <= width + REFERENCE_SLACK
        or not -MAX_RUN <= state.run_length <= MAX_RUN
    ):
        state.mark = Harm.RUNS
    elif state.image_length > MAX_ROWS:
        state.mark = Harm.ROWS
    return bool(state.mark)


def start(state: Any) -> int:
    """Begin a page: as the library does, with room in the run buffers."""
    harm, state.mark = state.mark, Harm.MEMORY  # for the case that this fails half-way
    if not 0 < state.image_width <= MAX_WIDTH:
        state.image_width = SAFE_WIDTH
        harm = Harm.WIDTH
    result: int = binding.library().t4_rx_start_page(state)
    has_room = not result and _make_room(state)
    state.mark = harm or (Harm.NONE if has_room else Harm.MEMORY)
    return result


def _make_room(state: Any) -> bool:
    """Both run buffers as the library leaves them at the start of a page, and longer; False without memory."""
    memory = _memory()
    places = state.image_width + ROOM
    size = places * ffi.sizeof("uint32_t")
    if min(memory.malloc_usable_size(state.cur_runs), memory.malloc_usable_size(state.ref_runs)) < size:
        current, reference = memory.calloc(places, 4), memory.calloc(places, 4)
        if current == ffi.NULL or reference == ffi.NULL:
            memory.free(current)
            memory.free(reference)
            return False
        memory.free(state.cur_runs)
        memory.free(state.ref_runs)
        state.cur_runs, state.ref_runs = ffi.cast("uint32_t *", current), ffi.cast("uint32_t *", reference)
    else:
        ffi.memmove(state.cur_runs, bytes(size), size)
        ffi.memmove(state.ref_runs, bytes(size), size)
    state.ref_runs[0] = state.image_width
    return True


def put_bit(state: Any, bit: int) -> int:
    """One bit; 1: the page has ended."""
    return 1 if harm_in(state) else int(binding.library().t4_rx_put_bit(state, bit))


def put_byte(state: Any, octet: int) -> int:
    """One octet; 1: the page has ended."""
    return 1 if harm_in(state) else int(binding.library().t4_rx_put_byte(state, octet & 0xFF))


def put_chunk(state: Any, octets: Any, length: int) -> int:
    """Many octets; 1: the page has ended."""
    put = binding.library().t4_rx_put_chunk
    for at in range(0, length, PIECE):
        if harm_in(state) or put(state, octets + at, min(PIECE, length - at)):
            return 1
    return 0


def accept(engine: Any, octets: Any, length: int, good: int) -> None:
    """A frame the modem has heard, or T.38 has brought; a deadly one was heard badly."""
    if good and length > 0 and guard.is_deadly(bytes(ffi.buffer(octets, min(length, guard.HEAD))), length):
        good = 0
    binding.library().t30_hdlc_accept(engine, octets, length, good)


@functools.cache
def _in_python() -> dict[str, int]:
    """The functions above as C functions, by the names of those they replace."""
    made: dict[str, Any] = {
        "t4_rx_start_page": callback("decoder_start_t", error=-1)(start),
        "t4_rx_put_bit": callback("decoder_put_t", error=1)(put_bit),
        "t4_rx_put_byte": callback("decoder_put_t", error=1)(put_byte),
        "t4_rx_put_chunk": callback("decoder_chunk_t", error=1)(put_chunk),
        "t30_hdlc_accept": callback("frame_accept_t")(accept),
    }
    return {name: int(ffi.cast("uintptr_t", function)) for name, function in made.items()}


_installed: dict[str, int] = {}
"""What the library calls in this process."""


def install(functions: Mapping[str, int] | None = None) -> None:
    """Put the guard into the library: those functions, or without any those of this module.

    Args:
        functions: Address by the name of what is replaced: as many as this module has.

    Raises:
        LibraryFault: If the library is not the one we know.
    """
    verify()
    chosen = _in_python() if functions is None else dict(functions)
    if chosen == _installed:
        return
    try:
        hooks.replace(binding.SONAME, chosen)
    except hooks.HookFault as exc:
        raise LibraryFault(f"the guard of the decoder cannot be set: {exc}") from exc
    _installed.clear()
    _installed.update(chosen)


def protect(functions: Mapping[str, int] | None = None) -> None:
    """See to it that the guard is in the library: the functions given, else whichever is there, else this module's.

    Raises:
        LibraryFault: If the library is not the one we know: then nothing must be received.
    """
    if functions is not None or not _installed:
        install(functions)


@functools.cache
def verify() -> None:
    """Look whether the decoder keeps its numbers where `decoder_t` says, by a few codes whose effect is known.

    Raises:
        LibraryFault: If it does not.
    """
    lib = binding.library()
    file = os.memfd_create("probe", os.MFD_CLOEXEC)
    try:
        state = lib.t4_rx_init(ffi.NULL, f"/proc/self/fd/{file}".encode(), _OUTPUT_MMR)
        if state == ffi.NULL:
            raise LibraryFault("the decoder cannot be tried out")
        try:
            known = _probe(lib, state)
        finally:
            lib.t4_rx_free(state)
    finally:
        os.close(file)
    if not known:
        raise LibraryFault(f"the decoder of {binding.SONAME} is not the one we know: nothing is received")


_PROBE: Final = "001_00111_11_1_0001_1_000000000000".replace("_", "")
"""Two rows of MMR: horizontal (white 10, black 2), vertical; pass, vertical. The decoder is twelve bits behind."""
_BEGUN: Final = (1, _MMR, 216, 1728, 0, 0)
_STEPS: Final = (
    (0, 1, 0, 1728, 0, 0, 0, 0),
    (0, 1, 0, 1728, 0, 0, 0, 2),
    (1, 1, 10, 1728, 0, 10, 0, 1),
    (2, 1, 12, 1728, 0, 12, 0, 0),
    (0, 1, 0, 10, 0, 0, 1, 0),
    (0, 3, 12, 1728, 12, 0, 1, 0),
    (0, 1, 0, 1728, 0, 0, 2, 0),
)
"""What the codes of _PROBE make of the numbers, one after the other."""


def _probe(lib: Any, state: Any) -> bool:
    """Whether a decoder does with the codes of _PROBE what we know, in the places we know."""
    lib.t4_rx_set_image_width(state, 1728)
    lib.t4_rx_set_rx_encoding(state, _MMR)
    lib.t4_rx_start_page(state)
    begun = (
        state.rx, state.line_encoding, state.bytes_per_row, state.image_width, state.image_length, state.mark,
    )  # fmt: skip
    if begun != _BEGUN or state.cur_runs == ffi.NULL or state.ref_runs == ffi.NULL or state.ref_runs[0] != 1728:
        return False
    steps = [_numbers(state)]
    for bit in _PROBE:
        lib.t4_rx_put_bit(state, int(bit))
        if _numbers(state) != steps[-1]:
            steps.append(_numbers(state))
    return tuple(steps) == _STEPS and list(state.cur_runs[0:4]) == [10, 2, 1716, 0]


def _numbers(state: Any) -> tuple[int, ...]:
    return (
        state.a_cursor, state.b_cursor, state.a0, state.b1, state.run_length, state.row_len, state.image_length,
        state.black_white,
    )  # fmt: skip
