"""The ONNX Runtime session: token ids in, probabilities out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as OperatorMissing

from worker.errors import ArtifactError, InferenceError, OutOfMemoryError, UsageError
from worker.extras import install_command
from worker.inference import providers
from worker.inference.artifact import Artifact
from worker.inference.scores import Scores, probabilities

if TYPE_CHECKING:
    from worker.settings import ModelSettings

Ids = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int32]
Provider = Literal["auto", "cpu", "cuda"]

_log = logging.getLogger(__name__)

_FATAL_ONLY = 4  # ONNX Runtime's exceptions say all that its log would say
_INTEGERS: Mapping[str, type[np.signedinteger[Any]]] = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
_FLOATS = ("tensor(float)", "tensor(float16)")
_MATRIX = 2
_OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "bad_alloc", "cuda failure 2:", "alloc_failed")

EMPTY_REVIEW_IDS = (2, 3)
"""``[CLS]`` and ``[SEP]`` where published ALBERTs have them: the shortest input that a model must be able to read."""


class Session(Protocol):
    """What the runner asks of a session. Safe to call from any thread."""

    @property
    def provider(self) -> str:
        """``cpu`` or ``cuda``."""

    @property
    def concurrency(self) -> int:
        """How many calls of `predict` it takes at once to use all of the device that is to be used."""

    def warm_up(self) -> None:
        """Compute once, so that the first batch does not wait for what is done once; raises as `predict` does."""

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        """Probabilities, float32 ``[rows, labels]``, of int32 `ids` ``[rows, length]`` and their `lengths` ``[rows]``.

        Blocks while it computes. Raises `InferenceError`, and `OutOfMemoryError` where a smaller batch may fit.
        """


@dataclass(frozen=True)
class SessionOptions:
    """Where and how wide to compute."""

    provider: Provider = "auto"
    """``auto`` takes a GPU where there is one and the model is made for it."""
    device_id: int = 0
    threads: int = 0
    """Threads of one inference on a CPU; 0 takes one, or what `concurrency` leaves for each."""
    concurrency: int = 0
    """Batches side by side on a CPU; 0 takes as many as have cores."""

    @classmethod
    def of(cls, settings: ModelSettings) -> Self:
        """What the operator chose."""
        return cls(settings.provider, settings.device_id, settings.inference_threads, settings.concurrent_batches)

    def on_cpu(self) -> tuple[int, int]:
        """How many batches side by side, and threads for each, with the cores that this process may use.

        Several small inferences side by side use cores better than one that all of them share: nothing has to wait at
        the end of each operator. Measured: docs/performance.md.
        """
        cores = providers.usable_cores()
        threads = self.threads or (max(1, cores // self.concurrency) if self.concurrency else 1)
        return self.concurrency or max(1, cores // threads), threads


def open_session(artifact: Artifact, options: SessionOptions | None = None) -> ClassifierSession:
    """Load the graph of `artifact`; takes seconds for a large model.

    Raises `UsageError` where the provider asked for is not there, `ArtifactError` where the graph cannot be loaded, or
    its inputs or outputs are not a classifier's.
    """
    options = options or SessionOptions()
    fell_back = False
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    if _wants_cuda(artifact, options):
        providers.preload_cuda_libraries()
        packed, why_not = _open_padding_free(artifact, options)
        if packed is not None:
            return packed
        session = _load(artifact.model_path, options, cuda=True)
        if providers.CUDA in session.get_providers():
            if why_not:
                _log.info("%s: the graph with padding is used (%s)", artifact.identity, why_not)
            return ClassifierSession(artifact, session, "cuda")
        remedy = f"install the CUDA libraries with the extra: {install_command('cuda')}"
        if options.provider == "cuda":
            raise UsageError(f"provider cuda: ONNX Runtime cannot use the GPU; {remedy}")
        _log.warning("there is a GPU, but ONNX Runtime cannot use it, so the model runs on the CPU; %s", remedy)
        fell_back = True
    elif options.provider == "auto" and artifact.precision != "int8" and providers.gpu_is_attached():
        why = "its driver does not offer it" if providers.cuda_is_built_in() else "this ONNX Runtime has no CUDA"
        _log.warning("there is a GPU, but %s, so the model runs on the CPU; reviews-worker check tells more", why)
        fell_back = True
    if artifact.precision == "fp16":
        _log.warning(
            "%s is in half precision, with which a CPU is slower, not faster; import it with --precision int8 or fp32",
            artifact.identity,
        )
    session = _load(artifact.model_path, options, cuda=False)
    return ClassifierSession(artifact, session, "cpu", concurrency=options.on_cpu()[0], fell_back=fell_back)


class ClassifierSession:
    """A loaded model; see `Session`.

    `padding_free` says which of the artifact's graphs it is, `fell_back` that it is on the CPU since the GPU that is
    there cannot be used.
    """

    def __init__(
        self,
        artifact: Artifact,
        session: onnxruntime.InferenceSession,
        provider: str,
        *,
        concurrency: int = 1,
        padding_free: bool = False,
        fell_back: bool = False,
    ) -> None:
        self.provider = provider
        self.concurrency = concurrency
        self.padding_free = padding_free
        self.fell_back = fell_back
        self._artifact = artifact
        self._session = session
        self._feeds = _input_feeds(artifact, session)
        self._output = _output_name(artifact, session)

    def warm_up(self) -> None:
        """Compute a shortest and a longest review; see `Session`."""
        for length in (len(EMPTY_REVIEW_IDS), self._artifact.max_length):
            ids = np.full((1, length), EMPTY_REVIEW_IDS[1], dtype=np.int32)
            ids[0, 0] = EMPTY_REVIEW_IDS[0]
            self.predict(ids, np.array([length], dtype=np.int32))

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        """See `Session`."""
        feeds = {name: feed(ids, lengths) for name, feed in self._feeds.items()}
        try:
            logits = self._session.run([self._output], feeds)[0]
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise _inference_error(error) from error
        expected = (len(ids), len(self._artifact.labels))
        if logits.shape != expected:
            raise InferenceError(f"the model put out the shape {logits.shape} where {expected} was expected")
        return probabilities(logits, self._artifact.calibration.temperature)


def _wants_cuda(artifact: Artifact, options: SessionOptions) -> bool:
    if options.provider == "cpu":
        return False
    usable = providers.cuda_is_built_in()
    found = providers.gpu_count() if usable else 0
    if options.provider == "cuda":
        if not usable:
            raise UsageError("provider cuda: this ONNX Runtime has no CUDA; install onnxruntime-gpu, or take auto")
        if found <= options.device_id:
            raise UsageError(f"provider cuda: no GPU {options.device_id} here (the driver offers {found}); take auto")
        return True
    if found > options.device_id and artifact.precision == "int8":
        _log.info("%s is an int8 model, which is made for CPUs; the GPU is left alone", artifact.identity)
        return False
    return found > options.device_id


def _open_padding_free(artifact: Artifact, options: SessionOptions) -> tuple[ClassifierSession | None, str]:
    """The session of the graph without padding, or else why there is none; empty where the artifact has no such graph.

    It has computed two rows when it comes back: kernels choose themselves by the card, and some refuse only then.
    """
    if artifact.padding_free_path is None:
        return None, ""
    try:
        loaded = _load(artifact.padding_free_path, options, cuda=True)
        if providers.CUDA not in loaded.get_providers():
            return None, "the provider is not there"
        session = ClassifierSession(artifact, loaded, "cuda", padding_free=True)
        session.predict(np.array([[2, 3, 3], [2, 3, 0]], dtype=np.int32), np.array([3, 2], dtype=np.int32))
    except (_OperatorMissingError, InferenceError) as error:
        return None, str(error)
    return session, ""


def _load(path: Path, options: SessionOptions, *, cuda: bool) -> onnxruntime.InferenceSession:
    """The graph in `path`; raises `ArtifactError`, `_OperatorMissingError` where no provider has all its operators."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    settings.intra_op_num_threads = options.on_cpu()[1]
    settings.inter_op_num_threads = 1
    # Both keep memory for shapes long gone, and on a CPU neither saves time.
    settings.enable_mem_pattern = False
    settings.enable_cpu_mem_arena = False
    # Idle threads that spin take the cores from decoding and tokenising.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen: list[Any] = [providers.CPU]
    slow: list[str] = []
    if cuda:
        chosen.insert(0, (providers.CUDA, cuda_options(options.device_id)))
    else:
        slow = ["SkipLayerNormFusion"]  # the fused kernel takes seven times as long on a CPU
    try:
        with providers.no_output():  # where the GPU fails, it says so and falls back to the CPU
            return onnxruntime.InferenceSession(str(path), settings, providers=chosen, disabled_optimizers=slow)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        kind = _OperatorMissingError if isinstance(error, OperatorMissing) else ArtifactError
        raise kind(f"{path}: ONNX Runtime cannot load it ({_first_line(error)})") from error


