"""Where scenes take place: plain colours and painted places, each in endless mild variation."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from jaxtyping import Float32, UInt8

from unclip.world.canvas import Box, Canvas, Rgb, whole

VARIANTS = 32  # of each background
_KEPT_PX = 256  # up to this size whole backgrounds are kept


@dataclass(frozen=True)
class Background:
    """A place. `phrases` follow a noun; `hides`: colours that would not stand out from it."""

    phrases: tuple[str, ...]
    paint: Callable[[Canvas, Random], None]
    hides: frozenset[str] = frozenset()


def background(name: str, variant: int, size: int, box: Box) -> UInt8[np.ndarray, "h w 3"]:
    """Paint the part `box` of a background of `size` px. It is shared: copy it to draw on it."""
    keep = box == whole(size) and size <= _KEPT_PX
    return _kept(name, variant, size) if keep else _paint(name, variant, size, box)


@lru_cache(maxsize=1024)
def _kept(name: str, variant: int, size: int) -> UInt8[np.ndarray, "h w 3"]:
    return _paint(name, variant, size, whole(size))


def _paint(name: str, variant: int, size: int, box: Box) -> UInt8[np.ndarray, "h w 3"]:
    canvas = Canvas(size, box)
    BACKGROUNDS[name].paint(canvas, Random(f"{name}/{variant}"))
    return canvas.to_uint8()


def _plain(colour: Rgb) -> Callable[[Canvas, Random], None]:
    def paint(canvas: Canvas, rng: Random) -> None:
        shade = rng.uniform(-8, 8)
        canvas.gradient(_shift(colour, shade + 4), _shift(colour, shade - 4))

    return paint


def _beach(canvas: Canvas, rng: Random) -> None:
    sea, sand = rng.uniform(0.36, 0.44), rng.uniform(0.56, 0.64)
    canvas.gradient((110, 195, 245), (205, 236, 250), end=sea)
    _clouds(canvas, rng, sea - 0.1)
    canvas.below(sea, (28, 138, 190))
    canvas.below(_wave(rng, sand - 0.015, 0.012), (225, 245, 250))
    canvas.below(_wave(rng, sand, 0.012), _shift((243, 217, 156), rng.uniform(-8, 8)))
    for _ in range(40):
        canvas.ellipse(rng.random(), rng.uniform(0.66, 1), 0.006, 0.004, (214, 184, 120))


def _meadow(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((120, 200, 250), (214, 240, 252), end=0.6)
    _clouds(canvas, rng, 0.35)
    canvas.below(_wave(rng, 0.5, 0.04), (120, 194, 92))
    canvas.below(_wave(rng, 0.6, 0.03), _shift((86, 170, 64), rng.uniform(-10, 10)))
    for _ in range(30):
        colour = rng.choice(((255, 255, 255), (255, 226, 90), (250, 150, 190)))
        canvas.ellipse(rng.random(), rng.uniform(0.68, 1), 0.011, 0.011, colour)


def _night(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((8, 12, 48), (44, 52, 110), end=0.85)
    _stars(canvas, rng, 60, 0.75)
    canvas.below(_wave(rng, 0.84, 0.05), (14, 24, 40))


def _snow(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((168, 190, 214), (214, 226, 238), end=0.6)
    for _ in range(4):
        _fir(canvas, rng.random(), rng.uniform(0.58, 0.64), rng.uniform(0.12, 0.2), (104, 138, 140))
    canvas.below(_wave(rng, 0.6, 0.03), (240, 246, 252))
    for _ in range(70):
        r = rng.uniform(0.005, 0.012)
        canvas.ellipse(rng.random(), rng.random(), r, r, (255, 255, 255), 0.95)


def _sunset(canvas: Canvas, rng: Random) -> None:
    x, horizon = rng.uniform(0.2, 0.8), rng.uniform(0.66, 0.72)
    canvas.gradient((104, 62, 130), (255, 152, 70), end=horizon)
    canvas.glow(x, horizon, 0.6, (255, 214, 110), 0.8)
    canvas.ellipse(x, horizon - 0.03, 0.11, 0.11, (255, 240, 170))
    canvas.below(horizon, (112, 52, 84))
    for row in range(6):
        y, half = horizon + 0.02 + 0.045 * row, rng.uniform(0.05, 0.13)
        canvas.rectangle(x - half, y, x + half, y + 0.012, (255, 176, 100), 0.8)


def _underwater(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((70, 200, 215), (8, 70, 130))
    for _ in range(5):
        canvas.glow(rng.random(), 0.0, rng.uniform(0.25, 0.5), (210, 250, 250), 0.5)
    canvas.below(_wave(rng, 0.9, 0.03), (190, 176, 130))
    for _ in range(5):
        _weed(canvas, rng)
    for _ in range(16):
        r = rng.uniform(0.006, 0.022)
        x, y = rng.random(), rng.random()
        canvas.ellipse(x, y, r, r, (200, 240, 250), 0.75)
        canvas.ellipse(x, y, 0.65 * r, 0.65 * r, (90, 180, 210), 0.8)


def _desert(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((250, 200, 130), (255, 236, 196), end=0.55)
    canvas.ellipse(rng.uniform(0.15, 0.85), rng.uniform(0.1, 0.25), 0.07, 0.07, (255, 250, 220))
    for height, colour in ((0.5, (226, 168, 96)), (0.6, (212, 146, 76)), (0.74, (196, 126, 60))):
        canvas.below(_wave(rng, height, 0.06), colour)


def _table(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((236, 226, 208), (222, 208, 184), end=0.5)
    top = rng.uniform(0.5, 0.58)
    canvas.below(top, (168, 112, 64))
    canvas.rectangle(-0.1, top, 1.1, top + 0.025, (196, 140, 88))
    for row in range(1, 5):
        y = top + 0.11 * row + rng.uniform(-0.02, 0.02)
        canvas.rectangle(-0.1, y, 1.1, y + 0.008, (134, 84, 44))
        x = rng.random()
        canvas.rectangle(x, y - 0.05, x + rng.uniform(0.1, 0.3), y - 0.044, (146, 94, 52))


def _space(canvas: Canvas, rng: Random) -> None:
    canvas.fill((10, 6, 24))
    for colour in ((120, 40, 150), (40, 60, 170), (180, 50, 110)):
        canvas.glow(rng.random(), rng.random(), rng.uniform(0.35, 0.6), colour, 0.55)
    _stars(canvas, rng, 70, 1.0)
    x, y, r = rng.choice((0.12, 0.88)), rng.uniform(0.1, 0.25), rng.uniform(0.07, 0.1)
    planet = rng.choice(((230, 150, 80), (110, 190, 200), (200, 110, 160)))
    canvas.ellipse(x, y, r, r, planet)
    canvas.ellipse(x, y, 1.8 * r, 0.25 * r, _shift(planet, 40.0), 0.8)


def _city(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((150, 196, 230), (226, 236, 244), end=0.7)
    x = -0.05
    while x < 1:
        width, top = rng.uniform(0.12, 0.2), rng.uniform(0.12, 0.42)
        _building(
            canvas,
            x,
            top,
            width,
            rng.choice(((120, 128, 148), (164, 120, 108), (96, 110, 134), (186, 166, 140))),
        )
        x += width
    canvas.below(0.74, (176, 176, 178))
    canvas.below(0.8, (78, 80, 86))
    for dash in range(6):
        canvas.rectangle(0.2 * dash - 0.05, 0.89, 0.2 * dash + 0.06, 0.905, (240, 230, 170))


def _forest(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((170, 210, 170), (110, 160, 110), end=0.7)
    for depth, colour in enumerate(((92, 146, 100), (54, 112, 68), (30, 84, 50))):
        for tree in range(7):
            x = (tree + rng.random()) / 7
            _fir(canvas, x, 0.68 + 0.05 * depth, rng.uniform(0.4, 0.6), colour)
    canvas.below(_wave(rng, 0.75, 0.02), (92, 84, 48))


def _mountains(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((130, 190, 240), (230, 240, 250), end=0.7)
    for x, top in ((0.2, 0.2), (0.75, 0.14), (0.48, 0.28)):
        x, top = x + rng.uniform(-0.08, 0.08), top + rng.uniform(-0.05, 0.05)
        canvas.triangle(x, top, 0.8, 0.8, (112, 120, 146))
        canvas.triangle(x, top, top + 0.15, 0.8 * 0.15 / (0.8 - top), (250, 252, 255))
    canvas.below(_wave(rng, 0.74, 0.03), (108, 160, 96))


def _room(canvas: Canvas, rng: Random) -> None:
    wall = rng.choice(((240, 214, 180), (196, 216, 200), (224, 200, 210)))
    canvas.fill(wall)
    x = rng.choice((0.06, 0.66))
    canvas.rectangle(x, 0.1, x + 0.28, 0.44, (255, 255, 255))
    canvas.rectangle(x + 0.02, 0.12, x + 0.26, 0.42, (150, 206, 240))
    canvas.rectangle(x + 0.13, 0.12, x + 0.15, 0.42, (255, 255, 255))
    canvas.below(0.7, (190, 130, 84))
    canvas.rectangle(-0.1, 0.68, 1.1, 0.71, (255, 250, 240))
    canvas.ellipse(0.5, 0.87, 0.42, 0.09, rng.choice(((176, 70, 70), (80, 110, 160), (110, 140, 90))))


def _rain(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((92, 104, 122), (156, 168, 180))
    for _ in range(6):
        canvas.ellipse(rng.random(), rng.uniform(0, 0.12), 0.2, 0.09, (70, 80, 96))
    canvas.below(0.84, (96, 108, 116))
    for _ in range(90):
        x, y = rng.random(), rng.random()
        canvas.rectangle(x, y, x + 0.005, y + rng.uniform(0.04, 0.08), (206, 222, 240), 0.8)
    for _ in range(8):
        canvas.ellipse(rng.random(), rng.uniform(0.87, 0.98), 0.06, 0.008, (170, 186, 200))


def _wave(
    rng: Random, height: float, amplitude: float
) -> Callable[[Float32[np.ndarray, " w"]], Float32[np.ndarray, " w"]]:
    frequency, phase = rng.uniform(3, 8), rng.uniform(0, math.tau)
    return lambda x: height + amplitude * np.sin(frequency * x + phase)


def _clouds(canvas: Canvas, rng: Random, lowest: float) -> None:
    for _ in range(rng.randint(1, 3)):
        x, y = rng.random(), rng.uniform(0.06, lowest)
        for dx, dy, r in ((-0.06, 0.01, 0.04), (0, 0, 0.055), (0.06, 0.01, 0.04)):
            canvas.ellipse(x + dx, y + dy, 1.4 * r, 0.8 * r, (255, 255, 255), 0.9)


def _stars(canvas: Canvas, rng: Random, count: int, lowest: float) -> None:
    for _ in range(count):
        r = rng.uniform(0.003, 0.009)
        canvas.ellipse(rng.random(), rng.uniform(0, lowest), r, r, (255, 250, 220))


def _fir(canvas: Canvas, x: float, foot: float, height: float, colour: Rgb) -> None:
    for part in range(3):
        top = foot - height * (1 - 0.25 * part)
        canvas.triangle(x, top, top + 0.5 * height, height * (0.3 + 0.1 * part), colour)


def _weed(canvas: Canvas, rng: Random) -> None:
    x, height = rng.random(), rng.uniform(0.1, 0.3)
    for part in range(8):
        y = 1 - height * part / 8
        canvas.ellipse(x + 0.015 * math.sin(1.3 * part), y, 0.014, height / 10, (30, 120, 80))


def _building(canvas: Canvas, x: float, top: float, width: float, colour: Rgb) -> None:
    canvas.rectangle(x, top, x + width - 0.008, 0.8, colour)
    for row in range(int((0.72 - top) / 0.08)):
        for column in range(3):
            left, upper = x + width * (0.14 + 0.28 * column), top + 0.03 + 0.08 * row
            canvas.rectangle(left, upper, left + 0.16 * width, upper + 0.04, (250, 236, 170))


def _shift(colour: Rgb, by: float) -> Rgb:
    red, green, blue = (min(max(round(value + by), 0), 255) for value in colour)
    return red, green, blue


def _on_colour(word: str, colour: Rgb, *hides: str) -> Background:
    phrases = (f"on a {word} background", f"on a plain {word} background", f"against a {word} background")
    return Background(phrases, _plain(colour), frozenset((word, *hides)))


BACKGROUNDS: Mapping[str, Background] = {
    "white": _on_colour("white", (255, 255, 255)),
    "grey": _on_colour("grey", (168, 170, 174)),
    "black": _on_colour("black", (22, 22, 26)),
    "yellow": _on_colour("yellow", (252, 228, 122)),
    "blue": _on_colour("blue", (112, 172, 240)),
    "pink": _on_colour("pink", (250, 190, 214)),
    "green": _on_colour("green", (156, 214, 150)),
    "purple": _on_colour("purple", (186, 156, 226)),
    "beach": Background(("on a beach", "on the beach", "on a sandy beach by the sea"), _beach),
    "meadow": Background(("in a meadow", "on green grass", "in a grassy field"), _meadow),
    "night": Background(
        ("at night", "under a starry sky", "at night under the stars"), _night, frozenset({"black"})
    ),
    "snow": Background(
        ("in the snow", "in a snowy landscape", "in falling snow"), _snow, frozenset({"white"})
    ),
    "sunset": Background(("at sunset", "in front of a sunset", "in the evening sun"), _sunset),
    "underwater": Background(("under water", "underwater", "at the bottom of the sea"), _underwater),
    "desert": Background(("in a desert", "in the desert", "among sand dunes"), _desert),
    "table": Background(("on a wooden table", "on a table"), _table),
    "space": Background(
        ("in space", "in outer space", "among the stars in space"), _space, frozenset({"black"})
    ),
    "city": Background(("in a city street", "in the city", "on a city street"), _city),
    "forest": Background(("in a forest", "in the woods", "among fir trees"), _forest),
    "mountains": Background(("in the mountains", "in front of snowy mountains"), _mountains),
    "room": Background(("in a room", "indoors", "in a living room"), _room),
    "rain": Background(("in the rain", "on a rainy day"), _rain),
}
