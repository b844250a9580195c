"""A local CA, a signer, and small pictures as unclip writes them."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unclip.imagefiles import SourceType, encoded
from unclip.provenance.certificates import signing_identity
from unclip.provenance.identity import Identity
from unclip.provenance.signing import Manifest, Signer

REQUEST = {"prompt": "a wall of many secrets", "seed": 7}


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return signing_identity(tmp_path_factory.mktemp("home") / "certificates")


@pytest.fixture(scope="session")
def signer(identity: Identity) -> Signer:
    return Signer(identity)


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Make a file of noise, with its request and source type."""

    def make(
        format: str = "PNG", size: int = 64, source_type: SourceType = "trainedAlgorithmicMedia"
    ) -> bytes:
        pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8)
        return encoded(Image.fromarray(pixels), format, REQUEST, source_type)

    return make


@pytest.fixture(scope="session")
def foreign() -> bytes:
    """A picture of another program, which says nothing of itself."""
    file = BytesIO()
    Image.linear_gradient("L").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def manifest() -> Callable[..., Manifest]:
    """Make a manifest of a picture that is new in every pixel, but for what is said otherwise."""

    def make(**otherwise: Any) -> Manifest:
        said: dict[str, Any] = {
            "title": "picture",
            "source_type": "trainedAlgorithmicMedia",
            "action": "c2pa.created",
            "agent": "unclip 0.1.0",
            "model": "unclip bundled",
            "model_hash": "c119e14236976a82",
        }
        return Manifest(**said | otherwise)

    return make


@pytest.fixture(scope="session")
def signed(
    signer: Signer, picture: Callable[..., bytes], manifest: Callable[..., Manifest]
) -> Callable[..., bytes]:
    """Make a signed file of noise."""

    def make(format: str = "PNG") -> bytes:
        return signer.sign(picture(format), f"image/{format.lower()}", manifest())

    return make


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "home" / "certificates"