def cuda_options(device_id: int) -> dict[str, Any]:
    """Options of the CUDA provider that are not its defaults; the comments say why, and why others are left.

    Left: ``enable_cuda_graph`` needs fixed shapes and no copy to the host, and `RemovePadding` counts the tokens there.
    ``sdpa_kernel`` chooses flash attention by itself where the card has it. ``cudnn_conv_*`` is for convolutions.
    ``enable_skip_layer_norm_strict_mode`` refuses places that are the same for all rows; normalisation is in float32.
    I/O binding would save nothing: a batch of 64k tokens sends 256 KiB and reads a few KiB, some tens of microseconds
    beside milliseconds of computing.
    """
    return {
        "device_id": device_id,
        # An arena that grows by doubling keeps up to twice the memory of its largest batch.
        "arena_extend_strategy": "kSameAsRequested",
        # With TF32 (the default) float32 products keep 10 bits: more than 1e-5 off. Who wants speed takes fp16.
        "use_tf32": 0,
    }


class _OperatorMissingError(ArtifactError):
    """No provider of this ONNX Runtime has an operator of the graph."""


def _input_feeds(
    artifact: Artifact, session: onnxruntime.InferenceSession
) -> dict[str, Callable[[Ids, Lengths], npt.NDArray[Any]]]:
    """How each input of the graph is made; raises `ArtifactError` for an input that is not known."""
    feeds = {}
    for node in session.get_inputs():
        make = _FEEDS.get(node.name)
        if make is None:
            raise ArtifactError(
                f"{artifact.model_path}: the graph asks for an input {node.name!r}; known are {', '.join(_FEEDS)}"
            )
        dtype = _INTEGERS.get(node.type)
        if dtype is None:
            raise ArtifactError(f"{artifact.model_path}: the input {node.name!r} is a {node.type}, not int32 or int64")
        if len(node.shape) != (1 if node.name == "lengths" else _MATRIX):
            raise ArtifactError(f"{artifact.model_path}: the input {node.name!r} has an unexpected shape, {node.shape}")
        feeds[node.name] = _feed(make, dtype)
    if "input_ids" not in feeds or not feeds.keys() & {"lengths", "attention_mask"}:
        raise ArtifactError(
            f"{artifact.model_path}: the graph needs the inputs input_ids and lengths or attention_mask"
        )
    return feeds


