"""C callbacks for libspandsp that need no memory both writable and executable (systemd's MemoryDenyWriteExecute).

The closures of the cffi package bring a libffi that writes code into memory at run time; the system's libffi, which
Python's ctypes uses, has had code for them in its own file since 3.4 (Debian 12: 3.4.4). So the machine code is
ctypes' and everything else is cffi's: a callback gets and returns what one of `ffi.callback` would.
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable
from typing import Any, Final  # cffi objects have no types

from faxgw.t30.binding import ffi

_PLAIN: Final = {"int": ctypes.c_int, "void": None}
_LIVING: Final[list[object]] = []
"""What ctypes made, kept for the life of the process: the library holds bare addresses."""


def callback(signature: str, error: int | None = None) -> Callable[[Callable[..., object]], Any]:
    """Make a function a C callback, once per process.

    Args:
        signature: Name of a function pointer type of `binding.ffi`; its plain arguments are `int`.
        error: What the library is told when the function raises; None for functions that return nothing.
    """
    kind: Any = ffi.typeof(signature)
    prototype = ctypes.CFUNCTYPE(_of(kind.result), *map(_of, kind.args))
    pointers = tuple(argument if argument.kind == "pointer" else None for argument in kind.args)

    def decorate(function: Callable[..., object]) -> Any:
        def call(*values: Any) -> object:
            try:
                return function(
                    *(
                        value if pointer is None else ffi.cast(pointer, value or 0)
                        for pointer, value in zip(pointers, values, strict=True)
                    )
                )
            except BaseException:  # noqa: BLE001 - nothing may fly through the library's frames
                traceback.print_exc()
                return error

        made = prototype(call)
        _LIVING.append(made)
        address: Any = ctypes.cast(made, ctypes.c_void_p).value
        return ffi.cast(kind, address)

    return decorate


def _of(kind: Any) -> Any:
    return ctypes.c_void_p if kind.kind == "pointer" else _PLAIN[kind.cname]
