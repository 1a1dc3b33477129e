"""Callbacks without memory both writable and executable."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from faxgw.t30.binding import ffi
from faxgw.t30.callback import callback

SEEN: list[tuple[Any, ...]] = []


@callback("frame_handler_t")
def _note(_t30: Any, user_data: Any, direction: int, message: Any, length: int) -> None:
    content = None if message == ffi.NULL else bytes(ffi.buffer(message, length))
    SEEN.append((ffi.from_handle(user_data), direction, content))


@callback("phase_handler_t", error=-1)
def _double(_t30: Any, _user_data: Any, code: int) -> int:
    if code == 13:
        raise ValueError("thirteen")
    return 2 * code


def test_arguments_arrive_as_cffi_would_hand_them_over() -> None:
    owner = object()
    handle: Any = ffi.new_handle(owner)
    message = ffi.new("uint8_t[]", b"\xff\xc8")
    _note(ffi.NULL, handle, -3, message, 2)
    _note(ffi.NULL, handle, 1, ffi.NULL, 0)
    assert [(owner, -3, b"\xff\xc8"), (owner, 1, None)] == SEEN
    assert _double(ffi.NULL, ffi.NULL, -21) == -42


def test_a_callback_that_raises_is_an_error_to_the_library(capfd: pytest.CaptureFixture[str]) -> None:
    """docs/transport.md F.1: a failing callback must not look like success."""
    assert _double(ffi.NULL, ffi.NULL, 13) == -1
    assert "ValueError: thirteen" in capfd.readouterr().err


DENIED = """
import ctypes, mmap, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, Linux 6.3
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=7)
    sys.exit("memory is not denied")
except OSError:
    pass
from faxgw.t30.binding import ffi, library
import faxgw.t30.terminal
from faxgw.t30.callback import callback
print(callback("phase_handler_t", error=-1)(lambda t30, user, code: code + 1)(ffi.NULL, ffi.NULL, 41))
library()
"""


def test_the_engine_loads_where_no_memory_is_writable_and_executable() -> None:
    """systemd.exec(5), MemoryDenyWriteExecute."""
    done = subprocess.run([sys.executable, "-c", DENIED], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel cannot deny it by prctl")
    assert (done.returncode, done.stdout.strip()) == (0, "42"), done.stderr
