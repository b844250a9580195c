"""The judges as they come with the package."""

from dataclasses import dataclass
from pathlib import Path

from unclip.checkpoints.store import load_component, load_network
from unclip.evaluation.judges.detector import Detector, DetectorConfig
from unclip.evaluation.judges.features import Features, FeaturesConfig
from unclip.models.clip import Clip
from unclip.text.tokenizer import Tokenizer

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Judges:
    """Networks that never saw a model's pictures; the CLIP is of another shape than the bundled model's."""

    detector: Detector
    features: Features
    clip: Clip
    tokenizer: Tokenizer


def load_judges(folder: Path = WEIGHTS) -> Judges:
    """Read the judges of a folder. Raises CheckpointError for what is no whole set of them."""
    detector = load_network(folder / "detector", DetectorConfig, Detector)
    features = load_network(folder / "features", FeaturesConfig, Features)
    clip = load_component(folder / "clip", "clip")
    assert isinstance(detector, Detector)
    assert isinstance(features, Features)
    assert isinstance(clip, Clip)
    return Judges(detector, features, clip, Tokenizer.load(folder / "clip" / "tokenizer"))
