# `make demo` and `make test` do all the set-up that they need; see README.md.

PYTHON := .venv/bin/python
# libguestfs needs no libvirt, and finds KVM or does without it.
export LIBGUESTFS_BACKEND := direct

.PHONY: demo dev quick room record test unattended lint bench scale harden fuzz bounds clean

demo: ## build a Debian image, enable its serial console, boot it
	@.ci/setup
	@$(PYTHON) -m fixtures.demo

record: ## run the main job in a terminal, and keep it as docs/demo/imgkit.cast and imgkit.svg
	@.ci/setup
	$(PYTHON) -m fixtures.record

unattended: ## install Debian over the network without a question, boot it, log in; half an hour without KVM
	@.ci/setup
	$(PYTHON) -m fixtures.unattended

test: ## the whole suite: style, types, layers, then every test
	@.ci/setup
	@$(MAKE) --no-print-directory lint
	$(PYTHON) -m fixtures build all
	$(PYTHON) -m pytest --numprocesses 2 --dist worksteal $(PYTEST)

dev: ## .venv with what developing takes, from PyPI alone: no root, no apt
	@.ci/setup --python

quick: lint ## style, types, layers, and every test that takes no machine, no missing tool and no built image
	$(PYTHON) -m pytest --quick --numprocesses 2 --dist worksteal -q $(PYTEST)

room: ## the quick tests of one room: make room ROOM=iso
	@.ci/setup --python
	$(PYTHON) -m pytest --quick -q tests/$(ROOM) $(PYTEST)

lint: ## style, types, layers
	@.ci/setup --python
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

bench: ## ratios against the tools that imgkit replaces
	@.ci/setup
	$(PYTHON) -m benchmarks
	$(PYTHON) -m benchmarks.isos
	$(PYTHON) -m benchmarks.batches
	$(PYTHON) -m benchmarks.locations
	$(PYTHON) -m benchmarks.machines

scale: ## a batch of 1,000 disks and 60 ISOs, every output checked by other tools
	@.ci/setup
	$(PYTHON) -m tests.batch.scale

HOURS := 1
harden: ## kills, faults, signals, power cuts and mutated images for HOURS=1, with the counts
	@.ci/setup
	$(PYTHON) -m tests.hardening --hours $(HOURS) $(AREAS)

MINUTES := 1
fuzz: ## each parser for MINUTES=1, guided by coverage (PARSERS="MBR GPT" for some of them)
	@.ci/setup
	$(PYTHON) -m pip install -q --disable-pip-version-check -e '.[fuzz]'
	$(PYTHON) -m tests.hardening.fuzz --minutes $(MINUTES) $(PARSERS)

bounds: ## the tests of what stands on a dependency, with the oldest ones that pyproject.toml allows and no libguestfs
	@.ci/setup --system
	.ci/bounds

clean:
	rm -rf .venv .bounds build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
