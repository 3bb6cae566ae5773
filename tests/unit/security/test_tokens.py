"""Tokens of an end point: kept until shortly before they expire, for all clients, in whatever thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from oauth_tokens import TokenEndpoint as FakeEndpoint
from oauth_tokens import token_endpoint, unsecured_token
from secured_kafka import HOST, Authority

from worker.clock import FakeClock
from worker.security.failures import ConnectError
from worker.security.files import SettingFile
from worker.security.tokens import FetchedToken, FileToken, TokenEndpoint


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEndpoint]:
    authority = Authority(tmp_path / "authority")
    with token_endpoint(FakeEndpoint("worker", life_s=100), *authority.issue(HOST)) as fake:
        yield fake


@pytest.fixture
def endpoint(fake: FakeEndpoint, tmp_path: Path) -> TokenEndpoint:
    secret = tmp_path / "secret"
    secret.write_text(fake.client_secret)
    ca = SettingFile("oauth_ca_file", tmp_path / "authority" / "ca.pem")
    return TokenEndpoint(fake.url, fake.client_id, SettingFile("oauth_client_secret_file", secret), fake.scope, ca)


async def test_a_token_is_fetched_again_shortly_before_it_expires(fake: FakeEndpoint, endpoint: TokenEndpoint) -> None:
    clock = FakeClock()
    provider = FetchedToken(endpoint, clock.monotonic)
    first = await provider.token()
    clock.advance(79)
    assert await provider.token() == first
    assert len(fake.requests) == 1
    clock.advance(2)  # a fifth of 100 s is left
    assert await provider.token() != first
    assert len(fake.requests) == 2


async def test_many_clients_that_start_together_fetch_one_token(fake: FakeEndpoint, endpoint: TokenEndpoint) -> None:
    provider = FetchedToken(endpoint)
    assert len(set(await asyncio.gather(*(provider.token() for _ in range(8))))) == 1
    assert len(fake.requests) == 1


async def test_a_token_without_a_life_is_used_once(fake: FakeEndpoint, endpoint: TokenEndpoint) -> None:
    fake.answer = (200, b'{"access_token": "abc"}')
    provider = FetchedToken(endpoint)
    assert await provider.token() == "abc"
    fake.answer = (200, b'{"access_token": "def"}')
    assert await provider.token() == "def"


async def test_an_end_point_that_failed_is_not_asked_again_at_once(fake: FakeEndpoint, endpoint: TokenEndpoint) -> None:
    clock = FakeClock()
    provider = FetchedToken(endpoint, clock.monotonic)
    fake.answer = (503, b"")
    for _ in range(3):
        with pytest.raises(ConnectError, match="refuses this client"):
            await provider.token()
        fake.answer = None
    assert not fake.requests
    clock.advance(1.5)
    assert await provider.token()


async def test_a_refusal_shows_the_standard_s_word_and_nothing_that_was_sent(
    fake: FakeEndpoint, endpoint: TokenEndpoint
) -> None:
    fake.client_secret = "another one"
    with pytest.raises(ConnectError) as raised:
        await FetchedToken(endpoint).token()
    assert str(raised.value) == f"oauth_token_url {fake.url} refuses this client (401 invalid_client)"
    assert raised.value.hopeless
    assert "s3cret" not in str(raised.value)


async def test_a_token_in_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "token"
    provider = FileToken(SettingFile("oauth_token_file", file))
    file.write_text("one\n")
    assert await provider.token() == "one"
    file.write_text("two\n")
    assert await provider.token() == "two"
    assert provider.remark() == f"with the token in oauth_token_file {file}"
    file.write_text(unsecured_token("worker", -100))
    assert provider.remark().endswith(", which expired 100 s ago")
