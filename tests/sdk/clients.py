"""A gateway in memory for the two clients, with its answers written down."""

from __future__ import annotations

import json
from typing import Any

import httpx

SUMMED: dict[str, Any] = {
    "id": "F1", "created_at": "2026-11-22T08:00:00.000Z", "finished_at": None, "user": "", "subject": "",
    "reference": "", "resend_of": None, "count": 1, "states": {"calling": 1}, "left_out": [], "left_out_count": 0,
}  # fmt: skip


class Gateway:
    """Answers in turn; the last answer for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, tuple):
            status, body = answer
            return httpx.Response(status, content=json.dumps(body).encode())
        return httpx.Response(200, content=answer if isinstance(answer, bytes) else json.dumps(answer).encode())
