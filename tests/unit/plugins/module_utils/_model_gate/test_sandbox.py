# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox of the gate with real processes, namespaces and scikit-learn; no kernel feature is faked.

Each hostile model is a pickle that runs code and then loads as a valid model, so it passes if the code is harmless.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import shutil
import socket
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate import sandbox_program
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.sandbox import (
    Outcome,
    Trial,
    fault,
    try_model,
)

pytest.importorskip("joblib")
pytest.importorskip("sklearn")

ROOT = Path(__file__).resolve().parents[5]
ROWS = [[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4]]
GIB = 2**30


class Running:
    """Pickles to a call that runs code and returns a model that predicts 1 for every row."""

    def __init__(self, program: str) -> None:
        self.program = textwrap.dedent(program)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        sound = "type('Model', (), {'predict': lambda self, rows: [1] * len(rows)})()"
        return eval, (f"(exec({self.program!r}, {{}}), {sound})[1]",)


@pytest.fixture(scope="session")
def sound() -> bytes:
    from sklearn.dummy import DummyClassifier

    return pickle.dumps(DummyClassifier(strategy="constant", constant=1).fit(ROWS, [0, 1]))


@pytest.fixture
def model(tmp_path: Path, sound: bytes) -> Path:
    path = tmp_path / "model.joblib"
    path.write_bytes(sound)
    return path


@pytest.fixture
def attempt(tmp_path: Path):
    """Return a function that validates a model that runs code."""

    def run(program: str, isolated: bool = True, timeout: float = 30, memory: int = 2 * GIB) -> Outcome:
        path = tmp_path / "hostile.joblib"
        path.write_bytes(pickle.dumps(Running(program)))
        return try_model(Trial(sys.executable, timeout, memory, isolated), path, ROWS)

    return run


