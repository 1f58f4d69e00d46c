"""A bucket that refuses requests for a moment is asked again; one that stays silent is an error, never an empty one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

import pytest
from botocore.exceptions import NoCredentialsError
from werkzeug.wrappers import Response

from chaos.bucket import Bucket
from p2i_ray.storage import folders, locations
from p2i_ray.storage.bucket_errors import refused, unanswered, unanswered_line
from tests.support.variables import PATIENT, variables

pytestmark = pytest.mark.long


class RefusingBucket(Bucket):
    """A bucket that answers every request with 403 AccessDenied."""

    def __enter__(self) -> Self:
        denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self._server.app = Response(denied, 403, content_type="application/xml")
        return super().__enter__()


@pytest.fixture
def brief_bucket(s3_bucket: Bucket) -> Iterator[Bucket]:
    """Another server, whose clients ask once."""
    from s3fs import S3FileSystem

    with Bucket("brief") as bucket, variables({**bucket.environment, "AWS_MAX_ATTEMPTS": "1"}):
        S3FileSystem.clear_instance_cache()
        yield bucket
    S3FileSystem.clear_instance_cache()


def test_every_third_request_may_be_refused() -> None:
    from s3fs import S3FileSystem

    # A server of its own: which of its requests are refused doesn't depend on other tests.
    with Bucket("throttled", share=0.3) as bucket, variables({**bucket.environment, **PATIENT}):
        S3FileSystem.clear_instance_cache()
        folder = f"{bucket.uri}/folder"
        for number in range(4):
            locations.write_text(f"{folder}/{number}.txt", str(number))
        assert [locations.read_text(file) for file in folders.files(folder)] == ["0", "1", "2", "3"]
        locations.remove(folder)
        assert not locations.exists(folder)
    S3FileSystem.clear_instance_cache()
    assert bucket.throttle.refused > 0


@pytest.mark.parametrize("ask", [locations.exists, locations.kind, folders.files, locations.read_bytes])
def test_a_silent_bucket_is_no_empty_bucket(brief_bucket: Bucket, ask: Callable[[str], object]) -> None:
    place = f"{brief_bucket.uri}/run"
    locations.write_text(f"{place}/config.yaml", "")
    brief_bucket.throttle.refuses_all = True
    with pytest.raises(OSError) as told:
        ask(place)
    assert unanswered(told.value) in {"Service Unavailable", "Please reduce your request rate."}


def test_a_server_that_is_gone_is_a_silent_bucket() -> None:
    from s3fs import S3FileSystem

    with Bucket("gone") as bucket:
        found = {**bucket.environment, "AWS_MAX_ATTEMPTS": "1"}
    with variables(found):
        S3FileSystem.clear_instance_cache()
        with pytest.raises(Exception, match="Could not connect") as told:
            locations.exists("s3://gone/run")
        S3FileSystem.clear_instance_cache()
    assert "Could not connect" in (unanswered(told.value) or "")


def test_what_a_bucket_refuses_is_told_from_its_silence(s3_bucket: Bucket) -> None:
    from s3fs import S3FileSystem

    with RefusingBucket("refusing") as bucket, variables({**bucket.environment, "AWS_MAX_ATTEMPTS": "1"}):
        S3FileSystem.clear_instance_cache()
        for ask in (locations.exists, locations.read_bytes, lambda place: locations.write_text(place, "")):
            with pytest.raises(Exception, match=r"Forbidden|Access Denied") as told:
                ask(f"{bucket.uri}/run/file")
            assert refused(told.value) and unanswered(told.value) is None
    S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError("Access Denied"), "PermissionError: Access Denied"),
        (
            RuntimeError("ray::MapBatches()\nPermissionError: The provided token has expired.\nUDF failed"),
            "PermissionError: The provided token has expired.",
        ),
        (OSError("Forbidden: b/bucket/o\nno access"), "OSError: Forbidden: b/bucket/o"),
        (NoCredentialsError(), "NoCredentialsError: Unable to locate credentials"),
        (PermissionError(13, "Permission denied", "/data"), None),
        (RuntimeError("PermissionError: [Errno 13] Permission denied: '/data'"), None),
        (OSError(16, "Please reduce your request rate."), None),
        (FileNotFoundError("bucket/key"), None),
    ],
)
def test_a_refusal_is_recognised_wherever_it_is(error: Exception, why: str | None) -> None:
    assert refused(error) == why


def http_error(code: int) -> Exception:
    from gcsfs.retry import HttpError

    return HttpError({"code": code, "message": "Backend Error"})


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (http_error(503), "HttpError: Backend Error, 503"),
        (http_error(403), None),
        (OSError(16, "Please reduce your request rate."), "Please reduce your request rate."),
        (OSError(16, "Device or resource busy", "/mnt/run"), None),
        (RuntimeError("OSError: [Errno 16] Device or resource busy: '/mnt/run'"), None),
        (PermissionError(13, "Access Denied"), None),
        (FileNotFoundError(2, "No such key"), None),
        (
            RuntimeError("ray::Read()\nOSError: [Errno 16] Please reduce your request rate."),
            "OSError: [Errno 16] Please",
        ),
        (RuntimeError("  gcsfs.retry.HttpError: Backend Error, 429\n"), "gcsfs.retry.HttpError: Backend Error, 429"),
        (
            RuntimeError('botocore.exceptions.EndpointConnectionError: Could not connect to "x"'),
            "botocore.exceptions.End",
        ),
        (RuntimeError("urllib3.exceptions.ReadTimeoutError: a hosted judge"), None),
        (RuntimeError("gcsfs.retry.HttpError: Forbidden, 403"), None),
        (RuntimeError("OSError: [Errno 28] No space left on device"), None),
    ],
)
def test_what_passes_is_told_from_what_stays(error: Exception, why: str | None) -> None:
    found = unanswered(error)
    assert found is None if why is None else found is not None and found.startswith(why)


def test_it_is_found_behind_another_exception() -> None:
    try:
        try:
            raise http_error(500)
        except Exception as error:
            raise ValueError("a step failed") from error
    except ValueError as error:
        assert unanswered(error) == "HttpError: Backend Error, 500"


def test_the_line_says_what_to_do() -> None:
    line = unanswered_line("s3://b/run", "Please reduce your request rate.")
    assert line.startswith("the bucket of s3://b/run doesn't answer (Please") and "same command again" in line
