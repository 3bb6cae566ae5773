from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from worker.cli.commands import commands
from worker.settings.command_line import how_called

runner = CliRunner()


def test_a_review_becomes_a_line_of_label_probability_and_text():
    result = runner.invoke(commands, ["predict", "I really liked that movie!"])
    label, probability, text = result.output.rstrip("\n").split("\t")
    assert result.exit_code == 0
    assert label == "pos"
    assert 0.5 < float(probability) <= 1
    assert text == "I really liked that movie!"


def test_several_reviews_keep_their_order():
    result = runner.invoke(commands, ["predict", "I really liked that movie!", "what a terrible\tbore", "Great."])
    assert [line.split("\t")[2] for line in result.output.splitlines()] == [
        "I really liked that movie!",
        "what a terrible bore",
        "Great.",
    ]


def test_lines_of_stdin_are_classified_in_order():
    lines = [f"review number {number}" for number in range(100)]
    result = runner.invoke(commands, ["predict", "-"], input="\n".join(lines))
    assert result.exit_code == 0
    assert [line.split("\t")[2] for line in result.output.splitlines()] == lines


def test_json_holds_the_text_and_the_result():
    result = runner.invoke(commands, ["predict", "--json", "-"], input="wonderful\nawful\n")
    first, second = map(orjson.loads, result.output.splitlines())
    assert (first["text"], first["label"], second["label"]) == ("wonderful", "pos", "neg")
    assert first["scores"].keys() == {"neg", "pos"}
    assert first["tokens"] >= 3
    assert first["truncated"] is False
    assert "@" in first["model"]


def test_text_in_an_unknown_script_is_said_to_be_unknown():
    result = runner.invoke(commands, ["predict", "--json", "这部电影很好看", "A fine film."])
    assert [orjson.loads(line)["unknown"] for line in result.stdout.splitlines()] == [1.0, 0.0]


def test_a_note_beside_the_lines_says_how_much_is_unknown():
    result = runner.invoke(commands, ["predict", "映画 5/5", "A fine film.", "fine " * 60 + "映"])
    assert [line.count("\t") for line in result.stdout.splitlines()] == [2, 2, 2]
    first, second = result.stderr.splitlines()
    assert first == "note: 40% unknown characters: 映画 5/5"
    assert second.startswith("note: <1% unknown characters: fine fine")


def test_a_blank_text_is_an_error():
    result = runner.invoke(commands, ["predict", "fine", " \t"])
    assert result.exit_code == 2
    assert result.stderr == "error: text 2 is blank: there is nothing to classify\n"


def test_a_blank_line_is_reported_left_out_and_shows_in_the_exit_code():
    result = runner.invoke(commands, ["predict", "-"], input="good\n\nbad\n")
    assert result.exit_code == 2
    assert result.stderr == "error: line 2 is blank, left out\n"
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("reviews.csv", "{program} predict - < reviews.csv"),
        ("my reviews", "{program} predict - < 'my reviews'"),
        ("lines.txt.gz", "gzip -dc lines.txt.gz | {program} predict -"),
        ("held-out.parquet", "{program} model evaluate bundled --data held-out.parquet"),
    ],
)
def test_the_name_of_a_file_is_no_review_and_the_command_that_reads_it_is_told(
    name: str, reading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert runner.invoke(commands, ["predict", name]).exit_code == 0  # no such file
    (tmp_path / name).touch()
    result = runner.invoke(commands, ["predict", "good", name])
    reading = reading.format(program=how_called())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: {name} is a file, and TEXT is a review; each of its lines is classified by: {reading}\n"
    )


def test_a_text_of_any_length_may_be_the_name_of_no_file():
    assert runner.invoke(commands, ["predict", "good " * 5000]).exit_code == 0


def test_a_review_that_begins_with_a_dash_goes_behind_two():
    result = runner.invoke(commands, ["predict", "-5 stars"])
    assert result.exit_code == 2
    assert "goes behind --: commands predict -- '-5 stars'" in " ".join(result.stderr.split())
    assert runner.invoke(commands, ["predict", "--", "-5 stars"]).stdout.endswith("\t-5 stars\n")


@pytest.mark.parametrize("environment", [{}, {"REVIEWS_WORKER_MODEL": "/no/such/model"}])
def test_the_bundled_model_may_be_named(environment: dict[str, str]):
    plain = runner.invoke(commands, ["predict", "good"])
    named = runner.invoke(commands, ["predict", "--model", "bundled", "good"], env=environment)
    assert (named.exit_code, named.stdout) == (0, plain.stdout)


def test_empty_stdin_is_no_error():
    assert runner.invoke(commands, ["predict", "-"], input="").exit_code == 0


def test_a_line_that_is_no_text_is_named_and_what_came_before_it_is_classified():
    result = runner.invoke(commands, ["predict", "-"], input=b"good\n\xff\xfe\n")
    assert result.exit_code == 2
    assert result.stderr == "error: line 2 is not UTF-8 text\n"
    assert result.stdout.startswith("pos\t")


def test_a_missing_model_is_one_clear_error(tmp_path):
    result = runner.invoke(commands, ["predict", "--model", str(tmp_path / "none"), "good"])
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


def test_without_a_text_the_usage_is_told():
    assert runner.invoke(commands, ["predict"]).exit_code == 2


def test_a_long_review_is_read_as_the_option_says():
    text = "A charming, funny and touching little gem. " * 60 + "A dull, lifeless waste of two hours. " * 60
    answers = {}
    for policy in ("truncate", "head_tail", "windows"):
        result = runner.invoke(commands, ["predict", "--json", "--overflow", policy, text])
        assert result.exit_code == 0
        answers[policy] = orjson.loads(result.output)
    assert [answers[each]["truncated"] for each in answers] == [True, True, False]
    assert [answers[each]["windows"] for each in answers][:2] == [1, 1]
    assert answers["windows"]["windows"] >= 2
    assert answers["truncate"]["tokens"] == answers["head_tail"]["tokens"] == 512 < answers["windows"]["tokens"]


def test_windows_that_would_not_advance_are_one_clear_error():
    result = runner.invoke(commands, ["predict", "--overflow", "windows", "--window-overlap-tokens", "510", "good"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: window_overlap_tokens is 510, and the model's max_length of 512")
    assert len(result.stderr.splitlines()) == 1
