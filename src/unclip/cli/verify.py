"""`unclip verify`: what pictures say of where they come from."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unclip.provenance.reading import Origin, Report

_STATES = {
    "trusted": "signed by one you trust, and unchanged since",
    "valid": "signed and unchanged since, by one whom no certificate here vouches for",
    "invalid": "signed, but the signature does not hold",
    None: "signed",
}
_SOURCES = {
    "trainedAlgorithmicMedia": "made by a model",
    "compositeWithTrainedAlgorithmicMedia": "put together of parts, some of them made by a model",
    "composite": "put together of parts",
    "digitalCapture": "taken with a camera",
}


def verify(
    files: Annotated[
        list[Path], typer.Argument(help="Pictures, of unclip or of others.", show_default=False)
    ],
    trust: Annotated[
        Path | None,
        typer.Option(help="Certificates to trust, as PEM, besides the CA of this machine's server."),
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="The server's folder [default: the user's data folder].")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that the pictures say, as JSON.")
    ] = False,
) -> None:
    """Say where pictures come from, and whether their signatures hold; exit with 1 if not all of them do."""
    from unclip.provenance.reading import read

    anchors = _anchors(trust, home)
    reports = {file: read(_read(file), anchors, str(file)) for file in files}
    if as_json:
        print(json.dumps({str(file): asdict(report) for file, report in reports.items()}, indent=1))
    else:
        print("\n\n".join(_in_words(file, report) for file, report in reports.items()))
    if not all(report.state in ("trusted", "valid") for report in reports.values()):
        raise typer.Exit(1)


def _read(path: Path) -> bytes:
    from unclip.errors import DataError

    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a picture file") from error


def _anchors(trust: Path | None, home: Path | None) -> bytes:
    """Return the certificates to trust: those given, and the CA of the server whose home it is."""
    from unclip.checkpoints.pulled import home as default_home
    from unclip.errors import RequestError
    from unclip.provenance import CERTIFICATES

    own = (home or default_home()) / CERTIFICATES / "ca.pem"
    files = ([trust] if trust else []) + ([own] if own.exists() else [])
    try:
        return b"\n".join(file.read_bytes() for file in files)
    except OSError as error:
        raise RequestError(
            f"{error.filename}: cannot be read ({error.strerror}); give certificates as PEM"
        ) from error


def _in_words(file: Path, report: "Report") -> str:
    """Say what a picture says; foreign pictures may hold any text, even what commands a terminal."""
    lines = ("".join(c if c.isprintable() else "?" for c in line) for line in _lines(file, report))
    return "\n  ".join(lines)


def _lines(file: Path, report: "Report") -> Iterator[str]:
    """Yield what a picture says, the answer first."""
    yield f"{file}: {_STATES[report.state] if report.signed else 'not signed, which proves nothing'}"
    yield from (f"but: {problem}" for problem in report.problems)
    if report.signer:
        yield f"signer: {report.signer}, by the word of {report.issued_by or 'nobody'}"
    if report.time or report.when:
        yield f"time: {report.time or f'{report.when}, by the clock of the signer'}"
    if report.source_type:
        yield f"source: {_source(report.source_type)}"
    if report.software:
        yield f"software: {report.software}"
    if report.model:
        yield f"model: {report.model}" + (f" ({report.model_hash[:12]})" if report.model_hash else "")
    yield from (f"made from: {_parent(parent)}" for parent in report.parents)
    if report.iptc_source_type:
        yield f"IPTC mark: {_source(report.iptc_source_type)}"
    if report.request:
        yield "request: " + ", ".join(
            f"{name} {value!r}" for name, value in report.request.items() if value is not None
        )


def _source(source_type: str) -> str:
    """Explain a source type, if it is one of those that pictures mostly have."""
    words = _SOURCES.get(source_type)
    return f"{words} ({source_type})" if words else source_type


def _parent(parent: "Origin") -> str:
    """Say how a picture was used, and what was known of it then."""
    signer = f"signed by {parent.signer or 'somebody'}" if parent.signed else "not signed"
    how = [] if parent.relationship == "parentOf" else [parent.relationship]
    about = [*how, signer, *filter(None, (parent.software, parent.description)), *parent.problems]
    return f"{parent.title or 'a picture'} ({'; '.join(about)})"
