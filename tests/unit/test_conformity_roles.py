# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for every role of the collection. Each check is also run on a role that violates it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir())

MAX_TASK_FILE = 120
NOT_FOR_KUBERNETES = {"command", "expect", "pause", "raw", "script", "shell"}
# A model is trained by a command on the control node, which runs once and without a shell.
RUNS_A_PROGRAM = {"model_training"}
PROGRAM_NEEDS = {"argv", "creates"}
PROGRAM_MAY_HAVE = PROGRAM_NEEDS | {"chdir"}
BLOCKS = ("block", "rescue", "always")
# The role on which the others depend, and those of its variables that may be undefined or come from a vault. Ansible
# would evaluate them in every play if they were options.
FACTS = "platform"
UNSEEN = {
    *("platform_domain", "platform_bucket", "platform_access_key", "platform_secret_key"),
    *("platform_model_credentials", "platform_models", "platform_absent_models"),
}
# Every other role passes the cluster's kubeconfig to its tasks, whatever the play does.
WITHOUT_CLUSTER = {FACTS, "model_storage", "model_training", "model_verification"}
ENVIRONMENT = "{{ platform_environment }}"
# A restore applies what each role had applied as that role.
AS_OTHERS = {
    "model_backup": "{{ __model_backup_item.field_manager }}",
    "platform_upgrade": "{{ __platform_upgrade_item.field_manager }}",
}
# Options whose keys a user, Kubernetes or a chart defines, by the end of their names; and a reference to an option with
# the same keys.
FREE = re.compile(
    r"(^|_)(annotations|autoscaler|config|digests|environment|features|labels|packages|quota|registries|runtimes"
    r"|base|gateway|istiod|values|persistent_volume|solvers|spec|namespaceSelector|podSelector"
    r"|requests|limits|default|defaultRequest|max|min|maxLimitRequestRatio)$"
)
REFERENCE = re.compile(r"\bas (the option )?[CO]\(|\bas the O\(ignore:")
WAITS_FOR = {"active_connection_states", "host", "path", "port", "search_regex"}


def load(path: Path) -> Any:
    """Return the content of a YAML file, or None if it is missing or empty."""
    return yaml.safe_load(path.read_text()) if path.exists() else None


def task_files(role: Path) -> list[Path]:
    """Return the files of tasks and handlers."""
    return sorted(path for folder in ("tasks", "handlers") for path in (role / folder).rglob("*.y*ml"))


