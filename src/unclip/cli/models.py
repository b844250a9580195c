"""The options that say which model a command draws with, and how it is held in memory."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from unclip.system import System

DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@dataclass(frozen=True)
class ModelChoice:
    """A model that was asked for, and how."""

    model: Annotated[
        str | None, typer.Option(help="A model folder, or the name of a pulled model [default: the bundled].")
    ] = None
    device: DeviceOption = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="What networks compute in; auto: float32, and what is fastest for large models."),
    ] = "auto"
    weights: Annotated[
        Literal["float", "int8"] | None,
        typer.Option(help="int8: a byte for each weight [default: float, or what --memory-limit needs]."),
    ] = None
    memory_limit: Annotated[
        str | None, typer.Option(help="What the program may take, as 4GiB: picks how the model is held.")
    ] = None

    def load(self) -> "System":
        """Load the model, and say on standard error how it is held if that was for the limit to pick."""
        from unclip.checkpoints.load import choose_device, open_model
        from unclip.checkpoints.placing import place
        from unclip.checkpoints.planning import choose_plan, described, parse_size

        limit = None if self.memory_limit is None else parse_size(self.memory_limit)
        device, opened = choose_device(self.device), open_model(self.model)
        plan = choose_plan(opened, device, self.dtype, self.weights, limit)
        if limit is not None:
            typer.echo(described(opened, plan), err=True)
        return place(opened, plan, device)


def takes_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, in place of its parameter `model`, the options that make a `ModelChoice`.

    A command's own option of one of these names stays what it is.
    """
    parameters = inspect.signature(command).parameters
    added = [field for field in fields(ModelChoice) if field.name == "model" or field.name not in parameters]

    def called(**arguments: Any) -> None:
        choice = {field.name: arguments.pop(field.name) for field in added}
        command(**arguments, model=ModelChoice(**choice))

    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=field.type)
        for field in added
    ]
    placed = list[inspect.Parameter]()
    for parameter in parameters.values():
        placed += options if parameter.name == "model" else [parameter.replace(kind=keyword)]
    setattr(called, "__signature__", inspect.Signature(placed))  # noqa: B010 (what typer reads)
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in placed}
    called.__doc__, called.__name__ = command.__doc__, command.__name__
    return called
