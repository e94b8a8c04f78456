# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards under load: each query returns data, and a browser renders them in Perses, over TLS."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from dashboards.__main__ import DASHBOARDS
from dashboards.model import Chart, Dashboard, Table
from local import demo
from local.settings import REPOSITORY, Settings

from . import browser
from .conftest import ended, reason
from .helpers import wait_until

Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
Kubectl = Callable[..., str]

HOST = "dashboards.ml.hashfoundry.local"
NAMESPACE = "ml-models"
WORSE = {"instances": "not a list"}
VARIABLES = {"$namespace": NAMESPACE, "$model": "iris-classifier", "$__rate_interval": "2m"}
# Empty while all is well.
QUIET = {
    ("hashfoundry-platform", "Firing alerts"),
    ("hashfoundry-platform", "Failed connections to models"),
}
PAGES = {dashboard.uid: f"/projects/models/dashboards/{dashboard.uid}" for dashboard in DASHBOARDS}
SIZE = (1600, 3400)


def send(settings: Settings, model: str, body: str) -> None:
    """Send 20 requests over one connection; their answers do not matter."""
    *command, _header, _type, _data, _body = demo.curl(settings, model)
    command = [f"{word}?[1-20]" if word.endswith(":predict") else word for word in command if "fail" not in word]
    command += ["--output", "/dev/null", "--max-time", "20", "-H", "Content-Type: application/json", "-d", body]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


@pytest.fixture(scope="module")
def monitored(playbook: Playbook, playbook_env: dict[str, str]) -> Iterator[None]:
    """Prometheus and Perses in the cluster, which has neither afterwards."""

    def converge(switch: str) -> None:
        env = {"HASHFOUNDRY_MONITORING": switch, "HASHFOUNDRY_DASHBOARDS": switch}
        command = [sys.executable, "-m", "local", "up"]
        made = ended(command, REPOSITORY, {**playbook_env, **env}, timeout=3600)
        assert made.returncode == 0, made.stdout[-3000:]
        result = playbook("playbooks/site.yml", env=env)
        assert result.returncode == 0, reason(result)

    converge("true")
    yield
    converge("false")


@pytest.fixture(scope="module")
def load(settings: Settings, monitored: None) -> Iterator[None]:
    """Requests to both models while the tests run, of which a few are wrong."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            for model, body in demo.QUESTIONS.items():
                send(settings, model, body)
            send(settings, "iris-classifier", json.dumps(WORSE))
            stop.wait(0.5)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture(scope="module")
def query(kubectl: Kubectl, monitored: None) -> Callable[[str], list[dict[str, Any]]]:
    """Query Prometheus through the API server's proxy, and return the samples."""
    path = "/api/v1/namespaces/monitoring/services/http:prometheus-operated:9090/proxy/api/v1/query?query="

    def ask(expr: str) -> list[dict[str, Any]]:
        for name, value in VARIABLES.items():
            expr = expr.replace(name, value)
        samples: list[dict[str, Any]] = json.loads(kubectl("get", "--raw", path + quote(expr)))["data"]["result"]
        return samples

    return ask


