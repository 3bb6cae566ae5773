"""Which settings go together: a wrong combination is one line that names them, and where they were set."""

from __future__ import annotations

import re

import pytest

from worker.cli.loading import load_settings
from worker.errors import UsageError
from worker.settings import Settings

SASL = {"security_protocol": "SASL_SSL"}
PLAIN = {**SASL, "sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password_file": "p"}
TOKEN = {**SASL, "sasl_mechanism": "OAUTHBEARER", "oauth_token_file": "t"}
ENDPOINT = {
    **SASL,
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://login.example/token",
    "oauth_client_id": "c",
    "oauth_client_secret_file": "s",
}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"security_protocol": "SSL"},
        {"security_protocol": "SSL", "ssl_certificate_file": "c", "ssl_key_file": "c"},
        PLAIN,
        {**PLAIN, "sasl_username": None, "sasl_username_file": "f", "sasl_mechanism": "SCRAM-SHA-512"},
        {**PLAIN, "security_protocol": "SASL_PLAINTEXT"},
        TOKEN,
        ENDPOINT,
        {**ENDPOINT, "oauth_token_url": "http://localhost:8080/token"},
        {**SASL, "sasl_mechanism": "GSSAPI", "ssl_certificate_file": "c", "ssl_key_file": "k"},
    ],
)
def test_what_fits_is_taken(settings: dict[str, object]) -> None:
    assert Settings(**settings)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (SASL, "security_protocol SASL_SSL needs sasl_mechanism"),
        (
            {"sasl_mechanism": "PLAIN"},
            "sasl_mechanism needs security_protocol SASL_SSL or SASL_PLAINTEXT, not PLAINTEXT",
        ),
        ({"sasl_password_file": "p"}, "sasl_password_file needs sasl_mechanism PLAIN, .* not none"),
        ({**TOKEN, "sasl_username": "u"}, "sasl_username needs sasl_mechanism PLAIN, .* not OAUTHBEARER"),
        ({**PLAIN, "oauth_token_file": "t"}, "oauth_token_file needs sasl_mechanism OAUTHBEARER, not PLAIN"),
        ({**PLAIN, "sasl_password_file": None}, "sasl_mechanism PLAIN needs sasl_password_file"),
        ({**PLAIN, "sasl_username": None}, "sasl_mechanism PLAIN needs sasl_username or sasl_username_file"),
        ({**PLAIN, "sasl_username_file": "f"}, "sasl_username and sasl_username_file exclude each other"),
        ({"ssl_ca_file": "c"}, "ssl_ca_file needs security_protocol SSL or SASL_SSL, not PLAINTEXT"),
        ({"security_protocol": "SSL", "ssl_certificate_file": "c"}, "ssl_certificate_file needs ssl_key_file"),
        ({"security_protocol": "SSL", "ssl_key_file": "k"}, "ssl_key_file needs ssl_certificate_file"),
        ({"security_protocol": "SSL", "ssl_key_password_file": "k"}, "ssl_key_password_file needs ssl_key_file"),
        ({**TOKEN, "oauth_token_file": None}, "sasl_mechanism OAUTHBEARER needs oauth_token_file or oauth_token_url"),
        ({**ENDPOINT, "oauth_token_file": "t"}, "oauth_token_file and oauth_token_url exclude each other"),
        ({**TOKEN, "oauth_scope": "s"}, "oauth_scope needs oauth_token_url"),
        ({**ENDPOINT, "oauth_client_id": None}, "oauth_token_url needs oauth_client_id and oauth_client_secret_file"),
        ({**ENDPOINT, "oauth_token_url": "http://login.example/"}, "oauth_token_url must begin with https://, since"),
        ({**ENDPOINT, "oauth_token_url": "login.example"}, "oauth_token_url must begin with https:// and a host"),
        (
            {**ENDPOINT, "oauth_token_url": "https://c:hidden@login.example/"},
            "oauth_token_url holds a user or a password",
        ),
        ({**ENDPOINT, "oauth_token_url": "https://login.example:no/"}, "oauth_token_url is no address"),
    ],
)
def test_what_does_not_fit_is_one_line(settings: dict[str, object], line: str) -> None:
    given = {name: value for name, value in settings.items() if value is not None}
    with pytest.raises(UsageError) as raised:
        load_settings(given, {})
    assert re.match(line, str(raised.value)), raised.value
    assert "hidden" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_variable_for_a_password_itself_is_answered_with_the_one_for_its_file() -> None:
    from worker.cli.loading import unknown_variables

    (line,) = unknown_variables({"REVIEWS_WORKER_SASL_PASSWORD": "hidden"})
    assert "did you mean REVIEWS_WORKER_SASL_PASSWORD_FILE?" in line
    assert "hidden" not in line
