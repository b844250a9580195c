from pathlib import Path

import pytest

from unclip.world import Sprites

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture(scope="session")
def sample() -> Path:
    return SAMPLE


@pytest.fixture(scope="session")
def sprites() -> Sprites:
    return Sprites.load(SAMPLE)
