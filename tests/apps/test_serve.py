"""The HTTP API with a real server on a real port: the whole way, whose things are whose, limits, and what survives what."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bunraku.media import VideoReader, read_image
from bunraku.theatre import sample_scene
from bunraku.theatre.files import write_scene
from tests.apps.hostile import hostile
from tests.apps.kill import killed_again_and_again
from tests.apps.server import QUICK, TOKENS, Server, ask, ended, send

DOCS = Path(__file__).parents[2] / "docs" / "serve.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("serve") / "work", "--queue", 12, "--queue-each", 8, "--megabytes", 20
    ).start()
    yield server
    server.stop()


@pytest.fixture
def ann(server: Server) -> Iterator[httpx.Client]:
    with server.client("ann") as client:
        yield client


@pytest.fixture
def ben(server: Server) -> Iterator[httpx.Client]:
    with server.client("ben") as client:
        yield client


def request_of(client: httpx.Client, puppets: Path, driving: str = "b.cues", **more: Any) -> dict[str, Any]:
    """A job that takes a second: its poses are known. Files are sent once."""
    files = {"reference": "a.png", "driving": driving, "reference_pose": "a.pose.json"}
    there = {file["name"]: file["id"] for file in client.get("/v1/files").json()}
    ids = {use: there.get(name) or send(client, puppets / name) for use, name in files.items()}
    return {**ids, "options": QUICK, **more}


def slow(request: dict[str, Any]) -> dict[str, Any]:
    """The same job, which takes many seconds: until it is stopped."""
    return request | {"options": {"model": "puppet-warp", "size": [256, 176], "fps": 1000}}


def test_the_whole_way(server: Server, ann: httpx.Client, puppets: Path) -> None:
    reference = ann.post("/v1/files", params={"name": "../my hero.png"}, content=(puppets / "a.png").read_bytes())
    assert reference.status_code == 201
    assert {k: v for k, v in reference.json().items() if k not in ("id", "created", "expires")} == {
        "name": "my hero.png", "bytes": (puppets / "a.png").stat().st_size, "kind": "picture", "width": 64, "height": 96, "frames": 1,
        "fps": None,
    }  # fmt: skip
    request = request_of(ann, puppets, "b.mp4", sheet=True, scene="transparent", format="webm")
    asked = ask(ann, request | {"reference": reference.json()["id"]})
    assert asked.status_code == 202, asked.text
    assert asked.headers["Location"] == f"/v1/jobs/{asked.json()['id']}"

    views = []
    with ann.stream("GET", asked.headers["Location"] + "/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: "):
                views.append(json.loads(line.removeprefix("data: ")))
    states = [view["state"] for view in views]
    assert states == sorted(states, key=["queued", "running", "done", "failed"].index)
    job = views[-1]
    if "no person" in (job["error"] or ""):  # puppets are not always found
        pytest.skip("the detector sees no person in this clip")
    assert job["state"] == "done", job
    assert (job["result"]["frames"], job["result"]["fps"], job["result"]["files"]) == (
        12,
        12,
        ["result.webm", "sheet.png"],
    )

    (server.work / "got.webm").write_bytes(ann.get(f"/v1/jobs/{job['id']}/result").content)
    assert len(VideoReader(server.work / "got.webm")) == 12
    (server.work / "got.png").write_bytes(ann.get(f"/v1/jobs/{job['id']}/files/sheet.png").content)
    assert read_image(server.work / "got.png").shape[1] > 64
    for name in ("got.webm", "got.png"):
        (server.work / name).unlink()
    kept = [name for name in server.files() if job["id"] in name]
    assert kept == [f"jobs/{job['id']}/1/{name}" for name in job["result"]["files"]]
    assert ann.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert ann.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert not any(job["id"] in name for name in server.files())


def test_same_as_the_command_line_to_the_byte(server: Server, ann: httpx.Client, puppets: Path, tmp_path: Path) -> None:
    from bunraku.animate import AnimateOptions, animate

    options = AnimateOptions(model="puppet-warp", size=(96, 64), reference_pose=puppets / "a.pose.json")
    animate(puppets / "a.png", puppets / "b.cues", tmp_path / "own.mp4", options)
    job = ended(ann, ask(ann, request_of(ann, puppets)).json()["id"])
    got = ann.get(f"/v1/jobs/{job['id']}/result")
    # cues of an upload have no sound: they may not name a file of the server
    assert got.content == (tmp_path / "own.mp4").read_bytes()
    assert got.headers["content-disposition"] == 'attachment; filename="result.mp4"'
    assert got.headers["x-content-type-options"] == "nosniff"


def test_preview_and_cues_that_drive_other_jobs(ann: httpx.Client, puppets: Path, tmp_path: Path) -> None:
    request = request_of(ann, puppets)
    preview = ended(ann, ask(ann, request | {"task": "preview"}).json()["id"])
    (tmp_path / "preview.png").write_bytes(ann.get(f"/v1/jobs/{preview['id']}/result").content)
    shown = read_image(tmp_path / "preview.png").shape
    assert (preview["result"]["height"], preview["result"]["width"]) == shown[:2]
    perceive = ended(
        ann, ask(ann, {"task": "perceive", "driving": request["driving"], "options": {"stop": 5}}).json()["id"]
    )
    assert (perceive["result"]["frames"], perceive["result"]["files"]) == (5, ["result.cues"])
    cues = ann.post("/v1/files", content=ann.get(f"/v1/jobs/{perceive['id']}/result").content).json()
    assert (cues["kind"], cues["frames"], cues["fps"]) == ("cues", 5, 12)
    assert ended(ann, ask(ann, request | {"driving": cues["id"]}).json()["id"])["result"]["frames"] == 5


def test_nobody_comes_without_a_token_and_nobody_sees_what_is_anothers(
    server: Server, ann: httpx.Client, ben: httpx.Client, puppets: Path
) -> None:
    file = request_of(ann, puppets)["reference"]
    job = ask(ann, request_of(ann, puppets)).json()["id"]
    routes = [
        ("GET", "/v1/files"), ("GET", f"/v1/files/{file}"), ("DELETE", f"/v1/files/{file}"), ("POST", "/v1/files"), ("GET", "/v1/jobs"),
        ("GET", f"/v1/jobs/{job}"), ("GET", f"/v1/jobs/{job}/events"), ("POST", f"/v1/jobs/{job}/cancel"), ("DELETE", f"/v1/jobs/{job}"),
        ("GET", f"/v1/jobs/{job}/result"), ("GET", f"/v1/jobs/{job}/files/sheet.png"), ("POST", "/v1/jobs"), ("GET", "/metrics"),
        ("GET", "/v1/models"),
    ]  # fmt: skip
    described = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    assert sum(len(methods) for methods in described.values()) == len(routes) + 1  # and /health
    for method, path in routes:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKENS['ann']}"}):
            assert httpx.request(method, server.url + path, headers=header).status_code == 401, path
        if file in path or job in path:
            assert ben.request(method, path).status_code == 404, path
    assert file not in str(ben.get("/v1/files").json())
    assert job not in str(ben.get("/v1/jobs").json())
    mine = request_of(ben, puppets) | {"driving": file}
    assert ask(ben, mine).status_code == 404
    assert ended(ann, job)["state"] == "done"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"options": {"model": "/etc"}}, "no model '/etc'; there are puppet-warp"),
        ({"options": {"model": "nobody/model"}}, "no model"),
        ({"options": {"max_people": 9}}, "less than or equal to 8"),
        ({"options": {"fps": "1e999999999"}}, "frames per second"),
        ({"options": {"fps": "1/0"}}, "frames per second"),
        ({"options": {"fps": 1000, **QUICK, "canvas": None}}, None),
        ({"options": {"size": [4096, 64]}}, "at most 2048 px"),
        ({"options": {"pairs": [[0, 0], [0, 1]]}}, "pairs give a character two drivers"),
        ({"options": {"device": "cuda"}}, "Extra inputs"),
        ({"options": {"driving_kind": "rgb"}}, "driving_kind of b.cues is auto or cues"),
        ({"scene": "/etc/passwd"}, "no file 'passwd'"),
        ({"format": "exe"}, "mp4"),
        ({"format": "cues"}, "format of animate is mp4"),
        ({"reference": None}, "animate needs a reference"),
        ({"options": {"strengths": [{"condition": "pose", "amount": 99}]}}, "must be from 0 to 10"),
        ({"options": {"debug": "/tmp"}}, "Extra inputs"),
        ({"sheet": "/tmp/x.png"}, "boolean"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    ann: httpx.Client, puppets: Path, change: dict[str, Any], what: str | None
) -> None:
    answer = ask(ann, request_of(ann, puppets) | change)
    if what is None:
        assert answer.status_code == 202
        assert ended(ann, answer.json()["id"])["result"]["fps"] == 1000
    else:
        assert answer.status_code in (404, 422)
        assert what in answer.text


def test_files_of_the_wrong_kind_and_too_many_frames(server: Server, ann: httpx.Client, puppets: Path) -> None:
    request = request_of(ann, puppets)
    swapped = ask(ann, request | {"reference": request["driving"], "driving": request["reference"]})
    assert "reference is picture; b.cues is cues" in swapped.json()["detail"]
    assert "at most 20 MB" in ann.post("/v1/files", content=bytes(21 * 2**20)).json()["detail"]
    assert ask(ann, request | {"options": QUICK | {"start": 99}}).status_code == 202  # said when the clip is opened
    last = ann.get("/v1/jobs").json()[-1]["id"]
    assert "b.cues has 12 frames, numbered from 0; start 99 leaves none" in ended(ann, last)["error"]
    assert str(server.work) not in json.dumps(ann.get("/v1/jobs").json())


def test_a_body_without_end_is_cut_off(server: Server, ann: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(2**16)

    for path in ("/v1/files", "/v1/jobs"):
        with suppress(httpx.TransportError):  # it may have closed the connection
            assert ann.post(path, content=endless()).status_code == 413
    assert not [name for name in server.files() if name.endswith(".part")]
    assert ann.post("/v1/jobs", content=b" " * 2**21).status_code == 413
    assert ann.get("/health").status_code == 200


def test_cancel_leaves_nothing_and_the_next_job_runs(server: Server, ann: httpx.Client, puppets: Path) -> None:
    request = request_of(ann, puppets)
    running = ask(ann, slow(request)).json()["id"]
    waiting = ask(ann, request).json()
    assert waiting["ahead"] == 0 or waiting["ahead"] == 1
    with ann.stream("GET", f"/v1/jobs/{running}/events") as events:  # of a job that is long enough for each to be sent
        views = (json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line.startswith("data: "))
        assert any(view["progress"] and view["progress"]["what"] == "write" for view in views)
    for id in (waiting["id"], running):
        assert ann.post(f"/v1/jobs/{id}/cancel").json()["state"] == "cancelled"
        assert ann.post(f"/v1/jobs/{id}/cancel").status_code == 409
        assert ann.get(f"/v1/jobs/{id}/result").status_code == 409
    assert ended(ann, ask(ann, request).json()["id"])["state"] == "done"
    assert not [name for name in server.files() if running in name or waiting["id"] in name]


def test_a_worker_that_dies_takes_its_job_and_nothing_else(server: Server, ann: httpx.Client, puppets: Path) -> None:
    request = request_of(ann, puppets)
    doomed, next_one = (ask(ann, each).json()["id"] for each in (slow(request), request))
    while ann.get(f"/v1/jobs/{doomed}").json()["progress"] is None:
        time.sleep(0.02)
    (worker,) = server.workers()
    worker.send_signal(signal.SIGSEGV)
    assert "died (signal 11)" in ended(ann, doomed)["error"]
    assert ended(ann, next_one)["state"] == "done"


def test_too_much_at_once_is_put_off(ann: httpx.Client, ben: httpx.Client, puppets: Path) -> None:
    requests = {client: request_of(client, puppets) for client in (ann, ben)}
    running = ask(ann, slow(requests[ann])).json()["id"]
    while ann.get(f"/v1/jobs/{running}").json()["state"] != "running":
        time.sleep(0.02)
    answers = [ask(ann, requests[ann]) for _ in range(9)]
    assert [answer.status_code for answer in answers] == [202] * 8 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert "8 of your jobs wait" in answers[-1].json()["detail"]
    assert [ask(ben, requests[ben]).status_code for _ in range(5)] == [202] * 4 + [429]
    for client in (ann, ben):
        for job in client.get("/v1/jobs").json():
            client.post(f"/v1/jobs/{job['id']}/cancel")
    assert ask(ann, requests[ann]).status_code == 202


def test_asking_twice_with_one_key_makes_one_job(ann: httpx.Client, ben: httpx.Client, puppets: Path) -> None:
    request = request_of(ann, puppets)
    one, two = (ask(ann, request, "my key").json()["id"] for _ in range(2))
    assert one == two
    assert ask(ann, request | {"format": "gif"}, "my key").status_code == 422
    assert ask(ben, request_of(ben, puppets), "my key").json()["id"] != one
    ended(ann, one)


def test_two_hundred_hostile_uploads(server: Server, ann: httpx.Client, puppets: Path, tmp_path: Path) -> None:
    """No crash, no file outside the folder, memory as before; and whoever means well is served meanwhile."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    outside = {path: set(os.listdir(path)) for path in ("/etc", "/", os.getcwd(), server.work.parent)}
    request = request_of(ann, puppets)
    kept_before, memory = set(server.files()), process.memory_info().rss
    statuses: list[int] = []

    def attack(case: Any) -> int:
        with server.client("ben") as client:
            for _ in range(100):
                answer = client.post("/v1/files", params={"name": case.name.encode()}, content=case.content)
                if answer.status_code != 429:
                    break
                time.sleep(0.05)
        if case.harmless:
            assert answer.status_code == 201, (case.name, answer.text)
        if answer.status_code == 201:
            assert not set(answer.json()["name"]) & set("/\\\x00\n\u202e")
        return answer.status_code

    with ThreadPoolExecutor(3) as attackers:
        working = attackers.submit(lambda: ended(ann, ask(ann, request).json()["id"]))
        statuses = list(attackers.map(attack, hostile(puppets)))
        assert working.result()["state"] == "done"
    assert set(statuses) <= {201, 413, 422}
    assert statuses.count(422) > 100
    assert process.is_running()
    assert process.memory_info().rss < memory + 100 * 2**20
    assert {path: set(os.listdir(path)) for path in outside} == outside
    with server.client("ben") as ben:
        names = set(server.files()) - kept_before
        taken = {file["id"] for file in ben.get("/v1/files").json()} - {Path(name).stem for name in kept_before}
        assert {Path(name).stem for name in names if name.startswith("files/")} == taken
        assert not [name for name in names if name.endswith(".part")]
        for id in taken:
            assert ben.delete(f"/v1/files/{id}").status_code == 204


