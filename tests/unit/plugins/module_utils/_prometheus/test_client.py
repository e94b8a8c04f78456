# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries to a Prometheus over real HTTP, and behind the API server's proxy, in good and in bad weather."""

from __future__ import annotations

import base64
import json
import math
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus import options
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus.client import Answers, Sample, ask, query
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus.sources import Service, Source

from ..prometheus_fake import Prometheus, Proxied
from ..scripted_server import Authority, Connection, Server

DEFAULTS = {name: rule.get("default") for name, rule in options.ARGUMENT["options"].items()}
UP = {"up": 'max by (namespace, model) (up{model!=""})'}
SERIES = {
    "up": [({"namespace": "ml", "model": "iris", "pod": "a"}, "0"), ({"namespace": "ml", "model": "iris"}, "1")],
    "ratio": [({"model": "iris"}, "NaN"), ({"model": "rose"}, "+Inf"), ({"model": "lily"}, "-Inf")],
}


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with Prometheus(SERIES) as made:
        yield made


def source(url: str, **given: Any) -> Source:
    chosen = {**DEFAULTS, "url": url, "timeout": 20.0, "proxy": "", **given}
    made = options.source(chosen, options.server(chosen), None)  # type: ignore[arg-type]
    assert made
    return made


def behind(prometheus: Prometheus) -> tuple[Proxied, Source]:
    proxied = Proxied(prometheus)
    return proxied, Service(proxied, "monitoring", "http:prometheus-operated:9090", 20.0)


def error(answers: Answers) -> KServeError:
    assert answers.error and answers.missing == list(answers.samples)
    return answers.error


def test_a_query(prometheus: Prometheus) -> None:
    answers = ask(source(prometheus.url), UP)
    assert answers.samples == {"up": [Sample({"namespace": "ml", "model": "iris"}, 1.0)]}
    assert (answers.error, answers.warnings, answers.clock_difference, answers.missing) == (None, [], None, [])
    ((header, sent),) = [entry for entry in prometheus.asked if entry[1]["query"] == UP["up"]]
    assert header == "" and sent["timeout"] == "20s"


def test_the_same_behind_the_api_server(prometheus: Prometheus) -> None:
    proxied, service = behind(prometheus)
    assert ask(service, UP).samples == ask(source(prometheus.url), UP).samples
    path = "/api/v1/namespaces/monitoring/services/http:prometheus-operated:9090/proxy/api/v1/query?"
    assert len(proxied.paths) == 2 and all(entry.startswith(path) for entry in proxied.paths)


def test_what_is_no_number_is_none_and_an_empty_vector_is_empty(prometheus: Prometheus) -> None:
    texts = {"ratio": "max by (model) (ratio{})", "none": "max by (model) (absent{})"}
    answers = ask(source(prometheus.url), texts)
    assert [sample.value for sample in answers.samples["ratio"] or ()] == [None, None, None]
    assert answers.samples["none"] == [] and answers.missing == []


def test_a_native_histogram_has_no_value(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"metric": {}, "histogram": [1.5, {"count": "1", "sum": "1", "buckets": []}]}
    monkeypatch.setattr(prometheus, "_data", lambda _query: {"resultType": "vector", "result": [entry]})
    assert query(source(prometheus.url), "x").samples == []


@pytest.mark.parametrize("at", [1e20, -1e20, 1e308, "NaN", "+Inf", "-Inf"])
def test_a_time_that_cannot_be_is_no_clock(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch, at: Any) -> None:
    monkeypatch.setattr(prometheus, "_data", lambda _query: {"resultType": "scalar", "result": [at, "1"]})
    answers = ask(source(prometheus.url), UP)
    assert answers.error is None
    assert answers.clock_difference is None or math.isfinite(answers.clock_difference)


@pytest.mark.parametrize(
    "data",
    [
        *({"resultType": "scalar", "result": [at, "1"]} for at in (10**400, None, "soon", [])),
        {"resultType": "scalar", "result": [1, 10**400]},
        *({"resultType": "vector", "result": [{"metric": {}, "value": value}]} for value in ([], [1], [1, None])),
        *({"resultType": "vector", "result": [{"metric": {}, "value": [at, "1"]}]} for at in (10**400, None, "soon")),
        *({"resultType": "vector", "result": [{"metric": {"model": name}, "value": [1, "1"]}]} for name in ({}, 5)),
    ],
)
def test_data_of_another_form_is_one_sentence(
    prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]
) -> None:
    monkeypatch.setattr(prometheus, "_data", lambda _query: data)
    found = error(ask(source(prometheus.url), UP))
    assert found.reason == "PrometheusAnswerInvalid" and "data of another form" in str(found)


