"""Errors as OpenAI's error object: one line that says what to change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from p2i_ray.serve.edge.backpressure import CannotSign, NotReady, Overloaded, TooMuchWork
from p2i_ray.storage.disk_full import is_disk_full

LOADING_S = 5  # Retry-After while the models are being loaded
FULL_S = 60  # Retry-After while a disk is full
NOT_FOUND = "there is no such address; GET /v1/models lists the models, docs/serving.md every route"


class APIError(Exception):
    """An error response; the text is for the client.

    Args:
        status: of HTTP.
        message: one line: what is wrong, and what to change.
        param: the field that is wrong.
        code: for programs.
        headers: more of the response's.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The error as an HTTP response."""
        return JSONResponse(
            {"error": {"message": self.message, "type": _kind(self.status), "param": self.param, "code": self.code}},
            self.status,
            headers=self.headers,
        )


def bad_request(message: str, param: str | None = None, code: str | None = None) -> APIError:
    """An error of the request, which the client has to change."""
    return APIError(400, message, param, code)


def busy(retry_after_s: float, message: str, code: str, status: int = 429) -> APIError:
    """An error that is temporary: the request may be sent again after so many seconds."""
    return APIError(status, message, None, code, headers={"Retry-After": str(max(1, math.ceil(retry_after_s)))})


def internal(request_id: str) -> APIError:
    """An internal error: the log has details under the request's id."""
    return APIError(500, f"internal error; the server's log has more on request {request_id}", None, "internal_error")


def as_api_error(error: Exception) -> APIError | None:
    """The error that a client gets for an exception; none: it is an internal error."""
    match error:
        case APIError():
            return error
        case Overloaded():
            wait = error.retry_after_s
            return busy(wait, f"busy; send the request again in {max(1, math.ceil(wait))} s", "busy")
        case TooMuchWork():
            return bad_request(str(error), "steps", "too_much_work")
        case CannotSign():
            text = "pictures can't be signed, the server's certificate has ended; tell its operator"
            return busy(FULL_S, text, "not_ready", 503)
        case NotReady():
            return busy(
                LOADING_S, f"the model is being loaded; send the request again in {LOADING_S} s", "not_ready", 503
            )
        case OSError() if is_disk_full(error):
            text = "the server's disk is full; fetch and delete finished jobs, or tell its operator"
            return busy(FULL_S, text, "insufficient_storage", 507)
        case HTTPException(status_code=404):
            return APIError(404, NOT_FOUND, None, "not_found")
        case HTTPException(status_code=405):
            allowed = dict(error.headers or {})
            text = f"this address takes {allowed.get('Allow', 'another method')}"
            return APIError(405, text, None, "method_not_allowed", headers=allowed)
        case HTTPException():
            return APIError(error.status_code, str(error.detail), headers=error.headers)
        case RequestValidationError():
            return bad_request("the request has a field of the wrong kind; see the README")
    return None


def install(app: FastAPI) -> None:
    """Answer with OpenAI's error object to whatever a route raises that is no internal error."""

    async def answer(_: Request, error: Exception) -> Response:
        found = as_api_error(error)
        if found is None:
            raise error
        return found.response()

    kinds: tuple[Any, ...] = (APIError, Overloaded, TooMuchWork, NotReady, HTTPException, RequestValidationError)
    for kind in kinds:
        app.add_exception_handler(kind, answer)


def _kind(status: int) -> str:
    """OpenAI's `type` for a status."""
    if status == 429:
        return "rate_limit_error"
    if status == 503:
        return "service_unavailable_error"
    return "server_error" if status >= 500 else "invalid_request_error"
