"""Multipart forms, read leniently: clients name and type their files in many ways."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from unclip.server.errors import bad_request

MOST_FIELDS, MOST_FILES = 40, 20
_LISTED = re.compile(r"(\w+)\[\d*\]")  # image[] and image[0] are image


@dataclass(frozen=True)
class Form:
    """The texts of a form, and the bytes of its files, by their names."""

    texts: Mapping[str, str]
    files: Mapping[str, list[bytes]]

    def file(self, name: str) -> bytes | None:
        """Return a file, None if it was not sent. Raises ApiError for more than one."""
        found = self.files.get(name, [])
        if len(found) > 1:
            raise bad_request(f"Too many files for '{name}': this model takes one.", "invalid_value", name)
        return found[0] if found else None


async def read_form(request: Request, names: tuple[str, ...]) -> Form:
    """Read a multipart form whose files are of these names. Raises ApiError for anything else."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise bad_request("Send this request as multipart/form-data.", "unsupported_content_type")
    try:
        form = await _WholeForm(request).parse()
    except (MultiPartException, ValueError) as error:  # what the parser makes of a broken body
        detail = error.message if isinstance(error, MultiPartException) else "it is not a whole form"
        raise bad_request(f"Could not parse multipart form: {detail}") from error
    try:
        return await _read(form, names)
    finally:
        await form.close()


class _WholeForm(MultiPartParser):
    """Starlette's parser, for which a form that was cut short is not one that has fewer parts."""

    def __init__(self, request: Request) -> None:
        stream = self._to_the_end(request.stream())
        super().__init__(request.headers, stream, max_files=MOST_FILES, max_fields=MOST_FIELDS)
        self._ended = False

    def on_end(self) -> None:
        """Note the boundary after the last part."""
        self._ended = True

    async def _to_the_end(self, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("its end is missing.")


async def _read(form: FormData, names: tuple[str, ...]) -> Form:
    texts, files = dict[str, str](), dict[str, list[bytes]]()
    for given, value in form.multi_items():
        name = match[1] if (match := _LISTED.fullmatch(given)) else given
        if name not in names:
            if isinstance(value, UploadFile):
                raise bad_request(f"Unknown parameter: '{name[:60]}'.", "unknown_parameter", name[:60])
            texts[name] = value
        elif isinstance(value, UploadFile):
            files.setdefault(name, []).append(await value.read())
        elif value:
            message = f"Invalid type for '{name}': expected a file, but got text instead."
            raise bad_request(message, "invalid_type", name)
    return Form(texts, files)