def tasks(role: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every task with the name of its file, including blocks and the tasks in them."""

    def flat(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for entry in entries:
            yield entry
            for part in BLOCKS:
                yield from flat(entry.get(part) or [])

    for path in task_files(role):
        for task in flat(load(path) or []):
            yield str(path.relative_to(role)), task


def actions(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task's keys by their last part: `ansible.builtin.copy` is `copy`."""
    return {key.rpartition(".")[2]: value for key, value in task.items()}


def missing_file_faults(role: Path) -> list[str]:
    """Return the required files that are missing from a role."""
    wanted = ("README.md", "defaults/main.yml", "meta/argument_specs.yml")
    return [f"{name} is missing" for name in wanted if not (role / name).is_file()]


def dependency_faults(role: Path) -> list[str]:
    """Check that the shared variables are defined for the role wherever it runs."""
    named = (load(role / "meta" / "main.yml") or {}).get("dependencies")
    wanted = None if role.name == FACTS else [{"role": f"hashfoundry.kserve.{FACTS}"}]
    return [] if named == wanted else [f"meta/main.yml has the dependencies {named}, not {wanted}"]


def specified(role: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the names and specifications of the options of all entry points."""
    specs = (load(role / "meta" / "argument_specs.yml") or {}).get("argument_specs", {})
    return [option for entry in specs.values() for option in (entry.get("options") or {}).items()]


def default_faults(role: Path) -> list[str]:
    """Compare defaults/main.yml with meta/argument_specs.yml: the same names, and the same values.

    Only a required option has no default. An optional one may be null. A default that is computed from other variables
    may be set in defaults/main.yml only. It must if it names a shared variable: Ansible would evaluate and print it
    even if the option is set.
    """
    defaults = load(role / "defaults" / "main.yml") or {}
    options = specified(role)
    faults = [f"{name} has a default and no option" for name in sorted(defaults.keys() - dict(options).keys() - UNSEEN)]
    for name, option in options:
        if any(f"{FACTS}_" in text for text in texts(option.get("default"))):
            faults.append(f"{name} names a fact in the options, which belongs into the defaults only")
        if "default" not in option and is_reckoned(defaults.get(name)):
            continue
        if option.get("required"):
            if name in defaults or "default" in option:
                faults.append(f"{name} is required and has a default")
        elif name not in defaults:
            faults.append(f"{name} is an option without a line in defaults/main.yml")
        elif defaults[name] != option.get("default") or type(defaults[name]) is not type(option.get("default")):
            faults.append(f"{name} is {defaults[name]!r} in the defaults and {option.get('default')!r} in the options")
    return faults


def structure_faults(role: Path) -> list[str]:
    """Return the options with keys of which nothing says what they are: neither suboptions nor a reference."""

    def faults(options: dict[str, Any], place: str) -> Iterator[str]:
        for name, option in options.items():
            if "dict" in (option.get("type"), option.get("elements")) and "options" not in option:
                said = " ".join(texts(option.get("description")))
                if not (FREE.search(name) or REFERENCE.search(said)):
                    yield f"{place}{name} has no options"
            yield from faults(option.get("options") or {}, f"{place}{name}.")

    return list(faults(dict(specified(role)), ""))


def is_reckoned(value: Any) -> bool:
    """Whether a default is computed from other variables."""
    return any("{{" in text for text in texts(value))


def set_inside(task: dict[str, Any]) -> list[str]:
    """Return the variables that a task sets for its role."""
    named = actions(task)
    control = task.get("loop_control") or {}
    names = [task.get("register"), control.get("loop_var"), control.get("index_var")]
    # The variables of an included role are that role's public ones.
    if not named.keys() & {"import_role", "include_role"}:
        names += task.get("vars") or {}
    return [name for name in names if name]


def name_faults(role: Path) -> list[str]:
    """Return the variables without the prefix of their role: `<role>_*` is public, `__<role>_*` is internal."""
    public, private = f"{role.name}_", f"__{role.name}_"
    outside = [*(load(role / "defaults" / "main.yml") or {}), *(name for name, _option in specified(role))]
    faults = [f"{name} is public and must begin with {public}" for name in outside if not name.startswith(public)]
    inside = [
        (str(path.relative_to(role)), name) for path in (role / "vars").glob("*.y*ml") for name in load(path) or {}
    ]
    for file, task in tasks(role):
        inside += [(file, name) for name in set_inside(task)]
        for name in actions(task).get("set_fact") or {}:
            # A shared variable may be a role's result.
            if name != "cacheable" and not name.startswith((public, private)):
                faults.append(f"{file}: {name} must begin with {public} or {private}")
    for file, name in inside:
        if not name.startswith(private):
            faults.append(f"{file}: {name} is internal and must begin with {private}")
    return faults


def length_faults(role: Path) -> list[str]:
    """Return the task files that are too long."""
    lengths = {path: len(path.read_text().splitlines()) for path in task_files(role)}
    return [
        f"{path.relative_to(role)} has {lines} lines, not at most {MAX_TASK_FILE}"
        for path, lines in lengths.items()
        if lines > MAX_TASK_FILE
    ]


def cluster_faults(role: Path) -> list[str]:
    """Return the tasks of entry points that would use a cluster other than that of platform_kubeconfig."""
    if role.name in WITHOUT_CLUSTER:
        return []
    specs = (load(role / "meta" / "argument_specs.yml") or {}).get("argument_specs", {})
    return [
        f"tasks/{entry}.yml: {task.get('name')} has the environment {task.get('environment')}, not {ENVIRONMENT}"
        for entry in specs
        for task in load(role / "tasks" / f"{entry}.yml") or []
        if task.get("environment") != ENVIRONMENT
    ]


def field_manager_faults(role: Path) -> list[str]:
    """Check that no role applies under the name of another, which would prune its objects and remove its fields."""
    wanted = AS_OTHERS.get(role.name, f"hashfoundry.kserve.{role.name}")
    named = [(file, actions(task)["manifests"]) for file, task in tasks(role) if "manifests" in actions(task)]
    return [
        f"{file}: the field manager of manifests is {options.get('field_manager')}, not {wanted}"
        for file, options in named
        if options.get("field_manager") != wanted
    ]


def previous_manager_faults(role: Path) -> list[str]:
    """Check that a task names the field managers that it replaces only if they are not the module's default."""
    named = [(file, actions(task).get("manifests") or {}) for file, task in tasks(role)]
    return [
        f"{file}: previous_field_managers is the default of manifests"
        for file, options in named
        if options.get("previous_field_managers") == ["hashfoundry.kserve"]
    ]


def log_faults(role: Path) -> list[str]:
    """Check that the log of a container is shown without what looks like a secret in it."""
    found = [(file, task) for file, task in tasks(role) if "k8s_log" in actions(task)]
    return [
        f"{file}: the log {match[0]} is used without the filter redacted"
        for file, task in found
        for text in texts(load(role / file))
        for match in re.finditer(rf"{re.escape(str(task.get('register')))}[.]log\b([^}}]*)", text)
        if "hashfoundry.kserve.redacted" not in match[1]
    ]


def texts(value: Any) -> Iterator[str]:
    """Yield every string in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def is_program(task: Any) -> bool:
    """Whether a command has an argument list and runs only once."""
    return isinstance(task, dict) and PROGRAM_NEEDS <= task.keys() <= PROGRAM_MAY_HAVE


def action_faults(role: Path) -> list[str]:
    """Return the tasks that run a command instead of a module, or wait for time instead of a condition."""
    faults = []
    for file, task in tasks(role):
        named = actions(task)
        written = task.get("action", task.get("local_action"))
        if written is not None:
            module = written.get("module", "") if isinstance(written, dict) else str(written).split()[0]
            named[module.rpartition(".")[2]] = written
        refused = named.keys() & NOT_FOR_KUBERNETES
        if role.name in RUNS_A_PROGRAM and is_program(named.get("command")):
            refused -= {"command"}
        faults += [f"{file}: {name} is not for roles" for name in sorted(refused)]
        waited = named.get("wait_for", WAITS_FOR)
        if not set(waited or ()) & WAITS_FOR:
            faults.append(f"{file}: wait_for without a condition only lets time pass")
        # Tasks in a block are checked separately.
        alone = {key: value for key, value in task.items() if key not in BLOCKS}
        if any(re.search(r"\bsleep\s+[\d$\"'{]", text) for text in texts(alone)):
            faults.append(f"{file}: sleep only lets time pass")
    return faults


Check = Callable[[Path], list[str]]
CHECKS: list[Check] = [
    missing_file_faults,
    dependency_faults,
    default_faults,
    structure_faults,
    name_faults,
    length_faults,
    action_faults,
    cluster_faults,
    field_manager_faults,
    previous_manager_faults,
    log_faults,
]


def test_the_collection_has_roles() -> None:
    assert ROLES


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
@pytest.mark.parametrize("check", CHECKS)
def test_the_role_follows_the_rule(check: Check, role: Path) -> None:
    assert check(role) == []


FILES = {
    "README.md": "# probe\n",
    "defaults/main.yml": """
probe_count: 3
probe_note:
probe_words: [a]
probe_pods:
probe_others:
probe_folder: '{{ home }}/probe'
probe_domain: '{{ platform_domain }}'
""",
    "meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      probe_name: {type: str, required: true}
      probe_count: {type: int, default: 3}
      probe_note: {type: str}
      probe_words: {type: list, elements: str, default: [a]}
      probe_pods: {type: list, elements: dict, options: {labels: {type: dict}}}
      probe_others: {type: dict, description: "The others, as C(other_pods)."}
      probe_folder: {type: path, default: '{{ home }}/probe'}
      probe_domain: {type: str}
""",
    "meta/main.yml": "dependencies: [{role: hashfoundry.kserve.platform}]\n",
    "vars/main.yml": "__probe_kind: Pod\n",
    "handlers/main.yml": "- name: Debug\n  ansible.builtin.debug:\n",
    "tasks/main.yml": """
- name: Outer
  environment: '{{ platform_environment }}'
  block:
    - name: Ask
      ansible.builtin.uri: {url: "https://example.org/"}
      register: __probe_answer
      loop: [1]
      loop_control: {loop_var: __probe_item}
      vars: {__probe_extra: 1}
    - name: Wait
      ansible.builtin.wait_for: {port: 80}
    - name: Read
      kubernetes.core.k8s_log: {name: a}
      register: __probe_result
    - name: Show
      ansible.builtin.debug: {msg: "{{ __probe_result.log | hashfoundry.kserve.redacted }}"}
    - name: Apply
      hashfoundry.kserve.manifests: {field_manager: hashfoundry.kserve.probe}
  rescue:
    - name: Include
      ansible.builtin.include_role: {name: hashfoundry.kserve.other}
      vars: {other_name: a}
    - name: Keep
      ansible.builtin.set_fact: {probe_result: 1, __probe_inner: 2}
""",
}


@pytest.mark.parametrize(
    "file",
    [
        "certificates/tasks/cert_manager.yml",  # namespaces, whose labels are another role's
        "credential_rotation/tasks/pods.yml",  # a label of an InferenceService
        "model_backup/tasks/restore_objects.yml",  # what others have added to the objects of a role
        "platform_upgrade/tasks/restore.yml",
    ],
)
def test_a_task_that_applies_only_a_part_of_an_object_takes_nothing_over(file: str) -> None:
    role, _slash, path = file.partition("/")
    named = [actions(task).get("manifests") or {} for name, task in tasks(ROOT / "roles" / role) if name == path]
    assert [] in [options.get("previous_field_managers") for options in named]


@pytest.fixture
def role(tmp_path: Path) -> Path:
    """A role that violates no rule."""
    for name, text in FILES.items():
        path = tmp_path / "probe" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "probe"


def test_a_correct_role_has_no_fault(role: Path) -> None:
    assert [fault for check in CHECKS for fault in check(role)] == []


@pytest.mark.parametrize("file", ["README.md", "defaults/main.yml", "meta/argument_specs.yml"])
def test_a_role_without_the_file_has_the_fault(role: Path, file: str) -> None:
    (role / file).unlink()
    assert missing_file_faults(role) == [f"{file} is missing"]


@pytest.mark.parametrize(
    ("check", "file", "old", "new", "fault"),
    [
        (default_faults, "defaults/main.yml", "probe_count: 3", "", "probe_count is an option without"),
        (default_faults, "defaults/main.yml", "3", "4", "probe_count is 4 in the defaults and 3"),
        (default_faults, "defaults/main.yml", "3", "'3'", "probe_count is '3' in the defaults and 3"),
        (default_faults, "defaults/main.yml", "3", "3.0", "probe_count is 3.0 in the defaults and 3"),
        (default_faults, "defaults/main.yml", "probe_note", "probe_more", "probe_more has a default and no option"),
        (default_faults, "defaults/main.yml", "probe_note", "probe_name", "probe_name is required and has"),
        (default_faults, "meta/argument_specs.yml", ", default: 3", "", "probe_count is 3 in the defaults and None"),
        (dependency_faults, "meta/main.yml", "platform", "other", "has the dependencies"),
        (default_faults, "meta/argument_specs.yml", "{{ home }}", "{{ platform_x }}", "probe_folder names a fact"),
        (
            default_faults,
            "defaults/main.yml",
            "'{{ platform_domain }}'",
            "a.b",
            "probe_domain is 'a.b' in the defaults",
        ),
        (structure_faults, "meta/argument_specs.yml", "options: {labels", "keys: {labels", "probe_pods has no options"),
        (structure_faults, "meta/argument_specs.yml", "{labels:", "{wrong:", "probe_pods.wrong has no options"),
        (structure_faults, "meta/argument_specs.yml", ", as C(other_pods)", "", "probe_others has no options"),
        (name_faults, "defaults/main.yml", "probe_count", "count", "count is public"),
        (name_faults, "meta/argument_specs.yml", "probe_name", "name", "name is public"),
        (name_faults, "vars/main.yml", "__probe_kind", "probe_kind", "probe_kind is internal"),
        (name_faults, "tasks/main.yml", "__probe_answer", "probe_answer", "probe_answer is internal"),
        (name_faults, "tasks/main.yml", "__probe_item", "item2", "item2 is internal"),
        (name_faults, "tasks/main.yml", "__probe_extra", "extra", "extra is internal"),
        (name_faults, "tasks/main.yml", "probe_result", "result", "result must begin"),
        (
            cluster_faults,
            "tasks/main.yml",
            "platform_environment",
            "other",
            "Outer has the environment {{ other }}",
        ),
        (
            field_manager_faults,
            "tasks/main.yml",
            "{field_manager: hashfoundry.kserve.probe}",
            "{}",
            "is None, not hash",
        ),
        (
            previous_manager_faults,
            "tasks/main.yml",
            "{field_manager:",
            "{previous_field_managers: [hashfoundry.kserve], field_manager:",
            "is the default of manifests",
        ),
        (log_faults, "tasks/main.yml", " | hashfoundry.kserve.redacted", "", "is used without the filter redacted"),
        (field_manager_faults, "tasks/main.yml", "kserve.probe", "kserve.other", "is hashfoundry.kserve.other, not"),
        (action_faults, "tasks/main.yml", "uri: {url", "command: {cmd", "command is not for roles"),
        (action_faults, "tasks/main.yml", "ansible.builtin.uri: {url", "shell: {cmd", "shell is not for roles"),
        (
            action_faults,
            "tasks/main.yml",
            "ansible.builtin.uri:",
            "action: ansible.builtin.raw\n      with:",
            "raw is not",
        ),
        (action_faults, "handlers/main.yml", "debug:", "pause: {seconds: 5}", "pause is not for roles"),
        (action_faults, "tasks/main.yml", "port: 80", "timeout: 80", "wait_for without a condition"),
        (action_faults, "tasks/main.yml", "https://example.org/", "sh -c 'sleep 5'", "sleep only lets time pass"),
    ],
)
def test_a_broken_role_has_the_fault(role: Path, check: Check, file: str, old: str, new: str, fault: str) -> None:
    assert old in FILES[file]
    (role / file).write_text(FILES[file].replace(old, new))
    assert any(fault in found for found in check(role))


PROGRAM = "- name: Train\n  ansible.builtin.command: {argv: [python3], chdir: /tmp, creates: /tmp/model}\n"


@pytest.mark.parametrize(
    ("name", "task", "faults"),
    [
        ("model_training", PROGRAM, []),
        ("model_training", PROGRAM.replace("chdir: /tmp, ", ""), []),
        ("model_storage", PROGRAM, ["tasks/main.yml: command is not for roles"]),
        (
            "model_training",
            PROGRAM.replace("argv: [python3]", "cmd: python3"),
            ["tasks/main.yml: command is not for roles"],
        ),
        ("model_training", PROGRAM.replace(", creates: /tmp/model", ""), ["tasks/main.yml: command is not for roles"]),
        ("model_training", PROGRAM.replace("chdir", "stdin"), ["tasks/main.yml: command is not for roles"]),
        ("model_training", PROGRAM.replace("command", "shell"), ["tasks/main.yml: shell is not for roles"]),
    ],
)
def test_only_training_runs_a_command_and_only_once(tmp_path: Path, name: str, task: str, faults: list[str]) -> None:
    path = tmp_path / name / "tasks" / "main.yml"
    path.parent.mkdir(parents=True)
    path.write_text(task)
    assert action_faults(tmp_path / name) == faults


@pytest.mark.parametrize(("lines", "faults"), [(120, []), (121, ["tasks/long.yml has 121 lines, not at most 120"])])
def test_a_task_file_has_a_maximum_length(role: Path, lines: int, faults: list[str]) -> None:
    (role / "tasks" / "long.yml").write_text("# Again.\n" * lines)
    assert length_faults(role) == faults


def foreign_options(role: Path, owners: dict[str, str]) -> list[str]:
    """Return the options of other roles that a role evaluates without a default.

    They are defined only in a play with the other role. owners: the role of each option.
    """
    files = [path for path in role.rglob("*") if path.suffix in (".yml", ".j2") and "meta" not in path.parts]
    found = set()
    for path in files:
        for line in path.read_text().splitlines():
            for word in re.finditer(r"\b[a-z][a-z0-9_]+\b", "" if line.lstrip().startswith("#") else line):
                rest = line[word.end() :]
                handed_on = line[: word.start()].strip() == "" and rest.startswith(":")
                ours = owners.get(word[0], FACTS) in (role.name, FACTS)
                if not (ours or handed_on or re.match(r" *\| *default\b", rest)):
                    found.add(word[0])
    return sorted(found)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_needs_no_option_of_another_one(role: Path) -> None:
    owners = {name: other.name for other in ROLES for name, _option in specified(other)}
    assert foreign_options(role, owners) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- debug: {msg: '{{ other_bucket }}'}", ["other_bucket"]),
        ("- debug: {msg: '{{ other_bucket | default(platform_bucket) }}'}", []),
        ("  vars:\n    other_bucket: '{{ platform_bucket }}'", []),
        ("# other_bucket", []),
    ],
)
def test_an_option_of_another_role_is_found(tmp_path: Path, text: str, found: list[str]) -> None:
    (tmp_path / "mine" / "tasks").mkdir(parents=True)
    (tmp_path / "mine" / "tasks" / "main.yml").write_text(text)
    assert foreign_options(tmp_path / "mine", {"other_bucket": "other"}) == found