def test_credentials_are_sent_to_a_url(prometheus: Prometheus) -> None:
    ask(source(prometheus.url, token="PLANTED"), UP)
    ask(source(prometheus.url, username="me", password="PLÄNTED:1"), UP)
    bearer, basic = prometheus.asked[0][0], prometheus.asked[-1][0]
    assert bearer == "Bearer PLANTED"
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == "me:PLÄNTED:1"


def test_a_path_before_the_api(prometheus: Prometheus) -> None:
    assert ask(source(f"{prometheus.url}/prometheus/"), UP).error is None


WEATHER = {
    "html": ("PrometheusAnswerInvalid", "answered 200 with HTML instead of the result of a query; check that it is"),
    "redirect": ("PrometheusAnswerInvalid", "answered 302 with a redirect instead of the result of a query"),
    "other_json": ("PrometheusAnswerInvalid", "instead of the result of a query"),
    "missing": ("PrometheusAnswerInvalid", "answered 404 with 404 page not found instead of the result of a query"),
    "cut": ("PrometheusAnswerInvalid", "instead of the result of a query"),
    "matrix": ("PrometheusAnswerInvalid", "answered a query with data of another form"),
    "starting": ("PrometheusUnreachable", "answered 503 (Service Unavailable); see whether it is starting"),
    "unauthorized": ("PrometheusForbidden", "does not accept the credentials (401); set token"),
    "bad_data": ("PrometheusQueryFailed", "did not evaluate a query (bad_data: it went wrong)"),
    "execution": ("PrometheusQueryFailed", "did not evaluate a query (execution: it went wrong)"),
    "timeout": ("PrometheusTimeout", "did not evaluate a query in time (it went wrong)"),
    "slow": ("PrometheusTimeout", "does not answer within 1 seconds; see whether Prometheus is overloaded"),
    "drip": ("PrometheusTimeout", "does not answer within 1 seconds"),
    "reset": ("PrometheusUnreachable", "check the URL and the proxy, and that Prometheus runs"),
}


@pytest.mark.parametrize("kind", WEATHER)
def test_bad_weather_is_one_sentence_and_takes_no_longer_than_its_timeout(prometheus: Prometheus, kind: str) -> None:
    prometheus.weather[""] = kind
    reason, says = WEATHER[kind]
    start = time.monotonic()
    asked = source(prometheus.url, timeout=1.0) if kind in ("slow", "drip") else source(prometheus.url)
    found = error(ask(asked, {**UP, **{f"q{n}": f"max by (model) (q{n}{{}})" for n in range(5)}}))
    # All queries are sent at the same time: one after another they would take six seconds.
    assert time.monotonic() - start < 5
    assert found.reason == reason and says in str(found)
    assert str(found).endswith(".") and str(found).count("; ") == 1 and "\n" not in str(found)


BEHIND = {
    "html": ("PrometheusAnswerInvalid", "answered 200 with HTML"),
    "cut": ("PrometheusAnswerInvalid", "instead of the result of a query"),
    "bad_data": ("PrometheusQueryFailed", "did not evaluate a query (bad_data: it went wrong)"),
    "timeout": ("PrometheusTimeout", "did not evaluate a query in time"),
    "slow": ("PrometheusTimeout", "does not answer within 20 seconds"),
    "starting": ("PrometheusUnreachable", "does not answer (503: Service Unavailable); see whether its pods run"),
    "missing": ("PrometheusAnswerInvalid", "answered 404 with 404 page not found instead of the result of a query"),
    "unauthorized": ("PrometheusForbidden", "requires credentials, which the API server's proxy does not pass on"),
}


@pytest.mark.parametrize("kind", BEHIND)
def test_bad_weather_behind_the_api_server(prometheus: Prometheus, kind: str) -> None:
    prometheus.weather[""] = kind
    reason, says = BEHIND[kind]
    found = error(ask(behind(prometheus)[1], UP))
    assert found.reason == reason and says in str(found)


@pytest.mark.parametrize(
    ("status", "message", "reason", "says"),
    [
        (404, 'services "prometheus-operated" not found', "PrometheusUnreachable", "Service monitoring/prometheus-op"),
        (503, "no endpoints available for service", "PrometheusUnreachable", "503: no endpoints available for service"),
        (404, "not found: see our services", "PrometheusAnswerInvalid", "check that it is Prometheus"),
        (403, 'services "x" is forbidden: User "me"', "PrometheusForbidden", "grant get on services/proxy http:prom"),
    ],
)
def test_the_api_server_refuses(prometheus: Prometheus, status: int, message: str, reason: str, says: str) -> None:
    proxied, service = behind(prometheus)
    proxied.refusal = (status, message)
    found = error(ask(service, UP))
    assert found.reason == reason and says in str(found)


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    found = error(ask(source(f"http://127.0.0.1:{port}"), UP))
    assert found.reason == "PrometheusUnreachable" and "Connection refused" in str(found)
    found = error(ask(source("http://prometheus.invalid"), UP))
    assert "The name prometheus.invalid cannot be resolved" in str(found)
    # What kind of fault it is does not depend on a name.
    for name in ("certificate", "does not answer within", "client's certificate", "cannot be sent"):
        place = f"{'-'.join(name.split())}.invalid".replace("'", "")
        found = error(ask(source(f"http://{place}/{name}"), UP))
        assert found.reason == "PrometheusUnreachable"
        assert str(found).endswith("; check the URL and the proxy, and that Prometheus runs.")
    found = error(ask(source(f"http://127.0.0.1:{port}/does not answer within"), UP))
    assert found.reason == "PrometheusUnreachable" and "check the URL and the proxy" in str(found)


