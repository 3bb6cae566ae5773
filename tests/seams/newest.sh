# Runs tests/seams and tests/contract on the newest releases of aiokafka, Faust and mode, pre-releases included, whatever
# upper bounds pyproject.toml has. The environment is build/seams, made anew each time. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/../.."
folder=build/seams
python=$folder/bin/python
rm -rf "$folder"
.venv/bin/python -m venv "$folder"
if [ -x .venv/bin/uv ]; then
    install() { .venv/bin/uv pip install --quiet --python "$python" "$@"; }
    early="--prerelease allow"
else
    install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
    early="--pre"
fi
echo "installing the worker, and then the newest aiokafka, Faust and mode, into $folder"
install --editable '.[demo]' hypothesis jsonschema pytest pytest-asyncio pytest-xdist
# Without what they depend on: of that, no pre-releases.
# shellcheck disable=SC2086 # two words, or one
install --upgrade --no-deps $early aiokafka faust-streaming mode-streaming
version() { "$python" -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' "$1"; }
aiokafka=$(version aiokafka) faust=$(version faust-streaming) mode=$(version mode-streaming)
install "aiokafka[lz4,snappy,zstd]==$aiokafka" "faust-streaming==$faust" "mode-streaming==$mode"
echo "testing with aiokafka $aiokafka, faust-streaming $faust and mode-streaming $mode"
# One after the other: where the contract suite cannot even be imported, the first still says why.
status=0
for suite in tests/seams tests/contract; do
    "$python" -m pytest --quiet --tb=short --continue-on-collection-errors -p no:cacheprovider "$suite" "$@" || {
        code=$?
        [ "$code" = 5 ] || status=$code # 5: the arguments select nothing of it
    }
done
exit $status