def _feed(
    make: Callable[[Ids, Lengths], npt.NDArray[Any]], dtype: type[np.signedinteger[Any]]
) -> Callable[[Ids, Lengths], npt.NDArray[Any]]:
    return lambda ids, lengths: make(ids, lengths).astype(dtype, copy=False)


_FEEDS: Mapping[str, Callable[[Ids, Lengths], npt.NDArray[Any]]] = {
    "input_ids": lambda ids, lengths: ids,
    "lengths": lambda ids, lengths: lengths,
    "attention_mask": lambda ids, lengths: np.arange(ids.shape[1]) < lengths[:, None],
    "token_type_ids": lambda ids, lengths: np.zeros_like(ids),
}


def _output_name(artifact: Artifact, session: onnxruntime.InferenceSession) -> str:
    outputs = session.get_outputs()
    node = next((output for output in outputs if output.name == "logits"), outputs[0])
    labels = node.shape[1] if len(node.shape) == _MATRIX else None
    if node.type not in _FLOATS or labels is None or (isinstance(labels, int) and labels != len(artifact.labels)):
        raise ArtifactError(
            f"{artifact.model_path}: the output {node.name!r} is a {node.type} {node.shape}, not a score for each of"
            f" the {len(artifact.labels)} labels ({', '.join(artifact.labels)})"
        )
    return str(node.name)


def _inference_error(error: Exception) -> InferenceError:
    text = _first_line(error)
    if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
        return OutOfMemoryError(f"out of memory ({text})")
    return InferenceError(f"ONNX Runtime failed ({text})")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__
