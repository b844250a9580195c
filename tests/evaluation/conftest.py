from pathlib import Path

import pytest

from unclip.evaluation.judges.detector import Detector, DetectorConfig
from unclip.world import Sprites
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.concepts import SOLIDS, listed
from unclip.world.words import COLOURS, STYLES


@pytest.fixture(scope="session")
def sprites() -> Sprites:
    return Sprites.load(Path(__file__).parents[2] / "data" / "sample")


@pytest.fixture
def detector() -> Detector:
    """Far narrower than the one that judges, and untrained."""
    names = tuple(concept.name for concept in (*listed()[:60], *SOLIDS))
    shape = {"image_size": 64, "channels": (16, 32, 32), "groups": 8}
    return Detector(DetectorConfig(names, tuple(COLOURS), tuple(STYLES), tuple(BACKGROUNDS), **shape)).eval()
