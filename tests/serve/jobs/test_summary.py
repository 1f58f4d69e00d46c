"""The totals of a job: what an approved picture cost, refused candidates included."""

from __future__ import annotations

from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.serve.jobs.schema import JobItem, new_job
from p2i_ray.serve.jobs.summary import summary


def test_refused_candidates_are_paid_by_those_that_are_accepted() -> None:
    """Approved: 3 + 4 candidates in 7 s of a replica, of which 2 were accepted; one of them has two crops."""
    asks = [EditRequest(prompt="Cup", accept=accept) for accept in ("approved", "approved", "any")]
    rows = [JobItem(index=index, ask=ask, image=0) for index, ask in enumerate(asks)]
    records = [
        {
            "status": "done",
            "painted": 3,
            "replica_seconds": 3.0,
            "seconds": 5.0,
            "refused": {"wrong scene": 1, "floating": 1},
            "pictures": [{"seed": 1, "crop": "1:1"}, {"seed": 1, "crop": "4:5"}, {"seed": 2}],
        },
        {"status": "failed", "painted": 4, "replica_seconds": 4.0, "refused": {"wrong scene": 4}, "pictures": []},
        {"status": "cancelled", "pictures": []},
    ]
    found = summary(new_job(b"client", rows, dollars_per_hour=3.6), records)
    assert found["by_accept"]["approved"] == {
        "images": 2,
        "replica_seconds": 7.0,
        "seconds_per_image": 3.5,
        "dollars_per_image": 0.0035,
    }
    nothing = {"images": 0, "replica_seconds": 0.0, "seconds_per_image": None, "dollars_per_image": None}
    assert found["by_accept"]["any"] == nothing
    assert found["refused"] == {"wrong scene": 5, "floating": 1} and found["candidates"] == 7
    assert (found["done"], found["failed"], found["cancelled"], found["seconds"]) == (1, 1, 1, 5.0)
