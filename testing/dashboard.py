"""The queries of `deploy/grafana`, as a Prometheus takes them."""

from __future__ import annotations

import json

from .processes import REPOSITORY

GRAFANA = REPOSITORY / "deploy" / "grafana"

_VARIABLES = {"$__rate_interval": "1m", "$group": ".*", "$deployment": ".*"}


def _filled(query: str) -> str:
    for name, value in _VARIABLES.items():
        query = query.replace(name, value)
    return query


QUERIES = {
    f"{panel['title']} {target['refId']}": _filled(target["expr"])
    for panel in json.loads((GRAFANA / "role-guard.json").read_text())["panels"]
    for target in panel["targets"]
}
"""Each panel's queries by title and letter, for all groups and deployments."""
