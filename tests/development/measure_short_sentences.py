"""How many of the short plain sentences a model labels right: ``python tests/development/measure_short_sentences.py``.

    [--model DIR] [--half watched|final]

The half ``watched`` is listed with its mistakes. Of the half ``final`` only the number is said, so that nothing can be
chosen by it; look at it once, when a model is done.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from worker import Classifier  # noqa: E402

SENTENCES = ROOT / "tests" / "data" / "short_sentences.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of an artifact; the bundled one where it is left out")
    parser.add_argument("--half", choices=["watched", "final"], default="watched")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["half"] == arguments.half]
    classifier = Classifier.load(arguments.model, provider="cpu")
    answers = classifier.predict([row["text"] for row in rows])
    right = sum(answer.label == row["label"] for answer, row in zip(answers, rows, strict=True))
    print(f"{classifier.artifact.identity}: {right} of {len(rows)} right ({right / len(rows):.1%})")
    if arguments.half == "watched":
        for answer, row in zip(answers, rows, strict=True):
            if answer.label != row["label"]:
                print(f"{answer.label} {answer.score:.3f}  {row['kind']}: {row['text']}")


if __name__ == "__main__":
    main()
