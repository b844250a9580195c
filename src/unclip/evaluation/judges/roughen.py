"""Pictures made worse in the ways in which a model's pictures are, so that judges do not trip over them."""

from io import BytesIO
from random import Random

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

LOW_PX = 64  # a decoder's side


def roughened(pixels: UInt8[np.ndarray, "h w 3"], rng: Random) -> UInt8[np.ndarray, "h w 3"]:
    """Reduce and enlarge, blur, compress and add noise, each half of the time."""
    picture = Image.fromarray(pixels)
    size = picture.size
    if rng.random() < 0.5:
        how = rng.choice((Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS))
        picture = picture.resize((LOW_PX, LOW_PX), Image.Resampling.BOX).resize(size, how)
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.008) * size[0]))
    if rng.random() < 0.5:
        file = BytesIO()
        picture.save(file, "JPEG", quality=rng.randint(40, 95))
        picture = Image.open(file).convert("RGB")
    rough = np.asarray(picture)
    if rng.random() < 0.5:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 10), pixels.shape)
        rough = (rough + noise).round().clip(0, 255).astype(np.uint8)
    return np.array(rough)
