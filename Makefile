# `make demo` and `make test` work on a fresh machine with python3 and make; `make help` lists all targets.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SAMPLES := corpus/real/hvm-64.bin.gz corpus/real/pv-list.bin.gz

.PHONY: help demo test check peers volatility pythons bench docs generate differences clean

help:
	@echo 'make demo      install into .venv; identify, verify and show real streams, then a broken one'
	@echo 'make test      lint, types and all fast tests'
	@echo 'make peers     install and build the real tools that tests and benchmarks compare with (Debian, root),'
	@echo '                and unpack those of two more releases of Xen, and four of QEMU, into .peers'
	@echo 'make volatility   install volatility3 into .volatility, for the tests that read files of memory with it'
	@echo 'make pythons   fetch newer Pythons into .pythons for the tests to try (Debian)'
	@echo 'make bench     measure against the peers; see docs/bench.md'
	@echo 'make docs      build the documentation site into docs/_build/html'
	@echo 'make generate  rewrite the files generated from the schemas and clauses'
	@echo 'make differences  run the peers again and rewrite docs/differences.md and what the clauses say was run (after make peers)'
	@echo 'make clean     remove .venv and build products'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'streamfmt needs Python 3.11 or later; try: make PYTHON=python3.12 demo' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo 'python cannot create virtual environments; on Debian or Ubuntu: apt-get install python3-venv' >&2; \
	    rm -rf $(VENV); exit 1; }

# The commands that older releases of pip install load `re` first, which takes as long as a small stream does.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip || \
	  echo 'pip cannot be upgraded; all works, but commands may start more slowly' >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.developer: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs,fuzz]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/streamfmt identify $(SAMPLES) corpus/real/dm-pc-xenlike.bin
	@echo
	$(BIN)/streamfmt verify $(SAMPLES)
	@echo
	$(BIN)/streamfmt show corpus/real/hvm-64.bin.gz
	@echo
	@echo '# and now a broken one: the same stream with one field overwritten and its end cut off'
	$(BIN)/streamfmt verify corpus/real/hvm-64-broken.bin.gz || test $$? -eq 1

check: $(VENV)/.developer
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Other Pythons on this machine judge streams too; their packages are downloaded once, everything else is local.
# Compiled first: the tests start Python some thousand times, and it may be configured not to write bytecode itself.
volatility:
	python3 -m venv .volatility
	.volatility/bin/python -m pip install --quiet --disable-pip-version-check volatility3

test: check
	@$(BIN)/python -m compileall -q streamfmt
	@$(BIN)/python -m streamfmt.tests.support.pythons
	$(BIN)/python -m pytest -n auto --dist worksteal

pythons: $(VENV)/.developer
	sh conformance/pythons/fetch.sh .pythons
	@$(BIN)/python -m streamfmt.tests.support.pythons

peers:
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends xen-utils-4.17 gcc make libxen-dev libxenmisc4.17 xenstore-utils \
	  qemu-utils
	$(MAKE) --no-print-directory -C conformance/xenpeer
	$(MAKE) --no-print-directory -C conformance/libxlpeer
	@sh conformance/debian/peers.sh .peers || \
	  echo 'of the releases of Xen that this machine does not install one cannot be had; its tests will be skipped' >&2
	@sh conformance/debian/qemu.sh .peers/qemu || \
	  echo 'of the releases of QEMU one cannot be had; its tests will be skipped' >&2
	@set -e; for root in .peers/*/root; do test ! -d "$$root" || for peer in xenpeer libxlpeer; do \
	  $(MAKE) --no-print-directory -C conformance/$$peer REL="$$(basename "$$(dirname "$$root")")"; done; done

bench: $(VENV)/.installed
	@$(BIN)/python -m compileall -q streamfmt
	$(BIN)/python -m streamfmt.bench

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

generate: $(VENV)/.developer
	$(BIN)/python -m streamfmt.schema.compile
	$(BIN)/python -m streamfmt.render.reference
	$(BIN)/python -m streamfmt.render.payload_reference
	$(BIN)/python -m streamfmt.render.compatibility
	$(BIN)/python -m streamfmt.render.automata
	$(BIN)/python -m streamfmt.render.vfio
	$(BIN)/python -m streamfmt.render.checkpointing
	$(BIN)/python -m streamfmt.render.colo
	$(BIN)/python -m streamfmt.render.evidence
	$(BIN)/python -m streamfmt.render.magic5
	$(BIN)/streamfmt corpus build

differences: $(VENV)/.developer
	$(BIN)/python -m streamfmt.conformance.differences

clean:
	@for peer in xenpeer libxlpeer; do $(MAKE) --no-print-directory -C conformance/$$peer clean; done
	rm -rf $(VENV) .pythons .peers .volatility docs/_build dist build .mypy_cache .pytest_cache .ruff_cache
