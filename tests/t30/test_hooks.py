"""Functions that a library calls of itself are replaced for it alone; what cannot be replaced is a fault."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from typing import Any

import pytest

from faxgw.t30 import binding, hooks

SEALED = "t30_hdlc_accept"
"""Its slot lies where the linker takes the right to write away."""


def program(body: str) -> subprocess.CompletedProcess[str]:
    """Hooks last as long as a process: so each has one."""
    head = (
        "import ctypes\nfrom faxgw.t30 import hooks\nlib = ctypes.CDLL('libspandsp.so.2')\n"
        "kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)\n"
        "address = lambda made: ctypes.cast(made, ctypes.c_void_p).value\n"
    )
    return subprocess.run([sys.executable, "-c", head + body], capture_output=True, text=True, timeout=60, check=False)


def test_the_library_calls_the_other_function_and_the_name_keeps_its_own() -> None:
    """`t4_rx_end_page` flushes a page of MMR with 13 bits (ITU-T T.6) through `t4_rx_put_bit`."""
    result = program(
        "import os\n"
        "bits = []\n"
        "ours = kind(lambda state, bit: bits.append(bit) or 0)\n"
        "print(hooks.replace('libspandsp.so.2', {'t4_rx_put_bit': address(ours)}))\n"
        "lib.t4_rx_init.restype = ctypes.c_void_p\n"
        "file = os.memfd_create('x')\n"
        "state = ctypes.c_void_p(lib.t4_rx_init(None, f'/proc/self/fd/{file}'.encode(), 3))\n"
        "lib.t4_rx_set_rx_encoding(state, 3)\n"
        "lib.t4_rx_start_page(state)\n"
        "lib.t4_rx_put_bit(state, 1)\n"
        "print(len(bits))\n"
        "lib.t4_rx_end_page(state)\n"
        "print(bits == [0] * 13)\n"
    )
    assert result.stdout.splitlines() == ["{'t4_rx_put_bit': 1}", "0", "True"], result.stderr


def test_a_sealed_slot_is_written_and_sealed_again() -> None:
    result = program(
        "ours = kind(lambda state, bit: 0)\n"
        f"(slot,) = hooks._slots('libspandsp.so.2', frozenset({{'{SEALED}'}}))['{SEALED}']\n"
        "read = lambda: ctypes.c_size_t.from_address(slot.at).value\n"
        "before = read()\n"
        f"hooks.replace('libspandsp.so.2', {{'{SEALED}': address(ours)}})\n"
        "print(slot.sealed, read() == address(ours) != before, flush=True)\n"
        "ctypes.c_size_t.from_address(slot.at).value = before\n"
    )
    assert result.stdout == "True True\n", result.stderr
    assert result.returncode == -11  # the last line wrote where nobody may


@pytest.mark.parametrize("name", ["no_such_function", "t4_rx_free"])
def test_what_the_library_does_not_call_cannot_be_replaced(name: str) -> None:
    with pytest.raises(hooks.HookFault, match=name):
        hooks.replace(binding.SONAME, {name: 1, "t4_rx_put_bit": 1})
    (slot,) = hooks._slots(binding.SONAME, frozenset({"t4_rx_put_bit"}))["t4_rx_put_bit"]
    assert ctypes.c_size_t.from_address(slot.at).value != 1  # all or nothing


def test_only_slots_of_the_library_are_found() -> None:
    (slot,) = hooks._slots(binding.SONAME, frozenset({"memcpy"}))["memcpy"]
    spans = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            if "libspandsp" in line:
                start, end = line.split()[0].split("-")
                spans.append((int(start, 16), int(end, 16)))
    assert any(start <= slot.at < end for start, end in spans)


def test_a_slot_that_cannot_be_made_writable_is_a_fault() -> None:
    with pytest.raises(hooks.HookFault, match="errno 12"):
        hooks._allow(mmap.PAGESIZE, 3)  # nothing is mapped there


def test_a_library_without_symbols_is_a_fault() -> None:
    empty = (ctypes.c_char * 64)()

    class Link:
        base = 0
        dynamic = ctypes.addressof(empty)

    link: Any = Link
    with pytest.raises(hooks.HookFault, match="without symbols"):
        hooks._dynamic(link)


def test_addresses_that_are_offsets_are_made_absolute() -> None:
    assert hooks._absolute(0x10, 0x7000) == 0x7010
    assert hooks._absolute(0x7010, 0x7000) == 0x7010


DENIED = """
import ctypes, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, Linux 6.3
    sys.exit(77)
from tests.t30 import crafted
crafted.main(sys.argv[1], "horizontal in MMR")
"""


@pytest.mark.parametrize("guard", ["C", "Python"])
def test_no_memory_need_be_writable_and_executable(guard: str) -> None:
    """systemd's MemoryDenyWriteExecute: slots are data."""
    result = subprocess.run(
        [sys.executable, "-c", DENIED, guard], capture_output=True, text=True, timeout=60, check=False
    )
    if result.returncode == 77:
        pytest.skip("this kernel cannot deny it")
    assert result.stdout == "RUNS 0 0\n", result.stderr
