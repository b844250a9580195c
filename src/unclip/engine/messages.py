"""What the front and the process that draws say to each other. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image


@dataclass(frozen=True)
class Pixels:
    """A picture between processes: Pillow's mode and size, and the bytes of its pixels."""

    mode: str
    size: tuple[int, int]
    data: bytes

    @classmethod
    def of(cls, image: Image.Image) -> "Pixels":
        """Take a picture's pixels."""
        return cls(image.mode, image.size, image.tobytes())

    def image(self) -> Image.Image:
        """Return them as a picture."""
        return Image.frombytes(self.mode, self.size, self.data)


@dataclass(frozen=True)
class Run:
    """Draw a job."""

    job: str
    task: str  # a name in engine.tasks.TASKS
    settings: Mapping[str, Any]  # fields of the task's request dataclass, without its pictures
    pictures: Mapping[str, Pixels] = field(default_factory=dict[str, Pixels])  # the others, by name
    previews: bool = False  # tell what is predicted at every step


@dataclass(frozen=True)
class Cancel:
    """Let a job go."""

    job: str


@dataclass(frozen=True)
class Stop:
    """End the process."""


@dataclass(frozen=True)
class About:
    """What a process says of the model it draws with."""

    name: str
    hash: str  # of its files
    version: str  # of this package, as it goes into metadata
    device: str
    sizes: tuple[int, ...]  # sides, in pixels, of the pictures it makes, rising
    tasks: tuple[str, ...]  # that it has the networks for


@dataclass(frozen=True)
class Ready:
    """The model is loaded and warm."""

    about: About


@dataclass(frozen=True)
class Stepped:
    """A job has made a step."""

    job: str
    stage: str
    index: int  # steps done in this stage, 1 to num_steps
    num_steps: int
    previews: Sequence[Pixels] = ()  # what its pictures are predicted to be, at the size of the stage


@dataclass(frozen=True)
class Called:
    """A network was called."""

    stage: str
    rows: int
    jobs: int
    seconds: float


@dataclass(frozen=True)
class Done:
    """A job's pictures, each with the request that makes it alone."""

    job: str
    pictures: Sequence[Pixels]
    requests: Sequence[Mapping[str, Any]]
    notes: Mapping[str, Any]  # what the user should know: unknown words, a sentence cut short, flags


@dataclass(frozen=True)
class Failed:
    """A job that cannot be drawn: it cannot be done as given, it is refused, or something broke."""

    job: str
    reason: Literal["request", "policy", "internal"]
    message: str
    flags: tuple[str, ...] = ()  # of what was refused


@dataclass(frozen=True)
class NotReady:
    """The model cannot be loaded as given; the process ends."""

    message: str


ToEngine = Run | Cancel | Stop
FromEngine = Ready | NotReady | Stepped | Called | Done | Failed
