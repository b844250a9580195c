"""The picture world of the bundled model: scenes with exact captions, a pure function of (seed, index)."""

from unclip.world.photographs import load_photographs
from unclip.world.sprites import Sprites
from unclip.world.world import World, WorldConfig, described, told

__all__ = ["Sprites", "World", "WorldConfig", "described", "load_photographs", "told"]
