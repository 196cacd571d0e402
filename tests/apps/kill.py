"""A server with jobs in its queue that is killed with signal 9 again and again, at random times.

PYTHONPATH=src:. python -m tests.apps.kill 50 --seed 1
"""

import argparse
import json
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np

from tests.apps.server import QUICK, Server, ask, ended, is_alive, send

WAITING = 3  # jobs that wait or run, at least, whenever it is killed
LIVES = 3  # durations of a job, at most, that the server lives


def killed_again_and_again(puppets: Path, work: Path, kills: int, seed: int) -> dict[str, Any]:
    """Ask for jobs, kill the server at random times, start it again; at the end every job is done, once, and with the right bytes.

    A person whose request has got no answer asks again with the same key.

    Raises:
        AssertionError: anything is lost, half there or double, a result differs from that of an undisturbed run, or a process or a
            file is left over.
    """
    rng = np.random.default_rng(seed)
    server = Server(work, "--queue", 1000, "--queue-each", 1000).start()
    with server.client() as client:
        request = {
            "reference": send(client, puppets / "a.png"), "driving": send(client, puppets / "b.cues"),
            "reference_pose": send(client, puppets / "a.pose.json"), "options": QUICK,
        }  # fmt: skip
        first = ended(client, ask(client, request, "undisturbed").json()["id"], 600)
        expected = client.get(f"/v1/jobs/{first['id']}/result").content
        keys, answered = ["undisturbed"], {"undisturbed": first["id"]}
    workers, looks = set[int](), Counter[str]()
    longest = LIVES * (first["finished"] - first["created"])
    for _ in range(kills):
        until = time.monotonic() + rng.uniform(0, longest)
        with server.client() as client:
            while time.monotonic() < until:
                workers |= {worker.pid for worker in server.workers()}
                unanswered = [key for key in keys if key not in answered]
                if not unanswered and _unended(client) < WAITING:
                    unanswered = [f"job {len(keys)}"]
                    keys += unanswered
                for key in unanswered:
                    answered[key] = ask(client, request, key).json()["id"]
                looks[_looked_at(client, expected)] += 1
                time.sleep(0.05)
            # the last request may be on its way when the server dies
            keys.append(f"job {len(keys)}")
            _killed_during(server, client, request, keys[-1], float(rng.uniform(0, 0.05)))
        server.start()
    with server.client() as client:
        for key in keys:
            answered[key] = answered.get(key) or ask(client, request, key).json()["id"]
        jobs = [ended(client, id, 600) for id in answered.values()]
        assert [job["state"] for job in jobs] == ["done"] * len(keys), jobs
        assert len({job["id"] for job in jobs}) == len(keys)
        assert len(client.get("/v1/jobs").json()) == len(keys), "a job is double, or lost"
        for job in jobs:
            assert client.get(f"/v1/jobs/{job['id']}/result").content == expected
    attempts = _attempts(work)
    server.stop()
    orphans = [pid for pid in workers if is_alive(pid)]
    assert not orphans, orphans
    wanted = {f"jobs/{id}/{attempts[id]}/result.mp4" for id in answered.values()}
    assert {name for name in server.files() if name.startswith("jobs/")} == wanted
    assert not [name for name in server.files() if "part" in name]
    return {
        "kills": kills, "jobs": len(keys), "began again": sum(count > 1 for count in attempts.values()),
        "most attempts": max(attempts.values()), "looks": dict(looks),
    }  # fmt: skip


def _unended(client: httpx.Client) -> int:
    return sum(job["state"] in ("queued", "running") for job in client.get("/v1/jobs").json())


def _looked_at(client: httpx.Client, expected: bytes) -> str:
    """Whether the result of the newest job, in whatever state, is not there or whole."""
    answer = client.get(f"/v1/jobs/{client.get('/v1/jobs').json()[-1]['id']}/result")
    assert answer.status_code == 409 or answer.content == expected
    return str(answer.status_code)


def _killed_during(server: Server, client: httpx.Client, request: dict[str, Any], key: str, after: float) -> None:
    """Kill the server so long after a request has been sent to it."""

    def lose() -> None:
        with suppress(httpx.TransportError):
            ask(client, request, key)

    asking = Thread(target=lose)
    asking.start()
    time.sleep(after)
    server.kill()
    asking.join()


def _attempts(work: Path) -> dict[str, int]:
    with sqlite3.connect(f"file:{work / 'store.sqlite'}?mode=ro", uri=True) as database:
        return dict(database.execute("SELECT id, attempts FROM jobs").fetchall())


if __name__ == "__main__":
    from bunraku.theatre import sample_scene
    from bunraku.theatre.files import write_scene

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, seed in (("a", 3), ("b", 5)):
            write_scene(sample_scene(seed, "test"), Path(folder) / f"{name}.mp4", 12, (96, 64))
        began = time.monotonic()
        outcome = killed_again_and_again(Path(folder), Path(folder) / "work", arguments.kills, arguments.seed)
        print(json.dumps(outcome | {"seconds": round(time.monotonic() - began)}))
