"""Scaling options of a deployment, and the line that says why an application doesn't start."""

from __future__ import annotations

from p2i_ray.cluster import serving


def test_equal_bounds_are_a_fixed_number_of_replicas() -> None:
    assert serving.scaling(min_replicas=2, max_replicas=2, target_ongoing_requests=8) == {"num_replicas": 2}


def test_autoscaling_adds_replicas_within_seconds_unless_it_is_told_not_to() -> None:
    bounds = {"min_replicas": 0, "max_replicas": 4, "target_ongoing_requests": 6}
    responsive = {"upscale_delay_s": 3, "metrics_interval_s": 1, "look_back_period_s": 3}

    def scaling(*, responsive: bool = True, downscale_delay_s: float | None = None) -> object:
        return serving.scaling(
            min_replicas=0,
            max_replicas=4,
            target_ongoing_requests=6,
            responsive=responsive,
            downscale_delay_s=downscale_delay_s,
        )

    assert scaling() == {"autoscaling_config": {**bounds, **responsive}}
    assert scaling(downscale_delay_s=120) == {"autoscaling_config": {**bounds, **responsive, "downscale_delay_s": 120}}
    assert scaling(responsive=False) == {"autoscaling_config": bounds}


def test_variables_are_laid_over_a_runtime_environment() -> None:
    environment = {"working_dir": "x", "env_vars": {"A": "1", "B": "2"}}
    assert serving.with_variables(environment, {"B": "3"}) == {"working_dir": "x", "env_vars": {"A": "1", "B": "3"}}
    assert serving.with_variables({}, {"B": "3"}) == {"env_vars": {"B": "3"}}


def test_the_last_exception_of_the_messages_is_the_error() -> None:
    own = "The deployment failed to start.\nTraceback:\n  File x\np2i_ray.errors.UserError: no model in x\n"
    assert serving.error_line(["", own]) == "no model in x"
    assert serving.error_line(["Trace\nRuntimeError: it broke\n", ""]) == "RuntimeError: it broke"
    pydantic = (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n"
        "  Value error, max_model_len is too long [type=value_error, input_value=1, input_type=int]\n"
        "    For further information visit https://errors.pydantic.dev/2/v/value_error\n"
    )
    assert serving.error_line([pydantic]) == "Value error, max_model_len is too long"
    assert serving.error_line([]) == "" and serving.error_line(["one line"]) == "one line"
