"""A real server on a real port, with real files."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

TOKENS = {"ann": "a-token-of-ann-0123456789", "ben": "a-token-of-ben-0123456789"}
QUICK = {"model": "puppet-warp", "size": [96, 64]}
"""Options with which a job takes a second."""


class Server:
    """`bunraku serve` in a process of its own; restarted at the same port in the same folder."""

    def __init__(self, work: Path, *arguments: object) -> None:
        self.work, self._arguments = work, arguments
        work.mkdir(exist_ok=True)
        (work / "tokens").write_text("".join(f"{name} {token}\n" for name, token in TOKENS.items()))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.log = work.with_suffix(".log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        command = [sys.executable, "-m", "bunraku", "serve", "--work", self.work, "--port", self.port, *self._arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(list(map(str, command)), stderr=log)
        while True:
            try:
                httpx.get(f"{self.url}/health", timeout=5)
                return self
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise RuntimeError(self.log.read_text()) from None
                time.sleep(0.05)

    def client(self, name: str = "ann") -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKENS[name]}"}, timeout=60)

    def workers(self) -> list[psutil.Process]:
        """The processes in which jobs run."""
        assert self.process is not None
        return [child for child in psutil.Process(self.process.pid).children() if "worker" in " ".join(child.cmdline())]

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """As systemd does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def files(self) -> list[str]:
        """Everything in its folder but the database and the lock."""
        own = ("store.sqlite", "lock", "tokens")
        return sorted(
            str(p.relative_to(self.work)) for p in self.work.rglob("*") if p.is_file() and not p.name.startswith(own)
        )


def send(client: httpx.Client, path: Path, name: str | None = None) -> str:
    """The id of an upload."""
    answer = client.post("/v1/files", params={"name": name or path.name}, content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ask(client: httpx.Client, request: dict[str, Any], key: str | None = None) -> httpx.Response:
    return client.post("/v1/jobs", json=request, headers={"Idempotency-Key": key} if key else {})


def ended(client: httpx.Client, id: str, seconds: float = 90) -> dict[str, Any]:
    """The job when it has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        job: dict[str, Any] = client.get(f"/v1/jobs/{id}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise TimeoutError(job)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