def test_no_path_of_the_server_can_be_an_option() -> None:
    """Whoever adds an option that is a path adds nothing here."""
    from bunraku.animate import AnimateOptions
    from bunraku.apps.serve.requests import OURS, Options

    paths = {"reference_pose", "references", "views", "mask", "scene", "sheet", "side_by_side", "debug", "state"}
    assert paths <= {field.name for field in fields(AnimateOptions)} - set(Options.model_fields)
    assert {field.name for field in fields(AnimateOptions)} == {*paths, *OURS, *Options.model_fields}


def test_metrics_and_the_page_that_needs_no_network(server: Server, ann: httpx.Client, puppets: Path) -> None:
    assert ended(ann, ask(ann, request_of(ann, puppets)).json()["id"])["state"] == "done"
    text = ann.get("/metrics").text
    for line in (r'bunraku_jobs_total\{state="done"\} [1-9]', r'bunraku_jobs_now\{state="running"\} 0', "bunraku_job_seconds_count [1-9]", r'bunraku_uploads_total\{outcome="taken"\} [1-9]', "bunraku_worker_memory_bytes [1-9]"):  # fmt: skip
        assert re.search(line, text), line
    page = httpx.get(f"{server.url}/docs").text
    scripts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert scripts
    assert all(script.startswith("/") for script in scripts)
    assert all(httpx.get(server.url + script).status_code == 200 for script in scripts)


