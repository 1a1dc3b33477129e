"""Put other functions in the place of those that a loaded ELF library calls of itself (System V gABI, "Relocation").

A shared library calls its own exported functions through slots that the dynamic linker fills: each names a symbol and
an address to be written to. `replace` writes other addresses there, for one library, in one process. Whoever looks a
function up by name still gets the library's own.

Linux, 64 bit, little-endian, relocations with addends (x86-64, AArch64): what Debian 12 runs faxgw on.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final  # ctypes objects have no types

_RTLD_DI_LINKMAP: Final = 2
"""dlinfo(3)."""
_PROT_READ: Final = 1
_PROT_READ_WRITE: Final = 3
"""mprotect(2)."""
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_JMPREL = 2, 5, 6, 7, 8, 23
_DYNAMIC: Final = struct.Struct("<qQ")
_RELOCATION: Final = struct.Struct("<QQq")
"""Elf64_Rela: where, symbol and type, addend."""
_SYMBOL_SIZE: Final = 24
_HEADER: Final = struct.Struct("<16sHHIQQQIHHH")
"""Elf64_Ehdr up to e_phnum."""
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
"""Elf64_Phdr."""
_PT_GNU_RELRO: Final = 0x6474E552
MAX_DYNAMIC: Final = 256
"""Entries of a dynamic section at most; libraries have some thirty."""


class HookFault(Exception):
    """The library has no such slot, or none can be written."""


class _LinkMap(ctypes.Structure):
    _fields_ = (("base", ctypes.c_size_t), ("name", ctypes.c_char_p), ("dynamic", ctypes.c_size_t))


@dataclass(frozen=True, slots=True)
class _Slot:
    at: int
    """Its address."""
    sealed: bool
    """The linker has made it read-only (RELRO)."""


def replace(library: str, functions: Mapping[str, int]) -> dict[str, int]:
    """Make a library call other functions than its own.

    Args:
        library: Name of a shared library, loaded or not.
        functions: Symbol → address of what is called instead. It must live as long as the process.

    Returns:
        Symbol → how many slots were written.

    Raises:
        HookFault: If a symbol has no slot (the library calls it directly, or not at all), or a slot cannot be
            written. Then nothing was changed, or what was is still right: a symbol's slots are written one by one.
    """
    found = _slots(library, frozenset(functions))
    missing = sorted(name for name in functions if not found.get(name))
    if missing:
        raise HookFault(f"{library} does not call {', '.join(missing)} by way of a slot")
    for name, slots in found.items():
        for slot in slots:
            _write(slot, functions[name])
    return {name: len(slots) for name, slots in found.items()}


def _slots(library: str, wanted: frozenset[str]) -> dict[str, list[_Slot]]:
    link = _link_map(library)
    entries = _dynamic(link)

    def table(tag: int, size: int) -> bytes:
        if tag not in entries:
            return b""
        return ctypes.string_at(_absolute(entries[tag], link.base), entries.get(size, 0))

    strings = _absolute(entries[_DT_STRTAB], link.base)
    symbols = _absolute(entries[_DT_SYMTAB], link.base)
    sealed = _sealed(link.base)
    found: dict[str, list[_Slot]] = {name: [] for name in wanted}
    for relocations in (table(_DT_RELA, _DT_RELASZ), table(_DT_JMPREL, _DT_PLTRELSZ)):
        for offset, info, addend in _RELOCATION.iter_unpack(relocations):
            symbol = info >> 32
            if not symbol or addend:
                continue
            (name_at,) = struct.unpack("<I", ctypes.string_at(symbols + _SYMBOL_SIZE * symbol, 4))
            name = ctypes.string_at(strings + name_at).decode("latin-1")
            if name in found:
                at = link.base + offset
                found[name].append(_Slot(at, any(start <= at < end for start, end in sealed)))
    return found


def _link_map(library: str) -> Any:
    handle = ctypes.CDLL(library)._handle
    dlinfo = ctypes.CDLL(None).dlinfo
    dlinfo.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    link = ctypes.POINTER(_LinkMap)()
    if dlinfo(handle, _RTLD_DI_LINKMAP, ctypes.byref(link)):
        raise HookFault(f"{library}: the dynamic linker does not say where it lies")
    return link.contents


def _dynamic(link: Any) -> dict[int, int]:
    entries: dict[int, int] = {}
    for index in range(MAX_DYNAMIC):
        octets = ctypes.string_at(link.dynamic + index * _DYNAMIC.size, _DYNAMIC.size)
        tag, value = _DYNAMIC.unpack(octets)
        if tag == 0:
            break
        entries[tag] = value
    if not entries.keys() >= {_DT_STRTAB, _DT_SYMTAB}:
        raise HookFault("a library without symbols")
    return entries


def _absolute(value: int, base: int) -> int:
    """The C library has made these entries absolute in most architectures."""
    return value if value >= base else base + value


def _sealed(base: int) -> list[tuple[int, int]]:
    """Where the linker has taken the right to write away."""
    header = _HEADER.unpack(ctypes.string_at(base, _HEADER.size))
    at, size, count = header[5], header[9], header[10]
    spans = []
    for index in range(count):
        kind, _flags, _offset, address, _physical, _stored, length, _align = _SEGMENT.unpack(
            ctypes.string_at(base + at + index * size, _SEGMENT.size)
        )
        if kind == _PT_GNU_RELRO:
            spans.append((base + address, (base + address + length) & -mmap.PAGESIZE))
    return spans


def _write(slot: _Slot, address: int) -> None:
    if slot.sealed:
        _allow(slot.at, _PROT_READ_WRITE)
    ctypes.c_size_t.from_address(slot.at).value = address
    if slot.sealed:
        _allow(slot.at, _PROT_READ)


def _allow(at: int, what: int) -> None:
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if mprotect(at & -mmap.PAGESIZE, mmap.PAGESIZE, what):
        raise HookFault(f"a slot cannot be written: errno {ctypes.get_errno()}")
