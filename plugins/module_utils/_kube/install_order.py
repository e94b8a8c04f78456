# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order kinds are applied, so that each finds what it needs.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from .objects import Manifest

# Helm's InstallOrder (pkg/release/util/kind_sorter.go), but for CRDs, which here come early:
# nothing has to exist before them, and the API server needs a moment to serve what they define.
_ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)


def rank(manifest: Manifest) -> int:
    """Return the place of a manifest in that order; custom resources come last."""
    return _ORDER.index(manifest.kind) if is_built_in(manifest) else len(_ORDER)


def is_built_in(manifest: Manifest) -> bool:
    """Say whether its kind is one of Kubernetes' own, which needs no CRD and no other controller."""
    # A custom resource may bear the name of a kind of Kubernetes, such as Knative's Service.
    return ("." not in manifest.group or manifest.group.endswith(".k8s.io")) and manifest.kind in _ORDER
