# The book and its tests. Each target sets up what it needs; `make` alone lists them.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
READY := .venv/ready
BUILT := _build/ready
PDF := _build/book.pdf
SOURCES := _config.yml _toc.yml references.bib CITATION.cff $(shell find book vae_tutorial -type f -not -path "*/__pycache__/*" -not -path "*/.*")

# make book SOLUTIONS=0: for a class, chapters without the solutions of their exercises.
ifeq ($(SOLUTIONS),0)
BUILT := _build/without_solutions/ready
OUTPUT := _build/without_solutions
endif
OUTPUT ?= .

.PHONY: help install book pdf test quick portable serve execute browser lighthouse bench mutants adapters lint lock clean

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "  make %-11s%s\n", $$1, $$2 }' Makefile

install: $(READY)  ## set up .venv with everything pinned in requirements.txt

book: $(BUILT)  ## build the book and say where it is (SOLUTIONS=0: without the exercises' solutions)
	@echo "The book: $(abspath $(OUTPUT))/_build/html/index.html"

pdf: $(PDF)  ## typeset the book as one PDF and say where it is (TeX: about 400 MB, once)
	@echo "The book: $(CURDIR)/$(PDF)"

test: $(READY)  ## run every test: package, notebooks, built book
	$(BIN)/pytest -n 2 --dist loadfile

quick: $(READY)  ## run the unit tests of the package only: no notebook, no browser
	$(BIN)/pytest -n 2 --dist loadfile vae_tutorial tests/package

portable: $(READY)  ## run notebooks and unit tests as other processors would, and record it (an hour)
	$(BIN)/python tools/portable.py

serve: $(BUILT)  ## build the book and serve it on this machine
	@echo "The book: http://127.0.0.1:$(PORT)/ (stop with Ctrl-C)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(OUTPUT)/_build/html

execute: $(READY)  ## run all notebooks again, in place, and draw the book's card anew
	$(BIN)/python tools/execute_notebooks.py
	$(BIN)/python tools/social_card.py

browser:  ## install the Chromium that tests the pages
	@sh tools/install_chromium.sh

lighthouse: $(BUILT) node_modules  ## judge every page by Lighthouse (npm, node 18 or newer; half an hour), or PAGES="book/elbo.html"
	@$(BIN)/python tools/lighthouse.py $(PAGES)

bench: .venv-bench/ready  ## compare the speed of training with public peers (needs MNIST; twenty quiet minutes)
	.venv-bench/bin/python benchmarks/training.py --out benchmarks/results/training.json
	.venv-bench/bin/python benchmarks/jax_speed.py --out benchmarks/results/jax.json

mutants: $(READY)  ## break the code in every small way and count what no test notices (long)
	$(BIN)/python tools/mutants.py

adapters: $(READY) .venv-otter/ready .venv-nbgrader/ready  ## run the grading kit's notebooks by Otter-Grader and nbgrader (1 GB, once)
	$(BIN)/pytest tests/package/test_grade_adapters.py

lint: $(READY)  ## check style and types of the code, modules and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock:  ## settle which versions of all the rest go with the pins of requirements.txt (UPGRADE=--upgrade: the newest)
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	grep -v '^-' requirements.txt | $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-annotate $(UPGRADE) \
	    --custom-compile-command "make lock" --output-file requirements-lock.txt -

clean:  ## remove what was built, and the virtual environment
	rm -rf _build build dist node_modules .venv .venv-bench .venv-otter .venv-nbgrader .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find benchmarks book tests tools vae_tutorial -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

_build/ready: $(READY) $(SOURCES)
	$(BIN)/jupyter-book build -W --keep-going -n --all .
	@touch $@

_build/without_solutions/ready: $(READY) $(SOURCES)
	@mkdir -p $(@D)
	SOLUTIONS=0 $(BIN)/jupyter-book build -W --keep-going -n --all --path-output $(@D) .
	@touch $@

$(PDF): $(READY) $(SOURCES) book/_latex/book.sty tools/typeset.py
	@sh tools/install_tex.sh
	$(BIN)/jupyter-book build -W --keep-going -n --all --builder latex .
	$(BIN)/python tools/typeset.py _build/latex/book.tex $@

$(READY): requirements.txt requirements-lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' || \
	    { echo "Python 3.10 to 3.14 is needed; this is `$(PYTHON) --version 2>&1`. Name another: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up .venv: this downloads PyTorch and takes some minutes, once."
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

.venv-otter/ready: pyproject.toml
	$(PYTHON) -m venv .venv-otter
	.venv-otter/bin/python -m pip install --quiet --disable-pip-version-check $(shell grep ^torch== requirements.txt) "otter-grader>=7,<8" ipykernel .
	@touch $@

.venv-nbgrader/ready: pyproject.toml
	$(PYTHON) -m venv .venv-nbgrader
	.venv-nbgrader/bin/python -m pip install --quiet --disable-pip-version-check $(shell grep ^torch== requirements.txt) "nbgrader>=0.9,<0.10" .
	@touch $@

.venv-bench/ready: benchmarks/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@
