"""`unclip serve`: the HTTP service."""

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unclip.cli.keys import DatabaseOption, HomeOption
from unclip.cli.models import ModelChoice, takes_model

if TYPE_CHECKING:
    from unclip.server.settings import Settings


@takes_model
def serve(
    home: HomeOption = None,
    host: Annotated[str, typer.Option(help="The address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    *,
    model: ModelChoice,
    database: DatabaseOption = None,
    store: Annotated[
        str | None, typer.Option(help="A folder or fsspec URL for pictures [default: a folder in --home].")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="The address as clients know it [default: as they ask for it].")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None, typer.Option(help="An address whose X-Forwarded headers are believed.")
    ] = None,
    compat: Annotated[
        Literal["lenient", "strict"],
        typer.Option(help="strict: refuse every parameter that the DALL-E 2 API refused."),
    ] = "lenient",
    alias: Annotated[bool, typer.Option(help="Answer to the model name dall-e-2.")] = True,
    slots: Annotated[int, typer.Option(min=1, help="Jobs drawn at once on a device.")] = 8,
    queue_limit: Annotated[int, typer.Option(min=1, help="Jobs that may wait.")] = 200,
    cors: Annotated[
        list[str] | None, typer.Option(help="An origin, as https://my.site, whose pages may call.")
    ] = None,
    sign: Annotated[bool, typer.Option(help="Put a signed C2PA manifest into every picture.")] = True,
    certificate: Annotated[
        Path | None, typer.Option(help="Your own, PEM with its chain [default: one that --home makes].")
    ] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    visible_signature: Annotated[
        bool, typer.Option("--visible-signature", help="Put a small mark into the corner of every picture.")
    ] = False,
    omit_prompt: Annotated[
        bool, typer.Option("--omit-prompt", help="Keep sentences out of the files of pictures.")
    ] = False,
    policy: Annotated[
        Literal["off", "flag", "block"],
        typer.Option(help="What is done with requests that word lists or a moderator object to."),
    ] = "flag",
    moderation_url: Annotated[
        str | None,
        typer.Option(help="A moderator of the shape of /v1/moderations; UNCLIP_MODERATION_KEY is its key."),
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(min=0.01, help="Days that pictures are kept [default: for ever].")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve an address that others reach without any key.")
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Try it: a new key, a line for curl, a home for this run alone.")
    ] = False,
    log_format: Annotated[Literal["text", "json"], typer.Option(help="How lines of the log look.")] = "text",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="What is logged.")
    ] = "info",
) -> None:
    """Serve the DALL-E 2 API, and more, over HTTP."""
    from unclip.errors import RequestError

    try:
        from unclip.server.home import database_url, home_folder, store_url
        from unclip.server.logs import set_up
        from unclip.server.run import serve as run
        from unclip.server.service import open_service
        from unclip.server.settings import Settings
    except ModuleNotFoundError as error:
        message = f"serving needs {error.name}: pip install 'unclip[server]'"
        raise RequestError(message) from None
    from unclip.engine.process import Choice

    with ExitStack() as stack:
        if demo and home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unclip-demo-")))
        home = home_folder(home)
        set_up(log_format, log_level)
        settings = Settings(
            home,
            database_url(home, database),
            store_url(home, store),
            tuple(model.device.split(",")),
            Choice(model.model, "auto", model.dtype, model.weights, model.memory_limit),
            host,
            port,
            public_url,
            tuple(trusted_proxy or ()),
            compat,
            alias,
            slots,
            queue_limit,
            tuple(cors or ()),
            sign,
            certificate,
            certificate_key,
            visible_signature,
            omit_prompt,
            policy,
            moderation_url,
            os.environ.get("UNCLIP_MODERATION_KEY"),
            insecure,
            keep_days,
        )
        if demo:
            _introduce(settings)
        run(open_service(settings))


def _introduce(settings: "Settings") -> None:
    """Make a key, and print what to do with it."""
    from unclip.records.database import open_database
    from unclip.records.keys import Keys

    database = open_database(settings.database)
    _, secret = Keys(database).create(f"demo {time.strftime('%Y-%m-%d %H:%M:%S')}")
    database.dispose()
    url = f"http://{settings.host}:{settings.port}/v1"
    print(f"URL  {url}\nkey  {secret}\ntry  curl {url}/images/generations", end=" ")
    print(f"-H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json'", end=" ")
    print("""-d '{"prompt": "a red apple on a wooden table, 3D render", "size": "256x256"}'""", flush=True)
