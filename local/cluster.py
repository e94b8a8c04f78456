# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create the kind cluster, load the component images into it, and delete it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local import images, node, programs, releases
from local.engine import Engine
from local.errors import LocalError
from local.progress import Progress
from local.run import run, succeeds
from local.settings import KUBELET_PODS, MODES, RECORDED, REPOSITORY, Settings, saved_mode
from local.table import Image, Table

# Node ports that are mapped to 127.0.0.1; inventories/local sets the same two.
HTTPS_NODE_PORT = 30443
S3_NODE_PORT = 30070
# Mount path of the audit log in the node, and the prefix length of the pod subnet if the node runs many pods.
AUDIT = "/etc/kubernetes/audit"
POD_SUBNET_BITS = 22
BASE_OF_SERVER = "docker.io/kserve/sklearnserver:v0.20.0"


def config(settings: Settings, table: Table, image: str, built: bool) -> str:
    """The kind configuration of the cluster, as YAML.

    built: the node image is built by this project, with Debian's CNI plugins and kube-proxy in nftables mode.
    """
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration"}
    if node.cgroup_v1():
        # The kubelet of 1.35 fails on cgroup v1 by default. systemd does not manage cgroup v1 inside a container.
        kubelet |= {"cgroupDriver": "cgroupfs", "failCgroupV1": False}
    if settings.pods != KUBELET_PODS:
        kubelet["maxPods"] = settings.pods
    # Without an apiVersion the patch matches any version of the kubeadm API that kind writes.
    cluster: dict[str, Any] = {"kind": "ClusterConfiguration"}
    networking: dict[str, Any] = {"apiServerAddress": "127.0.0.1"}
    if built:
        cluster["etcd"] = {"local": {"imageTag": table.node["etcd_tag"]}}
        networking |= {"disableDefaultCNI": True, "kubeProxyMode": "nftables"}
    if settings.pods > KUBELET_PODS:
        cluster["controllerManager"] = {"extraArgs": {"node-cidr-mask-size": str(POD_SUBNET_BITS)}}
    if settings.audit:
        cluster["apiServer"] = _audited()
    ports = ((HTTPS_NODE_PORT, settings.https_port), (S3_NODE_PORT, settings.s3_port))
    return yaml.safe_dump(
        {
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "kind": "Cluster",
            "name": settings.cluster,
            "networking": networking,
            "kubeadmConfigPatches": [yaml.safe_dump(patch) for patch in (kubelet, cluster) if len(patch) > 1],
            "nodes": [
                {
                    "role": "control-plane",
                    "image": image,
                    "extraPortMappings": [
                        {"containerPort": inner, "hostPort": outer, "listenAddress": "127.0.0.1"}
                        for inner, outer in ports
                    ],
                    **({"extraMounts": [_audit_mount(settings)]} if settings.audit else {}),
                }
            ],
        },
        sort_keys=False,
    )


def _audited() -> dict[str, Any]:
    """The API server section of the kubeadm configuration, which enables the audit log."""
    arguments = {"audit-policy-file": f"{AUDIT}/policy.yaml", "audit-log-path": f"{AUDIT}/audit.log"}
    volume = {"name": "audit", "hostPath": AUDIT, "mountPath": AUDIT, "pathType": "DirectoryOrCreate"}
    return {"extraArgs": arguments, "extraVolumes": [volume]}


def _audit_mount(settings: Settings) -> dict[str, str]:
    return {"hostPath": str(settings.audit_log.parent), "containerPath": AUDIT}


