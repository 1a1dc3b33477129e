"""libspandsp 0.0.6 through cffi, ABI mode: the few functions the fax engine needs, and G.711 tables.

ABI mode needs no compiler at the installation. The names and the layout of `t30_stats_t` are those of soname 2 and
differ in soname 3, so the soname is fixed here and nothing else is loaded. Callbacks are made once per process with
`error=-1` (a failing callback must not look like success) and find their object through a handle.
"""

from __future__ import annotations

import functools
from typing import Any, Final  # cffi's library object has no types; each use is wrapped in this package

import cffi
import numpy as np
import numpy.typing as npt

SONAME: Final = "libspandsp.so.2"
"""Debian 12's libspandsp2 (0.0.6)."""
STATS_SIZE: Final = 60
"""Octets of t30_stats_t in soname 2: 15 ints."""

ffi = cffi.FFI()
ffi.cdef(
    """
typedef struct t30_state_s t30_state_t;
typedef struct t38_core_state_s t38_core_state_t;
typedef struct t38_terminal_state_s t38_terminal_state_t;
typedef struct fax_state_s fax_state_t;
typedef struct logging_state_s logging_state_t;
typedef struct modem_connect_tones_rx_state_s modem_connect_tones_rx_state_t;
typedef struct {
    int bit_rate; int error_correcting_mode; int pages_tx; int pages_rx; int pages_in_file;
    int x_resolution; int y_resolution; int width; int length; int image_size; int encoding;
    int bad_rows; int longest_bad_row_run; int error_correcting_mode_retries; int current_status;
} t30_stats_t;

typedef int (*phase_handler_t)(t30_state_t *s, void *user_data, int result);
typedef void (*phase_e_handler_t)(t30_state_t *s, void *user_data, int completion_code);
typedef void (*frame_handler_t)(t30_state_t *s, void *user_data, int direction, const uint8_t *msg, int len);
typedef int (*tx_packet_handler_t)(t38_core_state_t *s, void *user_data, const uint8_t *buf, int len, int count);
typedef void (*tone_handler_t)(void *user_data, int code, int level, int delay);

t38_terminal_state_t *t38_terminal_init(t38_terminal_state_t *s, int calling_party, tx_packet_handler_t h, void *u);
int t38_terminal_send_timeout(t38_terminal_state_t *s, int samples);
void t38_terminal_set_tep_mode(t38_terminal_state_t *s, int use_tep);
t30_state_t *t38_terminal_get_t30_state(t38_terminal_state_t *s);
t38_core_state_t *t38_terminal_get_t38_core_state(t38_terminal_state_t *s);
int t38_terminal_release(t38_terminal_state_t *s);
int t38_terminal_free(t38_terminal_state_t *s);
int t38_core_rx_ifp_packet(t38_core_state_t *s, const uint8_t *buf, int len, uint16_t seq_no);
void t38_set_t38_version(t38_core_state_t *s, int t38_version);

fax_state_t *fax_init(fax_state_t *s, int calling_party);
int fax_rx(fax_state_t *s, int16_t *amp, int len);
int fax_rx_fillin(fax_state_t *s, int len);
int fax_tx(fax_state_t *s, int16_t *amp, int max_len);
void fax_set_transmit_on_idle(fax_state_t *s, int transmit_on_idle);
t30_state_t *fax_get_t30_state(fax_state_t *s);
int fax_release(fax_state_t *s);
int fax_free(fax_state_t *s);

int t30_set_tx_ident(t30_state_t *s, const char *id);
const char *t30_get_rx_ident(t30_state_t *s);
int t30_set_tx_sub_address(t30_state_t *s, const char *sub_address);
const char *t30_get_rx_sub_address(t30_state_t *s);
int t30_set_supported_t30_features(t30_state_t *s, int supported_t30_features);
void t30_set_rx_file(t30_state_t *s, const char *file, int stop_page);
void t30_set_tx_file(t30_state_t *s, const char *file, int start_page, int stop_page);
int t30_set_rx_encoding(t30_state_t *s, int encoding);
int t30_set_ecm_capability(t30_state_t *s, int enabled);
int t30_set_supported_modems(t30_state_t *s, int supported_modems);
int t30_set_supported_compressions(t30_state_t *s, int supported_compressions);
int t30_set_supported_resolutions(t30_state_t *s, int supported_resolutions);
int t30_set_supported_image_sizes(t30_state_t *s, int supported_image_sizes);
void t30_set_phase_b_handler(t30_state_t *s, phase_handler_t handler, void *user_data);
void t30_set_phase_d_handler(t30_state_t *s, phase_handler_t handler, void *user_data);
void t30_set_phase_e_handler(t30_state_t *s, phase_e_handler_t handler, void *user_data);
void t30_set_document_handler(t30_state_t *s, phase_handler_t handler, void *user_data);
void t30_set_real_time_frame_handler(t30_state_t *s, frame_handler_t handler, void *user_data);
void t30_get_transfer_statistics(t30_state_t *s, t30_stats_t *t);
void t30_terminate(t30_state_t *s);
const char *t30_completion_code_to_str(int result);

modem_connect_tones_rx_state_t *modem_connect_tones_rx_init(modem_connect_tones_rx_state_t *s, int tone_type,
                                                            tone_handler_t tone_callback, void *user_data);
int modem_connect_tones_rx(modem_connect_tones_rx_state_t *s, const int16_t *amp, int len);
int modem_connect_tones_rx_free(modem_connect_tones_rx_state_t *s);
"""
)

