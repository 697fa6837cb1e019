"""A real Prometheus that scrapes a proxy."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from .processes import free_port, launch, running
from .proxies import MASTER_KEY

PATIENCE_SECONDS = 60.0

INSTALLED = shutil.which("prometheus") is not None


@dataclass
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples that an expression has now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30)
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def wait_for_scrape(self) -> None:
        """Wait until the proxy has been scraped from now on, which a busy one may not answer."""
        enough = self._scrapes() + 2  # the next one may be under way already
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._scrapes() < enough:
            assert time.monotonic() < deadline, "the proxy answers no scrape"
            time.sleep(0.2)  # Prometheus tells of no scrape by itself

    def _scrapes(self) -> float:
        return sum(float(each["value"][1]) for each in self.query("sum_over_time(up[1h])"))

    def rules(self) -> list[dict[str, Any]]:
        """Return the alert rules, each with its state and health."""
        groups = httpx.get(f"{self.url}/api/v1/rules", timeout=30).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def scraping(proxy: str, folder: Path, rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes a proxy each second, until the block is left.

    Args:
        proxy: The proxy's address.
        folder: Where to put its config, data and log.
        rules: Files of alert rules.
    """
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                "job_name": "litellm",
                "metrics_path": "/metrics/",
                "authorization": {"credentials": MASTER_KEY},
                "static_configs": [{"targets": [proxy.removeprefix("http://")]}],
            }
        ],
    }
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    process = launch(command, folder, log)
    with running(process, f"http://127.0.0.1:{port}", "/-/ready", log) as url:
        yield Prometheus(url)
