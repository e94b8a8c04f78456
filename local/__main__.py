# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A local kind cluster with the images that the collection's demo needs.

    python -m local up       create or resume the cluster
    python -m local demo     run up, then playbooks/site.yml, then send a prediction request
    python -m local down     delete the cluster and the images of earlier builds, and stop the Docker engine that `up`
                             started
    python -m local build    only pull or build the images and binaries of a cluster, and the binaries of additional
                             tables: python -m local build tests/upgrade/components.toml

The settings are environment variables: local/settings.py.
"""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from local import debian, demo, engine, galaxy, images, leftovers, network_policies, node, programs, settings, table
from local.cache import Product, build_missing, locked
from local.cluster import Cluster, make_state, remove_state
from local.engine import Engine, OwnEngine
from local.errors import DISK_FULL, LocalError
from local.progress import Progress
from local.settings import Settings
from local.table import Table


def rows_of(config: Settings) -> Table:
    """The rows that a cluster with these settings needs."""
    switched = (path for name, path in table.SWITCHED.items() if getattr(config, name))
    rows = table.load(table.TABLE, *switched).of_mode(config.mode)
    return rows if config.network_policies else rows.without(network_policies.PROGRAM)


def _tools(config: Settings, rows: Table) -> list[Product]:
    return [programs.product(row, config) for row in rows.programs.values() if row.tool]


def _all_products(config: Settings, rows: Table) -> list[Product]:
    """Every product that a cluster needs, each one after its own inputs."""
    wanted = [*rows.placed("node"), *rows.placed("cluster")]
    below = {"node", *(image.rootfs for image in wanted)}
    return [
        *(programs.product(row, config) for row in rows.programs.values()),
        *(images.rootfs_product(row, config) for row in rows.rootfs.values() if row.name in below),
        *(images.product(row, rows, config) for row in wanted),
        node.archive(rows, config),
    ]


def _pulled(config: Settings, rows: Table, docker: Engine) -> bool:
    """Pull the node image unless it is built here, and return whether it comes from a registry."""
    if config.images == "build" or docker.has_image(node.ref(rows, config)):
        return False
    image = rows.node["image"]
    if docker.has_image(image):
        return True
    print(f"    pulling {image}", flush=True)
    if subprocess.run(["docker", "pull", "--quiet", image], env=docker.env, check=False).returncode == 0:
        return True
    if config.images == "pull":
        raise LocalError(
            f"{image} cannot be pulled: check that its registry is reachable, or set HASHFOUNDRY_IMAGES=build."
        )
    print("    no container registry is reachable: building the images from package registries", flush=True)
    return False


def _build(config: Settings, rows: Table, progress: Progress) -> None:
    """Build every product of the table that is missing from the cache."""
    if os.geteuid() != 0:
        raise LocalError(
            "Building the images requires root: run this as root, or where a container registry is reachable."
        )
    debian.ensure(mmdebstrap="mmdebstrap", zstd="zstd")
    build_missing(_all_products(config, rows), progress)


def provide(config: Settings, rows: Table, progress: Progress, docker: Engine) -> bool:
    """Pull or build the images of a new cluster, and return whether they were built."""
    if _pulled(config, rows, docker):
        build_missing(_tools(config, rows), progress)
        return False
    _build(config, rows, progress)
    if not docker.has_image(node.ref(rows, config)):
        with progress.step(1, 1, f"node image {node.ref(rows, config)}"):
            node.preload(rows, config, docker)
    return True


def up(config: Settings, rows: Table, progress: Progress) -> Cluster:
    """Create the cluster, or resume the existing one."""
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
                build_missing(_tools(config, rows), progress)
            cluster.link_tools()
        with progress.stage("kind cluster"):
            if exists:
                cluster.resume()
            else:
                cluster.create(node.ref(rows, config) if built else rows.node["image"], built)
        with progress.stage("component images"):
            cluster.load(progress, built)
        with progress.stage("network policies"):
            network_policies.apply(cluster, built)
        settings.save_switches(config)
    return cluster


def down(config: Settings, rows: Table) -> None:
    """Delete the cluster, and stop the Docker engine if this project started it and no other container is left."""
    # Serialized: otherwise the first run to find no container would stop the engine while another still deletes.
    with locked(config.cache / "down"):
        _down(config, rows)
    remove_state(config)


def _down(config: Settings, rows: Table) -> None:
    docker = engine.answering(config)
    own = OwnEngine(config)
    if docker is None and own.holds_containers() and os.geteuid() == 0:
        docker = own.start(rows, Progress())  # stopped by a reboot; its storage still contains the node
    if docker:
        Cluster(config, rows, docker).delete()
        # A run that is creating a cluster holds the lock before it has a container.
        with locked(config.cache, wait=False) as alone:
            if alone:
                for name in leftovers.remove(docker, leftovers.current(config), datetime.now(UTC)):
                    print(f"    removed the image {name} of an earlier build", flush=True)
            if alone and docker.host:
                leftovers.prune(docker)
                if not docker.docker("ps", "--quiet").strip():
                    docker.docker("network", "prune", "--force")
                    own.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("up", "demo", "down", "build"))
    parser.add_argument(
        "tables", nargs="*", type=Path, help="with build: additional tables in the format of local/components.toml"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 on success, else 1 with one message on standard error."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command, tables = options.command, options.tables
    if tables and command != "build":
        parser.error("only build takes tables")
    progress = Progress()
    try:
        config = settings.load()
        rows = rows_of(config)
        if command == "down":
            down(config, rows)
        elif command == "build":
            with locked(config.cache):
                provide(config, rows, progress, engine.ensure(config, rows, progress))
                further = table.load(table.TABLE, *tables).programs.values()
                known = table.load().programs.values()
                build_missing([programs.product(row, config) for row in further if row not in known], progress)
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
        full = Path(error.filename).parent if error.filename else "a disk"
        print(f"\nError: Writing to {full} failed: {DISK_FULL}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command to resume.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