RESOLUTION_STANDARD: Final = 0x01
RESOLUTION_FINE: Final = 0x02
RESOLUTION_SUPERFINE: Final = 0x04
RESOLUTION_R8: Final = 0x20000
"""204 dots per inch across, the only one across that is offered."""
SIZE_A4_WIDTH: Final = 0x01
SIZE_UNLIMITED_LENGTH: Final = 0x10000
SIZE_A4_LENGTH: Final = 0x20000
SIZE_B4_LENGTH: Final = 0x40000
SIZE_LETTER_LENGTH: Final = 0x80000
SIZE_LEGAL_LENGTH: Final = 0x100000
FEATURE_IDENTIFICATION: Final = 0x01
FEATURE_SUB_ADDRESSING: Final = 0x10
TONE_CNG: Final = 1
TONE_ANS: Final = 2
TONE_PREAMBLE: Final = 6
TONE_CED_OR_PREAMBLE: Final = 7


class LibraryFault(Exception):
    """libspandsp is missing, is another version, or refused what it must accept."""


@functools.cache
def library() -> Any:
    """The loaded library.

    Raises:
        LibraryFault: If libspandsp.so.2 is absent or its structures are not those we know.
    """
    try:
        loaded = ffi.dlopen(SONAME)
    except OSError as exc:
        raise LibraryFault(f"{SONAME} cannot be loaded (Debian package libspandsp2)") from exc
    if ffi.sizeof("t30_stats_t") != STATS_SIZE:
        raise LibraryFault("t30_stats_t has another size on this machine")
    return loaded


def completion_text(code: int) -> str:
    """The library's words for a completion code, 0 to 61."""
    return string(library().t30_completion_code_to_str(code))


def string(pointer: Any) -> str:
    """A C string as text: latin-1, without control characters; empty for NULL."""
    if pointer == ffi.NULL:
        return ""
    raw = ffi.string(pointer)
    assert isinstance(raw, bytes)  # `char *` gives octets
    return "".join(c for c in raw.decode("latin-1") if c.isprintable())


_SAMPLES: Final = ffi.typeof("int16_t[]")
Samples = npt.NDArray[np.int16]
"""Linear audio at 8 kHz."""


def pointer(samples: Samples) -> Any:
    """The samples as `int16_t *`, valid as long as the result lives. They must be contiguous."""
    octets: Any = samples  # numpy's buffer interface is unknown to the stubs of cffi for Python 3.11
    return ffi.from_buffer(_SAMPLES, octets)


def _mulaw_table() -> Samples:
    """G.711 µ-law octets to linear samples (ITU-T G.711 Table 2)."""
    octets = ~np.arange(256, dtype=np.uint8)
    exponent = (octets >> 4 & 7).astype(np.int32)
    magnitude = ((((octets & 15).astype(np.int32) << 3) + 0x84) << exponent) - 0x84
    return np.where(octets & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_table() -> Samples:
    """G.711 A-law octets to linear samples (ITU-T G.711 Table 1)."""
    octets = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (octets >> 4 & 7).astype(np.int32)
    mantissa = ((octets & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, mantissa, (mantissa + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(octets & 0x80, magnitude, -magnitude).astype(np.int16)


def _encoder(table: Samples) -> npt.NDArray[np.uint8]:
    """For each linear sample, as uint16, the octet whose value is nearest."""
    order = np.argsort(table, kind="stable")
    values = table[order].astype(np.int32)
    linear = np.arange(-32768, 32768, dtype=np.int32)
    edges = (values[1:] + values[:-1] + 1) // 2
    nearest = order[np.searchsorted(edges, linear, side="right")].astype(np.uint8)
    return np.concatenate((nearest[32768:], nearest[:32768]))


_DECODE: Final = {0: _mulaw_table(), 8: _alaw_table()}
"""By RTP payload type."""
_ENCODE: Final = {kind: _encoder(table) for kind, table in _DECODE.items()}


def law_tables() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """The tables for C, µ-law before A-law: 256 samples by octet, and 65,536 octets by sample taken as unsigned."""
    return (
        (pointer(_DECODE[0]), pointer(_DECODE[8])),
        (_octets(_ENCODE[0]), _octets(_ENCODE[8])),
    )


def _octets(table: npt.NDArray[np.uint8]) -> Any:
    octets: Any = table
    return ffi.from_buffer(ffi.typeof("uint8_t[]"), octets)


def g711_decode(payload: bytes, payload_type: int) -> Samples:
    """Samples of a G.711 payload; `payload_type` is 0 (µ-law) or 8 (A-law)."""
    return _DECODE[payload_type][np.frombuffer(payload, np.uint8)]


def g711_encode(samples: Samples, payload_type: int) -> bytes:
    """The G.711 payload of samples."""
    return _ENCODE[payload_type][samples.view(np.uint16)].tobytes()
