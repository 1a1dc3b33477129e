"""`python -m faxgw.t30.build`: compile the media loop (`_media.c`) where a compiler is at hand."""

from __future__ import annotations

from faxgw import compiled
from faxgw.t30 import binding
from faxgw.t30.native import LIBRARY, SOURCE


def build(compiler: str | None = None) -> bool:
    """Compile and put in place; False without a compiler.

    Raises:
        subprocess.CalledProcessError: If the compiler refuses.
        OSError: If the folder cannot be written.
    """
    return compiled.build(SOURCE, LIBRARY, "MEDIA_VERSION", (f"-l:{binding.SONAME}", "-lm"), compiler)


def main() -> None:
    """Compile, or say why not."""
    compiled.tell(build, "media loop", "the media loop stays in Python")


if __name__ == "__main__":
    main()
