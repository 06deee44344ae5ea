"""Photographs of any size as images of one size: the random crops of training, the central one of testing.

Training: Szegedy et al., arXiv 1409.4842, Sec. 6, as He et al. and Huang et al. train ImageNet: a random part of 8 % to 100 % of the
area and of an aspect of 3/4 to 4/3, half of them mirrored. Testing: the shorter side to 256 pixels, the central 224 x 224.
Pillow resizes with a filter as wide as the reduction (bilinear), so nothing aliases.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from psp_hw.errors import DataError

Pixels = NDArray[np.uint8]

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
TRIES = 10
SHORTER_SIDE = 256 / 224  # of the resized photograph, in sides of the crop
FORMATS = ("JPEG", "PNG")  # one photograph of ImageNet is a PNG whose name ends in .JPEG
LONGEST = 8  # aspect from which the middle is cut out first: its size grows with the square of the length
MAX_PIXELS = 1 << 27  # of a photograph; the largest of ImageNet has 6 % of that


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A part of a photograph, in its pixels; and whether it is mirrored left to right."""

    left: int
    top: int
    width: int
    height: int
    mirrored: bool


def random_crop(width: int, height: int, rng: np.random.Generator, *, flip: bool) -> Crop:
    """Draw a part of a photograph.

    Args:
        width, height: of the photograph [pixels].
        rng: source of the draw.
        flip: whether half of them are mirrored.
    """
    mirrored = bool(flip and rng.random() < 0.5)
    for _ in range(TRIES):
        area = width * height * rng.uniform(*AREA)
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return Crop(left=left, top=top, width=w, height=h, mirrored=mirrored)
    # A photograph so long that no part fits: its middle, as long as the aspect allows.
    w, h = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
    return Crop(left=(width - w) // 2, top=(height - h) // 2, width=w, height=h, mirrored=mirrored)


def cropped(photograph: Image.Image, crop: Crop, side: int) -> Pixels:
    """A part of a photograph as an image uint8 [3, side, side]."""
    box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    image = photograph.crop(box).resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)  # [H, W, C]
    pixels = pixels[:, ::-1] if crop.mirrored else pixels
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def central(photograph: Image.Image, side: int) -> Pixels:
    """The middle of a photograph as an image uint8 [3, side, side]."""
    photograph = _middle(photograph)
    width, height = photograph.size
    shorter = round(side * SHORTER_SIDE)
    scale = shorter / min(width, height)
    w, h = max(shorter, int(width * scale)), max(shorter, int(height * scale))
    left, top = round((w - side) / 2), round((h - side) / 2)
    image = photograph.resize((w, h), Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _middle(photograph: Image.Image) -> Image.Image:
    """The middle of a very long photograph: a line of 1 x 5,000 pixels would be resized to 256 x 1,280,000."""
    width, height = photograph.size
    longest = LONGEST * min(width, height)
    if max(width, height) <= longest:
        return photograph
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    return photograph.crop((left, top, left + min(width, longest), top + min(height, longest)))


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit gray with its upper 8 bits, as Pillow reads 16-bit colour; left alone, all above 255 becomes white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def decoded(content: bytes, where: str) -> Image.Image:
    """A photograph from the bytes of its file, as red, green and blue.

    Raises:
        DataError: neither JPEG nor PNG, damaged, or larger than any photograph.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF data, which nobody reads
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(f"is said to have {width} x {height} pixels", where=where)
            return _eight_bits(image).convert("RGB")
    except DataError:
        raise
    except UnidentifiedImageError as error:  # Pillow names an address in memory
        what = f"not a readable photograph: neither {' nor '.join(FORMATS)}"
        raise DataError(what, where=where, hint="restore the file or remove it") from error
    except Exception as error:  # damaged bytes make the reader raise anything
        raise DataError(
            f"not a readable photograph: {error}", where=where, hint="restore the file or remove it"
        ) from error
