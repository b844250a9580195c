"""When a picture shows what its sentence asks for: GenEval's rules, and ours for what GenEval does not ask.

Source: Ghosh et al. 2023 (GenEval) and djghosh13/geneval, evaluate_images.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's sides, y downwards."""

# Of confidence. GenEval has 0.9 for counting; our detector's confidence is of another kind: at 0.4 it counts
# true renders right.
THRESHOLD, COUNTING_THRESHOLD = 0.3, 0.4
MAX_OBJECTS = 16  # of one concept, as in GenEval
MARGIN, DIRECTION = 0.1, 0.5  # of the rule for positions, as in GenEval


# Concepts that true renders do not tell apart count as one: at 32 px over grey their drawings differ in no
# style by more than 0.11 of white (root mean square).
MERGED: Mapping[str, str] = {"two-humped camel": "camel"}


@dataclass(frozen=True)
class Detection:
    """One thing that a judge sees. `score` is its confidence in [0, 1]."""

    concept: str
    score: float
    box: Box
    colour: str


@dataclass(frozen=True)
class Sight:
    """All that a judge sees in a picture."""

    detections: tuple[Detection, ...]
    style: str
    background: str

    def of(self, concept: str, threshold: float) -> list[Detection]:
        """Return the things of a concept, the surest first."""
        found = [d for d in self.detections if _merged(d.concept) == _merged(concept) and d.score > threshold]
        return sorted(found, key=lambda d: -d.score)[:MAX_OBJECTS]


@dataclass(frozen=True)
class Clause:
    """Things that a picture must show: at least `count` of a concept.

    colour: of each of the `count` surest.
    relation: of each of them to each thing of the clause at index `to`, which stands before this one.
    """

    concept: str
    count: int = 1
    colour: str | None = None
    relation: str | None = None
    to: int = 0


@dataclass(frozen=True)
class Wanted:
    """What makes a picture right. With `exactly`, it shows no more of a concept than the clause counts."""

    clauses: tuple[Clause, ...] = ()
    exactly: bool = False
    style: str | None = None
    background: str | None = None


def _merged(concept: str) -> str:
    return MERGED.get(concept, concept)


def is_right(wanted: Wanted, sight: Sight) -> bool:
    """Tell whether a picture fulfils every clause; colours and relations are asked of the surest things."""
    if wanted.style not in (None, sight.style) or wanted.background not in (None, sight.background):
        return False
    threshold = COUNTING_THRESHOLD if wanted.exactly else THRESHOLD
    groups = list[Sequence[Detection]]()
    for clause in wanted.clauses:
        found = sight.of(clause.concept, threshold)
        if len(found) < clause.count or (wanted.exactly and len(found) > clause.count):
            return False
        group = found[: clause.count]
        if clause.colour and any(thing.colour != clause.colour for thing in group):
            return False
        if clause.relation:
            holds = RELATIONS[clause.relation]
            if not all(holds(one.box, other.box) for one in group for other in groups[clause.to]):
                return False
        groups.append(group)
    return True


def directions(one: Box, other: Box) -> set[str]:
    """Return where `one` lies as seen from `other`: none, one or two of left of, right of, above, below.

    Centres must differ by more than `MARGIN` of the sum of the widths (heights) before they count.
    """
    (x, y), (width, height) = _centre(one), _size(one)
    (other_x, other_y), (other_width, other_height) = _centre(other), _size(other)
    dx, dy = x - other_x, y - other_y
    distance = (dx**2 + dy**2) ** 0.5
    if distance == 0:
        return set()
    beyond_x = max(abs(dx) - MARGIN * (width + other_width), 0) / distance
    beyond_y = max(abs(dy) - MARGIN * (height + other_height), 0) / distance
    found = set[str]()
    if beyond_x > DIRECTION:
        found.add("left of" if dx < 0 else "right of")
    if beyond_y > DIRECTION:
        found.add("above" if dy < 0 else "below")
    return found


def _toward(direction: str) -> Callable[[Box, Box], bool]:
    return lambda one, other: direction in directions(one, other)


def _on(one: Box, other: Box) -> bool:
    """Its middle is over the other, and it ends near the other's upper edge or not far below."""
    over = other[0] < _centre(one)[0] < other[2] and _centre(one)[1] < _centre(other)[1]
    height = _size(other)[1]
    return over and other[1] - 0.25 * height < one[3] < other[1] + 0.75 * height


def _inside(one: Box, other: Box) -> bool:
    """Its middle is between the sides, a quarter of it or more is within, and it ends above the floor."""
    x, _ = _centre(one)
    return other[0] < x < other[2] and _shared(one, other) > 0.25 and one[3] < other[3]


def _wearing(one: Box, other: Box) -> bool:
    """What is worn lies over the upper half of its wearer, or ends near its upper edge."""
    (x, y), height = _centre(other), _size(one)[1]
    return one[0] < x < one[2] and y < _centre(one)[1] + 0.1 * height and other[3] > one[1] - 0.15 * height


RELATIONS: Mapping[str, Callable[[Box, Box], bool]] = {
    **{name: _toward(name) for name in ("left of", "right of", "above", "below")},
    "on top of": _on,
    "riding": _on,
    "inside": _inside,
    "wearing": _wearing,
}


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _size(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _shared(one: Box, other: Box) -> float:
    """Share of `one` that lies within `other`."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    area = _size(one)[0] * _size(one)[1]
    return max(width, 0) * max(height, 0) / area if area else 0.0
