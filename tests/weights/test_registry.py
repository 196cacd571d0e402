"""The registry: names, folders that others rely on, cheap to import."""

import subprocess
import sys

import pytest

from bunraku.errors import BunrakuError
from bunraku.perception import dwpose
from bunraku.weights import registry


def test_names_are_unique_and_the_default_comes_first():
    names = [model.name for model in registry.list_models()]
    assert names[0] == "bunraku"
    assert len(set(names)) == len(names)


def test_unknown_name_lists_the_names_and_the_nearest():
    with pytest.raises(BunrakuError, match=r"'dwpos'\. Did you mean 'dwpose'\? Known names: bunraku, mini, moore"):
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
        assert model.shipped == (model.name in ("bunraku", "mini"))
        for file in model.files:
            assert file.url or model.repo
            assert not file.path.startswith("/")
            assert file.size is None or file.size > 0
            # other people's models, whose publishers name no checksums: the Hub's own record counts
            assert file.sha256 or model.kind in ("checkpoint", "part", "perception")
        for part in model.needs:
            assert registry.get(part).kind == "part"
        assert model.size > 0
    assert registry.get("dwpose").size == 216_746_733 + 134_399_116


def test_files_named_after_their_checksum_have_it():
    files = {file.path: file.sha256 for model in registry.list_models() for file in model.files}
    for path in ("vgg16-397923af.pth", "alexnet-owt-7be5be79.pth", "pt_inception-2015-12-05-6726825d.pth"):
        assert files[path].startswith(path.removesuffix(".pth").rpartition("-")[2])


def test_every_public_model_has_a_name():
    kinds = {
        kind: [model.name for model in registry.list_models() if model.kind == kind] for kind in ("checkpoint", "part")
    }
    assert kinds == {
        "checkpoint": ["moore", "musepose", "champ", "magic-animate"],
        "part": [
            "sd-vae-ft-mse", "sd-image-variations", "sd15-text-encoder", "sd15", "animatediff-v1", "animatediff-v2",
            "animatediff-v3", "controlnet-openpose", "controlnet-openpose-v10",
        ],
    }  # fmt: skip


def test_a_file_without_a_checksum_comes_from_the_hub_alone():
    assert registry.File("x.pth").sha256 is None
    with pytest.raises(ValueError, match="nobody but the Hub records size and checksum of https://example"):
        registry.File("x.pth", url="https://example.org/x.pth")


@pytest.mark.parametrize("digest", ["", "397923a", "397923AF", "x" * 64, "0" * 65])
def test_a_file_without_a_usable_checksum_is_refused(digest):
    with pytest.raises(ValueError, match="expected 8 to 64 lower-case hexadecimal digits"):
        registry.File("vgg.pth", digest, 1)


@pytest.mark.parametrize("url", ["http://example.org/vgg.pth", "ftp://example.org/vgg.pth", "vgg.pth"])
def test_only_https_is_taken(url):
    with pytest.raises(ValueError, match=f"{url} is not https"):
        registry.File("vgg.pth", "0" * 8, 1, url)


def test_the_registry_imports_neither_torch_nor_opencv():
    code = "import sys, bunraku.weights as w; w.list_models(); print(sorted({'torch', 'diffusers', 'cv2'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
