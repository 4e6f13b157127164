"""The files of monitoring/: every alert has a test and a runbook, and every query names a metric that exists."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
MONITORING = PROJECT / "monitoring"
PROMTOOL = shutil.which("promtool")
_NAME = re.compile(r"\btollgate_\w+")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


def documented() -> set[str]:
    page = (PROJECT / "docs" / "reference" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))


def names_in(text: str) -> set[str]:
    return {_SUFFIX.sub("", name) for name in _NAME.findall(text)}


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text())


def test_every_query_of_alerts_and_dashboard_names_documented_metrics() -> None:
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "tollgate.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    expressions = re.findall(r"expr: (.*?)\n +(?:for|labels):", (MONITORING / "alerts.yml").read_text(), re.DOTALL)
    assert len(expressions) == len(alerts())
    assert names_in("\n".join([*queries, *expressions])) <= documented()


def test_every_alert_has_a_test_and_a_runbook() -> None:
    tests = re.findall(r"- name: (\w+)", (MONITORING / "alerts_test.yml").read_text())
    page = (PROJECT / "docs" / "how-to" / "monitor.md").read_text()
    runbooks = re.findall(r"^### (Tollgate\w+)", page, re.MULTILINE)
    assert alerts() == tests == runbooks
    linked = re.findall(r"runbook: docs/how-to/monitor.md#(\w+)", (MONITORING / "alerts.yml").read_text())
    assert linked == [name.lower() for name in alerts()]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "config", "prometheus-compose.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_accepts_the_files_and_every_alert_fires_and_clears(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL
    ended = subprocess.run(
        [PROMTOOL, *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_dashboard_has_what_grafana_requires() -> None:
    """The properties that Grafana's schema requires, ids of their own, panels that do not overlap, one data source."""
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "tollgate.json").read_text())
    assert {"uid", "title", "schemaVersion", "templating", "annotations", "panels"} <= set(dashboard)
    source = (MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    uid = re.search(r"uid: (\w+)", source)
    assert uid
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        place = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not place & places, panel["title"]
        places |= place
        targets = panel.get("targets", [])
        assert bool(targets) == (panel["type"] != "row"), panel["title"]
        assert len({target["refId"] for target in targets}) == len(targets)
        assert all(panel["datasource"] == {"type": "prometheus", "uid": uid[1]} for _ in targets)
