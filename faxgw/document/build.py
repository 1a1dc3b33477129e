"""`python -m faxgw.document.build`: compile what is done with every pixel (`_pixels.c`) where a compiler is at hand."""

from __future__ import annotations

from faxgw import compiled
from faxgw.document.native import LIBRARY, SOURCE


def build(compiler: str | None = None) -> bool:
    """Compile and put in place; False without a compiler.

    Raises:
        subprocess.CalledProcessError: If the compiler refuses.
        OSError: If the folder cannot be written.
    """
    return compiled.build(SOURCE, LIBRARY, "PIXELS_VERSION", (), compiler)


def main() -> None:
    """Compile, or say why not."""
    compiled.tell(build, "work on pixels", "pixels stay with numpy and libtiff")


if __name__ == "__main__":
    main()
