# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of Alertmanager: secrets only by reference, and routes that lead somewhere."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.filter.alertmanager_config import FilterModule

alertmanager_config = FilterModule().filters()["alertmanager_config"]
SLACK = {"secret": {"name": "slack", "key": "url"}}


def test_a_reference_becomes_the_file_of_a_mounted_secret() -> None:
    receivers = [
        {
            "name": "team",
            "slack_configs": [{"api_url": SLACK, "channel": "#models", "http_config": {"follow_redirects": False}}],
            "webhook_configs": [
                {
                    "url": "http://receiver.tools.svc:8080/",
                    "http_config": {"basic_auth": {"username": "a", "password": {"secret": {"name": "b", "key": "c"}}}},
                }
            ],
        },
        {"name": "none"},
    ]
    route = {"receiver": "none", "routes": [{"receiver": "team", "matchers": ['severity="critical"']}]}
    rules = [{"source_matchers": ["a=b"], "equal": ["model"]}]
    made = alertmanager_config(receivers, route, rules)
    assert made["secrets"] == ["b", "slack"]
    assert made["config"]["route"] == route and made["config"]["inhibit_rules"] == rules
    team, none = made["config"]["receivers"]
    assert none == {"name": "none"}
    assert team["slack_configs"] == [
        {
            "api_url_file": "/etc/alertmanager/secrets/slack/url",
            "channel": "#models",
            "http_config": {"follow_redirects": False},
        }
    ]
    [webhook] = team["webhook_configs"]
    assert webhook["url"] == "http://receiver.tools.svc:8080/"
    authentication = webhook["http_config"]["basic_auth"]
    assert authentication == {"username": "a", "password_file": "/etc/alertmanager/secrets/b/c"}


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("slack_configs", {"api_url": "PLANTED"}),
        ("discord_configs", {"webhook_url": "PLANTED"}),
        ("pagerduty_configs", {"routing_key": "PLANTED"}),
        ("email_configs", {"auth_password": "PLANTED"}),
        ("opsgenie_configs", {"api_key": "PLANTED"}),
        ("webhook_configs", {"url": "http://a", "http_config": {"authorization": {"credentials": "PLANTED"}}}),
        ("webhook_configs", {"url": "http://a", "http_config": {"basic_auth": {"password": "PLANTED"}}}),
        ("webhook_configs", {"url": "http://a", "http_config": {"oauth2": {"client_secret": "PLANTED"}}}),
        ("sns_configs", {"sigv4": {"secret_key": "PLANTED"}}),
        ("webhook_configs", {"url": "https://receiver/hook?token=PLANTED"}),
        ("webhook_configs", {"url": "https://me:PLANTED@receiver/hook"}),
        ("webhook_configs", {"url": "https://hooks.slack.com/services/PLANTED/1/2"}),
        ("webhook_configs", {"url": "http://a", "http_config": {"proxy_url": "http://me:PLANTED@proxy"}}),
        # Neither does YAML make each secret a string.
        ("opsgenie_configs", {"api_key": 12345}),
        ("pagerduty_configs", {"routing_key": ["PLANTED"]}),
    ],
)
def test_a_secret_in_the_inventory_is_rejected_and_not_shown(kind: str, entry: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        alertmanager_config([{"name": "team", kind: [entry]}], {"receiver": "team"})
    assert "AlertSecretNotReferenced" in str(error.value) and "receiver team" in str(error.value)
    assert "PLANTED" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("victorops_configs", {"routing_key": "the-team", "api_url": "https://alert.victorops.com/"}),
        ("webhook_configs", {"url": "http://receiver:8080/"}),
        ("pagerduty_configs", {"routing_key": SLACK, "description": "api_key"}),
    ],
)
def test_what_is_no_secret_may_be_written(kind: str, entry: dict[str, Any]) -> None:
    made = alertmanager_config([{"name": "team", kind: [entry]}], {"receiver": "team"})
    assert made["config"]["receivers"][0][kind]


@pytest.mark.parametrize(
    ("receivers", "route", "says"),
    [
        ([{"name": "a"}], {"receiver": "b"}, "names the receiver b, and monitoring_receivers has a"),
        ([{"name": "a"}], {}, "names the receiver of no name"),
        ([], {"receiver": "a"}, "monitoring_receivers has none"),
        ([{"name": "a"}], {"receiver": "a", "routes": [{"routes": [{"receiver": "c"}]}]}, "names the receiver c"),
        ([{"name": "a"}, {"name": "a"}], {"receiver": "a"}, "a name of its own"),
        ([{"slack_configs": []}], {"receiver": "a"}, "a name of its own"),
        ([{"name": "a", "slack_configs": [{"api_url": {"secret": "slack"}}]}], {"receiver": "a"}, "a reference is"),
        (
            [{"name": "a", "slack_configs": [{"api_url": {"secret": {"name": "../x", "key": "y"}}}]}],
            {"receiver": "a"},
            "a reference is",
        ),
        ([{"name": "a", "slack_configs": [{"channel": SLACK}]}], {"receiver": "a"}, "cannot read this field"),
    ],
)
def test_a_configuration_that_alertmanager_would_reject(
    receivers: list[dict[str, Any]], route: dict[str, Any], says: str
) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        alertmanager_config(receivers, route)
    assert says in str(error.value) and "(InvalidAlertRouting)" in str(error.value)


def test_a_route_inherits_the_receiver_of_its_parent() -> None:
    route = {"receiver": "a", "routes": [{"matchers": ['model="iris"'], "group_wait": "1s"}]}
    assert alertmanager_config([{"name": "a"}], route)["config"]["route"] == route
