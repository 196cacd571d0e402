"""What a monitor asks every few seconds, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bunraku.apps.serve.store import Store

SECONDS = (1, 2, 5, 10, 20, 60, 120, 300, 600, 1800)


class Metrics:
    """Counters begin at 0 with the server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._ended = Counter("bunraku_jobs", "Jobs that have ended, by how", ["state"], registry=registry)
        self._seconds = Histogram("bunraku_job_seconds", "How long jobs ran", buckets=SECONDS, registry=registry)
        self._jobs = Gauge("bunraku_jobs_now", "Jobs that wait and that run", ["state"], registry=registry)
        self._uploads = Counter(
            "bunraku_uploads", "Files that were sent, by what became of them", ["outcome"], registry=registry
        )
        self._stored = Gauge("bunraku_files_bytes", "Size of all uploads that are kept", registry=registry)
        self._occupied = Gauge("bunraku_worker_memory_bytes", "What the worker seen last occupied", registry=registry)
        self._answers = Counter("bunraku_answers", "Answers, by status", ["status"], registry=registry)

    def ended(self, state: str, seconds: float | None) -> None:
        """A job has ended after so long; None: it never ran, or was stopped."""
        self._ended.labels(state).inc()
        if seconds is not None:
            self._seconds.observe(seconds)

    def uploaded(self, outcome: str) -> None:
        self._uploads.labels(outcome).inc()

    def occupied(self, bytes: int) -> None:
        self._occupied.set(bytes)

    def answered(self, status: int) -> None:
        self._answers.labels(str(status)).inc()

    def text(self, store: Store) -> bytes:
        """All of it, with what the store says now."""
        counts = store.counts()
        for state in ("queued", "running"):
            self._jobs.labels(state).set(counts.get(state, 0))
        self._stored.set(store.stored())
        return generate_latest(self._registry)
