# make demo: an animated character, offline, two minutes after cloning.  make test: everything that lets work land.
PYTHON ?= python3
BIN := .venv/bin
# spinning OpenMP threads cost a loaded machine a multiple of their work
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test install lint clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# mediapipe 0.10.21 asks for numpy<2, protobuf<5, jax and a second OpenCV, and needs none of them for the models used here
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps mediapipe==0.10.21
	touch $@

demo: install
	HF_HUB_OFFLINE=1 $(BIN)/python examples/demo.py --output out/demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# two workers, each with one thread: more threads than cores cost more than they give
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

clean:
	rm -rf .venv out
