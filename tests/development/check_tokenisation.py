"""Our token ids against those of ``transformers.AlbertTokenizer``: a check for whoever changes the tokeniser.

    python tests/development/check_tokenisation.py [--data FOLDER] [--examples N] [--write-golden]

`--data` is a folder of ``.jsonl.gz`` files with a ``text`` in each line. Needs the extra ``learn`` and ``hypothesis``;
the test suite itself needs neither, it compares with ``tests/data/tokenisation.json``, which `--write-golden` writes.
Exits with 1 at the first difference and with 2 where transformers is missing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

try:
    import transformers
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    print(
        f"error: {error.name} is missing; install it with: pip install -e '.[learn]' hypothesis",
        file=sys.stderr,
    )
    sys.exit(2)

from worker.tokenization.tokenizer import SPECIAL_PIECES, Tokenizer

ROOT = Path(__file__).resolve().parents[2]
PIECES = ROOT / "worker" / "models" / "albert-imdb-small" / "spiece.model"
GOLDEN = ROOT / "tests" / "data" / "tokenisation.json"
MAX_LENGTH = 512

AWKWARD = [
    *SPECIAL_PIECES, "<PAD>", "<Unk>", "[cls]", "[Mask]", "9,9", "1,000,000", "a9,b", "10,", "9,", "²,", "①,", "፩,",
    "``", "''", "'", "\u2019", "Σ", "ΑΣ", "\u03c3", "ς", "İ", "\u0131", "ẞ", "ß", "\u212a", "ﬁ", "Å",
    "A\u030a", "\u0301", "e\u0301", "\U0001d6ba", "\U0001d4d0", "\t", "\n", "\r\n", "\x00", "\x1c", "\x7f", "\x85",
    "\xa0", "\u3000", "\u200b", "\u200d", "\u2028", "\u2060", "\u202e", "\xad", "▁", "▁▁", "▁9,",
    "한국", "각", "漢字", "नमस्ते", "😀", "👩\u200d👩\u200d👧", "<br /><br />", "  ", "...", "…", "movie", "GREAT",
    "¨", "½", "㎏",
]  # fmt: skip


class Comparison:
    """Both tokenisers, for one model, cased or not."""

    def __init__(self, pieces: Path, *, lower_case: bool) -> None:
        self.lower_case = lower_case
        self.ours = Tokenizer(pieces, max_length=MAX_LENGTH, lower_case=lower_case)
        self.theirs = transformers.AlbertTokenizer(str(pieces), do_lower_case=lower_case)

    def reference(self, text: str) -> list[int]:
        ids: list[int] = self.theirs(text, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        return ids

    def check(self, texts: list[str]) -> None:
        for text, encoding in zip(texts, self.ours.encode_many(texts), strict=True):
            expected = self.reference(text)
            actual = encoding.ids.tolist()
            if actual != expected:
                place = next(
                    (i for i, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b),
                    min(len(actual), len(expected)),
                )
                raise AssertionError(
                    f"lower_case={self.lower_case}, a text of {len(text)} characters: {len(actual)} tokens against"
                    f" {len(expected)}, first difference at {place}:\n{text[:300]!a}\n"
                    f"ours   {actual[:40]}\ntheirs {expected[:40]}"
                )


def unicode_texts() -> st.SearchStrategy[str]:
    """Text of everything that a tokeniser may stumble over; no lone surrogates, which transformers refuses."""
    characters = st.characters(exclude_categories=["Cs"])
    part = st.one_of(
        st.text(characters, max_size=8),
        st.sampled_from(AWKWARD),
        st.text(st.sampled_from("aAzZ09,.'`\"<>[] -"), max_size=8),
        st.from_regex(r"[ $]?[0-9]{1,4},[0-9]{0,3}", fullmatch=True),
        st.characters(categories=["Nd", "No", "Nl"]).map(lambda digit: f"{digit},{digit}"),
        st.characters(categories=["Lu", "Lt", "Mn", "Zs", "Cf"]),
    )
    return st.lists(part, max_size=12).map("".join)


def check_unicode(comparison: Comparison, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(unicode_texts(), max_size=4))
    def compare(texts: list[str]) -> None:
        comparison.check(texts)

    compare()


def read_texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def check_texts(comparison: Comparison, texts: Iterable[str]) -> int:
    iterator, count = iter(texts), 0
    while chunk := list(islice(iterator, 500)):
        comparison.check(chunk)
        count += len(chunk)
    return count


def write_golden(pieces: Path) -> int:
    """Keep the texts of the golden file and renew the ids."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    comparisons = {lower_case: Comparison(pieces, lower_case=lower_case) for lower_case in (True, False)}
    for case in golden["cases"]:
        text = case["text"] * case.get("times", 1)
        case["ids"] = comparisons[case.get("lower_case", True)].reference(text)
    golden["transformers"] = transformers.__version__
    rows = ",\n".join("    " + json.dumps(case) for case in golden.pop("cases"))
    head = json.dumps(golden, indent=2)[:-2]
    GOLDEN.write_text(f'{head},\n  "cases": [\n{rows}\n  ]\n}}\n', encoding="utf-8")
    return rows.count("\n") + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=Path, default=PIECES)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cased-every", type=int, default=10, help="compare each nth text in its own case too")
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--write-golden", action="store_true")
    arguments = parser.parse_args()
    if arguments.write_golden:
        print(f"{write_golden(arguments.pieces)} golden cases written to {GOLDEN}")
    for lower_case in (True, False):
        comparison = Comparison(arguments.pieces, lower_case=lower_case)
        comparison.check(AWKWARD)
        comparison.check([f"{first}{second}" for first in AWKWARD for second in AWKWARD])
        comparison.check([text * 2_000 for text in AWKWARD if text])
        check_unicode(comparison, arguments.examples)
        print(f"lower_case={lower_case}: equal on awkward texts and {arguments.examples} generated lists", flush=True)
        if arguments.data:
            started = time.monotonic()
            step = 1 if lower_case else arguments.cased_every
            count = check_texts(comparison, islice(read_texts(arguments.data), 0, None, step))
            print(f"lower_case={lower_case}: equal on {count} texts ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
