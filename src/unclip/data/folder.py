"""A folder of pictures with captions beside them: `a.png` and `a.txt`, at any depth."""

from pathlib import Path

from unclip.data.record import Record, Span, pair


def read_folder(folder: Path) -> list[Record]:
    """Index a folder in the order of its names; hidden files are passed over. Raises what `pair` raises."""
    files: dict[str, dict[str, Span]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            key = path.relative_to(folder).with_suffix("").as_posix()
            files.setdefault(key, {})[path.suffix[1:].lower()] = Span(path, 0, path.stat().st_size)
    return pair(files)
