"""`python -m faxgw.store.build`: compile what makes small files durable (`_rounds.c`) where a compiler is at hand."""

from __future__ import annotations

from faxgw import compiled
from faxgw.store.rounds import LIBRARY, SOURCE


def build(compiler: str | None = None) -> bool:
    """Compile and put in place; False without a compiler.

    Raises:
        subprocess.CalledProcessError: If the compiler refuses.
        OSError: If the folder cannot be written.
    """
    return compiled.build(SOURCE, LIBRARY, "ROUNDS_VERSION", (), compiler)


def main() -> None:
    """Compile, or say why not."""
    compiled.tell(build, "rounds of small files", "rounds of small files stay in Python")


if __name__ == "__main__":
    main()
