# Each target does all its own set-up; a second call starts at once.
# Needs Python 3.11 or newer and a package index. PYTHON=... chooses the Python.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo ui notebooks test browser lint unit clean

install: $(STAMP)

# torch first: a range asked for by another package would bring gigabytes of CUDA packages on a machine that has its wheel already.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv was not found. Install it (Debian: apt install python3 python3-venv), or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Installing into $(VENV): about 4 GB on disk, 3 to 6 minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --compile --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/codex-ml demo

ui: $(STAMP)
	@$(BIN)/codex-ui

notebooks: $(STAMP)
	@$(BIN)/codex-ml notebooks

test: browser lint unit

# Tests look at the pages in a real browser; without one they fail here, at once. NO_BROWSER=1 goes without.
browser: $(STAMP)
	@$(BIN)/python -m tests.browser.find

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

# The browser's tests have a process of their own, beside the others: Playwright leaves an event loop running in its thread.
unit: export OMP_NUM_THREADS = 1
unit: $(STAMP)
	@echo "The tests of the pages run beside the others; what they say comes last. 12 to 35 minutes, by the machine."
	@log=$$(mktemp); \
	$(BIN)/python -m pytest tests/browser >"$$log" 2>&1 & pages=$$!; \
	trap 'kill $$pages 2>/dev/null; rm -f "$$log"' EXIT INT TERM; \
	others=0; $(BIN)/python -m pytest --ignore=tests/browser || others=$$?; \
	code=0; wait $$pages || code=$$?; cat "$$log"; \
	exit $$((others | code))

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
