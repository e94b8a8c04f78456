# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The iris model behind FastAPI: `uvicorn fastapi_iris.main:app`.

The handler is a coroutine, so that no request takes a thread: for a model as quick as this one that is faster.
"""

from typing import Annotated

import joblib
import numpy as np
from annotated_types import Len
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load("/mnt/models/model.joblib")


class Rows(BaseModel):
    """The request."""

    instances: Annotated[list[Annotated[list[float], Len(4, 4)]], Len(1)]


class Predictions(BaseModel):
    """The answer."""

    predictions: list[int]


@app.post("/v1/models/iris-classifier:predict")
async def predict(rows: Rows) -> Predictions:
    """Predict the class of each row."""
    return Predictions(predictions=model.predict(np.array(rows.instances)).tolist())


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer a probe."""
    return {"status": "alive"}
