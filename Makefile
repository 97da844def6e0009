# The verbs. Each makes .venv and installs what it needs by itself; the second call is quick.
#
#   make run     the order example over HTTP on an embedded, durable server (PORT, DATA)
#   make test    all tests
#   make check   formatting, lint, types, import direction, events
#   make bench   one JSON line per figure (ONLY=commands,latency,... runs some)
#   make bench-peers  the same domain on other event stores, one JSON line each (6 minutes)
#   make faults  every fault on real servers and in simulation; writes docs/reliability.md (58
#                minutes; ONLY="T4 full disk", PART=0.05 and SEED= run less, and write nothing)
#   make docs    what there is to read

PORT ?= 8000
DATA ?= ./whence-data
ONLY ?=
SEED ?=
PART ?= 1
PYTHON ?= python3

BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers/.ready
FUZZ := .venv/.fuzz

.PHONY: run test check bench bench-peers faults docs clean

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

bench-peers: $(READY) $(PEERS)
	@$(BIN)/python -m bench.peers

faults: $(READY) $(FUZZ)
	@$(BIN)/python -m tests.faults.campaign $(if $(SEED),--seed $(SEED)) --part $(PART) --only '$(ONLY)'

docs:
	@ls -1 README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md docs/*.md 2>/dev/null || true

# Debian keeps ensurepip in a package of its own (python3-venv); without it pip installs itself
# into the new environment from outside.
$(READY): pyproject.toml constraints.txt
	@echo 'Installing what is needed into .venv: a minute or two, once' >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv 2>/dev/null || $(PYTHON) -m venv --clear --without-pip .venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install -q pip
	@$(BIN)/python -m pip install -q -c constraints.txt 'pip>=25.1'
	@$(BIN)/python -m pip install -q -c constraints.txt -e . --group dev
	@touch $@

# Where there is no fuzzer for this Python or platform, its fault says so.
$(FUZZ): pyproject.toml constraints.txt | $(READY)
	@$(BIN)/python -m pip install -q -c constraints.txt --group fuzz || true
	@touch $@

# The peers' packages stay out of the environment that everything else runs in.
$(PEERS): pyproject.toml constraints.txt | $(READY)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv --without-pip .venv-peers
	@$(BIN)/python -m pip --python .venv-peers/bin/python install -q -c constraints.txt --group peers
	@touch $@

clean:
	rm -rf .venv .venv-peers dist
