# Two commands do all the set-up on a fresh machine with Python, pip and make:
#
#     make demo           a picture from a sentence, in demo/
#     make test           the fast tests: tiny networks, no service, no network
#
#     make check          format, lint and types
#     make test-services  the tests that need other programs
#     make bench          speed and memory of the bundled model, drawing and training
#     make bench-karlo    the same of Karlo's full size, beside diffusers: 14 GB of disk, a quarter of an hour
#     make train-bundled  train the bundled model again
#     make docs           write the generated pages: docs/cli.md and docs/model-card.md

PYTHON ?= python3
# The CPU build of torch is 200 MB; for Linux, the default index has the CUDA build, of several gigabytes.
# For a GPU, empty this before the first install: make demo TORCH_INDEX=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# Minutes to train the bundled model in, all stages and calls together; minutes of one call.
MINUTES ?= 25
SLICE ?= 9

# Where the random model of Karlo's size is, or is written.
KARLO ?= karlo-random

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check test-services bench bench-karlo train-bundled docs .venv

demo: .venv/package
	$(BIN)/unclip generate "a red apple on a wooden table, 3D render" --size 256 --seed 7 --out demo/apple.png

test: .venv/dev
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore=tests/services

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright

# At home a test whose program is missing is skipped and names it; with CI=true it fails.
test-services: .venv/dev
	@if [ -d tests/services ]; then $(BIN)/python -m pytest tests/services; \
	else echo "no tests need a service yet"; fi

bench: .venv/dev
	@set -e; for bench in generate train; do echo "== $$bench"; $(BIN)/python benchmarks/$$bench.py; done

bench-karlo: .venv/dev
	$(BIN)/python benchmarks/karlo.py --folder "$(KARLO)"

train-bundled: .venv/package
	@test -n "$(UNCLIP_DATA)" || { echo "name the world's art: make train-bundled UNCLIP_DATA=FOLDER"; exit 2; }
	$(BIN)/python runs/bundled/train.py --data "$(UNCLIP_DATA)" --minutes $(MINUTES) --slice $(SLICE)

docs: .venv/dev
	$(BIN)/python -m typer unclip.cli utils docs --name unclip --output docs/cli.md
	$(BIN)/python runs/bundled/card.py

# .venv/package and .venv/dev are empty files that say what is installed: the package alone, or with its tools.
.venv: .venv/dev

# torch comes first and alone, so that its own index is asked for nothing else, and may be out of reach.
.venv/package: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("unclip needs Python 3.11 or newer, \
	found %d.%d: name a newer one, as in  make demo PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(PIP) install --no-deps --retries 1 --timeout 15 -c constraints.txt torch \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(PIP) install -c constraints.txt --editable .
	@touch $@

.venv/dev: .venv/package
	$(PIP) install -c constraints.txt --editable '.[dev]'
	@touch $@
