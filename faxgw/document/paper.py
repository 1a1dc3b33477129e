"""Photographs of documents: found by measurement, and freed of shadows, so that text stays text (page process only).

A telephone's picture of a letter is grey all over, unevenly lit and noisy: as a picture it would be dots from edge to
edge. Where the paper's own brightness can be followed across the picture, each pixel is compared with the paper around
it instead of with one threshold. The brightness is the upper quartile of each block's greys, closed over what is
printed (grey closing): strokes do not reach it, shadows do. What is taken for a document is in `is_document`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from faxgw.document.halftone import TONE_HIGH, TONE_LOW

LOOKED_AT = 1200
"""Pixels of the longer side of the picture that is looked at."""
BLOCK = 12
"""Pixels of a block's side in it."""
SPAN = 7
"""Blocks that the closing bridges: headlines and thick rules."""
STROKE = 9
"""Pixels from which ink is an area and no stroke."""
PAPER, INK = 0.85, 0.65
"""Part of the paper's brightness above which a pixel is paper, below which it is ink."""
JUMP = 0.92
"""Part of a neighbour's brightness below which a block's is a jump: the paper's edge, or no paper."""
INKED = (0.05, 0.45)
"""Part of a block's pixels that is ink where something is written."""
WHITE, BLACK = 0.80, 0.40
"""Part of the paper's brightness from which a pixel is made white, up to which it is made black."""
NOISE = 5.0
"""Standard deviations of the noise that ink is darker than the paper."""
TONES = 0.3
"""Part of the pixels that must be tones: a clean scan or a drawing is not looked at any further."""
BAND = 256
"""Rows worked on at a time."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What a picture is judged by; all are parts of 1 but the brightness."""

    brightness: float
    """Median grey of the paper, 0 to 255."""
    jumps: float
    """Neighbouring blocks between which the paper's brightness jumps."""
    strokes: float
    """Ink that is thin."""
    written: float
    """Blocks in which something is written."""
    paper: float
    """Pixels of those blocks that are paper."""
    between: float
    """Pixels of those blocks that are neither paper nor ink."""


def levelled(grey: Image.Image) -> Image.Image | None:
    """The picture in black on white if it is a photograph of a document, else None. Mode L both."""
    small = _small(grey)
    if sum(small.histogram()[TONE_LOW : TONE_HIGH + 1]) < TONES * small.width * small.height:
        return None
    ground = _background(small)
    if not is_document(_measure(np.asarray(small), np.asarray(ground))):
        return None
    return _level(grey, ground, small.size)


def is_document(found: Measures) -> bool:
    """Whether strokes stand on paper.

    In the written blocks of a document hardly anything lies between paper and ink. Measured on generated samples: paper
    less between is 0.37 to 0.65 for pages, at most 0.34 for grass, scenery, portraits and textures, 0.35 for pages out
    of focus, which stay pictures. Thin dark lines on an even bright ground pass too, whatever they show: branches
    before a clear sky are a drawing.
    """
    return (
        found.brightness >= 60
        and found.jumps <= 0.05
        and found.strokes >= 0.25
        and found.written >= 0.02
        and found.paper - found.between >= 0.36
    )


def _small(grey: Image.Image) -> Image.Image:
    longer = max(grey.size)
    if longer <= LOOKED_AT:
        return grey
    size = (max(1, grey.width * LOOKED_AT // longer), max(1, grey.height * LOOKED_AT // longer))
    return grey.resize(size, Image.Resampling.BOX)


def _blocks(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pixels block by block; the last ones are filled up with the edge's."""
    down, across = (-(-side // BLOCK) for side in pixels.shape)
    spare = (down * BLOCK - pixels.shape[0], across * BLOCK - pixels.shape[1])
    full = np.pad(pixels, ((0, spare[0]), (0, spare[1])), "edge")
    return full.reshape(down, BLOCK, across, BLOCK).swapaxes(1, 2).reshape(down, across, BLOCK * BLOCK)


def _background(small: Image.Image) -> Image.Image:
    """The paper's brightness, one pixel for each block."""
    rank = BLOCK * BLOCK * 3 // 4
    upper = np.ascontiguousarray(np.partition(_blocks(np.asarray(small)), rank, axis=2)[:, :, rank])
    return Image.fromarray(upper).filter(ImageFilter.MaxFilter(SPAN)).filter(ImageFilter.MinFilter(SPAN))


def _measure(pixels: npt.NDArray[np.uint8], ground: npt.NDArray[np.uint8]) -> Measures:
    blocks, paper = _blocks(pixels), ground[:, :, None].astype(np.float32)
    dark, bright = blocks < INK * paper, blocks > PAPER * paper
    share = dark.mean(axis=2)
    written = (share > INKED[0]) & (share < INKED[1])
    none = not written.any()
    ink = pixels < INK * ground.repeat(BLOCK, 0).repeat(BLOCK, 1)[: pixels.shape[0], : pixels.shape[1]]
    mask = Image.fromarray(ink.astype(np.uint8))
    thick = mask.filter(ImageFilter.MinFilter(STROKE)).filter(ImageFilter.MaxFilter(STROKE))
    steps = _jumps(ground) + _jumps(ground.T)
    return Measures(
        brightness=float(np.median(ground)),
        jumps=sum(map(int, steps)) / max(1, len(steps)),
        strokes=1.0 - int(np.asarray(thick)[ink].sum()) / max(1, int(ink.sum())),
        written=float(written.mean()),
        paper=0.0 if none else float(bright[written].mean()),
        between=1.0 if none else float((~bright & ~dark)[written].mean()),
    )


def _jumps(ground: npt.NDArray[np.uint8]) -> list[bool]:
    low, high = np.minimum(ground[1:], ground[:-1]), np.maximum(ground[1:], ground[:-1])
    jumps: list[bool] = (low < JUMP * high).ravel().tolist()
    return jumps


def _level(grey: Image.Image, ground: Image.Image, looked_at: tuple[int, int]) -> Image.Image:
    """Compare each pixel with its paper; what is not darker than the noise explains is white."""
    smooth = ground.filter(ImageFilter.BoxBlur(1))
    across, down = looked_at[0] / BLOCK / grey.width, looked_at[1] / BLOCK / grey.height
    noise = NOISE * _noise(np.asarray(grey))
    out = Image.new("L", grey.size, 255)
    for top in range(0, grey.height, BAND):
        rows = min(BAND, grey.height - top)
        box = (0.0, top * down, grey.width * across, (top + rows) * down)
        paper = np.asarray(smooth.resize((grey.width, rows), Image.Resampling.BILINEAR, box), np.float32)
        pixels = np.asarray(grey.crop((0, top, grey.width, top + rows)), np.float32)
        levels = (pixels / np.maximum(paper, 1.0) - BLACK) * (255.0 / (WHITE - BLACK))
        levels[paper - pixels < noise] = 255.0
        out.paste(Image.fromarray(np.clip(levels, 0.0, 255.0).astype(np.uint8)), (0, top))
    return out


def _noise(pixels: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the noise: most neighbours differ by nothing else."""
    some = pixels[:: max(1, len(pixels) // 500)].astype(np.int16)
    return float(np.median(np.abs(np.diff(some, axis=1)))) * 1.4826 / np.sqrt(2.0) if some.shape[1] > 1 else 0.0
