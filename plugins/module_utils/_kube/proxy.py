# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy before an API server: that of the options, of the kubeconfig's proxy-url, or of the environment.

The Kubernetes client ignores proxy-url, and of the environment it takes the proxy but not no_proxy. So the proxy is
found here, and given to kubernetes.core by its options. This file is private to the collection and may change at any
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.proxy import DEFAULT_PORTS, is_exempt, proxy_of

with suppress(ImportError):  # whoever makes the client reports it
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config
    from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, ConfigNode, KubeConfigMerger


class _Cluster(NamedTuple):
    """An API server's URL, and the proxy-url that the kubeconfig names for it."""

    host: str
    proxy: str | None = None


def proxy_options(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options proxy, no_proxy and proxy_headers for kubernetes.core; none where the server is not known.

    A proxy of the options is used unless no_proxy of the options names the server, and that of the kubeconfig always,
    as by kubectl.

    :param options: of kubernetes.core's AUTH_ARG_SPEC; what is not there is taken from K8S_AUTH_ of the environment.
    :raises KServeError: the proxy is not one that is spoken to by HTTP.
    """

    def given(name: str) -> Any:
        value = options.get(name)
        return environ.get(f"K8S_AUTH_{name.upper()}") if value is None else value

    try:
        cluster = _cluster(given)
        parts = urlsplit(cluster.host if "://" in cluster.host else f"https://{cluster.host}")
        names, port = (parts.hostname or "",), parts.port or DEFAULT_PORTS.get(parts.scheme, 443)
    except Exception:  # a file that is no kubeconfig, or no library: whoever makes the client reports it
        return {}
    exempt = given("no_proxy")
    if (proxy := given("proxy")) is not None:
        proxy = "" if is_exempt(names, port, exempt or "") else proxy
    elif cluster.proxy:
        proxy = cluster.proxy
    else:
        proxy = proxy_of(parts.scheme, names, port, environ if exempt is None else {**environ, "no_proxy": exempt})
    # Empty, so that the client uses none of the environment's.
    found: dict[str, Any] = {"proxy": "", "no_proxy": ""}
    return {**found, **_proxy(proxy)} if proxy else found


def _proxy(text: str) -> dict[str, Any]:
    """Return the options for a proxy; the Kubernetes client takes user and password as a header only."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise KServeError(
            "The proxy before the API server is not one that is spoken to by HTTP; give one such as "
            "http://proxy.example.com:3128 in proxy, the kubeconfig's proxy-url or HTTPS_PROXY.",
            reason="InvalidOption",
        )
    place = parts.netloc.rpartition("@")[2]
    found: dict[str, Any] = {"proxy": f"{parts.scheme}://{place}"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        found["proxy_headers"] = {"proxy_basic_auth": pair}
    return found


def _cluster(given: Callable[[str], Any]) -> _Cluster:
    """Return the cluster that kubernetes.core would choose."""
    host, kubeconfig, context = given("host"), given("kubeconfig"), given("context")
    pairs = (("username", "password"), ("api_key",), ("client_cert", "client_key"))
    if host and any(all(map(given, names)) for names in pairs):
        return _Cluster(host)
    if not kubeconfig and not context:
        with suppress(ConfigException):
            inside = Configuration()
            load_incluster_config(client_configuration=inside)
            return _Cluster(host or inside.host)
    found = _of_kubeconfig(kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION, context)
    return found._replace(host=host) if host else found


def _of_kubeconfig(kubeconfig: Any, context: str | None) -> _Cluster:
    config = (
        ConfigNode("kubeconfig", kubeconfig) if isinstance(kubeconfig, dict) else KubeConfigMerger(kubeconfig).config
    )
    chosen = config["contexts"].get_with_name(context or config["current-context"])["context"]
    cluster = config["clusters"].get_with_name(chosen["cluster"])["cluster"]
    return _Cluster(cluster["server"], cluster.safe_get("proxy-url"))
