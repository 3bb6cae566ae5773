"""Tokens of an end point: kept until shortly before they expire, for all clients, in whatever thread."""

from __future__ import annotations

import asyncio
import base64
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oauth_tokens import TokenEndpoint as FakeEndpoint
from oauth_tokens import token_endpoint, unsecured_token
from recording_proxy import RecordingProxy, recording_proxy
from secured_kafka import HOST, Authority

from worker.clock import FakeClock
from worker.kafka.security.failures import ConnectError
from worker.kafka.security.files import SettingFile
from worker.kafka.security.tokens import FetchedToken, FileToken, TokenEndpoint


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


def as_sent(fake: FakeEndpoint) -> list[bytes]:
    """The client's secret in each form that could be on its way."""
    quoted = urllib.parse.quote_plus(fake.client_secret)
    pair = f"{urllib.parse.quote_plus(fake.client_id)}:{quoted}"
    return [fake.client_secret.encode(), quoted.encode(), base64.b64encode(pair.encode())]


def through(proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch, no_proxy: str = "") -> None:
    """Name `proxy` in all the usual variables."""
    for name, value in (proxy.variables | {"no_proxy": no_proxy, "NO_PROXY": no_proxy}).items():
        monkeypatch.setenv(name, value)


async def test_no_proxy_sees_what_goes_to_this_machine(
    fake: FakeEndpoint, endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording_proxy() as proxy, token_endpoint(FakeEndpoint("worker")) as plain:
        through(proxy, monkeypatch)
        assert await FetchedToken(endpoint).token()
        assert await FetchedToken(replace(endpoint, url=plain.url)).token()
        assert await FetchedToken(replace(endpoint, url=plain.url.replace("127.0.0.1", "localhost"))).token()
        assert not proxy.requests
    assert (len(fake.requests), len(plain.requests)) == (1, 2)


async def test_a_proxy_of_https_sees_the_name_of_the_end_point_only(
    endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FakeEndpoint("worker")
    authority = Authority(tmp_path / "other")
    endpoint = replace(endpoint, ca=SettingFile("oauth_ca_file", authority.ca_file))
    with token_endpoint(other, *authority.issue("login.example")):
        there = urllib.parse.urlsplit(other.url)
        with recording_proxy((str(there.hostname), int(there.port or 0))) as proxy:
            through(proxy, monkeypatch)
            assert await FetchedToken(replace(endpoint, url="https://login.example/token")).token()
            assert proxy.requests == ["CONNECT login.example:443"]
            assert len(proxy.seen) > 500  # the request went through, encrypted
            assert not [secret for secret in as_sent(other) if secret in proxy.seen]
    assert len(other.requests) == 1


@pytest.mark.parametrize("no_proxy", ["", "login.example"])
async def test_a_proxy_that_does_not_lead_there_is_named_and_no_proxy_counts(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    with recording_proxy() as proxy:
        through(proxy, monkeypatch, no_proxy)
        url = "https://login.example:1/token"
        with pytest.raises(ConnectError) as raised:
            await FetchedToken(replace(endpoint, url=url)).token()
        named = "cannot be reached through the proxy that https_proxy names (Tunnel connection failed: 502 Bad Gateway)"
        assert (str(raised.value) == f"oauth_token_url {url} {named}") == (not no_proxy)
        assert bool(proxy.requests) == (not no_proxy)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirection_never_takes_the_secret_elsewhere(
    fake: FakeEndpoint, endpoint: TokenEndpoint, status: int
) -> None:
    with token_endpoint(FakeEndpoint("worker")) as elsewhere:  # over http, at another place
        fake.answer, fake.redirects_to = (status, b""), elsewhere.url
        with pytest.raises(ConnectError, match=rf"refuses this client \({status}\)") as raised:
            await FetchedToken(endpoint).token()
        assert raised.value.hopeless
        assert not elsewhere.asked
    assert fake.asked


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
