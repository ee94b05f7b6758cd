"""Where an object store is, said to Flink as the AWS variables say it to everybody else."""

import pytest

from submitter.job.file_systems import store_options

HERE, THERE = "http://127.0.0.1:9000", "https://objects.example"


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        ({}, {}),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "us-east-1"}, {"s3.endpoint.region": "eu-central-1"}),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, {"s3.endpoint.region": "us-east-1"}),
        ({"AWS_ENDPOINT_URL": HERE}, {"s3.endpoint": HERE, "s3.path.style.access": "true"}),
        (
            {"AWS_ENDPOINT_URL": HERE, "AWS_ENDPOINT_URL_S3": THERE},
            {"s3.endpoint": THERE, "s3.path.style.access": "true"},
        ),
    ],
)
def test_the_store_s_own_variable_comes_first(environ: dict[str, str], options: dict[str, str]) -> None:
    assert store_options(environ) == options


def test_keys_stay_in_the_environment() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIA0451", "AWS_SECRET_ACCESS_KEY": "secret-0451", "AWS_SESSION_TOKEN": "token-0451"}
    assert store_options(keys) == {}
