from dataclasses import replace
from pathlib import Path

import pytest

from unclip import presets
from unclip.evaluation.judges.detector import Detector, DetectorConfig
from unclip.evaluation.judges.features import Features, FeaturesConfig
from unclip.evaluation.judges.store import Judges
from unclip.models.clip import Clip
from unclip.system import System
from unclip.text.tokenizer import Tokenizer
from unclip.world import Sprites, World
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.concepts import SOLIDS, listed
from unclip.world.words import COLOURS, STYLES

WORDS = (
    tuple(concept.name for concept in (*listed()[:60], *SOLIDS)),
    tuple(COLOURS),
    tuple(STYLES),
    tuple(BACKGROUNDS),
)


@pytest.fixture(scope="session")
def sprites() -> Sprites:
    return Sprites.load(Path(__file__).parents[2] / "data" / "sample")


@pytest.fixture
def detector() -> Detector:
    """Far narrower than the one that judges, and untrained."""
    return Detector(DetectorConfig(*WORDS, image_size=64, channels=(16, 32, 32), groups=8)).eval()


@pytest.fixture
def features() -> Features:
    return Features(FeaturesConfig(*WORDS, channels=(16, 16, 32), groups=8)).eval()


@pytest.fixture(scope="session")
def reader(sprites: Sprites) -> Tokenizer:
    """A tokenizer that knows the world's words."""
    world, shape = World(sprites, 1), presets.tiny().clip
    return Tokenizer.train(map(world.caption, range(2_000)), shape.vocab_size, shape.context_length)


@pytest.fixture(scope="session")
def painter(system: System, reader: Tokenizer) -> System:
    """The tiny system, able to read the world's sentences."""
    return replace(system, tokenizer=reader)


@pytest.fixture
def judges(detector: Detector, features: Features, reader: Tokenizer) -> Judges:
    return Judges(detector, features, Clip(replace(presets.tiny().clip, image_size=32)).eval(), reader)
