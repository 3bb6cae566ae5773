"""Settings for each way into the secured broker, with the files that they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kafka_tools import Message
from oauth_tokens import TokenEndpoint, unsecured_token
from secured_kafka import PASSWORD, USER, SecuredKafka
from worker_process import WorkerProcess, Workers

Settings = dict[str, object]


def start(workers: Workers, settings: Settings, **more: object) -> WorkerProcess:
    """Start a worker whose model costs nothing on topics that are there."""
    given = {"special": "free", "create_topics": False, **settings, **more}
    return workers.start(str(given.pop("bootstrap_servers")), **given)


def review(number: int) -> Message:
    """One of any number of reviews."""
    return Message(b'{"text":"number %d was good"}' % number, b"%d" % (number % 7))


@dataclass(frozen=True)
class Access:
    """For one test."""

    kafka: SecuredKafka
    folder: Path

    def file(self, name: str, text: str) -> Path:
        """A file with a secret, written at once, as whoever renews one should."""
        new = self.folder / f".{name}"
        new.write_text(text)
        return new.replace(self.folder / name)

    def tls(self, listener: str = "TLS") -> Settings:
        """Encrypted, and no more."""
        return {
            "bootstrap_servers": self.kafka.at(listener),
            "security_protocol": "SSL",
            "ssl_ca_file": self.kafka.authority.ca_file,
        }

    def mutual(self, user: str, password: str | None = None) -> Settings:
        """By a certificate, its key encrypted where a password is given."""
        certificate, key = self.kafka.authority.issue(f"{user}@example.org", name=user, password=password)
        locked = {"ssl_key_password_file": self.file("key-password", f"{password}\n")} if password else {}
        return {**self.tls("MUTUAL"), "ssl_certificate_file": certificate, "ssl_key_file": key, **locked}

    def sasl(self, mechanism: str, listener: str = "SASL") -> Settings:
        """Encrypted, and by a mechanism; its own settings are still to come."""
        return {**self.tls(listener), "security_protocol": "SASL_SSL", "sasl_mechanism": mechanism}

    def plain(self, password: str = PASSWORD) -> Settings:
        """The one user of PLAIN."""
        return {
            **self.sasl("PLAIN"),
            "sasl_username": USER,
            "sasl_password_file": self.file("password", f"{password}\n"),
        }

    def scram(self, mechanism: str, user: str, password: str, listener: str = "SASL") -> Settings:
        """By SCRAM, the user in a file too."""
        return {
            **self.sasl(mechanism, listener),
            "sasl_username_file": self.file("user", user),
            "sasl_password_file": self.file("password", password),
        }

    def token(self, user: str, life_s: float = 300.0, listener: str = "SASL") -> Settings:
        """By a token in a file."""
        file = self.file("token", f"{unsecured_token(user, life_s)}\n")
        return {**self.sasl("OAUTHBEARER", listener), "oauth_token_file": file}

    def endpoint(self, endpoint: TokenEndpoint, listener: str = "SASL") -> Settings:
        """By tokens from an end point."""
        return {
            **self.sasl("OAUTHBEARER", listener),
            "oauth_token_url": endpoint.url,
            "oauth_client_id": endpoint.client_id,
            "oauth_client_secret_file": self.file("secret", endpoint.client_secret),
            "oauth_scope": endpoint.scope,
            "oauth_ca_file": self.kafka.authority.ca_file,
        }
