"""C beside Python that does the same: compiled at set-up where a compiler is at hand, used only if it is of its source.

A library lies beside its source and says of which source it was made. Without a compiler nothing happens: the Python
twin does the same at more CPU (decisions 11 and 12).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

FLAGS: Final = ("-O2", "-fPIC", "-shared", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now")


def version_of(source: bytes) -> str:
    """What a library built from this source says of itself: 16 hexadecimal digits."""
    return hashlib.sha256(source).hexdigest()[:16]


def build(source: Path, library: Path, macro: str, links: Sequence[str] = (), compiler: str | None = None) -> bool:
    """Compile and put in place; False without a compiler.

    Args:
        source: The C file.
        library: Where the result lies; replaced in one step, and left as it is when the compiler refuses.
        macro: Name of the macro that gives the source its version.
        links: Further words for the linker.
        compiler: Program; None: whichever is there.

    Raises:
        subprocess.CalledProcessError: If the compiler refuses.
        OSError: If the folder cannot be written.
    """
    compiler = compiler or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return False
    version = version_of(source.read_bytes())
    made = library.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run(
            [compiler, *FLAGS, f'-D{macro}="{version}"', "-o", str(made), str(source), *links],
            check=True,
        )
        made.replace(library)
    finally:
        made.unlink(missing_ok=True)
    return True


def tell(build: Callable[[], bool], what: str, without: str) -> None:
    """Compile for somebody who looks on; a compiler that refuses ends the program with the reason.

    Args:
        build: Compiles.
        what: What is compiled, for people.
        without: What is so without a compiler.
    """
    try:
        done = build()
    except (OSError, subprocess.CalledProcessError) as exc:
        sys.exit(f"{what} not built: {exc}")
    sys.stdout.write(f"{what} built\n" if done else f"no C compiler: {without}\n")
