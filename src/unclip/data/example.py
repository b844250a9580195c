"""What training reads: a picture with its caption, and any source that gives one for every index."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Example:
    """One RGB picture and a sentence that describes it; `truth` is more that a task may know of it."""

    image: UInt8[np.ndarray, "h w 3"]
    caption: str
    truth: Any = None


@runtime_checkable  # for the checks of types in tests
class Pictures(Protocol):
    """An endless sequence of captioned pictures: each method is a pure function of its arguments.

    Every index >= 0 is valid. A finite set starts its next epoch where the last one ended.
    """

    def example(self, index: int, size: int) -> Example:
        """Picture `index` as a square of `size` px, with one of its captions."""
        ...

    def crop(self, index: int, size: int, window: int) -> UInt8[np.ndarray, "window window 3"]:
        """A square window of picture `index` drawn at `size` px, in which nothing was enlarged.

        The index chooses the place of the window.
        """
        ...

    def caption(self, index: int) -> str:
        """The caption `example` gives with picture `index`, found without decoding the picture."""
        ...
