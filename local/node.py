# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind node image, built where no container registry answers.

It is what kind's own node image is: Debian with systemd and containerd, kind's static files, kubeadm, kubelet and the
images that kubeadm starts. The static files are read from kind's Go module when the image is built.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import yaml

from local import engine, images, oci, programs
from local.cache import Product, digest
from local.engine import Engine
from local.errors import LocalError
from local.settings import Settings
from local.table import Table

NODE_PROGRAMS = ("kubeadm", "kubelet", "kubectl")
IMPORT = "/import"  # where the archives are mounted while they are put into containerd's store
UNITS = ("containerd", "kubelet", "undo-mount-hacks")
STORAGE_CLASS = "standard"  # the name that kind gives its default class
# A bridge with addresses from the cluster's pod subnet: enough for one node, and all plugins are Debian's.
CNI = {
    "cniVersion": "0.4.0",
    "name": "kind",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.244.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def cgroup_v1() -> bool:
    """Tell whether this machine's controllers are those of cgroup v1 (cgroups(7)), also in hybrid mode."""
    return not Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _storage_manifest(table: Table, settings: Settings) -> str:
    """local-path-provisioner's own manifest, with the class that kind's users know and images that are here."""
    program = table.programs["local-path-provisioner"]
    text = (programs.source_folder(program) / "deploy" / "local-path-storage.yaml").read_text()
    helper = next(image.ref for image in table.placed("node") if "volume-helper" in image.ref)
    refs = [image.ref for image in table.placed("node") if image.program == program.name]
    documents = list(yaml.safe_load_all(text))
    for document in documents:
        if document["kind"] == "StorageClass":
            document["metadata"]["name"] = STORAGE_CLASS
            document["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
        if document["kind"] == "Deployment":
            document["spec"]["template"]["spec"]["containers"][0]["image"] = refs[0]
        if document["kind"] == "ConfigMap":
            pod = yaml.safe_load(document["data"]["helperPod.yaml"])
            pod["spec"]["containers"][0]["image"] = helper
            document["data"]["helperPod.yaml"] = yaml.safe_dump(pod)
            # /var is a volume of the node's container: a real file system with extended attributes, not an overlay.
            document["data"]["config.json"] = json.dumps(
                {
                    "nodePathMap": [
                        {"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/var/local-path-provisioner"]}
                    ]
                }
            )
    return yaml.safe_dump_all(documents)


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise LocalError(
            f"kind's node files no longer hold {old!r}: local/node.py must follow the version in the table."
        )
    return text.replace(old, new)


def _adapt(root: Path, table: Table) -> None:
    """Fit kind's files to Debian's containerd, to our pause image and to this machine."""
    config = root / "etc/containerd/config.toml"
    text = _replaced(config.read_text(), "registry.k8s.io/pause:3.10", table.node["pause"])
    service = root / "etc/systemd/system/containerd.service"
    unit = service.read_text()
    if cgroup_v1():
        text = _replaced(text, "SystemdCgroup = true", "SystemdCgroup = false")
    if engine.lacks_capabilities():
        # Neither OOM scores may be lowered nor limits raised without CAP_SYS_RESOURCE.
        text = _replaced(text, "restrict_oom_score_adj = false", "restrict_oom_score_adj = true")
        unit = _replaced(unit, "OOMScoreAdjust=-999", "OOMScoreAdjust=0")
        unit = "".join(line for line in unit.splitlines(keepends=True) if not line.startswith("Limit"))
    config.write_text(text)
    service.write_text(unit)


def _fill(root: Path, table: Table, settings: Settings) -> None:
    """Lay kind's files and the Kubernetes programs into the folder root."""
    files = programs.source_folder(table.programs["kind"]) / "images" / "base" / "files"
    for source in files.rglob("*"):
        target = root / source.relative_to(files)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        script = target.is_relative_to(root / "usr/local/bin") or target.is_relative_to(root / "kind/bin")
        target.chmod(0o755 if script else 0o644)
    for name in NODE_PROGRAMS:
        images.place_program(programs.product(table.programs[name], settings).path, root / "usr/bin" / name)
    if engine.lacks_capabilities():
        shim = programs.product(table.programs["runc-shim"], settings).path
        images.place_program(shim, root / "usr/local/sbin/runc")  # before /usr/sbin/runc on the PATH
    _adapt(root, table)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for unit in UNITS:
        (wanted / f"{unit}.service").symlink_to(f"/etc/systemd/system/{unit}.service")
    (root / "etc/cni/net.d").mkdir(parents=True, exist_ok=True)
    (root / "etc/cni/net.d/10-kind.conflist").write_text(json.dumps(CNI, indent=2))
    (root / "kind/version").write_text(table.node["kubernetes"])
    (root / "kind/manifests").mkdir(parents=True, exist_ok=True)
    (root / "kind/manifests/default-storage.yaml").write_text(_storage_manifest(table, settings))


def archive(table: Table, settings: Settings) -> Product:
    """The node image before the Kubernetes images are put into it."""
    rootfs = images.rootfs_product(table.rootfs["node"], settings).path
    names = [programs.product(table.programs[name], settings).path.name for name in (*NODE_PROGRAMS, "runc-shim")]
    machine = f"v1={cgroup_v1()} shim={engine.lacks_capabilities()}"
    key = digest(rootfs.name, machine, repr(table.node), *names, Path(__file__))

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as name:
            root = Path(name) / "root"
            root.mkdir()
            _fill(root, table, settings)
            layer = Path(name) / "layer.tar"
            oci.write_layer(root, layer)
            config = {
                "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
                "Env": [images.PATH_ENV, "container=docker"],  # systemd's container interface
                "StopSignal": "SIGRTMIN+3",  # systemd's signal to power off
            }
            oci.write_archive(target, f"{table.node['built']}:{key}", [rootfs, layer], config)

    return Product(settings.cache / "images" / f"node-{key}.tar", "node image, system", make)


def ref(table: Table, settings: Settings) -> str:
    """The name of the finished node image in the engine."""
    inside = [images.product(image, table, settings).path.name for image in table.placed("node")]
    return f"{table.node['built']}:{table.node['kubernetes']}-{digest(archive(table, settings).path.name, *inside)}"


def preload(table: Table, settings: Settings, docker: Engine) -> None:
    """Put the images that kubeadm starts into the node image's containerd, and commit it under ref().

    They are imported without being unpacked: overlayfs does not unpack on the engine's own overlayfs.
    """
    base = archive(table, settings).path
    docker.docker("load", "--quiet", stdin=base, hint="see the engine's log.")
    base_ref = f"{table.node['built']}:{base.stem.removeprefix('node-')}"
    archives = [images.product(image, table, settings).path for image in table.placed("node")]
    script = (
        "containerd >/tmp/containerd.log 2>&1 & pid=$!; "
        "until ctr version >/dev/null 2>&1; do sleep 0.2; kill -0 $pid; done; "
        + "".join(f"ctr -n k8s.io images import --no-unpack {IMPORT}/{path.name} && " for path in archives)
        + "kill $pid && wait $pid; rm -f /tmp/containerd.log"
    )
    container = docker.docker(
        "create", "--privileged", "--network=none", f"--volume={settings.cache}/images:{IMPORT}:ro",
        "--entrypoint=/bin/bash", base_ref, "-ec", script,
    ).strip()  # fmt: skip
    try:
        docker.docker("start", "--attach", container, hint="the images could not be put into the node image.")
        # The command and the mount were for this step only.
        docker.docker(
            "commit", '--change=ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "--change=CMD []",
            container, ref(table, settings),
        )  # fmt: skip
    finally:
        docker.docker("rm", "--force", "--volumes", container)
