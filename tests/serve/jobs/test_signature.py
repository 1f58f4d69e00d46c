"""Signatures of webhooks."""

from __future__ import annotations

import base64

import pytest

from p2i_ray.errors import UserError
from p2i_ray.serve.jobs.signature import headers, read_secrets

OWN = "whsec_" + base64.b64encode(bytes(range(32))).decode("ascii")


def test_the_example_of_standard_webhooks() -> None:
    [secret] = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "SECRET")
    assert headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret]) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_secret_signs_while_one_is_changed() -> None:
    old, new = read_secrets(f"{OWN}, whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "SECRET")
    both = headers("a", 1, b"{}", [old, new])["webhook-signature"].split(" ")
    assert both == [headers("a", 1, b"{}", [one])["webhook-signature"] for one in (old, new)]


@pytest.mark.parametrize("text", ["", ",", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_?", OWN.removeprefix("whsec_"),
                                  "whsec_" + base64.b64encode(bytes(65)).decode("ascii")])  # fmt: skip
def test_what_is_no_secret_is_not_shown(text: str) -> None:
    with pytest.raises(UserError, match="SECRET") as error:
        read_secrets(text, "SECRET")
    assert len(text) < 8 or text not in str(error.value)
