"""What a broker's refusal of a member means."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
    NodeNotReadyError,
    UnknownError,
    for_code,
)

from worker.errors import ExitCode
from worker.kafka.security import passes, refusal_of, refused_as


class Silent:
    """A broker that says nothing of its configuration."""

    async def send(self, *_: Any, **__: Any) -> Any:
        raise NodeNotReadyError


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (InvalidSessionTimeoutError(), ExitCode.USAGE, "group.max.session.timeout.ms"),
        (for_code(81)(), ExitCode.ACCESS, "group.max.size"),
        (InconsistentGroupProtocolError(), ExitCode.ACCESS, "(setting group)"),
        (InvalidGroupIdError(), ExitCode.USAGE, "(setting group)"),
        (GroupAuthorizationFailedError("reviews"), ExitCode.ACCESS, "grant Read on the group"),
        (for_code(112)(), ExitCode.BUG, "UNSUPPORTED_ASSIGNOR"),
    ],
)
async def test_a_refusal_names_what_to_change(error: BaseException, code: ExitCode, part: str) -> None:
    refusal = await refusal_of(error, Silent(), 1, "reviews", 30.0)
    assert refusal.exit_code == code
    assert part in str(refusal)


@pytest.mark.parametrize("code", [81, 82, 112, -1, 27])
def test_what_the_client_wraps_is_found_again(code: int) -> None:
    error = for_code(code)()
    once = KafkaError(f"Unexpected exception in heartbeat task: {error!r}")
    assert type(refused_as(once)) is type(error)
    assert type(refused_as(KafkaError(repr(error)))) is type(error)


def test_an_error_of_another_kind_is_left_as_it_is() -> None:
    error = KafkaError("Unexpected error during coordination AttributeError()")
    assert refused_as(error) is error


def test_what_passes_by_itself_is_not_final() -> None:
    assert passes(UnknownError())
    assert passes(for_code(89)())
    assert not passes(for_code(81)())
    assert not passes(KafkaError("anything"))


@pytest.mark.parametrize("code", range(74, 137))
def test_no_code_of_kafka_is_an_unknown_error(code: int) -> None:
    assert for_code(code) is not UnknownError or code in (87,)  # that one is known where records are published
