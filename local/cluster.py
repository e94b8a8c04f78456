# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind cluster: made, filled with the component images, and taken away."""

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
from local.run import answers, run
from local.settings import KUBELET_PODS, MODES, REPOSITORY, Settings, kept_mode
from local.table import Image, Table

# Node ports of the services that this machine reaches; inventories/local names the same two.
HTTPS_NODE_PORT = 30443
S3_NODE_PORT = 30070
# Where the node sees the folder of the audit log, and the size of the pod subnet of a node with room for many pods.
AUDIT = "/etc/kubernetes/audit"
POD_SUBNET_BITS = 22
BASE_OF_SERVER = "docker.io/kserve/sklearnserver:v0.20.0"


def config(settings: Settings, table: Table, image: str, built: bool) -> str:
    """kind's configuration of the cluster, as YAML.

    built: the node image is ours, which brings its own network plugins and an nftables kube-proxy.
    """
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration"}
    if node.cgroup_v1():
        # Kubernetes 1.35 wants to be asked for cgroup v1; systemd does not manage it inside a container.
        kubelet |= {"cgroupDriver": "cgroupfs", "failCgroupV1": False}
    if settings.pods != KUBELET_PODS:
        kubelet["maxPods"] = settings.pods
    # Without an apiVersion kind applies the patch to whichever version of kubeadm's API it writes.
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
    """The API server's part of kubeadm's configuration: an audit log, whose times are to the microsecond."""
    arguments = {"audit-policy-file": f"{AUDIT}/policy.yaml", "audit-log-path": f"{AUDIT}/audit.log"}
    volume = {"name": "audit", "hostPath": AUDIT, "mountPath": AUDIT, "pathType": "DirectoryOrCreate"}
    return {"extraArgs": arguments, "extraVolumes": [volume]}


def _audit_mount(settings: Settings) -> dict[str, str]:
    return {"hostPath": str(settings.audit_log.parent), "containerPath": AUDIT}


