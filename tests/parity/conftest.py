"""A pipeline of diffusers, and its folder as unclip loads it."""

from pathlib import Path
from typing import Any

import pytest

tiny_diffusers = pytest.importorskip("tiny_diffusers")


@pytest.fixture(scope="session")
def text_to_image_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """UnCLIPPipeline and its folder."""
    folder = tmp_path_factory.mktemp("peer") / "tiny"
    return tiny_diffusers.build(folder), folder


@pytest.fixture(scope="session")
def variations_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """UnCLIPImageVariationPipeline and its folder."""
    folder = tmp_path_factory.mktemp("peer") / "variations"
    return tiny_diffusers.build(folder, variations=True), folder
