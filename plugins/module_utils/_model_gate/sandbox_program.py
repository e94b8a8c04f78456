# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that loads a model and lets it predict, isolated from network, files and other processes.

It is started as ``python -I -c SOURCE`` by sandbox.py, which documents the job it reads from stdin and the lines
it writes. As its interpreter is the serving image's, not Ansible's, it stands alone: it imports nothing but the
standard library before the limits are set, and what the model needs only after. The job has the source of estimator.py.

What the calls do: man pages unshare(2), user_namespaces(7), pivot_root(2), mount_setattr(2), prctl(2), setrlimit(2).
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

# Exit codes of this program; a model's own code may end with any.
REFUSED = 97
TIMEOUT = 98

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
# The same number on every architecture; glibc has a function for it only from 2.36.
SYS_MOUNT_SETATTR = 442
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CAPABILITY_VERSION_3 = 0x20080522

# For users that exist only while a process runs (systemd, "Users, Groups, UIDs and GIDs"). The user nobody would not
# do: its processes on the machine are counted against the limit.
TRANSIENT_USERS = range(61184, 65520)
# Where programs and shared libraries of Linux distributions are; the interpreter's own folders come on top.
SYSTEM = ("/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def call(function: str, *arguments: Any) -> None:
    """Call a function of the C library that answers 0 where it has succeeded."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system or, with MS_BIND, a folder or file; strings may be None as in mount(2)."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def set_attributes(path: str, attributes: int, recursive: bool = True) -> None:
    """Set attributes of a mount, and of those below it."""
    values = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)  # struct mount_attr: set, clear, propagation, user namespace
    call(
        "syscall",
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_int(AT_FDCWD),
        os.fsencode(path),
        ctypes.c_uint(AT_RECURSIVE if recursive else 0),
        ctypes.byref(values),
        ctypes.c_size_t(ctypes.sizeof(values)),
    )


def transient_user() -> int | None:
    """Return a user that owns nothing, where this is root of a machine, or of a container that has so many users."""
    user = TRANSIENT_USERS[os.getpid() % len(TRANSIENT_USERS)]
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    ranges = [[int(word) for word in line.split()] for line in lines]
    known = any(first <= user < first + count for first, _outside, count in ranges)
    return user if known and os.geteuid() == 0 else None


def enter_namespaces(user: int | None) -> None:
    """Leave the network, the other processes and the tree of mounts; children are in the new process namespace."""
    uid, gid = os.geteuid(), os.getegid()
    # An ordinary user gets the right to do so only together with a user namespace.
    also = CLONE_NEWUSER if user is None else 0
    call("unshare", also | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
    if user is None:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text, encoding="ascii")


def needed_paths() -> list[str]:
    """Return what a Python process needs to read, without what lies below another entry."""
    wanted = {*SYSTEM, sys.prefix, sys.base_prefix, *sys.path}
    wanted |= {os.path.realpath(path) for path in wanted if path}
    kept: list[str] = []
    for path in sorted(path for path in wanted if path.startswith("/") and path != "/" and Path(path).exists()):
        if not any(path.startswith(parent + "/") for parent in kept):
            kept.append(path)
    return kept


def enter_new_root(root: str, size: int) -> None:
    """Make an empty folder the root: read-only, with what Python needs and a writable /tmp of so many bytes."""
    paths = needed_paths()
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755")
    # Before the others, since the interpreter may be below /tmp.
    Path(root, "tmp").mkdir()
    mount("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"size={size},mode=1777")
    for path in paths:
        bind(path, root + path, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV)
    for path in DEVICES:
        bind(path, root + path, ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC)
    Path(root, "dev", "shm").symlink_to("/tmp")
    set_attributes(root, ATTR_RDONLY, recursive=False)
    os.chdir(root)
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/tmp")


def bind(source: str, target: str, attributes: int) -> None:
    """Show a folder or file a second time, with attributes of its own."""
    if Path(source).is_dir():
        Path(target).mkdir(parents=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    mount(source, target, None, MS_BIND | MS_REC)
    set_attributes(target, attributes)


def give_up_rights(user: int | None) -> None:
    """Keep no right of root or of the user namespace, and none to be had by executing another program."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    call("capset", ctypes.byref((ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)), (ctypes.c_uint32 * 6)())
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process."""
    call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(number) for number in (value, 0, 0, 0)))


def set_limits(limits: dict[str, int]) -> None:
    """Set limits by the name of their constant, such as RLIMIT_AS; a lower one that is there already stays."""
    for name, value in limits.items():
        constant = getattr(resource, name)
        hard = resource.getrlimit(constant)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(constant, (value, value))


def write(descriptor: int, **values: Any) -> None:
    """Write one line of the report; it is there whole, whatever becomes of this process."""
    os.write(descriptor, (json.dumps(values, default=str) + "\n").encode())


def try_model(job: dict[str, Any]) -> int:
    """Report the versions, then load and predict, and report that."""
    from importlib import metadata

    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in job["packages"]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    write(job["report"], versions=versions)
    try:
        write(job["report"], **predict(job))
    except BaseException as error:  # a model's code may raise SystemExit, too
        if type(error).__name__ == "NotServable":
            write(job["report"], unservable=str(error))
            return 1
        # Where memory is short, the traceback takes what is left.
        write(job["report"], error=f"{type(error).__name__}: {error}")
        traceback.print_exc()
        return 1
    return 0


def predict(job: dict[str, Any]) -> dict[str, Any]:
    """Let joblib load the model, as KServe's servers do, and return what it takes, and gives for the instances."""
    import joblib

    served = load_module("served_estimator", job["estimator"])
    # scikit-learn only warns of a model that another version has pickled, as it may go well.
    warnings.filterwarnings("error", message="Trying to unpickle estimator")
    with os.fdopen(job["model"], "rb") as file:
        model = joblib.load(file)
    instances = job["instances"]
    width, texts = None, None
    if instances:
        first = instances[0]
        values = list(first.values()) if isinstance(first, dict) else first if isinstance(first, list) else [first]
        width, texts = len(values), all(isinstance(value, str) for value in values)
    estimator = served.Estimator(model, "predict", width, texts)
    write(job["report"], fitted=list(estimator.names or ()))
    # An object's keys are in any order; the model's columns are not.
    order = estimator.names or job["columns"] or [column.name for column in estimator.columns]
    lost = [name for row in instances if isinstance(row, dict) for name in order if name not in row]
    if lost:
        raise served.NotServable(f"its examples have no value for the column {lost[0]}; add it to each of them")
    rows = [[row[name] for name in order] if isinstance(row, dict) else row for row in instances]
    rows = [row if isinstance(row, list) else [row] for row in rows]
    if job["convert"]:
        rows = served.from_texts(rows, estimator)
    else:
        served.learn(rows, estimator)
    complete = [row for row in rows if not any(value is None for value in row)]
    if complete:
        # First of all: what stands for null is found with a row that has none.
        estimator.typical(served.columns_of_rows(complete, estimator))
    if rows:
        columns = served.columns_of_rows(rows, estimator)
    else:
        columns = estimator.typical()
        rows = served.by_row(columns) if len(columns) > 1 else [[value] for value in columns[0].tolist()]
    outputs = estimator.outputs()
    methods = job["methods"] or list(dict.fromkeys(output.method for output in outputs))
    return {
        "answers": {method: estimator.answers(columns, method) for method in methods},
        "columns": [column._asdict() for column in estimator.columns],
        "outputs": [output._asdict() for output in outputs],
        "classes": estimator.classes(),
        "instances": rows,
        "texts": estimator.texts,
        "kind": served.kind_of(model),
    }


def load_module(name: str, source: str) -> ModuleType:
    """Return a module of that source, which has no file here."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


def run(job: dict[str, Any], user: int | None) -> int:
    """Be the process that runs the model's code."""
    try:
        if job["isolated"]:
            enter_new_root(job["folder"], job["disk"])
            give_up_rights(user)
        # After the change of user, which would take it back.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        set_limits(job["limits"])
    except (AttributeError, OSError, ValueError) as error:
        write(job["report"], refused=str(error))
        return REFUSED
    return try_model(job)


def main() -> int:
    """Isolate, start the process that runs the model, and end it with all it has started."""
    job = json.load(sys.stdin)
    os.umask(0o022)
    user = None
    try:
        # Where the module is killed, nothing that it has started stays.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if job["isolated"]:
            user = transient_user()
            enter_namespaces(user)
        child = os.fork()
    except (AttributeError, OSError) as error:
        write(job["report"], refused=str(error))
        return REFUSED
    if child == 0:
        code = 1
        try:
            code = run(job, user)
            sys.stdout.flush()
        finally:
            os._exit(code)
    return watch(child, job["timeout"])


def watch(child: int, timeout: float) -> int:
    """Wait for the child; it is the first of its process namespace, so the kernel ends the others with it."""
    late = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal late
        late = True
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    status = os.waitpid(child, 0)[1]
    if late:
        return TIMEOUT
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    raise SystemExit(main())
