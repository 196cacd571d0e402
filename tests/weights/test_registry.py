"""The registry: names, folders that others rely on, cheap to import."""

import subprocess
import sys

import pytest

from bunraku.errors import BunrakuError
from bunraku.perception import dwpose
from bunraku.weights import registry


def test_names_are_unique_and_the_default_comes_first():
    names = [model.name for model in registry.list_models()]
    assert names[0] == "mini"
    assert len(set(names)) == len(names)


def test_unknown_name_lists_the_names_and_the_nearest():
    with pytest.raises(BunrakuError, match=r"'dwpos'\. Did you mean 'dwpose'\? Known names: mini, dwpose"):
        registry.get("dwpos")
    with pytest.raises(BunrakuError, match=r"'zzz'\. Known names"):
        registry.get("zzz")


def test_dwpose_lies_where_the_detector_looks(tmp_path, monkeypatch):
    model = registry.get("dwpose")
    assert tuple(file.path for file in model.files) == dwpose.WEIGHTS
    assert model.source == dwpose.SOURCE
    assert model.folder == dwpose.weights_folder()
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    assert model.folder == dwpose.weights_folder() == tmp_path / "dwpose"


def test_every_download_is_pinned():
    for model in registry.list_models():
        assert bool(model.files) == (model.repo is not None)
        for file in model.files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.size > 0
    assert registry.get("dwpose").size == 216_746_733 + 134_399_116


def test_the_registry_imports_neither_torch_nor_opencv():
    code = "import sys, bunraku.weights as w; w.list_models(); print(sorted({'torch', 'diffusers', 'cv2'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
