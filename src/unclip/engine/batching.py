"""The batching driver: many requests at once, one network call for all that wait for the same network."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from unclip.diffusion.driver import Asking, Call, Network, Plan, Step, ask, evaluate
from unclip.diffusion.guides import Rows

PADDED = ("text_encodings", "text_mask")  # conditions whose length is that of the longest caption


@dataclass(frozen=True)
class Finished:
    """A request that has come to its end."""

    images: Tensor


@dataclass(frozen=True)
class Broken:
    """A request that cannot go on, and why. The others do."""

    error: Exception


Report = Step | Finished | Broken


class _Request:
    """A request under way, and the call that it waits for (None before its first)."""

    def __init__(self, plan: Plan) -> None:
        self._asking: Asking = ask(plan)
        self.call: Call | None = None

    def advance(self, output: Tensor | None) -> Iterator[Report]:
        """Go on, with what the call gave, to the next call or to the end."""
        self.call = None
        try:
            while not isinstance(asked := self._asking.send(output), Call):
                output = None
                yield asked
            self.call = asked
        except StopIteration as stop:
            yield Finished(stop.value)
        except Exception as error:  # whatever it is, it is this request's alone
            yield Broken(error)

    def close(self) -> None:
        self._asking.close()


class Batch:
    """Requests under way. They join and leave between any two network calls.

    A request's pictures do not depend on what it is drawn beside, but for the rounding of sums: networks keep
    rows apart, every row has its own timestep and noise, and captions are padded under a mask.

    Never more than `most_values` numbers of x_t stand in one call, unless one row alone has more. `called` is
    told of every tick its network, rows, requests and seconds.
    """

    def __init__(
        self, most_values: int, called: Callable[[Network, int, int, float], None] = lambda *_: None
    ) -> None:
        self._most_values = most_values
        self._called = called
        self._requests = dict[str, _Request]()
        self._waiting = dict[str, _Request]()  # those with a call, the longest waiting first

    def __len__(self) -> int:
        return len(self._requests)

    def __contains__(self, name: str) -> bool:
        return name in self._requests

    def add(self, name: str, plan: Plan) -> Iterator[tuple[str, Report]]:
        """Take in a request; the reports are those of any `tick`."""
        assert name not in self._requests, f"{name} is under way"
        self._requests[name] = _Request(plan)
        yield from self._advance(name, None)

    def drop(self, name: str) -> None:
        """Let a request go, wherever it is."""
        self._waiting.pop(name, None)
        if (request := self._requests.pop(name, None)) is not None:
            request.close()

    def tick(self) -> Iterator[tuple[str, Report]]:
        """Answer all requests that wait for one network, that of the longest waiting, by one call of it."""
        if not self._waiting:
            return
        calls = {name: request.call for name, request in self._waiting.items()}
        first = next(iter(calls.values()))
        assert first is not None
        together = {name: call for name, call in calls.items() if call is not None and _fit(first, call)}
        for name in together:
            del self._waiting[name]
        started = time.perf_counter()
        outputs = self._answers(together)
        rows = sum(len(call.rows.t) for call in together.values())
        self._called(first.network, rows, len(together), time.perf_counter() - started)
        for name, output in outputs.items():
            if isinstance(output, Exception):
                self.drop(name)
                yield name, Broken(output)
            elif name in self._requests:  # not dropped by who was told of another's step
                yield from self._advance(name, output)

    def _advance(self, name: str, output: Tensor | None) -> Iterator[tuple[str, Report]]:
        request = self._requests[name]
        for report in request.advance(output):
            yield name, report
            if self._requests.get(name) is not request:  # dropped by who was told
                return
        if request.call is None:
            del self._requests[name]
        else:
            self._waiting[name] = request

    def _answers(self, calls: Mapping[str, Call]) -> dict[str, Tensor | Exception]:
        """Return each request's output; where the common call fails, of the calls one by one."""
        try:
            return dict(zip(calls, together(list(calls.values()), self._most_values), strict=True))
        except Exception as error:
            if len(calls) == 1:
                return dict.fromkeys(calls, error)
            return {name: self._answers({name: call})[name] for name, call in calls.items()}


def _fit(a: Call, b: Call) -> bool:
    """Tell whether two calls can be one."""
    return a.network is b.network and _kind(a.rows) == _kind(b.rows)


def _kind(rows: Rows) -> tuple[object, ...]:
    """Return what rows of one call have in common."""
    shapes = {
        name: (values.dtype, values.shape[2 if name in PADDED else 1 :])
        for name, values in rows.conditions.items()
    }
    return rows.x_t.dtype, rows.x_t.shape[1:], shapes


def together(calls: Sequence[Call], most_values: int) -> list[Tensor]:
    """Answer calls of one network by as few as hold at most `most_values` numbers of x_t each."""
    rows = joined([call.rows for call in calls])
    each = max(1, most_values // max(1, math.prod(rows.x_t.shape[1:])))  # of no tokens yet, there are none
    network: Network = calls[0].network
    starts = range(0, len(rows.x_t), each)
    output = torch.cat([evaluate(Call(network, _slice(rows, start, start + each))) for start in starts])
    ends = accumulate((len(call.rows.x_t) for call in calls), initial=0)
    return [output[start:end] for start, end in pairwise(ends)]


def joined(parts: Sequence[Rows]) -> Rows:
    """Put rows one below another, captions padded to the longest of all."""
    if len(parts) == 1:
        return parts[0]
    conditions = {
        name: torch.cat(_padded([rows.conditions[name] for rows in parts], name))
        for name in parts[0].conditions
    }
    return Rows(torch.cat([rows.x_t for rows in parts]), torch.cat([rows.t for rows in parts]), conditions)


def _padded(values: list[Tensor], name: str) -> list[Tensor]:
    if name not in PADDED:
        return values
    longest = max(value.shape[1] for value in values)
    # (0, more) pads the last axis of a mask b n, (0, 0, 0, more) the middle one of states b n d.
    return [F.pad(value, (0, 0) * (value.ndim - 2) + (0, longest - value.shape[1])) for value in values]


def _slice(rows: Rows, start: int, end: int) -> Rows:
    conditions = {name: values[start:end] for name, values in rows.conditions.items()}
    return Rows(rows.x_t[start:end], rows.t[start:end], conditions)
