"""The `unclip` command: parse, call, print. One file per command; torch is loaded only by what needs it."""

import sys

import typer

from unclip.cli import (
    diff,
    distill,
    edit,
    evaluate,
    generate,
    interpolate,
    keys,
    memorisation,
    model,
    probe,
    serve,
    train,
    vary,
    verify,
    world,
)
from unclip.errors import UnclipError

app = typer.Typer(
    name="unclip",
    help="An open, complete DALL-E 2: make pictures from sentences, and train every stage on your own.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(generate.generate)
app.command()(vary.vary)
app.command()(edit.edit)
app.command()(edit.outpaint)
app.command()(interpolate.interpolate)
app.command()(interpolate.mix)
app.command()(diff.diff)
app.command()(probe.probe)
app.command()(train.train)
app.command()(distill.distill)
app.command()(evaluate.evaluate)
app.command()(memorisation.memorisation)
app.command()(serve.serve)
app.command()(verify.verify)
app.add_typer(model.app, name="model")
app.add_typer(keys.app, name="keys")
app.add_typer(world.app, name="world")

_UsageError = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command; a mistake of the user's is one line on standard error and exit code 2."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except UnclipError as error:
        _fail(str(error))
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, _UsageError):
            raise
        _fail(getattr(error, "format_message")())  # noqa: B009 (typer does not export the class)


def _fail(message: str) -> None:
    print(f"unclip: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
