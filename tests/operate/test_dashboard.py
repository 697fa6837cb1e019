"""The dashboard and the alert rules, on what a real Prometheus scrapes from a proxy under load."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from litellm_role_guard.cli import main
from testing.dashboard import GRAFANA, QUERIES
from testing.operated import operated_proxy, put_under_load
from testing.prometheus import INSTALLED, Prometheus, scraping
from testing.proxies import MASTER_KEY

RULES = yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"][0]["rules"]
LOAD_SECONDS = 12.0

needs_prometheus = pytest.mark.skipif(not INSTALLED, reason="no Prometheus")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Prometheus]]:
    """Run a proxy with two workers under load, and a Prometheus that has scraped it."""
    folder = tmp_path_factory.mktemp("dashboard")
    with (
        operated_proxy(folder) as proxy,
        scraping(proxy.url, folder, [GRAFANA / "alerts.yaml"]) as prometheus,
    ):
        sent = 0
        for _ in range(2):  # a rate is that between two scrapes
            sent += put_under_load(proxy, LOAD_SECONDS / 2)
            prometheus.wait_for_scrape()
        assert sent > 50
        yield proxy.url, prometheus


@pytest.fixture
def prometheus(scraped: tuple[str, Prometheus]) -> Prometheus:
    """Give the Prometheus."""
    return scraped[1]


@needs_prometheus
def test_each_alert_fires_on_its_fault_and_on_nothing_else() -> None:
    """By Prometheus' own test, all fire where all is wrong, and none where all is well."""
    command = ["promtool", "test", "rules", str(GRAFANA / "alerts.test.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
@pytest.mark.slow
@pytest.mark.parametrize("name", QUERIES)
def test_each_query_of_the_dashboard_has_data(prometheus: Prometheus, name: str) -> None:
    """No panel is empty once all of what it shows has happened."""
    samples = prometheus.query(QUERIES[name])
    assert samples
    assert any(sample["value"][1] != "NaN" for sample in samples)


@needs_prometheus
@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_is_about_something_that_is_measured(
    prometheus: Prometheus, rule: dict[str, Any]
) -> None:
    """Without its threshold a rule has data, so that it can fire."""
    expression = rule["expr"].partition("unless")[0]
    assert prometheus.query(re.sub(r" (>|==) [\d.]+", "", expression))


@needs_prometheus
@pytest.mark.slow
def test_prometheus_evaluates_all_rules(prometheus: Prometheus) -> None:
    """Each rule is loaded and healthy."""
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


@needs_prometheus
@pytest.mark.slow
def test_both_workers_are_counted(prometheus: Prometheus) -> None:
    """The outcomes of all workers add up to what was timed, whichever worker is asked."""
    # In one query: between two, Prometheus may have scraped once more.
    both = "sum(role_guard_requests_total) == sum(role_guard_overhead_seconds_count)"
    (counted,) = prometheus.query(both)
    assert float(counted["value"][1]) > 50


@needs_prometheus
@pytest.mark.slow
def test_labels_name_what_the_config_names(prometheus: Prometheus) -> None:
    """Groups and deployments are those of the config, and nothing is left in flight."""
    groups = {sample["metric"]["group"] for sample in prometheus.query("role_guard_requests_total")}
    assert groups <= {
        *("strict", "live", "taught", "observed", "rejecting", "routed", "never", "odd", "dead")
    }
    assert all(
        sample["value"][1] == "0" for sample in prometheus.query("sum(role_guard_in_flight)")
    )


@needs_prometheus
@pytest.mark.slow
def test_the_lists_of_both_workers_are_shown_as_one(scraped: tuple[str, Prometheus]) -> None:
    """`role-guard recent` adds up the workers that it meets, and has the last repair first."""
    command = ["recent", "--proxy", scraped[0], "--api-key", MASTER_KEY, "--json"]
    for _ in range(20):  # which worker takes a connection is the kernel's choice
        shown = json.loads(CliRunner().invoke(main, command).stdout)
        if len(shown["processes"]) == 2:
            break
    assert len({process["id"] for process in shown["processes"]}) == 2
    times = [repair["at"] for repair in shown["recent"]]
    assert times
    assert times == sorted(times, reverse=True)
    listed = sum(counts.get("repaired", 0) for counts in shown["groups"].values())
    assert listed >= len([one for one in shown["recent"] if one["outcome"] == "repaired"]) > 0
