"""The text of a page by Tesseract, in the page process itself (through tesserocr, which brings the engine).

A child is forked with the engine's code loaded; it opens the models it needs and reads one page. The engine runs one
thread: with OpenMP's default, a page takes six times as long on two cores.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # the engine has no types

import numpy as np
import numpy.typing as npt

from faxgw.fax.reading import MAX_WORDS

Grey = npt.NDArray[np.uint8]
MODELS = Path("/usr/share/tesseract-ocr/5/tessdata")
"""Where Debian's packages tesseract-ocr-… put the models."""
TURNS = (0, 90, 180, 270)
"""Degrees clockwise by which a page may have to be turned."""


class NoText(Exception):
    """The engine or a model is missing; the message says which."""


@dataclass(frozen=True, slots=True)
class Found:
    """A word in the pixels of the picture that was read."""

    text: str
    left: int
    top: int
    right: int
    bottom: int
    confidence: int
    line: int
    block: int


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was found on a picture."""

    words: tuple[Found, ...]
    text: str
    whole: bool
    """False when time was up before the end of the page."""
    turn: int = 0
    """Degrees clockwise by which the picture must be turned for most of its words: the engine reads lines on their
    side by itself."""

    @property
    def confidence(self) -> float:
        """Mean confidence of the words, per cent."""
        return sum(word.confidence for word in self.words) / len(self.words) if self.words else 0.0

    @property
    def weight(self) -> float:
        """How much was read how surely: what two readings of one page are compared by."""
        letters = ((sum(c.isalnum() for c in word.text), word.confidence) for word in self.words)
        return sum(count * (confidence / 100) ** 2 for count, confidence in letters if count > 1)


def preload() -> None:
    """Load the engine, once, before children are forked; without it they say that there is none."""
    os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        import tesserocr  # noqa: F401
    except ImportError:
        return


def installed() -> frozenset[str]:
    """Codes of the languages whose models are there."""
    return frozenset(path.stem for path in MODELS.glob("*.traineddata"))


def read(picture: Grey, dpi: int, languages: Sequence[str], milliseconds: int) -> Recognised:
    """Read a picture: black on white, square pixels.

    Args:
        picture: 0 is black.
        dpi: Pixels per inch.
        languages: Codes of models.
        milliseconds: Time after which what was read so far is taken.

    Raises:
        NoText: If the engine or a model is missing.
    """
    module = _module()
    with _quiet(), _engine(module, "+".join(languages), module.PSM.AUTO) as engine:
        _give(engine, picture, dpi)
        whole = engine.Recognize(max(1, milliseconds))
        words, text, turn = _words(module, engine, languages)
    return Recognised(words, text, bool(whole) and len(words) < MAX_WORDS, turn)


def orientation(picture: Grey, dpi: int) -> int | None:
    """Degrees clockwise by which the picture must be turned to be upright, as the shapes of its letters say; None:
    there are too few of them.

    Raises:
        NoText: If the engine or its model `osd` is missing.
    """
    module = _module()
    with _quiet(), _engine(module, "osd", module.PSM.OSD_ONLY) as engine:
        _give(engine, picture, dpi)
        found = engine.DetectOrientationScript()
    # The engine counts the other way round: 90 for a page whose top is on the left.
    return None if not found else (360 - int(found["orient_deg"])) % 360


def _module() -> Any:
    try:
        import tesserocr
    except ImportError as exc:
        raise NoText("the OCR engine is not installed") from exc
    return tesserocr


def _engine(module: Any, languages: str, mode: int) -> Any:
    missing = [code for code in languages.split("+") if not (MODELS / f"{code}.traineddata").is_file()]
    if missing:
        raise NoText(f"no language data for {', '.join(missing)}")
    try:
        engine = module.PyTessBaseAPI(path=f"{MODELS}/", lang=languages, psm=mode)
    except RuntimeError as exc:
        raise NoText(f"the OCR engine does not start: {exc}") from exc
    engine.SetVariable("debug_file", "")  # it would open /dev/null for writing, which a child may not, and crash
    return engine


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let what the engine says to standard error go where standard output goes: to nowhere, in a child."""
    before = os.dup(2)
    os.dup2(1, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _give(engine: Any, picture: Grey, dpi: int) -> None:
    rows, width = picture.shape
    engine.SetImageBytes(np.ascontiguousarray(picture).tobytes(), width, rows, 1, width)
    engine.SetSourceResolution(dpi)


def _words(module: Any, engine: Any, languages: Sequence[str]) -> tuple[tuple[Found, ...], str, int]:
    """Words in reading order, the text they make, and how most lie."""
    words: list[Found] = []
    line, block = -1, -1
    iterator = engine.GetIterator()
    if iterator is None:
        return (), "", 0
    lying = dict.fromkeys(TURNS, 0)
    level = module.RIL
    for at in module.iterate_level(iterator, level.WORD):
        if at.Empty(level.WORD):
            continue
        text = at.GetUTF8Text(level.WORD).strip()
        box = at.BoundingBox(level.WORD)
        new_block = at.IsAtBeginningOf(level.PARA) or block < 0
        new_line = at.IsAtBeginningOf(level.TEXTLINE) or line < 0
        block += new_block
        line += new_line
        if not text or box is None:
            continue
        words.append(Found(text, box[0], box[1], box[2], box[3], round(at.Confidence(level.WORD)), line, block))
        lying[_turn(at.Orientation(), languages)] += 1
        if len(words) >= MAX_WORDS:
            break
    return tuple(words), text_of(words), max(lying, key=lambda turn: lying[turn])


def text_of(words: Sequence[Found]) -> str:
    """The text that words make: lines by line feeds, paragraphs by empty lines."""
    pieces: list[str] = []
    for before, word in zip((None, *words), words, strict=False):
        if before is not None:
            pieces.append("\n\n" if before.block != word.block else "\n" if before.line != word.line else " ")
        pieces.append(word.text)
    return "".join((*pieces, "\n")) if pieces else ""


def _turn(lying: tuple[int, int, int, float], languages: Sequence[str]) -> int:
    """Degrees clockwise by which a word must be turned, from the side to which its letters' tops point (up, right,
    down, left) and the direction of writing: lines of Latin letters that run down are lines that lie on their side.
    """
    points, direction = int(lying[0]), int(lying[1])
    if direction == _DOWNWARD and not any("vert" in code for code in languages):
        return 270
    return {0: 0, 1: 270, 2: 180, 3: 90}.get(points, 0)


_DOWNWARD = 2
"""The engine's WRITING_DIRECTION_TOP_TO_BOTTOM."""