def test_the_client_of_the_documentation(server: Server, tmp_path: Path) -> None:
    write_scene(sample_scene(0, "test"), tmp_path / "c.mp4", 8, (192, 128))
    (code,) = re.findall(r"```python\n(import json.*?)```", DOCS.read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 24
    (tmp_path / "client.py").write_text(code)
    output = tmp_path / "out.mp4"
    command = [sys.executable, "client.py", server.url, TOKENS["ann"], tmp_path / "c.png", tmp_path / "c.cues", output]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(VideoReader(output)) == 8
    assert done.stdout.endswith("done None None\n")


@pytest.mark.parametrize(
    ("limit", "options", "why"),
    [
        (
            ("--minutes", 0.05),
            {"model": "puppet-warp", "size": [256, 176], "fps": 1000},
            "longer than the 0.05 minutes",
        ),
        (("--memory", 0.5), {"model": "mini"}, "more than the 0.5 GB of memory"),
    ],
)
def test_a_job_that_takes_too_much_is_stopped_and_what_is_old_is_deleted(
    tmp_path: Path, puppets: Path, limit: tuple[str, float], options: dict[str, Any], why: str
) -> None:
    server = Server(tmp_path / "work", *limit, "--keep-hours", 0.004).start()
    try:
        with server.client() as client:
            job = ended(client, ask(client, request_of(client, puppets) | {"options": options}).json()["id"])
            assert why in job["error"]
            assert job["expires"] - job["finished"] == pytest.approx(14.4)
            until = time.monotonic() + 120
            while (server.files() or client.get("/v1/jobs").json()) and time.monotonic() < until:
                time.sleep(0.5)
            assert server.files() == []
            assert client.get("/v1/jobs").json() == client.get("/v1/files").json() == []
    finally:
        server.stop()


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path, puppets: Path) -> None:
    outcome = killed_again_and_again(puppets, tmp_path / "work", kills=3, seed=0)
    assert outcome["jobs"] >= 3
    assert outcome["began again"] >= 1
