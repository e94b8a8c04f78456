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
        ("webhook_configs", {"url": "http://a", "http_config": {"tls_config": {"key": "PLANTED"}}}),
        ("webhook_configs", {"url": "http://a", "http_config": {"proxy_connect_header": {"X": ["PLANTED"]}}}),
        *(
            ("webhook_configs", {"url": "http://a", "http_config": {"oauth2": {"endpoint_params": {name: "PLANTED"}}}})
            for name in ("client_secret", "password", "api_key")
        ),
        *(
            ("webhook_configs", {"url": "http://a", "http_config": {"http_headers": {name: header}}})
            for name, header in (
                ("X", {"secrets": ["PLANTED"]}),
                ("X", {"secrets": [SLACK, "PLANTED"]}),
                ("X", {"secrets": [{"secret": SLACK["secret"], "value": "PLANTED"}]}),
                ("X-Api-Key", {"values": ["PLANTED"]}),
                ("X-Functions-Key", {"values": ["PLANTED"]}),
                ("X-Auth-Token-2024", {"values": ["PLANTED"]}),
                ("Cookie", {"values": ["a", "PLANTED"]}),
                ("X", {"values": ["https://user:PLANTED@a"]}),
                ("X", {"values": ["Bearer PLANTEDPLANTED"]}),
            )
        ),
        # In URLs, of receivers and of proxies.
        ("webhook_configs", {"url": "https://user:PLANTED@a"}),
        ("webhook_configs", {"url": "https://PLANTED@a"}),
        ("webhook_configs", {"url": "https://user:PLA/NTED@a/PLANTED"}),
        ("webhook_configs", {"url": "https://a/hook?token=PLANTED"}),
        ("webhook_configs", {"url": "https://hooks.slack.com/services/PLANTED"}),
        ("webhook_configs", {"url": "https://hooks.slack.com/triggers/PLANTED"}),
        ("webhook_configs", {"url": "https://discord.com/api/webhooks/1234/PLANTED/slack"}),
        ("webhook_configs", {"url": "https://acme.webhook.office.com/webhookb2/PLANTED@a/IncomingWebhook/b"}),
        ("webhook_configs", {"url": f"https://api.telegram.org/bot123456789:{'PLANTED' * 5}/sendMessage"}),
        ("opsgenie_configs", {"api_key": SLACK, "api_url": "https://user:PLANTED@a"}),
        ("webhook_configs", {"url": "http://a", "http_config": {"proxy_url": "http://user:PLANTED@a:3128"}}),
        (
            "webhook_configs",
            {"url": "http://a", "http_config": {"oauth2": {"client_secret": SLACK, "proxy_url": "http://PLANTED@a"}}},
        ),
        ("webhook_configs", {"url": "http://a", "http_config": {"oauth2": {"token_url": "http://u:PLANTED@a"}}}),
        ("slack_configs", {"api_url": SLACK, "actions": [{"type": "button", "url": "https://u:PLANTED@a"}]}),
        ("slack_configs", {"api_url": SLACK, "text": "see https://u:PLANTED@a for more"}),
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
        ("webhook_configs", {"url": "http://receiver:8080/~a@b?c=d@e"}),
        ("webhook_configs", {"url": "http://[::1]:8080/a@b"}),
        ("email_configs", {"to": "team@example.com", "html": "http://grafana.example.com:3000/d/a@b"}),
        ("email_configs", {"to": "team@example.com", "auth_password": None}),
        (
            "webhook_configs",
            {
                "url": "http://a",
                "http_config": {
                    "proxy_url": "http://proxy.example.com:3128",
                    "http_headers": {"X-Scope-OrgID": {"values": ["models"]}, "X-Key": {"files": ["/etc/key"]}},
                    "oauth2": {"client_secret": SLACK, "endpoint_params": {"grant_type": "password"}},
                },
            },
        ),
        ("pagerduty_configs", {"routing_key": SLACK, "description": "api_key"}),
        ("slack_configs", {"api_url": SLACK, "text": "ssh://git@host/x, http://{{.Labels.instance}}:<@U123>{{end}}"}),
        ("slack_configs", {"api_url": SLACK, "text": "Dashboard:https://grafana:3000,mail:ops@example.com"}),
        ("slack_configs", {"api_url": SLACK, "icon_url": "https://x/a.png?key=1"}),
        ("webhook_configs", {"url": "http://a?code=200", "http_config": {"http_headers": None}}),
        ("webhook_configs", {"url": "http://a", "http_config": {"http_headers": {"X-Auth-Type": None}}}),
        ("webhook_configs", {"url": "http://a", "http_config": {"http_headers": {"apikey2": {"values": [None]}}}}),
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
            "a name that no Secret can have",
        ),
        ([{"name": "a", "slack_configs": [{"channel": SLACK}]}], {"receiver": "a"}, "cannot read this field"),
        ([{"name": "a", "email_configs": [{"to": [SLACK]}]}], {"receiver": "a"}, "cannot read this field"),
        (None, {"receiver": "a"}, "monitoring_receivers has none"),
        ("PLANTED", {"receiver": "a"}, "monitoring_receivers is not a list of mappings"),
        ([None], {"receiver": "a"}, "monitoring_receivers is not a list of mappings"),
        (["PLANTED"], {"receiver": "a"}, "monitoring_receivers is not a list of mappings"),
        ({"name": "PLANTED"}, {"receiver": "a"}, "monitoring_receivers is not a list of mappings"),
        ([{"name": ["PLANTED"]}], {"receiver": "a"}, "the name of an entry of monitoring_receivers is not a string"),
        ([{"name": "a", "slack_configs": "PLANTED"}], {"receiver": "a"}, "slack_configs of receiver a is not a list"),
        ([{"name": "a", "slack_configs": [None]}], {"receiver": "a"}, "slack_configs of receiver a is not a list"),
        ([{"name": "a", "slack_configs": {"api_url": "PLANTED"}}], {"receiver": "a"}, "is not a list of mappings"),
        ([{"name": "a"}], None, "monitoring_route is not a mapping"),
        ([{"name": "a"}], ["PLANTED"], "monitoring_route is not a mapping"),
        ([{"name": "a"}], {"receiver": {"PLANTED": 1}}, "a receiver in monitoring_route is not a string"),
        *(
            ([{"name": "a"}], {"receiver": "a", "routes": routes}, "routes in monitoring_route is not a list")
            for routes in ([None], ["PLANTED"], "PLANTED", {"receiver": "a"}, 5)
        ),
        *(
            ([{"name": "a", "webhook_configs": [{"http_config": {"http_headers": headers}}]}], {"receiver": "a"}, says)
            for headers, says in (
                ("PLANTED", "is not a mapping of mappings"),
                ({"X": ["PLANTED"]}, "is not a mapping of mappings"),
                ({"X": {"secrets": "PLANTED"}}, "is not a mapping of the lists"),
                ({"X": {"secret": ["PLANTED"]}}, "is not a mapping of the lists"),
                ({"X": {"secrets": [{"secret": "PLANTED"}]}}, "a reference is"),
            )
        ),
    ],
)
def test_a_configuration_that_alertmanager_would_reject(
    receivers: list[dict[str, Any]], route: dict[str, Any], says: str
) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        alertmanager_config(receivers, route)
    assert says in str(error.value) and "(InvalidAlertRouting)" in str(error.value)
    assert "PLANTED" not in str(error.value)


