"""Models from the Hugging Face Hub, into its own cache: the only file of the package that opens the network.

HF_ENDPOINT, HF_HOME and HF_HUB_CACHE say where hub and cache are, as for every program of its library.
"""

import shutil
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unclip.checkpoints.cache import (
    HASH,
    Offer,
    OfferedFile,
    check,
    library,
    licence_of,
    record,
    refuse_what_is_no_model,
    storage_of,
)
from unclip.checkpoints.needed import INDEXES, needed
from unclip.checkpoints.pulled import Say, counter, home, name_of, read_pulled
from unclip.errors import CheckpointError, RequestError

TIMEOUT = 20.0  # seconds to wait for an answer
WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between attempts that bring nothing


def offered(repository: str, revision: str | None) -> Offer:
    """Ask the hub for a model. Raises RequestError if it has none of that name that unclip could read."""
    hub = library()
    with _explained(repository, revision):
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        refuse_what_is_no_model(repository, siblings)
        files = {name: _offered_file(siblings[name]) for name in needed(siblings)}
        if not HASH.fullmatch(info.sha or ""):
            raise ValueError("it names no commit")
    licence, page = licence_of(repository, info.card_data.to_dict() if info.card_data else {})
    folder = storage_of(repository) / "snapshots" / info.sha
    return Offer(repository, revision, info.sha, licence, page, folder, files)


def pull(offer: Offer, say: Say) -> Path:
    """Download what is not here yet, check every file, record the model, and return its folder.

    A download that broke off goes on where it stopped. Raises CheckpointError for a file that came wrong
    (it is removed) and for a disk that cannot take the files, RequestError for a hub that does not give them.
    """
    with _explained(offer.repository, offer.revision), _alone(offer.repository):
        _begin(offer)
        tell = counter(say, "check", offer.size)
        sums = {name: digest for name in offer.files if (digest := check(offer, name, tell))}
        rest = [name for name in offer.files if name not in sums]
        _check_space(offer, rest)
        told = counter(say, "download", sum(offer.files[name].size for name in rest))
        for name in rest:
            _fetch(offer, name, told)
            if (digest := check(offer, name, tell)) is None:
                came = f"{name} of {name_of(offer.repository)} came with a wrong hash and is removed"
                raise CheckpointError(f"{came}: run {offer.remedy} again")
            sums[name] = digest
        _name_commit(offer)
    return record(offer, sums, checked=True)


def _offered_file(sibling: Any) -> OfferedFile:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    if sibling.size is None or not HASH.fullmatch(digest or ""):
        raise ValueError(f"it names no size and hash of {sibling.rfilename}")
    return OfferedFile(sibling.size, digest)


def _begin(offer: Offer) -> None:
    """Record what is to come, unless there is a whole model on the record, which serves until then."""
    with suppress(CheckpointError):  # a record that cannot be read is written anew
        known = read_pulled(offer.repository)
        if known is not None and known.complete:
            return
    sums = {name: file.hash for name, file in offer.files.items() if len(file.hash or "") == 64}
    record(offer, sums, checked=False)


def _check_space(offer: Offer, names: Collection[str]) -> None:
    new = [name for name in names if not offer.blob(name).exists()]
    wanted = sum(offer.files[name].size - _length(_part(offer, name)) for name in new)
    disk = next(path for path in offer.folder.parents if path.exists())
    if (free := shutil.disk_usage(disk).free) < wanted:
        room = f"{wanted / 1e9:.2f} GB are to come, and {disk} has room for {free / 1e9:.2f} GB"
        raise CheckpointError(f"{room}: free some, or set HF_HOME to another folder")


def _fetch(offer: Offer, name: str, told: Callable[[int], None]) -> None:
    """Bring a file into the cache.

    The library throws a file away that broke off, and there are files of gigabytes. So `_go_on` brings the
    bytes, under the name by which the library finds them, and the library links to them.
    """
    hub, file, blob = library(), offer.files[name], offer.blob(name)
    if blob.exists():  # another commit has the same
        told(file.size)
    else:
        blob.parent.mkdir(parents=True, exist_ok=True)
        url = hub.hf_hub_url(offer.repository, name, revision=offer.commit)
        _go_on(url, _part(offer, name), file.size, told)
        _part(offer, name).replace(blob)
    link = Path(hub.hf_hub_download(offer.repository, name, revision=offer.commit))
    if not link.is_symlink():  # on a disk without links it is a copy
        blob.unlink(missing_ok=True)


