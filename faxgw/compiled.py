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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FLAGS: Final = ("-O2", "-fPIC", "-shared", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now")


def version_of(source: bytes) -> str:
    """What a library built from this source says of itself: 16 hexadecimal digits."""
    return hashlib.sha256(source).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Library:
    """What is compiled of one source."""

    source: Path
    """The C file."""
    path: Path
    """Where the result lies; replaced in one step, and left as it is when the compiler refuses."""
    macro: str
    """Name of the macro that gives the source its version."""
    what: str
    """What is compiled, for people."""
    without: str
    """What is so without a compiler."""
    links: tuple[str, ...] = ()
    """Further words for the linker."""

    def build(self, compiler: str | None = None) -> bool:
        """Compile and put in place; False without a compiler.

        Args:
            compiler: Program; None: whichever is there.

        Raises:
            subprocess.CalledProcessError: If the compiler refuses.
            OSError: If the folder cannot be written.
        """
        compiler = compiler or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            return False
        version = version_of(self.source.read_bytes())
        made = self.path.with_suffix(f".{os.getpid()}")
        try:
            subprocess.run(
                [compiler, *FLAGS, f'-D{self.macro}="{version}"', "-o", str(made), str(self.source), *self.links],
                check=True,
            )
            made.replace(self.path)
        finally:
            made.unlink(missing_ok=True)
        return True

    def main(self) -> None:
        """Compile for somebody who looks on; a compiler that refuses ends the program with the reason."""
        try:
            done = self.build()
        except (OSError, subprocess.CalledProcessError) as exc:
            sys.exit(f"{self.what} not built: {exc}")
        sys.stdout.write(f"{self.what} built\n" if done else f"no C compiler: {self.without}\n")