@pytest.mark.parametrize("rules", [[None], ["PLANTED"], "PLANTED", 5])
def test_inhibition_rules_of_another_form_are_rejected(rules: Any) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        alertmanager_config([{"name": "a"}], {"receiver": "a"}, rules)
    assert "monitoring_inhibit_rules is not a list" in str(error.value) and "(InvalidAlertRouting)" in str(error.value)
    assert "PLANTED" not in str(error.value)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        *(
            ({"name": name, "key": "PLANTED"}, "a name that no Secret can have")
            for name in ("..", ".", "../x", "a/b", "A", "a_b", "-a", "a.", "a b", "a\n", "a..b")
        ),
        *(
            ({"name": "a", "key": key}, "a key that no Secret can have")
            for key in ("..", ".", "../PLANTED", "a/b", "a b", "..PLANTED", "a\n", "a:b")
        ),
        *(
            (reference, "a reference is")
            for reference in (
                "PLANTED",
                None,
                {"name": "a" * 254, "key": "b"},
                {"name": "a", "key": "b" * 254},
                {"name": "", "key": "b"},
                {"name": 5, "key": "b"},
                {"name": "a", "key": "b", "value": "PLANTED"},
            )
        ),
    ],
)
def test_a_reference_names_a_secret_and_a_key_that_can_be(reference: Any, says: str) -> None:
    webhook = {"url": "http://a", "http_config": {"http_headers": {"X": {"secrets": [{"secret": reference}]}}}}
    for entry in ({"slack_configs": [{"api_url": {"secret": reference}}]}, {"webhook_configs": [webhook]}):
        with pytest.raises(AnsibleFilterError) as error:
            alertmanager_config([{"name": "team", **entry}], {"receiver": "team"})
        assert says in str(error.value) and "(InvalidAlertRouting)" in str(error.value)
        assert "PLANTED" not in str(error.value)


def test_a_key_may_be_any_file_name_of_a_secret() -> None:
    for name, key in (("a.b-c", "..".join("ab")), ("0", ".dockerconfigjson"), ("a", "A_b-C.0")):
        receiver = {"name": "a", "slack_configs": [{"api_url": {"secret": {"name": name, "key": key}}}]}
        assert alertmanager_config([receiver], {"receiver": "a"})["secrets"] == [name]


def test_the_secrets_of_a_header_become_files() -> None:
    headers = {"X-Api-Key": {"secrets": [SLACK], "files": ["/etc/key"]}, "X-Team": {"values": ["models"]}}
    receiver = {"name": "a", "webhook_configs": [{"url": "http://a", "http_config": {"http_headers": headers}}]}
    made = alertmanager_config([receiver], {"receiver": "a"})
    assert made["secrets"] == ["slack"]
    assert made["config"]["receivers"][0]["webhook_configs"][0]["http_config"]["http_headers"] == {
        "X-Api-Key": {"files": ["/etc/key", "/etc/alertmanager/secrets/slack/url"]},
        "X-Team": {"values": ["models"]},
    }


def test_a_route_inherits_the_receiver_of_its_parent() -> None:
    route = {"receiver": "a", "routes": [{"matchers": ['model="iris"'], "group_wait": "1s"}]}
    assert alertmanager_config([{"name": "a"}], route)["config"]["route"] == route


@pytest.mark.parametrize(
    ("kind", "field", "cure"),
    [
        ("webhook_configs", "url", "write url: {secret:"),
        ("slack_configs", "api_url", "write api_url: {secret:"),
        ("pushover_configs", "url", "remove it from the URL"),
        ("jira_configs", "api_url", "remove it from the URL"),
    ],
)
def test_only_a_field_that_alertmanager_reads_from_a_file_is_to_be_a_reference(
    kind: str, field: str, cure: str
) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        alertmanager_config([{"name": "a", kind: [{field: "https://user:PLANTED@host"}]}], {"receiver": "a"})
    # A field that is a secret as a whole is one in whichever form.
    assert cure in str(error.value)
