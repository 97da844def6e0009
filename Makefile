# The five verbs. Each makes .venv and installs what it needs by itself; the second call is quick.
#
#   make run     the order example over HTTP on an embedded, durable server (PORT, DATA)
#   make test    all tests
#   make check   formatting, lint, types, import direction, events
#   make bench   one JSON line per figure (ONLY=load,memory runs some of: append,
#               commands, http, load, projection, memory, growth)
#   make docs    what there is to read

PORT ?= 8000
DATA ?= ./whence-data
ONLY ?=
PYTHON ?= python3

BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test check bench docs clean

run: $(READY)
	@exec $(BIN)/whence dev examples.orders:domain --port $(PORT) --data $(DATA)

test: $(READY)
	@$(BIN)/pytest -n auto -q

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/whence check

bench: $(READY)
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY))

docs:
	@ls -1 README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md docs/*.md 2>/dev/null || true

# Debian keeps ensurepip in a package of its own (python3-venv); without it pip installs itself
# into the new environment from outside.
$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv 2>/dev/null || $(PYTHON) -m venv --clear --without-pip .venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install -q pip
	@$(BIN)/python -m pip install -q -c constraints.txt 'pip>=25.1'
	@$(BIN)/python -m pip install -q -c constraints.txt -e . --group dev
	@touch $@

clean:
	rm -rf .venv dist
