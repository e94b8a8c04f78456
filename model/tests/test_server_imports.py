# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that are left for their first use, in processes of their own, since each package is imported once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

pytest.importorskip("uvicorn", reason="needs the packages of model/server/requirements.txt")

MODEL = Path(__file__).parents[1]
START = "import sys; from server.imports import import_scikit_learn; import_scikit_learn(); "
ROWS = np.random.default_rng(0).normal(size=(60, 3))
CLASSES = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 1)


def output(code: str, *arguments: str) -> str:
    """What a process prints that has imported scikit-learn as the server does."""
    command = [sys.executable, "-W", "error::ImportWarning", "-c", START + code, *arguments]
    result = subprocess.run(command, cwd=MODEL, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_neither_is_imported_at_the_start() -> None:
    assert output("print([name for name in ('pandas', 'scipy.stats') if name in sys.modules])") == "[]"


PREDICTING = """
import joblib
from pathlib import Path
from server.sklearn_model import SklearnModel
model = SklearnModel("model", Path(sys.argv[1]))
model.load()
rows = joblib.load(sys.argv[2]).tolist()
print(model.predict({"instances": rows}) == joblib.load(sys.argv[3]).tolist(), "scipy.stats" in sys.modules)
"""

MODELS = {
    "scaled": (make_pipeline(StandardScaler(), LogisticRegression()), False),
    "forest": (RandomForestClassifier(5, random_state=0), False),
    "boosting": (HistGradientBoostingClassifier(max_iter=3), False),
    "tree": (DecisionTreeClassifier(), False),
    "vectors": (SVC(), False),
    # These predict with it, or import it themselves.
    "neighbors": (KNeighborsClassifier(), True),
    "normal": (
        make_pipeline(QuantileTransformer(n_quantiles=10, output_distribution="normal"), LogisticRegression()),
        True,
    ),
    "imputed": (make_pipeline(SimpleImputer(strategy="most_frequent"), LogisticRegression()), False),
    "isotonic": (IsotonicRegression(out_of_bounds="clip"), True),
}


@pytest.mark.parametrize(("model", "uses"), MODELS.values(), ids=MODELS)
def test_models_predict_the_same_as_with_all_packages(model: object, uses: bool, tmp_path: Path) -> None:
    rows = ROWS[:, :1] if isinstance(model, IsotonicRegression) else ROWS
    fitted = model.fit(rows, CLASSES)  # type: ignore[attr-defined]
    folder = tmp_path / "model"
    folder.mkdir()
    for name, value in {"model/model": fitted, "rows": rows, "expected": fitted.predict(rows)}.items():
        joblib.dump(value, tmp_path / f"{name}.joblib")
    printed = output(PREDICTING, str(folder), *(str(tmp_path / f"{name}.joblib") for name in ("rows", "expected")))
    assert printed == f"True {uses}"


@pytest.mark.parametrize(
    "code",
    [
        "import scipy.stats; print(scipy.stats.norm.cdf(0))",
        "from scipy import stats; print(stats.norm.cdf(0))",
        "from scipy.stats import norm; print(norm.cdf(0))",
        "from scipy.stats.mstats import mquantiles; print(float(mquantiles([0, .5, 1], [.5])[0]))",
        "import scipy.stats._continuous_distns as own; print(own.norm.cdf(0))",
        "from scipy.stats import rv_continuous as base; print(issubclass(type('Own', (base,), {}), base) / 2)",
        # As a module of scikit-learn has bound it.
        "from sklearn.preprocessing import _data; print(_data.stats.norm.cdf(0))",
    ],
)
def test_other_code_imports_the_package_itself(code: str) -> None:
    assert output(code) == "0.5"


def test_functions_that_modules_have_bound_by_their_names_work() -> None:
    code = """
from sklearn.metrics import label_ranking_average_precision_score, coverage_error, ndcg_score
from sklearn.model_selection import GridSearchCV
from sklearn.linear_model import LogisticRegression
from sklearn._loss.link import MultinomialLogit
import numpy as np
print(label_ranking_average_precision_score([[1, 0, 0], [0, 0, 1]], [[0.75, 0.5, 1], [1, 0.2, 0.1]]).round(3))
rows = np.random.default_rng(0).normal(size=(40, 2))
search = GridSearchCV(LogisticRegression(), {"C": [1, 2]}).fit(rows, rows[:, 0] > 0)
print(sorted(search.cv_results_["rank_test_score"].tolist())[0])
print(MultinomialLogit().link(np.array([[0.2, 0.8]])).round(3).tolist())
"""
    assert output(code).splitlines() == ["0.417", "1", "[[-0.693, 0.693]]"]


def test_nothing_is_replaced_where_it_is_imported_already() -> None:
    code = (
        "import scipy.stats, sys; "
        + START
        + "print(scipy.stats is sys.modules['scipy.stats'], scipy.stats.norm.cdf(0))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=MODEL, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True 0.5"
