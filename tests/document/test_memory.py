"""The page server's memory in large pages."""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faxgw.document import memory, sandbox

_LARGE = memory.LARGE


def test_only_whole_large_pages_of_no_file() -> None:
    maps = "\n".join(
        (
            f"{_LARGE + 4096:x}-{4 * _LARGE:x} rw-p 00000000 00:00 0 ",
            f"{6 * _LARGE:x}-{7 * _LARGE + 4096:x} rw-p 00000000 00:00 0          [heap]",
            f"{10 * _LARGE:x}-{12 * _LARGE:x} rw-p 00000000 08:01 77       /usr/lib/libsomething.so",
            f"{14 * _LARGE:x}-{16 * _LARGE:x} r--p 00000000 00:00 0",
            f"{18 * _LARGE:x}-{20 * _LARGE:x} rw-p 00000000 00:00 0          [stack]",
            f"{22 * _LARGE:x}-{23 * _LARGE - 4096:x} rw-p 00000000 00:00 0",
            f"{24 * _LARGE:x}-{26 * _LARGE:x} rw-s 00000000 00:01 4        /memfd:document (deleted)",
        )
    )
    assert memory._large_parts(maps) == [2 * _LARGE, 3 * _LARGE, 6 * _LARGE]


def _large_octets() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("AnonHugePages:"))
    return int(line.split()[1]) * 1024


def test_gathered_memory_keeps_its_content() -> None:
    room = mmap.mmap(-1, 4 * _LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(room), 4096):
        room[at : at + 8] = at.to_bytes(8, "little")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    start = -(-ctypes.addressof(ctypes.c_char.from_buffer(room)) // _LARGE) * _LARGE
    if libc.madvise(start, _LARGE, 25) != 0:
        pytest.skip("the kernel does not put pages together (Linux 6.1)")
    before = _large_octets()
    assert memory.gather() > 0
    assert _large_octets() >= before >= _LARGE
    assert all(room[at : at + 8] == at.to_bytes(8, "little") for at in range(0, len(room), 4096))


def test_the_page_servers_objects_lie_in_one_piece() -> None:
    code = (
        "from faxgw.document import memory; things = [bytes(300) for _ in range(60_000)];"
        "maps = [line for line in open('/proc/self/maps') if '[heap]' in line];"
        "low, high = (int(a, 16) for a in maps[0].split()[0].split('-')); print(high - low)"
    )
    done = subprocess.run(
        (sys.executable, "-P", "-B", "-c", code), env=sandbox.environment(), capture_output=True, check=True
    )
    assert int(done.stdout) > 60_000 * 300


def test_freed_pages_are_kept() -> None:
    pid = os.fork()
    if pid == 0:  # what mallopt changes is the process's own
        memory.keep()
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
        libc.free.argtypes = (ctypes.c_void_p,)
        heap = next(line for line in Path("/proc/self/maps").read_text().splitlines() if "[heap]" in line)
        low = int(heap.split("-")[0], 16)
        room = libc.malloc(8 * 1024 * 1024)
        libc.free(room)
        os._exit(0 if room - low < 1 << 36 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