def _go_on(url: str, part: Path, size: int, told: Callable[[int], None]) -> None:
    """Download what `part` lacks; a connection that breaks is made anew, until several bring nothing."""
    from huggingface_hub.errors import HfHubHTTPError

    if _length(part) > size:
        part.unlink()
    told(_length(part))
    waits = iter(WAITS)
    while (had := _length(part)) < size:
        broke: Exception = ValueError(f"{url} has {had} bytes, expected {size}")
        try:
            _append(url, part, had, told)
        except HfHubHTTPError:
            raise
        except _failures() as error:
            broke = error
        if _length(part) > had:
            waits = iter(WAITS)
        elif (wait := next(waits, None)) is not None:
            time.sleep(wait)
        else:
            raise broke


def _append(url: str, part: Path, had: int, told: Callable[[int], None]) -> None:
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = (
        build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    )
    with (
        get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response,
        part.open("ab") as file,
    ):
        hf_raise_for_status(response)
        if had and response.status_code != 206:  # it begins anew
            file.truncate(0)
            told(-had)
        for chunk in response.iter_bytes():  # as they come: nothing is held back that a break would lose
            file.write(chunk)
            told(len(chunk))


def _name_commit(offer: Offer) -> None:
    """Have the cache know which commit the revision is, for programs that ask by its name with no network."""
    revision = offer.revision or "main"
    if not HASH.fullmatch(revision):
        index = next(index for index in INDEXES if index in offer.files)
        library().hf_hub_download(offer.repository, index, revision=revision)


def _part(offer: Offer, name: str) -> Path:
    """Return where a file is while it comes."""
    blob = offer.blob(name)
    return blob.with_name(f"{blob.name}.incomplete")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _alone(repository: str) -> Generator[None, None, None]:
    """Keep a second pull of the same model out, which would write into the same files."""
    from filelock import FileLock, Timeout

    path = home() / "models" / f"{repository.replace('/', '--')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RequestError(f"another program is pulling {repository}: wait until it is done") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(repository: str, revision: str | None) -> Generator[None, None, None]:
    """Say in one sentence why the hub or the disk does not do what is asked."""
    from huggingface_hub import constants, errors

    hub = constants.ENDPOINT
    page = f"{hub}/{repository}"
    try:
        yield
    except errors.GatedRepoError:
        message = f"{repository} is gated: ask for access at {page}, then run hf auth login"
        raise RequestError(message) from None
    except errors.RepositoryNotFoundError:
        message = f"{hub} shows you no model {repository}: check the name, or run hf auth login"
        raise RequestError(message) from None
    except errors.RevisionNotFoundError:
        message = f"{repository} has no revision {revision!r}: {page}/tree/main lists them"
        raise RequestError(message) from None
    except errors.HfHubHTTPError as error:
        answer = error.response.status_code
        raise RequestError(f"{hub} answers {answer} for {repository}: try again later") from None
    except (*_failures(), errors.LocalEntryNotFoundError) as error:
        reason = str(error) or type(error).__name__
        remedy = "pull again to go on where it stopped, or give --offline for a model in the cache"
        message = f"{hub} cannot be reached ({reason}): {remedy}"
        raise RequestError(message) from None
    except OSError as error:
        reason = f"{constants.HF_HUB_CACHE} cannot take {repository}: {error.strerror or error}"
        raise CheckpointError(f"{reason}: mend that, or set HF_HOME to another folder") from None
    except ValueError as error:
        message = f"{hub} does not answer for {repository} as the hub does: {error}"
        raise RequestError(message) from None


def _failures() -> tuple[type[Exception], ...]:
    """Return what a failed request raises: of httpx or of httpx2, as the library's version has it."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__mro__[1:2]
