"""Memory of `bunraku serve` over a long row of jobs: `python benchmarks/serve.py [--jobs N] [--json FILE]`.

Jobs of three kinds take turns: the puppet warp with known poses, the puppet warp with poses that are looked for, and the shipped model.
Files are sent anew for each job, and every second job is deleted afterwards. After each job the memory of the server and of its worker is read.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from bunraku.theatre import sample_scene
from bunraku.theatre.files import write_scene

KINDS = {
    "warp": ("scene.cues", {"model": "puppet-warp"}),
    "perceive": ("scene.mp4", {"model": "puppet-warp"}),
    "model": ("scene.cues", {"model": "mini", "steps": 2, "stop": 8}),
}
MIB = 2**20


def started(work: Path, port: int) -> subprocess.Popen[bytes]:
    """The server, when it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bunraku", "-q", "serve", "--work", str(work), "--port", str(port)]
    )
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health")
            return process
        except httpx.TransportError:
            time.sleep(0.1)


def done(server: httpx.Client, folder: Path, kind: str) -> dict[str, object]:
    """One job from uploads to the result."""
    driving, options = KINDS[kind]

    def sent(name: str) -> str:
        return str(server.post("/v1/files", params={"name": name}, content=(folder / name).read_bytes()).json()["id"])

    request = {"reference": sent("scene.png"), "driving": sent(driving), "reference_pose": sent("scene.pose.json")}
    job = server.post("/v1/jobs", json=request | {"options": options}).json()
    while job["state"] in ("queued", "running"):
        time.sleep(0.1)
        job = server.get(f"/v1/jobs/{job['id']}").json()
    if job["state"] != "done":
        raise SystemExit(f"{kind}: {job['error']}")
    server.get(f"/v1/jobs/{job['id']}/result").raise_for_status()
    for file in request.values():
        server.delete(f"/v1/files/{file}")
    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=120)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        write_scene(sample_scene(0, "test"), Path(folder) / "scene.mp4", 24, (192, 128))
        work = Path(folder) / "work"
        process = started(work, options.port)
        try:
            token = (work / "tokens").read_text().split()[1]
            address = f"http://127.0.0.1:{options.port}"
            began = time.monotonic()
            print(
                f"{options.jobs} jobs, {os.cpu_count()} cores\n{'job':>5} {'kind':>9} {'minutes':>8} {'server':>8} {'worker':>8}  MiB"
            )
            with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=600) as server:
                for number in range(1, options.jobs + 1):
                    kind = list(KINDS)[number % len(KINDS)]
                    job = done(server, Path(folder), kind)
                    if number % 2:
                        server.delete(f"/v1/jobs/{job['id']}")
                    own = psutil.Process(process.pid)
                    worker = max((child.memory_info().rss for child in own.children()), default=0)
                    minutes = (time.monotonic() - began) / 60
                    rows.append(
                        {
                            "job": number,
                            "kind": kind,
                            "minutes": minutes,
                            "server": own.memory_info().rss / MIB,
                            "worker": worker / MIB,
                        }
                    )
                    if number <= 6 or number % 10 == 0:
                        print(
                            "{job:>5} {kind:>9} {minutes:>8.1f} {server:>8.0f} {worker:>8.0f}".format(**rows[-1]),
                            flush=True,
                        )
        finally:
            process.terminate()
            process.wait()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