EXPRESSIONS = [
    pytest.param(dashboard.uid, panel.title, expr, id=f"{dashboard.uid}-{panel.title}-{number}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels()
    for number, expr in enumerate(panel.expressions())
]


@pytest.mark.parametrize(("uid", "title", "expr"), EXPRESSIONS)
def test_each_query_returns_data_under_load(
    load: None, query: Callable[[str], list[dict[str, Any]]], uid: str, title: str, expr: str
) -> None:
    if (uid, title) in QUIET:
        query(expr)  # it is valid
    else:
        wait_until(lambda: query(expr), seconds=420, pause=5, what=f"{uid}, {title}: {expr} returns data")


@pytest.fixture(scope="module")
def exposed(settings: Settings, monitored: None, load: None) -> str:
    """The URL of Perses, which inventories/local exposes without a login."""
    return f"https://{HOST}:{settings.https_port}"


@pytest.fixture(scope="module")
def fetch(settings: Settings, exposed: str) -> Callable[..., tuple[int, Any]]:
    """Send a request to Perses through the Gateway, whose certificate is verified, and return status and JSON."""

    def send(path: str, *words: str) -> tuple[int, Any]:
        authority = exposed.removeprefix("https://")
        command = ["curl", "--silent", "--show-error", "--cacert", str(settings.state / "ca.crt")]
        command += ["--resolve", f"{authority}:127.0.0.1", "--write-out", "\n%{http_code}", *words]
        output = subprocess.run([*command, exposed + path], capture_output=True, text=True, check=True).stdout
        text, _newline, status = output.rpartition("\n")
        return int(status), json.loads(text) if text.startswith(("{", "[")) else text

    return send


def test_perses_accepts_each_dashboard(fetch: Callable[..., tuple[int, Any]]) -> None:
    listed = wait_until(lambda: fetch("/api/v1/projects/models/dashboards"), lambda got: got[0] == 200 and len(got[1]))
    assert {item["metadata"]["name"] for item in listed[1]} == {dashboard.uid for dashboard in DASHBOARDS}


def test_nobody_can_change_a_dashboard(fetch: Callable[..., tuple[int, Any]]) -> None:
    path = f"/api/v1/projects/models/dashboards/{DASHBOARDS[0].uid}"
    status, _answer = fetch(path, "-X", "DELETE")
    assert status in (404, 405)
    assert fetch(path)[0] == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("api/v1/query", True), ("api/v1/status/config", False), ("api/v1/admin/tsdb/snapshot", False)],
)
def test_the_proxy_forwards_only_queries(fetch: Callable[..., tuple[int, Any]], path: str, allowed: bool) -> None:
    status, _answer = fetch(f"/proxy/globaldatasources/prometheus/{path}", "-d", "query=vector(1)")
    assert (status == 200) is allowed


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_browser_renders_every_panel(exposed: str, settings: Settings, dashboard: Dashboard) -> None:
    picture = settings.state / "pictures" / f"{dashboard.uid}.png"
    picture.parent.mkdir(exist_ok=True)
    variables = "&".join(f"var-{name[1:]}={value}" for name, value in VARIABLES.items() if not name.startswith("$__"))
    page = browser.shown(
        f"{exposed}{PAGES[dashboard.uid]}?start=15m&{variables}",
        f"127.0.0.1:{settings.https_port}",
        settings.state / "ca.crt",
        picture,
        SIZE,
    )
    panels = list(dashboard.panels())
    assert [panel.title for panel in panels if panel.title not in page.words] == []
    assert page.errors == 0, page.words
    quiet = [panel for panel in panels if (dashboard.uid, panel.title) in QUIET]
    assert page.words.count("No data") <= len(quiet), page.words
    # A table is no chart; a number has one for its sparkline.
    drawn = [panel for panel in panels if isinstance(panel, Chart) and panel not in quiet]
    assert page.charts >= len(drawn)
    tables = [panel for panel in panels if isinstance(panel, Table) and panel not in quiet]
    assert [column.title for table in tables for column in table.columns if column.title not in page.words] == []


def test_users_log_in(settings: Settings, playbook: Playbook, fetch: Callable[..., tuple[int, Any]]) -> None:
    options = {
        "dashboards_perses": True,
        "dashboards_perses_host": HOST,
        "dashboards_perses_users": [{"name": "ops", "password": "a-password-of-a-test"}],
    }
    result = playbook("playbooks/addons.yml", "--tags", "dashboards", "-e", json.dumps(options))
    assert result.returncode == 0, reason(result)
    assert "a-password-of-a-test" not in result.stdout
    path = "/api/v1/projects/models/dashboards"
    # 400 is its answer to a request without a token.
    wait_until(lambda: fetch(path)[0], lambda status: status in (400, 401), what="Perses asks for a login")
    login = "/api/auth/providers/native/login"
    wrong = json.dumps({"login": "ops", "password": "another"})
    right = json.dumps({"login": "ops", "password": "a-password-of-a-test"})
    kind = ("-H", "Content-Type: application/json", "-d")
    assert fetch(login, *kind, wrong)[0] in (400, 401, 403)
    status, answer = fetch(login, *kind, right)
    assert status == 200
    bearer = ("-H", f"Authorization: Bearer {answer['access_token']}")
    queries = "/proxy/globaldatasources/prometheus/api/v1/query"
    assert fetch(queries, "-d", "query=up")[0] in (400, 401)
    assert fetch(path, *bearer)[0] == 200
    assert fetch(queries, *bearer, "-d", "query=up")[0] == 200
    assert fetch("/api/v1/globalsecrets", *bearer)[0] == 403