def _write_audit_policy(settings: Settings) -> None:
    """Log the metadata of every request, and the body of writes to the status of InferenceServices."""
    rules: list[dict[str, Any]] = [
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {
            "level": "Request",
            "verbs": ["update", "patch"],
            "resources": [{"group": "serving.kserve.io", "resources": ["inferenceservices/status"]}],
        },
        {"level": "Metadata"},
    ]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    settings.audit_log.parent.mkdir(parents=True, exist_ok=True)
    settings.audit_log.with_name("policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))
    settings.audit_log.unlink(missing_ok=True)


def _check_ports(settings: Settings) -> None:
    for name, port in (("HASHFOUNDRY_HTTPS_PORT", settings.https_port), ("HASHFOUNDRY_S3_PORT", settings.s3_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise LocalError(
                    f"Port {port} of 127.0.0.1 is in use ({error.strerror}): stop the listener, or set {name}."
                ) from None


@dataclass(frozen=True)
class Cluster:
    """One kind cluster on one engine."""

    settings: Settings
    table: Table
    engine: Engine

    @property
    def node(self) -> str:
        """The name of the only node's container."""
        return f"{self.settings.cluster}-control-plane"

    @property
    def _complete(self) -> Path:
        """Contains the container's ID after `kind create cluster` has succeeded; empty while it runs."""
        return self.settings.state / "cluster"

    def _kind(self, *arguments: str | Path, hint: str) -> str:
        program = programs.product(self.table.programs["kind"], self.settings).path
        return run([program, *arguments], env=self.engine.env, hint=hint)

    def _kubectl(self) -> Path:
        return programs.product(self.table.programs["kubectl"], self.settings).path

    def kubectl(self, *arguments: str | Path, hint: str) -> str:
        """Run kubectl on the cluster and return what it printed."""
        return run([self._kubectl(), "--kubeconfig", self.settings.kubeconfig, *arguments], hint=hint)

    def _container(self, template: str) -> str:
        """A property of the node's container, or an empty string if there is no container."""
        command = ["docker", "container", "inspect", "--format", template, self.node]
        result = subprocess.run(command, env=self.engine.env, capture_output=True, text=True, check=False)
        return result.stdout.strip()

    def exists(self) -> bool:
        """Whether a completely created cluster exists, running or stopped."""
        identity = self._container("{{.Id}}")
        return bool(identity) and self._complete.exists() and self._complete.read_text() == identity

    def built(self) -> bool:
        """Whether the node image of the cluster was built here rather than pulled."""
        return self._container("{{.Config.Image}}").startswith(self.table.node["built"])

    def resume(self) -> None:
        """Start the node if it was stopped with its engine, and wait for the API server."""
        if self._container("{{.State.Running}}") != "true":
            self.engine.docker("start", self.node)
        script = 'until "$0" --kubeconfig "$1" --request-timeout=5s get --raw=/readyz >/dev/null 2>&1; do sleep 1; done'
        if not succeeds(["sh", "-c", script, self._kubectl(), self.settings.kubeconfig], timeout=180):
            raise LocalError(
                "The API server is not ready: delete the cluster with `make clean`, re-create it with `make demo`."
            )

    def check_mode(self) -> None:
        """Fail if the existing cluster has another deployment mode, because deployed models cannot change theirs."""
        # A cluster without a recorded mode has the default mode.
        of_cluster = saved_mode(self.settings.state) or MODES[0]
        if self.settings.mode != of_cluster:
            raise LocalError(
                f"The cluster {self.settings.cluster} is in {of_cluster} mode, but HASHFOUNDRY_MODE is "
                f"{self.settings.mode}: delete it with `make clean`, or set HASHFOUNDRY_STATE, HASHFOUNDRY_CLUSTER "
                "and the ports for a second cluster."
            )

    def check_free(self) -> None:
        """Fail before the long build if create() could not succeed.

        A cluster of this name that another checkout created is not deleted.
        """
        if not self._container("{{.Id}}"):
            _check_ports(self.settings)
        elif not self._complete.exists():
            raise LocalError(
                f"The kind cluster {self.settings.cluster} exists and was not created by this checkout: "
                "set HASHFOUNDRY_CLUSTER to another name, or delete it with `make clean`."
            )

    def create(self, image: str, built: bool) -> None:
        """Create the cluster, after deleting what an interrupted run left."""
        self.check_free()
        self.delete()
        _check_ports(self.settings)  # again: the interrupted run's cluster may have used them
        self._complete.touch()
        (self.settings.state / "mode").write_text(f"{self.settings.mode}\n")
        file = self.settings.state / "kind.yaml"
        file.write_text(config(self.settings, self.table, image, built))
        if self.settings.audit:
            _write_audit_policy(self.settings)
        # Into the state folder, not into the user's kubeconfig.
        self._kind(
            "create", "cluster", "--config", file, "--kubeconfig", self.settings.kubeconfig, "--wait=180s",
            hint="run `make clean` and try again; see `docker logs` of the node.",
        )  # fmt: skip
        self.settings.kubeconfig.chmod(0o600)
        # kubeadm deploys two replicas. The second is useless on one node, and it requests the CPU of a model.
        self.kubectl(
            "scale", "deployment/coredns", "--namespace=kube-system", "--replicas=1",
            hint="run `make clean` and try again.",
        )  # fmt: skip
        self._complete.write_text(self._container("{{.Id}}"))

    def load(self, progress: Progress, built: bool) -> None:
        """Load the component images that the cluster cannot pull into the node."""
        listed = ["exec", self.node, "ctr", "--namespace=k8s.io", "images", "ls", "-q"]
        present = set(self.engine.docker(*listed).split())
        wanted = [
            image for image in self.table.placed("cluster") if built or image.ref.startswith("hashfoundry.local/")
        ]
        missing = [image for image in wanted if self._marked(image) not in present]
        for number, image in enumerate(missing, 1):
            with progress.step(number, len(missing), f"load {image.ref}"):
                if built or not image.python:
                    archive = images.product(image, self.table, self.settings).path
                    self._kind("load", "image-archive", archive, "--name", self.settings.cluster, hint="see the node.")
                else:
                    self._overlay(image)
                    self._kind("load", "docker-image", image.ref, "--name", self.settings.cluster, hint="see the node.")
                tag = ["ctr", "--namespace=k8s.io", "images", "tag", "--force", image.ref, self._marked(image)]
                self.engine.docker("exec", self.node, *tag)

    def _marked(self, image: Image) -> str:
        """A second tag in the node with the digest of the build, so that a changed image is loaded again."""
        key = images.product(image, self.table, self.settings).path.stem.rpartition("-")[2]
        return f"hashfoundry.local/loaded/{image.slug.lower()}:{key}"

    def _overlay(self, image: Image) -> None:
        """Build the image as a layer on KServe's sklearnserver image, which can be pulled when this is called."""
        with tempfile.TemporaryDirectory(dir=self.settings.state) as name:
            context = Path(name)
            if image.packages:
                images.lay_python(image, context)
                source, target = images.APP, images.APP
            else:
                context, source = (REPOSITORY / image.python).parent, Path(image.python).name
                target = f"{images.APP}/{source}"
            dockerfile = self.settings.state / "Dockerfile"
            dockerfile.write_text(
                f"FROM {BASE_OF_SERVER}\n"
                f"COPY {source} /{target}\n"
                f"ENV PYTHONPATH=/{images.APP}\n"
                f"ENTRYPOINT {json.dumps(image.entrypoint)}\n"
            )
            self.engine.docker(
                "build", "--quiet", "--file", dockerfile, "--tag", image.ref, context,
                hint="check that the container registry is reachable, or set HASHFOUNDRY_IMAGES=build.",
            )  # fmt: skip

    def delete(self) -> None:
        """Delete the cluster and its state files; the engine retains the images."""
        kind = programs.product(self.table.programs["kind"], self.settings).path
        if kind.exists() and self._container("{{.Id}}"):
            self._kind("delete", "cluster", "--name", self.settings.cluster, hint="see the Docker engine.")
        for name in ("cluster", "kubeconfig", "ca.crt", "kind.yaml", "mode", *RECORDED):
            (self.settings.state / name).unlink(missing_ok=True)

    def link_tools(self) -> None:
        """Link the command-line tools, charts and manifests into the state folder."""
        folder = self.settings.state / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        for program in self.table.programs.values():
            if program.tool:
                _link(folder / program.name, programs.product(program, self.settings).path)
        sources = self.settings.state / "sources"
        sources.mkdir(exist_ok=True)
        for name, carrier in (("kserve", "kserve-manager"), ("contour", "contour")):
            if carrier in self.table.programs:
                _link(sources / name, programs.source_folder(self.table.programs[carrier]))
        for release in self.table.releases:
            releases.write(release, self.table, sources)
        for chart in self.table.charts:
            releases.write_chart(chart, sources)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def make_state(settings: Settings) -> None:
    """Create the state folder, or fail before the long build if it is not writable."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.state):
            pass
    except OSError as error:
        raise LocalError(
            f"The state folder {settings.state} is not writable ({error.strerror}): "
            "set HASHFOUNDRY_STATE to a writable folder."
        ) from None


def remove_state(settings: Settings) -> None:
    """Remove the state folder of a deleted cluster."""
    shutil.rmtree(settings.state, ignore_errors=True)
