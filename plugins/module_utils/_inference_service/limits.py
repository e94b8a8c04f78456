# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the name of an InferenceService may be: what KServe, Knative, labels and DNS allow, each with its source.

KServe's webhook checks the form of a name and not its length. The objects that it derives from a longer one are
rejected later, and the InferenceService never becomes ready.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re

# IsvcNameFmt of KServe v0.20.0, pkg/apis/serving/v1beta1/inference_service_validation.go
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# The value of a label (LabelValueMaxLength of k8s.io/apimachinery), and one label of a host name (RFC 1123).
LABEL = 63
# A host name: RFC 1123, and hostnames of the Gateway API and of Ingresses.
HOST = 253


def derived_label(name: str, mode: str, component: str = "predictor", canary: str = "") -> tuple[str, str]:
    """Return the longest label that KServe derives from a name: its key and its value.

    Standard: GetRawServiceLabel and PredictorServiceName of KServe v0.20.0, pkg/constants/constants.go; a canary's name
    is between the two. Knative: the Knative Service has the component's name, which Knative Serving v1.21 sets as a
    label of its pods (ServiceLabelKey, pkg/apis/serving/register.go); it shortens the names of Revisions itself.
    """
    value = "-".join(part for part in (name, canary, component) if part)
    return ("serving.knative.dev/service", value) if mode == "Knative" else ("app", f"isvc.{value}")


def length_fault(name: str, mode: str, component: str = "predictor", canary: str = "") -> str | None:
    """Return why a name is too long in a deployment mode, together with a canary's if there is one, or None."""
    _key, label = derived_label(name, mode, component, canary)
    if len(label) <= LABEL:
        return None
    most = LABEL - (len(label) - len(name) - len(canary))
    key, pattern = derived_label("<name>", mode, component, "<canary>" if canary else "")
    what = "name and the canary's name together have" if canary else "name has"
    return (
        f"{what} {len(name) + len(canary)} characters, and {most} are the most in {mode} mode, since KServe sets the "
        f"label {key}: {pattern}, and the value of a label has at most {LABEL} characters"
    )


def host_fault(name: str, domain: str) -> str | None:
    """Return why a model cannot be served below a domain, or None: KServe also routes <name>-predictor.<domain>."""
    host = f"{name}-predictor.{domain}"
    if len(host) <= HOST:
        return None
    return (
        f"name and domain give the host name {host} of {len(host)} characters, and a host name has at most {HOST}; "
        "shorten the domain"
    )
