"""The import order, as docs/architecture.md states it, and what each package may need."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "unclip"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
NEEDS = {"torch", "numpy", "PIL", "safetensors", "tokenizers", "einops", "jaxtyping", "unclip"}


def order() -> dict[str, int]:
    """Each part of the package, with its place in the import order."""
    found = re.search(r"errors < [^`]*", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert found, "docs/architecture.md does not state the import order"
    places = found[0].split("<")
    return {part.strip(): place for place, parts in enumerate(places) for part in parts.split(",")}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The dotted names that import statements among `nodes` reach, relative ones made absolute."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def all_imports(path: Path) -> Iterator[str]:
    return imports(path, ast.walk(ast.parse(path.read_bytes())))


def top_level_imports(path: Path) -> Iterator[str]:
    return imports(path, iter(ast.parse(path.read_bytes()).body))


def test_every_part_of_the_package_has_its_place() -> None:
    assert {part(path) for path in MODULES} <= order().keys()


def test_a_module_imports_only_from_the_left() -> None:
    place = order()
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in MODULES
        for name in all_imports(path)
        if (target := f"{name}.".split(".")[1]) != part(path)
        and name.split(".")[0] == "unclip"
        and place.get(target, len(place)) >= place[part(path)]
    ]
    assert not wrong


def test_a_relative_import_is_made_absolute() -> None:
    nodes = ast.walk(ast.parse("from ..nn import attention\nfrom . import clip\nimport torch.nn"))
    found = list(imports(PACKAGE / "models" / "unet.py", nodes))
    assert found == ["unclip.nn.attention", "unclip.models.clip", "torch.nn"]


def test_no_module_imports_a_reference_implementation() -> None:
    roots = {name.split(".")[0] for path in MODULES for name in all_imports(path)}
    assert roots.isdisjoint({"diffusers", "transformers"})


@pytest.mark.parametrize("package", ["models", "diffusion", "data", "world", "training"])
def test_training_needs_few_packages(package: str) -> None:
    allowed = NEEDS | sys.stdlib_module_names
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in MODULES
        if part(path) == package
        for name in top_level_imports(path)
        if name.split(".")[0] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize(
    "code", ["import unclip", "from unclip.cli import app; app(['--help'], standalone_mode=False)"]
)
def test_starting_imports_no_torch(code: str) -> None:
    program = f"import sys; {code}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
