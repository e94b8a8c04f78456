# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes cluster of one's own on this machine, with the images that the collection's demo needs.

    python -m local up       make or resume the cluster
    python -m local demo     up, then playbooks/site.yml, then a prediction
    python -m local down     take the cluster away, and stop the engine that `up` started
    python -m local build    only pull or build what a cluster is made of, and the programs of further tables that
                             are named: python -m local build tests/upgrade/components.toml

The settings are environment variables: local/settings.py.
"""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from local import debian, demo, engine, galaxy, images, node, programs, settings, table
from local.cache import Product, locked, make_missing
from local.cluster import Cluster, make_state, remove_state
from local.engine import Engine, OwnEngine
from local.errors import DISK_FULL, LocalError
from local.progress import Progress
from local.settings import Settings
from local.table import Table


def _tools(config: Settings, rows: Table) -> list[Product]:
    return [programs.product(row, config) for row in rows.programs.values() if row.tool]


def _all_products(config: Settings, rows: Table) -> list[Product]:
    """Every product that a cluster is made of, each after those that it is made of itself."""
    wanted = [*rows.placed("node"), *rows.placed("cluster")]
    below = {"node", *(image.rootfs for image in wanted)}
    return [
        *(programs.product(row, config) for row in rows.programs.values()),
        *(images.rootfs_product(row, config) for row in rows.rootfs.values() if row.name in below),
        *(images.product(row, rows, config) for row in wanted),
        node.archive(rows, config),
    ]


def _pulled(config: Settings, rows: Table, docker: Engine) -> bool:
    """Tell whether the node image comes from a registry; it is pulled when that is so."""
    if config.images == "build" or docker.has_image(node.ref(rows, config)):
        return False
    image = rows.node["image"]
    if docker.has_image(image):
        return True
    print(f"    pulling {image}", flush=True)
    if subprocess.run(["docker", "pull", "--quiet", image], env=docker.env, check=False).returncode == 0:
        return True
    if config.images == "pull":
        raise LocalError(f"{image} cannot be pulled: see that its registry answers, or set HASHFOUNDRY_IMAGES=build.")
    print("    no container registry answers: building the images from package registries", flush=True)
    return False


def _build(config: Settings, rows: Table, progress: Progress) -> None:
    """Make every product of the table that the cache lacks."""
    if os.geteuid() != 0:
        raise LocalError("Only root may build the images: run this as root, or where a container registry answers.")
    debian.ensure(mmdebstrap="mmdebstrap", zstd="zstd")
    make_missing(_all_products(config, rows), progress)


def provide(config: Settings, rows: Table, progress: Progress, docker: Engine) -> bool:
    """Pull or build what a new cluster is made of; tell whether its images are built."""
    if _pulled(config, rows, docker):
        make_missing(_tools(config, rows), progress)
        return False
    _build(config, rows, progress)
    if not docker.has_image(node.ref(rows, config)):
        with progress.step(1, 1, f"node image {node.ref(rows, config)}"):
            node.preload(rows, config, docker)
    return True


def up(config: Settings, rows: Table, progress: Progress) -> Cluster:
    """Make the cluster, or resume the one that is there."""
    with progress.stage("Ansible collections"):
        galaxy.ensure()
    make_state(config)
    with locked(config.cache):
        with progress.stage("Docker engine"):
            docker = engine.ensure(config, rows, progress)
        cluster = Cluster(config, rows, docker)
        exists = cluster.exists()
        if exists:
            cluster.check_mode()
        else:
            cluster.check_free()
        with progress.stage("programs and images"):
            if not exists:
                built = provide(config, rows, progress, docker)
            elif built := cluster.built():
                _build(config, rows, progress)
            else:
                make_missing(_tools(config, rows), progress)
            cluster.link_tools()
        with progress.stage("kind cluster"):
            if exists:
                cluster.resume()
            else:
                cluster.create(node.ref(rows, config) if built else rows.node["image"], built)
        with progress.stage("component images"):
            cluster.load(progress, built)
    return cluster


def down(config: Settings, rows: Table) -> None:
    """Take the cluster away; stop the engine where it is ours and holds no other container."""
    # One after another: the first to find no container left would stop the engine while it deletes the other's.
    with locked(config.cache / "down"):
        _down(config, rows)
    remove_state(config)


def _down(config: Settings, rows: Table) -> None:
    docker = engine.answering(config)
    own = OwnEngine(config)
    if docker is None and own.holds_containers() and os.geteuid() == 0:
        docker = own.start(rows, Progress())  # it was stopped with the machine, and the node is still in its storage
    if docker:
        Cluster(config, rows, docker).delete()
        # Another run that makes a cluster holds the lock, and has no container yet.
        with locked(config.cache, wait=False) as alone:
            if alone and docker.host and not docker.docker("ps", "--quiet").strip():
                docker.docker("network", "prune", "--force")
                own.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("up", "demo", "down", "build"))
    parser.add_argument("tables", nargs="*", type=Path, help="with build: further tables like local/components.toml")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, else 1 with one message on standard error."""
    parser = _parser()
    arguments = parser.parse_args(words)
    command, tables = arguments.command, arguments.tables
    if tables and command != "build":
        parser.error("only build takes tables")
    progress = Progress()
    try:
        config = settings.load()
        rows = table.load().of_mode(config.mode)
        if command == "down":
            down(config, rows)
        elif command == "build":
            with locked(config.cache):
                provide(config, rows, progress, engine.ensure(config, rows, progress))
                further = table.load(table.TABLE, *tables).programs.values()
                known = table.load().programs.values()
                make_missing([programs.product(row, config) for row in further if row not in known], progress)
        else:
            cluster = up(config, rows, progress)
            if command == "demo":
                demo.run_demo(cluster, progress)
            print(progress.table())
    except LocalError as error:
        print(f"\nError: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        full = Path(error.filename).parent if error.filename else "A disk"
        print(f"\nError: {full} cannot take more: {DISK_FULL}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
