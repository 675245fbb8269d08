"""Counters of requests, as a page for Prometheus under TensorFlow Serving's names."""

import bisect
import collections
import threading

# Upper edges in microseconds: each 1.8 times the one before.
EDGES = [10 * 1.8**power for power in range(33)]
COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"


class Metrics:
    """Counts requests by model and status, and sums the time they took."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts = collections.Counter()
        self._buckets = collections.defaultdict(lambda: [0] * (len(EDGES) + 1))
        self._sums = collections.Counter()

    def record(self, model: str, status: str, seconds: float):
        """Count one request.

        Args:
            model: name of a served model, empty for any other: clients must not make the page grow.
            status: its name, such as "OK".
            seconds: from its headers to its answer.
        """
        microseconds = seconds * 1e6
        with self._lock:
            self._counts[model, status] += 1
            if status == "OK":
                self._buckets[model][bisect.bisect_left(EDGES, microseconds)] += 1
                self._sums[model] += microseconds

    def page(self) -> bytes:
        """The text for Prometheus."""
        with self._lock:
            lines = [f"# TYPE {COUNT} counter"]
            for (model, status), count in sorted(self._counts.items()):
                lines.append(f'{COUNT}{{model_name="{model}",status="{status}"}} {count}')
            lines.append(f"# TYPE {LATENCY} histogram")
            for model in sorted(self._buckets):
                lines += self._histogram(model)
        return ("\n".join(lines) + "\n").encode()

    def _histogram(self, model):
        labels = f'model_name="{model}",API="",entrypoint="REST"'
        total = 0
        for edge, count in zip([*map("{:g}".format, EDGES), "+Inf"], self._buckets[model]):
            total += count
            yield f'{LATENCY}_bucket{{{labels},le="{edge}"}} {total}'
        yield f"{LATENCY}_sum{{{labels}}} {self._sums[model]:.0f}"
        yield f"{LATENCY}_count{{{labels}}} {total}"