def test_one_query_that_fails_leaves_the_others(prometheus: Prometheus) -> None:
    prometheus.weather["ratio"] = "execution"
    answers = ask(source(prometheus.url), {**UP, "ratio": "max by (model) (ratio{})"})
    assert answers.samples["up"] and answers.samples["ratio"] is None and answers.missing == ["ratio"]
    assert answers.error and answers.error.reason == "PrometheusQueryFailed"


def test_warnings_of_a_partial_answer_are_kept_once(prometheus: Prometheus) -> None:
    prometheus.warnings = ["store 10.0.0.1 does not respond"]
    answers = ask(source(prometheus.url), {**UP, "again": UP["up"]})
    assert answers.warnings == prometheus.warnings and answers.error is None


@pytest.mark.parametrize(("ahead", "shown"), [(0, None), (8, None), (-8, None), (300, 300), (-300, -300)])
def test_clocks_that_are_apart(prometheus: Prometheus, ahead: float, shown: float | None) -> None:
    prometheus.ahead = ahead
    for asked in (source(prometheus.url), behind(prometheus)[1]):
        found = ask(asked, UP).clock_difference
        assert found is None if shown is None else found == pytest.approx(shown, abs=2)


def test_a_slow_answer_is_no_wrong_clock(prometheus: Prometheus) -> None:
    """The clock was read at some time between the request and the response."""
    ticks = iter([0.0, *[time.time() + 60] * 9])
    before = time.time() - 60
    found = ask(source(prometheus.url), {}, now=lambda: next(ticks) or before)
    assert found.clock_difference is None


def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.sign("localhost"))
    answer = {"status": "success", "data": {"resultType": "vector", "result": []}}

    def script(connection: Connection, _number: int) -> None:
        while connection.request() is not None:
            connection.answer(json.dumps(answer).encode())

    with Server(script, context) as server:
        url = f"https://localhost:{server.port}"
        assert ask(source(url, ca_path=authority.path), UP).error is None
        assert ask(source(url, ca_content=Path(authority.path).read_text()), UP).error is None
        assert ask(source(url, validate_certs=False), UP).error is None
        found = error(ask(source(url), UP))
        assert "is not accepted" in str(found) and "set ca_path or ca_content to the authority" in str(found)
        found = error(ask(source(url, ca_path=str(tmp_path / "none.pem")), UP))
        assert found.reason == "FileNotReadable"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"url": "prometheus.example.com"}, "InvalidOption"),
        ({"url": "http://me:PLANTED@prometheus.example.com"}, "CredentialsInURL"),
        ({"url": "http://a", "proxy": "http://me:PLANTED@proxy"}, "CredentialsInURL"),
        ({"url": "http://a", "timeout": 0.0}, "InvalidOption"),
        ({"timeout": 301.0}, "InvalidOption"),
        ({"labels": {"a-b": "c"}}, "InvalidOption"),
        *(
            ({"url": "http://a", **given}, "InvalidOption")
            for end in ("\n", " ", "\t", "\r\n", "\u00a0")
            for given in (
                {"token": f"PLANTED{end}"},
                {"username": "me", "password": f"PLANTED{end}"},
                {"username": "me", "password": f"{end}PLANTED"},
                {"username": f"PLANTED{end}", "password": "x"},
                {"proxy": "http://p", "proxy_headers": {"proxy_basic_auth": f"me:PLANTED{end}"}},
            )
        ),
        ({"url": "http://a", "username": "me", "password": "PLANTED\nPLANTED"}, "InvalidOption"),
        ({"url": "http://a", "token": "PLANTED PLANTED"}, "InvalidOption"),
        ({"url": "http://a", "username": "me:PLANTED", "password": "x"}, "InvalidOption"),
    ],
)
def test_options_that_are_not_valid(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(KServeError) as caught:
        options.server({**DEFAULTS, **given})
    assert caught.value.reason == reason and "PLANTED" not in str(caught.value)
    if reason == "InvalidOption" and "PLANTED" in str(given):
        assert str(caught.value).startswith("prometheus.")
