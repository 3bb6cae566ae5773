from __future__ import annotations

import pytest
from pydantic import ValidationError

from worker.settings import Settings
from worker.tokenization.overflow import DEFAULT_OVERFLOW, Overflow


def test_the_defaults_are_allowed():
    assert Settings().input_topic == "reviews.in"


def test_a_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REVIEWS_WORKER_MAX_BATCH_TOKENS", "2048")
    assert Settings().max_batch_tokens == 2048


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REVIEWS_WORKER_PORT", "")
    assert Settings().port == 6066


def test_the_common_variable_for_the_broker_is_honoured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1, b:2")
    assert Settings().bootstrap_servers == "a:1,b:2"
    monkeypatch.setenv("REVIEWS_WORKER_BOOTSTRAP_SERVERS", "c:3")
    assert Settings().bootstrap_servers == "c:3"
    assert Settings(bootstrap_servers="d:4").bootstrap_servers == "d:4"


def test_a_variable_without_the_prefix_sets_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BOOTSTRAP_SERVERS", "elsewhere:1")
    monkeypatch.setenv("PORT", "1")
    assert (Settings().bootstrap_servers, Settings().port) == ("localhost:9092", 6066)


def test_the_url_that_kubernetes_puts_into_the_variable_of_the_port_is_not_taken_for_one(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("REVIEWS_WORKER_PORT", "tcp://10.0.0.1:6066")
    assert Settings().port == 6066


@pytest.mark.parametrize("servers", ["", "broker", "broker:", ":9092", "broker:0", "broker:65536", "a:1,,b:2", "a:x"])
def test_servers_are_pairs_of_host_and_port(servers: str):
    with pytest.raises(ValidationError):
        Settings(bootstrap_servers=servers)


def test_an_ipv6_address_is_a_host():
    assert Settings(bootstrap_servers="[::1]:9092").bootstrap_servers == "[::1]:9092"


@pytest.mark.parametrize(
    ("servers", "right"),
    [
        ("PLAINTEXT://host:9092", "host:9092"),
        ("SASL_SSL://[::1]:9093", "[::1]:9093"),
        ("a:1,SSL://b", "b:9092"),
        ("::1:9092", "[::1]:9092"),
        ("2001:db8::1:9092", "[2001:db8::1]:9092"),
        ("::1", "[::1]:9092"),
        ("[::1]", "[::1]:9092"),
        ("broker", "broker:9092"),
    ],
)
def test_servers_in_another_form_are_refused_with_the_right_one(servers: str, right: str):
    with pytest.raises(ValidationError) as refused:
        Settings(bootstrap_servers=servers)
    message = refused.value.errors()[0]["msg"]
    assert f"write {right}" in message
    assert Settings(bootstrap_servers=right).bootstrap_servers == right


@pytest.mark.parametrize("servers", ["http://a/b:1", "user@host:1", "[host]:1", "a b:1", "host:\u0663"])
def test_what_is_no_host_or_port_in_any_form_is_no_server(servers: str):
    with pytest.raises(ValidationError):
        Settings(bootstrap_servers=servers)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "x" * 250])
def test_a_topic_has_a_name_that_kafka_takes(name: str):
    with pytest.raises(ValidationError):
        Settings(input_topic=name)


def test_a_worker_is_a_dynamic_member_unless_it_is_given_an_id_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REVIEWS_WORKER_GROUP_INSTANCE_ID", "")
    assert Settings().group_instance_id is None
    monkeypatch.setenv("REVIEWS_WORKER_GROUP_INSTANCE_ID", "reviews-worker-0")
    assert Settings().group_instance_id == "reviews-worker-0"


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "x" * 250, "reviews-worker"])
def test_an_instance_id_is_one_that_kafka_takes_and_no_dynamic_member_goes_by(name: str):
    with pytest.raises(ValidationError):
        Settings(group_instance_id=name)


@pytest.mark.parametrize(
    "values",
    [
        {"input_topic": "reviews.dlq"},
        {"result_field": "review.sentiment"},
        {"result_field": "review", "text_field": "review.body"},
        {"batch_window_reviews": 5000, "max_in_flight_reviews": 100},
        {"commit_interval_s": 0},
        {"linger_s": float("nan")},
        {"fuse_share": 0},
        {"overflow": "cut"},
        {"window_overlap_tokens": -1},
        {"max_windows": 0},
        {"max_windows": 65},
        {"no_such_setting": 1},
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, object]):
    with pytest.raises(ValidationError):
        Settings(**values)


@pytest.mark.parametrize(
    "path", ["text", "review.body", "a.b.c", "naïve.текст", "a-b", "a b.c d", "@type.$value", "x/y:z", "0.1", '"a"']
)
def test_a_path_is_names_joined_by_dots(path: str):
    assert Settings(text_field=path).text_field == path


@pytest.mark.parametrize(
    "path", ["", ".", "a..b", ".a", "a.", "payload.after[0].x", "a[]", "a]", " a", "a ", "a. b", "a\n", "a\tb", "\x00"]
)
def test_what_is_no_path_is_refused(path: str):
    for name in ("text_field", "result_field"):
        with pytest.raises(ValidationError):
            Settings(**{name: path})


def test_the_word_for_the_bundled_model_is_no_folder_of_that_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REVIEWS_WORKER_MODEL", "/models/a")
    assert Settings(model="bundled").model is None
    assert str(Settings(model="./bundled").model) == "bundled"
    monkeypatch.setenv("REVIEWS_WORKER_MODEL", "bundled")
    assert Settings().model is None


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_how_long_reviews_are_read_comes_from_the_settings_and_its_default_from_one_place():
    assert Settings().reading == DEFAULT_OVERFLOW
    settings = Settings(overflow="windows", window_overlap_tokens=32, max_windows=3)
    assert settings.reading == Overflow("windows", 32, 3)