@pytest.fixture(scope="session", autouse=True)
def isolation(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip if the kernel allows no namespaces, as in a container; the gate reports that itself."""
    empty = tmp_path_factory.mktemp("probe") / "model.joblib"
    empty.touch()
    outcome = try_model(Trial(sys.executable, 30, 2 * GIB), empty, ROWS)
    if outcome.refused:
        pytest.skip(f"no namespaces here: {outcome.refused}")


def sentence(outcome: Outcome, timeout: float = 30, memory: int = 2 * GIB) -> str | None:
    return fault(outcome, Trial("python3", timeout, memory), Path("m.joblib"), {"predict": [1, 1]})


def test_a_harmless_model_passes_and_the_versions_are_returned(model: Path) -> None:
    trial = Trial(sys.executable, 30, 2 * GIB, packages=["scikit-learn", "not-installed-anywhere"])
    outcome = try_model(trial, model, ROWS, ["predict", "predict_proba"])
    assert outcome.answers == {"predict": [1, 1], "predict_proba": [[0.0, 1.0], [0.0, 1.0]]}
    assert outcome.versions.keys() == {"python", "scikit-learn"}
    assert outcome.versions["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert fault(outcome, trial, model, outcome.answers) is None
    assert "gives [1, 1], and metadata.json says [1, 0]" in str(fault(outcome, trial, model, {"predict": [1, 0]}))
    assert "gives [1, 1], and metadata.json says [1]" in str(fault(outcome, trial, model, {"predict": [1]}))


@pytest.mark.parametrize("got", [[float("nan"), 1.0], [[1.0, float("inf")]]])
def test_a_prediction_that_json_cannot_express_is_rejected(got: list[Any]) -> None:
    outcome = Outcome(0, answers={"predict": got})
    message = str(fault(outcome, Trial("python3", 30, 2 * GIB), Path("m.joblib"), {"predict": got}))
    assert "and JSON has neither NaN nor infinity" in message


@pytest.mark.parametrize("framed", [True, False])
def test_rows_of_objects_are_sorted_by_the_models_columns(tmp_path: Path, framed: bool) -> None:
    from sklearn.tree import DecisionTreeClassifier

    rows: Any = [[0, 1], [1, 0]]
    if framed:
        rows = pytest.importorskip("pandas").DataFrame(rows, columns=["months", "charge"])
    path = tmp_path / "model.joblib"
    path.write_bytes(pickle.dumps(DecisionTreeClassifier().fit(rows, [0, 1])))
    instances = [{"charge": 1, "months": 0}, {"months": 1, "charge": 0}]
    # A model that was fitted on a DataFrame has its own columns.
    columns = ["charge", "months"] if framed else ["months", "charge"]
    outcome = try_model(Trial(sys.executable, 30, 2 * GIB), path, instances, columns=columns)
    assert (outcome.answers, outcome.error) == ({"predict": [0, 1]}, None)
    assert outcome.fitted == (["months", "charge"] if framed else [])


def test_a_model_accepts_only_the_columns_of_its_training_in_their_order() -> None:
    trial, path, answers = Trial("python3", 30, 2 * GIB), Path("m.joblib"), {"predict": [0, 1]}
    framed = Outcome(0, answers=answers, fitted=["months", "charge"])
    message = str(fault(framed, trial, path, answers, ["charge", "months"]))
    assert "was fitted on the columns months, charge, and metadata.json lists the features charge, months; " in message
    # Without listed columns, or names in the model, there is nothing to compare.
    assert fault(framed, trial, path, answers, ["months", "charge"]) is None
    assert fault(framed, trial, path, answers) is None
    assert fault(Outcome(0, answers=answers), trial, path, answers, ["charge", "months"]) is None


def stored(path: Path, model: Any) -> Path:
    path.write_bytes(pickle.dumps(model))
    return path


def test_what_no_server_can_serve_is_rejected_for_the_true_reason(tmp_path: Path) -> None:
    from sklearn.cluster import DBSCAN
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import LocalOutlierFactor
    from sklearn.preprocessing import StandardScaler

    trial = Trial(sys.executable, 30, 2 * GIB)
    for model, message in (
        (DBSCAN().fit(ROWS), "DBSCAN groups the rows that it is fitted on and has no predict for new ones; use"),
        (LocalOutlierFactor(1).fit(ROWS), "LocalOutlierFactor predicts new rows with novelty=True only; fit it so"),
        (StandardScaler().fit(ROWS), "StandardScaler transforms rows and has no predict; end the pipeline with"),
        (LinearRegression(), "LinearRegression is not fitted; fit it before it is stored"),
        (LinearRegression().fit([row[:3] for row in ROWS], [0, 1]), "row 1 of its examples has 4 values, and the"),
    ):
        path = stored(tmp_path / "model.pkl", model)
        found = fault(try_model(trial, path, ROWS), trial, path, {"predict": [0, 1]})
        assert f"The model {path} cannot be served: {message}" in str(found)
        assert "train it under" not in str(found)


def test_several_targets_texts_and_missing_values_pass(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    trial = Trial(sys.executable, 30, 2 * GIB)
    targets = DecisionTreeClassifier().fit([*ROWS, ROWS[0]], [[0, 0], [1, 1], [2, 0]])
    outcome = try_model(trial, stored(tmp_path / "model.pkl", targets), ROWS, ["predict", "predict_proba"])
    assert outcome.answers == {
        "predict": targets.predict(ROWS).tolist(),
        "predict_proba": [[one.tolist(), two.tolist()] for one, two in zip(*targets.predict_proba(ROWS), strict=True)],
    }
    assert [output["shape"] for output in outcome.found["outputs"]] == [[-1, 2], [-1, 3], [-1, 2]]
    texts = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good film", "bad film"], ["+", "-"])
    for rows in (["good", "bad"], [["good"], ["bad"]], [{"text": "good"}, {"text": "bad"}]):
        outcome = try_model(trial, stored(tmp_path / "model.pkl", texts), rows, columns=["text"])
        assert (outcome.answers, outcome.error) == ({"predict": ["+", "-"]}, None)
    imputed = make_pipeline(SimpleImputer(), LogisticRegression()).fit(ROWS, [0, 1])
    outcome = try_model(trial, stored(tmp_path / "model.pkl", imputed), [ROWS[0], [None, *ROWS[1][1:]]])
    assert (outcome.answers, outcome.error) == ({"predict": [0, 1]}, None)


CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 5).sendall(b'stolen')"


@pytest.mark.parametrize("isolated", [True, False])
def test_the_network_is_available_only_without_isolation(attempt, isolated: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        outcome = attempt(CONNECT.format(port=listener.getsockname()[1]), isolated)
        if isolated:
            assert "Network is unreachable" in str(outcome.error)
            assert "Network is unreachable" in str(sentence(outcome))
            with pytest.raises(BlockingIOError):
                listener.accept()
        else:
            assert outcome.answers == {"predict": [1, 1]}
            assert listener.accept()[0].recv(6) == b"stolen"


def test_unix_sockets_of_other_processes_are_unreachable(attempt, tmp_path: Path) -> None:
    path, abstract = str(tmp_path / "socket"), f"\0{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for listener, address in ((one, path), (other, abstract)):
            listener.bind(address)
            listener.listen()
        outcome = attempt(f"""
            import socket
            for address in ({path!r}, {abstract!r}):
                try:
                    socket.socket(socket.AF_UNIX).connect(address)
                except OSError as error:
                    print(type(error).__name__)
        """)
    assert outcome.output.split() == ["FileNotFoundError", "ConnectionRefusedError"]


def test_memory_is_limited(attempt, model: Path) -> None:
    outcome = attempt("bytearray(3 * 2**30)")
    assert outcome.error == "MemoryError: "
    assert "needs more than 2048 MiB" in str(sentence(outcome))
    # Too little for NumPy and for scikit-learn, which report it differently.
    for memory in (100 * 2**20, 200 * 2**20):
        outcome = try_model(Trial(sys.executable, 30, memory), model, ROWS)
        assert f"needs more than {memory // 2**20} MiB" in str(sentence(outcome, memory=memory))


# A process in a new session, in which sleep runs under a name that can be found.
LEAVE_BEHIND = """
    import os, time
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/usr/bin/sleep", ["{token}", "100000"])
        os._exit(0)
    os.waitpid(child, 0)
    print("left behind", flush=True)
"""


def test_no_process_survives(attempt) -> None:
    token = str(uuid.uuid4())
    outcome = attempt(LEAVE_BEHIND.format(token=token))
    assert outcome.answers == {"predict": [1, 1]}
    assert not any(token in command for command in commands())


def test_no_process_survives_the_timeout(attempt) -> None:
    token = str(uuid.uuid4())
    outcome = attempt(LEAVE_BEHIND.format(token=token) + "    while True: pass\n", timeout=4)
    assert outcome.output == "left behind"
    assert outcome.code == sandbox_program.TIMEOUT
    assert "did not load and predict within 4 s" in str(sentence(outcome, timeout=4))
    assert not any(token in command for command in commands())


def commands() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_text(errors="replace"))
        except OSError:
            continue  # it has exited since
    return found


def test_without_namespaces_the_processes_of_the_session_are_killed(attempt) -> None:
    outcome = attempt(
        """
        import os, time
        child = os.fork()
        if child == 0:
            time.sleep(10**6)
        print(child)
        """,
        isolated=False,
    )
    assert outcome.answers == {"predict": [1, 1]}
    try:
        descriptor = os.pidfd_open(int(outcome.output))
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 10)[0], "the child still runs"
    finally:
        os.close(descriptor)


def test_processes_are_limited(attempt) -> None:
    outcome = attempt("""
        import os
        for number in range(1000):
            if os.fork() == 0:
                os.execv("/usr/bin/sleep", ["sleep", "100000"])
    """)
    assert str(outcome.error).startswith("BlockingIOError")


def test_no_secret_of_the_parent_is_visible(attempt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTED-IN-ENVIRONMENT")
    (tmp_path / "credentials").write_text("PLANTED-IN-FILE")
    outcome = attempt(f"""
        import glob, os
        print(sorted(os.environ))
        print(os.environ)
        for path in ["{tmp_path}/credentials", *glob.glob("/proc/*/environ")]:
            try:
                print(open(path).read())
            except OSError as error:
                print(type(error).__name__)
    """)
    assert outcome.answers
    assert "PLANTED" not in outcome.output
    assert "FileNotFoundError" in outcome.output
    assert outcome.output.startswith("['HOME', ")


def test_its_output_is_reported_with_secrets_masked(attempt) -> None:
    outcome = attempt("print('x' * 10**6); print('secret_key=abcdefgh'); raise SystemExit('enough')")
    assert outcome.output.startswith("x")
    assert "secret_key=********" in outcome.output
    assert len(outcome.output) < 5000
    assert "SystemExit: enough" in str(sentence(outcome))


def test_files_outside_its_folder_are_neither_visible_nor_writable(attempt, tmp_path: Path) -> None:
    outcome = attempt(f"""
        import os, sys
        for path in ["{tmp_path}/written", sys.prefix + "/written", "/written", "/usr/written", "/dev/written"]:
            try:
                open(path, "w")
                print(path, "written")
            except OSError as error:
                print(type(error).__name__, error.errno)
        open("/tmp/own", "w").write("its own folder, which goes with it")
        print(os.getcwd(), os.listdir("/"))
        print(sorted(set(os.listdir(".")) - set(sys.prefix.split("/"))))
    """)
    lines = outcome.output.splitlines()
    assert lines[0].startswith("FileNotFoundError")
    # The file system is read-only, or the user has no permission, depending on the owner of the folder.
    assert all(line.startswith(("OSError 30", "PermissionError")) for line in lines[1:5])
    assert lines[5].startswith("/tmp [")
    assert lines[6] == "['own']"  # and the path of the interpreter, if it is below the same folder
    assert "root" not in outcome.output or "'etc'" in outcome.output
    assert not list(tmp_path.glob("written"))
    assert not Path("/tmp/own").exists()


def test_its_folder_is_limited(attempt) -> None:
    outcome = attempt("""
        for number in range(3):
            with open(f"part-{number}", "wb") as file:
                file.write(bytes(40 * 2**20))
    """)
    assert "No space left on device" in str(outcome.error)


def test_no_privilege_is_left(attempt) -> None:
    outcome = attempt("""
        import ctypes, os
        library = ctypes.CDLL(None, use_errno=True)
        print(library.umount2(b"/tmp", 2), library.mount(b"none", b"/", None, 0x20 | 0x1000, None), os.getpid())
        print(library.setns(0, 0))
    """)
    assert outcome.output.split() == ["-1", "-1", "1", "-1"]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os._exit(0)", "exit code 0 and no prediction"),
        ("import os; os._exit(98)", "did not load and predict within"),
        ("print('last words', flush=True); import ctypes; ctypes.string_at(0)", "SIGSEGV after 'last words'"),
        ("import not_installed_anywhere", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
    ],
)
def test_other_exits_are_reported(attempt, program: str, message: str) -> None:
    assert message in str(sentence(attempt(program)))


def test_a_model_of_another_scikit_learn_version_is_rejected(model: Path, sound: bytes) -> None:
    import sklearn

    other = "9" + sklearn.__version__[1:]
    model.write_bytes(sound.replace(sklearn.__version__.encode(), other.encode()))
    outcome = try_model(Trial(sys.executable, 30, 2 * GIB), model, ROWS)
    assert str(outcome.error).startswith("InconsistentVersionWarning")
    assert f"from version {other}" in str(sentence(outcome))


def test_missing_packages_of_the_interpreter_are_reported(model: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    outcome = try_model(Trial(str(tmp_path / "bare" / "bin" / "python"), 30, 2 * GIB), model, ROWS)
    assert "No module named 'joblib'" in str(sentence(outcome))


USER = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
# Root of a user namespace that may have no nested one and has no other user.
REFUSED = [
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"',
    "-",
]
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.sandbox import Trial, fault, try_model
trial = Trial(sys.executable, 30, 2**31)
model = Path(sys.argv[2])
outcome = try_model(trial, model, json.loads(sys.argv[3]))
print(json.dumps([outcome.answers, outcome.error, fault(outcome, trial, model, {"predict": [1, 1]})]))
"""


def under(wrapper: list[str], model: Path) -> list[object]:
    """Validate a model in a process with other privileges."""
    if not shutil.which("unshare"):
        pytest.skip("the program unshare is not installed")
    command = [*wrapper, sys.executable, "-c", PROGRAM, str(ROOT / "collections"), str(model), json.dumps(ROWS)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    answers: list[object] = json.loads(found.stdout)
    return answers


def test_an_ordinary_user_can_isolate_too(model: Path) -> None:
    assert under(USER, model) == [{"predict": [1, 1]}, None, None]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        model.write_bytes(pickle.dumps(Running(CONNECT.format(port=listener.getsockname()[1]))))
        assert "Network is unreachable" in str(under(USER, model)[1])
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_gate_fails_if_the_kernel_denies_namespaces(model: Path) -> None:
    answers, error, output = under(REFUSED, model)
    assert (answers, error) == (None, None)
    assert "does not let the model" in str(output)
    assert "No space left on device" in str(output)
    assert "gate.isolated" in str(output)
