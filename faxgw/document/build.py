"""`python -m faxgw.document.build`: compile what is done with every pixel (`_pixels.c`) where a compiler is at hand.

The result lies beside the source and is used by `native` as long as it was made from that very source. Without a
compiler nothing happens: numpy and libtiff do the same at more CPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Final

from faxgw.document.native import LIBRARY, SOURCE, version_of

FLAGS: Final = ("-O2", "-fPIC", "-shared", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now")


def build(compiler: str | None = None) -> bool:
    """Compile and put in place; False without a compiler.

    Raises:
        subprocess.CalledProcessError: If the compiler refuses.
        OSError: If the folder cannot be written.
    """
    compiler = compiler or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return False
    version = version_of(SOURCE.read_bytes())
    made = LIBRARY.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run([compiler, *FLAGS, f'-DPIXELS_VERSION="{version}"', "-o", str(made), str(SOURCE)], check=True)
        made.replace(LIBRARY)
    finally:
        made.unlink(missing_ok=True)
    return True


def main() -> None:
    """Compile, or say why not."""
    try:
        done = build()
    except (OSError, subprocess.CalledProcessError) as exc:
        sys.exit(f"work on pixels not built: {exc}")
    sys.stdout.write("work on pixels built\n" if done else "no C compiler: pixels stay with numpy and libtiff\n")


if __name__ == "__main__":
    main()