def _write_audit_policy(settings: Settings) -> None:
    """Log who asks for what and when; of the status of InferenceServices, which say Ready, the content, too."""
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
                    f"Port {port} of 127.0.0.1 is taken ({error.strerror}): stop what listens there, or set {name}."
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
        """Holds the container's id when `kind create cluster` has ended well, and nothing while it runs."""
        return self.settings.state / "cluster"

    def _kind(self, *words: str | Path, hint: str) -> str:
        program = programs.product(self.table.programs["kind"], self.settings).path
        return run([program, *words], env=self.engine.env, hint=hint)

    def _kubectl(self) -> Path:
        return programs.product(self.table.programs["kubectl"], self.settings).path

    def _container(self, template: str) -> str:
        """A fact about the node's container, or nothing where there is none."""
        command = ["docker", "container", "inspect", "--format", template, self.node]
        done = subprocess.run(command, env=self.engine.env, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def exists(self) -> bool:
        """Tell whether the whole cluster is there; it may be stopped."""
        identity = self._container("{{.Id}}")
        return bool(identity) and self._complete.exists() and self._complete.read_text() == identity

    def built(self) -> bool:
        """Tell whether the cluster stands on the node image that is built, not on one that was pulled."""
        return self._container("{{.Config.Image}}").startswith(self.table.node["built"])

    def resume(self) -> None:
        """Start the node where it was stopped with its engine, and wait for the API server."""
        if self._container("{{.State.Running}}") != "true":
            self.engine.docker("start", self.node)
        script = 'until "$0" --kubeconfig "$1" --request-timeout=5s get --raw=/readyz >/dev/null 2>&1; do sleep 1; done'
        if not answers(["sh", "-c", script, self._kubectl(), self.settings.kubeconfig], timeout=180):
            raise LocalError(
                "The cluster does not answer any more: `make clean` takes it away, `make demo` makes it anew."
            )

    def check_mode(self) -> None:
        """Say where the cluster that is there was made for another deployment mode, which models cannot change."""
        # A cluster that does not say was made when there was but one.
        of_cluster = kept_mode(self.settings.state) or MODES[0]
        if self.settings.mode != of_cluster:
            raise LocalError(
                f"The cluster {self.settings.cluster} is in {of_cluster} mode, HASHFOUNDRY_MODE asks for "
                f"{self.settings.mode}: take it away with `make clean`, or set HASHFOUNDRY_STATE, HASHFOUNDRY_CLUSTER "
                "and the ports for one beside it."
            )

    def check_free(self) -> None:
        """Say what would keep create() from its work, which comes after the long building.

        A cluster of this name that another checkout made is that one's: it is left alone.
        """
        if not self._container("{{.Id}}"):
            _check_ports(self.settings)
        elif not self._complete.exists():
            raise LocalError(
                f"There is a kind cluster {self.settings.cluster} that this checkout did not make: "
                "set HASHFOUNDRY_CLUSTER to another name, or take it away with `make clean`."
            )

    def create(self, image: str, built: bool) -> None:
        """Make the cluster; what an interrupted run left is taken away first."""
        self.check_free()
        self.delete()
        _check_ports(self.settings)  # those that the interrupted run had held, too
        self._complete.touch()
        (self.settings.state / "mode").write_text(f"{self.settings.mode}\n")
        file = self.settings.state / "kind.yaml"
        file.write_text(config(self.settings, self.table, image, built))
        if self.settings.audit:
            _write_audit_policy(self.settings)
        # Written beside the state, not into the person's own kubeconfig; readable by its owner only.
        self._kind(
            "create", "cluster", "--config", file, "--kubeconfig", self.settings.kubeconfig, "--wait=180s",
            hint="`make clean` and try again; `docker logs` of the node says more.",
        )  # fmt: skip
        self.settings.kubeconfig.chmod(0o600)
        # kubeadm's second one brings nothing on a cluster of one node, and asks for the CPU of a model.
        run([self._kubectl(), "--kubeconfig", self.settings.kubeconfig, "--namespace=kube-system",
             "scale", "deployment/coredns", "--replicas=1"], hint="`make clean` and try again.")  # fmt: skip
        self._complete.write_text(self._container("{{.Id}}"))

    def load(self, progress: Progress, built: bool) -> None:
        """Put the component images that the cluster cannot pull into the node."""
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
        """A second name in the node that says which build of the image is there, so that a newer one is loaded."""
        key = images.product(image, self.table, self.settings).path.stem.rpartition("-")[2]
        return f"hashfoundry.local/loaded/{image.slug.lower()}:{key}"

    def _overlay(self, image: Image) -> None:
        """Lay our serving program, or programs with the packages of their own, over KServe's own image.

        That can be pulled where this is called.
        """
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
                hint="see that the container registry answers, or set HASHFOUNDRY_IMAGES=build.",
            )  # fmt: skip

    def delete(self) -> None:
        """Take the cluster away, with its network where nothing else uses it; the engine's images stay."""
        kind = programs.product(self.table.programs["kind"], self.settings).path
        if kind.exists() and self._container("{{.Id}}"):
            self._kind("delete", "cluster", "--name", self.settings.cluster, hint="see the Docker engine.")
        for name in ("cluster", "kubeconfig", "ca.crt", "kind.yaml", "mode"):
            (self.settings.state / name).unlink(missing_ok=True)

    def link_tools(self) -> None:
        """Put what a person at this machine needs into the state folder: programs, charts and manifests."""
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
    """Make the state folder, or say why it cannot be, before the long building."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.state):
            pass
    except OSError as error:
        raise LocalError(
            f"The state folder {settings.state} cannot be written ({error.strerror}): set HASHFOUNDRY_STATE to another."
        ) from None


def remove_state(settings: Settings) -> None:
    """Remove the state folder of a cluster that is gone."""
    shutil.rmtree(settings.state, ignore_errors=True)
