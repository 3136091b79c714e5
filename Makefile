# The one set of commands; CI runs the same. Needs Rust, Python 3.11 or later, and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
OUT := build

RUST_SOURCES := Cargo.toml Cargo.lock pyproject.toml python/Cargo.toml rust_core/Cargo.toml \
	rust_core/README.md $(shell find rust_core/src python/src -type f)

.PHONY: help demo test verify lint bench bench-peers bench-instructions quality quality-over-time test-engines test-ray test-report picture docs fuzz mutants mutants-changed wheel clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-19s%s\n", $$1, $$2 }'

demo: $(STAMPS)/package $(STAMPS)/demo ## Set everything up (a minute or two), plan real loads with every policy, write and verify a plan, replay a real sequence
	@$(BIN)/python docs/demo.py $(OUT)/demo

test: $(STAMPS)/package $(STAMPS)/test ## Set everything up, torch included, and run all tests
	@$(BIN)/python tests/run_all.py

verify: $(STAMPS)/package $(STAMPS)/test ## Compare a million rows, and all else that takes longer than make test
	@$(BIN)/python tests/verify.py

test-engines: $(STAMPS)/package $(STAMPS)/test ## Run vLLM's and SGLang's released load balancers with eplb inside, four processes on a CPU (their wheels: 400 MB; minutes)
	@$(BIN)/python -m pytest --quiet tests/engine_runs

test-ray: $(STAMPS)/package $(STAMPS)/test ## Run replays on a local Ray cluster of three nodes, workers and nodes being killed (its wheel: 80 MB; minutes)
	@$(BIN)/python -m pytest --quiet tests/ray_runs

test-report: $(STAMPS)/package $(STAMPS)/test ## Test the report of a replay in Chromium (CHROMIUM=program; as root on Debian it is installed)
	@$(BIN)/python tests/helpers/browser.py
	@$(BIN)/python -m pytest --verbose tests/report tests/cli/test_cli_report.py

lint: $(STAMPS)/package $(STAMPS)/test ## Check format, lints, types and stubs
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(BIN)/python tests/lint/module_circles.py
	$(BIN)/python tests/lint/private_imports.py
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest eplb._core

# RECORD=1 adds a line to tests/bench/records, on a quiet machine.
RUN_BENCH = PYTHONPATH=tests/helpers:tests/bench $(BIN)/python tests/bench
bench: $(STAMPS)/package $(STAMPS)/test ## Time every case of tests/bench/cases.toml beside its goal (minutes; RECORD=1, ONLY=name)
	@$(RUN_BENCH)/bench.py $(if $(RECORD),--record) $(if $(ONLY),--only '$(ONLY)')

bench-peers: $(STAMPS)/package $(STAMPS)/test ## Time the planners of released engines beside (their wheels: 400 MB; RECORD=1)
	@$(RUN_BENCH)/peers.py $(if $(RECORD),--record)

bench-instructions: $(STAMPS)/package $(STAMPS)/test ## Count instructions, tell what rose (valgrind; RECORD=1, PROFILE=1, STRICT=1)
	@$(RUN_BENCH)/instructions.py $(if $(RECORD),--record) $(if $(PROFILE),--profile) $(if $(STRICT),--strict)

picture: $(STAMPS)/package $(STAMPS)/test ## Draw docs/gpu-loads.png and docs/over-time.png, from real loads
	@$(BIN)/python docs/picture.py docs/gpu-loads.png
	@$(BIN)/python docs/picture_over_time.py docs/over-time.png

quality: $(STAMPS)/package $(STAMPS)/test ## Measure how good plans are, beside released planners (wheels: 400 MB) and proven optima (minutes; RECORD=1 keeps the optima)
	@PYTHONPATH=tests/helpers:tests/bench $(BIN)/python tests/quality/quality.py $(if $(RECORD),--record)

quality-over-time: $(STAMPS)/package $(STAMPS)/test ## Measure next-window balance and moves on real sequences, beside released planners (minutes)
	@PYTHONPATH=tests/helpers:tests/bench $(BIN)/python tests/quality/next_window.py
	@PYTHONPATH=tests/helpers:tests/bench $(BIN)/python tests/quality/unequal_shares.py

docs: ## Build the documentation of the Rust crate, warnings being errors
	RUSTDOCFLAGS="-D warnings" cargo doc --package eplb-core --no-deps --locked

# CHECK_WHEEL=--every-python fails where a Python to try the wheel with is missing.
wheel: $(STAMPS)/wheel ## Build the wheel and the source distribution into dist, check them in bare environments (5 minutes)
	@$(BIN)/python tests/wheel/build.py dist
	@$(BIN)/python tests/wheel/check.py dist $(CHECK_WHEEL)

SECONDS_PER_TARGET ?= 60
fuzz: ## Fuzz each target for SECONDS_PER_TARGET (needs the nightly toolchain); finds go to build/fuzz
	cargo fuzz --version || cargo install cargo-fuzz --locked
	for target in $$(cargo +nightly fuzz list); do \
		mkdir -p $(OUT)/fuzz/$$target; \
		cargo +nightly fuzz run $$target $(OUT)/fuzz/$$target fuzz/corpus/$$target -- -max_total_time=$(SECONDS_PER_TARGET) -print_final_stats=1 || exit 1; \
	done

mutants: ## Mutate the core, line by line: hours (.cargo/mutants.toml; FILE=pack.rs for one file)
	cargo mutants --version || cargo install cargo-mutants --locked
	cargo mutants --package eplb-core --output $(OUT) $(if $(FILE),--file '$(FILE)')

BASE ?= main
mutants-changed: ## Mutate the lines of the core that differ from BASE
	cargo mutants --version || cargo install cargo-mutants --locked
	@mkdir -p $(OUT)
	git diff $(BASE) -- rust_core/src > $(OUT)/mutants.diff
	cargo mutants --package eplb-core --output $(OUT) --in-diff $(OUT)/mutants.diff

clean: ## Remove everything that was built
	rm -rf $(OUT) $(VENV) dist target fuzz/target

# A stamp says that what it stands for is installed and newer than what it is made from.

$(STAMPS)/venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' 'maturin>=1.9,<2'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/package: $(STAMPS)/venv $(RUST_SOURCES)
	PIP_QUIET=1 $(BIN)/maturin develop --release --locked --quiet
	@touch $@

$(STAMPS)/demo: $(STAMPS)/venv pyproject.toml
	@$(BIN)/pip install --quiet --group demo && touch $@ || echo "the demo will have no report"

$(STAMPS)/test: $(STAMPS)/venv pyproject.toml
	$(BIN)/pip install --quiet --group test
	@touch $@

$(STAMPS)/wheel: $(STAMPS)/venv pyproject.toml
	$(BIN)/pip install --quiet --group wheel
	@touch $@
