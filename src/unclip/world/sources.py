"""The repositories that the data comes from, as `data/sources.toml` of a checkout lists them."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from unclip.errors import DataError

_LIST = Path(__file__).parents[3] / "data" / "sources.toml"


@dataclass(frozen=True)
class Source:
    """A local clone of a repository and what is passed on with the pictures from it.

    clone: its folder.
    label: repository and commit, as records name them.
    terms: the licence file, which LICENSE.txt becomes.
    notice: what NOTICE.txt says.
    """

    clone: Path
    label: str
    licence: str
    terms: Path
    notice: str

    def path(self, inside: str) -> Path:
        """Find a file or folder of the clone. Raises `DataError` if it has none of this name."""
        found = self.clone / inside
        if not found.exists():
            raise DataError(f"{found}: missing; clone {self.label} to {self.clone}")
        return found

    def record(self, path: Path) -> dict[str, str]:
        """Say where a picture comes from: its licence, repository and path."""
        relative = path.relative_to(self.clone).as_posix()
        return {"licence": self.licence, "source_repo": self.label, "source_path": relative}


def read_sources(clones: Path) -> dict[str, Source]:
    """Read the list, each repository cloned to the folder of `clones` that has its name.

    Raises `DataError` outside a checkout.
    """
    if not _LIST.is_file():
        raise DataError(f"{_LIST}: missing; the data is built from a checkout of the project's repository")
    return {name: _source(clones, row) for name, row in tomllib.loads(_LIST.read_text("utf-8")).items()}


def _source(clones: Path, row: dict[str, str]) -> Source:
    clone = clones / row["repository"].partition("/")[2]
    terms = clones / row.get("terms_repository", row["repository"]).partition("/")[2] / row["terms"]
    label = f"{row.get('of', row['repository'])}@{row['commit']}"
    return Source(clone, label, row["licence"], terms, row.get("notice", ""))
