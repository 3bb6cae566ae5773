"""Write what the bundled model says now into ``tests/data/predictions.json``: run it when the model changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from worker import Classifier  # noqa: E402

GOLDEN = ROOT / "tests" / "data" / "predictions.json"


def main() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    classifier = Classifier.load(provider="cpu", overflow="truncate")
    for case in golden["cases"]:
        (answer,) = classifier.predict([case["text"] * case.get("times", 1)])
        scores = {label: round(score, 5) for label, score in answer.scores.items()}
        case |= {"label": answer.label, "scores": scores, "tokens": answer.tokens, "truncated": answer.truncated}
        case["unknown"] = round(answer.unknown, 3)
    golden["model"] = classifier.artifact.identity
    rows = ",\n".join("    " + json.dumps(case) for case in golden.pop("cases"))
    head = json.dumps(golden, indent=2)[:-2]
    GOLDEN.write_text(f'{head},\n  "cases": [\n{rows}\n  ]\n}}\n', encoding="utf-8")
    print(f"{GOLDEN}: {golden['model']}")


if __name__ == "__main__":
    main()
