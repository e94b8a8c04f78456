# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker engine: the running one, or Debian's, which is installed and started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from local import debian, programs
from local.cache import build_missing
from local.errors import LocalError
from local.progress import Progress
from local.run import run, succeeds
from local.settings import Settings
from local.table import Table

SYS_RESOURCE = 24  # the bit of CAP_SYS_RESOURCE, capability.h: runc needs it for privileged containers
START_TIMEOUT_S = 120


def lacks_capabilities(status: Path = Path("/proc/self/status")) -> bool:
    """Whether CAP_SYS_RESOURCE is missing from the host's bounding set, so that runc needs the shim."""
    bounding = next((line.split()[1] for line in status.read_text().splitlines() if line.startswith("CapBnd:")), "")
    return bool(bounding) and not int(bounding, 16) & 1 << SYS_RESOURCE


@dataclass(frozen=True)
class Engine:
    """A Docker engine; host is its DOCKER_HOST, or empty for the default of the docker command."""

    host: str

    @property
    def env(self) -> dict[str, str]:
        """The environment in which docker and kind connect to this engine."""
        return {**os.environ, **({"DOCKER_HOST": self.host} if self.host else {})}

    def docker(self, *arguments: str | Path, stdin: Path | None = None, hint: str = "see the engine's log.") -> str:
        """Run the docker command and return what it printed."""
        return run(["docker", *arguments], env=self.env, stdin=stdin, hint=hint)

    def has_image(self, ref: str) -> bool:
        return succeeds(["docker", "image", "inspect", ref], env=self.env)


@dataclass(frozen=True)
class OwnEngine:
    """The engine that this project starts if none is running, with a separate socket, storage and log."""

    settings: Settings

    @property
    def run_folder(self) -> Path:
        return Path("/run/hashfoundry-kserve")  # short: a socket's path may have 107 characters

    @property
    def pidfile(self) -> Path:
        return self.run_folder / "docker.pid"

    @property
    def engine(self) -> Engine:
        return Engine(f"unix://{self.run_folder}/docker.sock")

    @property
    def storage(self) -> Path:
        return self.settings.cache / "engine"

    @property
    def log(self) -> Path:
        return self.settings.cache / "engine.log"

    def holds_containers(self) -> bool:
        """Whether its storage contains containers, running or stopped."""
        folder = self.storage / "containers"
        return folder.is_dir() and any(folder.iterdir())

    def pid(self) -> int | None:
        """The process id of the running engine, or None."""
        try:
            pid = int(self.pidfile.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.run_folder).encode() in command else None

    def start(self, table: Table, progress: Progress) -> Engine:
        """Start dockerd and wait until it is ready."""
        if self.pid() is None:
            self.run_folder.mkdir(parents=True, exist_ok=True)
            self.storage.mkdir(parents=True, exist_ok=True)
            self.pidfile.unlink(missing_ok=True)
            command: list[str | Path] = ["dockerd", "--host", self.engine.host, "--pidfile", self.pidfile]
            command += ["--data-root", self.storage, "--exec-root", self.run_folder / "exec"]
            # kind creates its own network. docker0 would remain on the host after the engine stops.
            command += ["--bridge", "none"]
            if lacks_capabilities():
                shim = programs.product(table.programs["runc-shim"], self.settings)
                build_missing([shim], progress)
                # Without CAP_SYS_RESOURCE dockerd may not lower its own OOM score either.
                command += ["--add-runtime", f"shim={shim.path}", "--default-runtime", "shim"]
                command += ["--oom-score-adjust", "0"]
            with self.log.open("ab") as log:
                # In a new session, so that Ctrl-C in the terminal does not stop the engine.
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._wait(process)
        return self.engine

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not succeeds(["docker", "info"], env=self.engine.env):
            if process.poll() is not None or time.monotonic() > deadline:
                last = "\n".join(f"    {line}" for line in self.log.read_text(errors="replace").splitlines()[-8:])
                raise LocalError(f"The Docker engine did not start: fix the error at the end of {self.log}:\n{last}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the engine that start() started, and nothing else."""
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.pid() is not None:
            if time.monotonic() > deadline:
                raise LocalError(f"The Docker engine (process {pid}) did not stop: see {self.log}.")
            time.sleep(0.2)
        shutil.rmtree(self.run_folder, ignore_errors=True)


def answering(settings: Settings) -> Engine | None:
    """The running engine: the user's if there is one, else the one that this project started."""
    if succeeds(["docker", "info"]):
        return Engine("")
    own = OwnEngine(settings)
    return own.engine if own.pid() is not None and succeeds(["docker", "info"], env=own.engine.env) else None


def ensure(settings: Settings, table: Table, progress: Progress) -> Engine:
    """Return a running engine; install and start Debian's if there is none."""
    engine = answering(settings)
    if engine:
        return engine
    if os.geteuid() != 0:
        raise LocalError(
            "No Docker engine is running, and starting one requires root: "
            "start Docker, set DOCKER_HOST, or run this as root."
        )
    debian.ensure(dockerd="docker.io", docker="docker.io")
    return OwnEngine(settings).start(table, progress)
