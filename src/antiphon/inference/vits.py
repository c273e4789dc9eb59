"""A VITS voice run a stretch at a time, so that a sentence is heard before it is finished.

A voice file is one graph: text → durations and a latent frame per 11.6 ms → flow → decoder. Flow and decoder
are stacks of convolutions, so a stretch of their output depends only on a few frames to either side
(``FLOW_REACH``, ``DECODER_REACH``, from their kernels). The graph is cut at those two places and run by the
stretch; the sound is the same but for rounding, which is checked when the voice is loaded. A file that cannot
be cut runs whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from antiphon.inference.onnx import Array, OnnxSession, missing, open_onnx
from antiphon.inference.onnx_graph import Graph, GraphError, read_graph
from antiphon.inference.speech import Sound

FLOW_REACH = 32
"""Frames: four couplings of four convolutions of kernel 5, two frames each."""
DECODER_REACH = 10
"""Frames: 3 (first convolution) + 1 + 45/8 (the first block's widest) + … = 9.8."""
SHORTEST = 16
"""Frames: a rest shorter than this goes out with the stretch before it."""
TOLERANCE = 1e-3
"""Largest difference in amplitude between whole and stretches that passes for rounding (it is about 1e-6)."""


class Sentence(Protocol):
    """A sentence whose text has been read, its sound still to be made."""

    @property
    def durations(self) -> Array | None:
        """Frames of each phoneme id, where the file tells."""

    @property
    def frames(self) -> int: ...

    def stretch(self, frames: int) -> Sound | None:
        """The sound of the next ``frames``, None after the last."""


class Vits(Protocol):
    """A loaded graph."""

    @property
    def by_stretches(self) -> bool: ...

    def read(self, inputs: Mapping[str, Array]) -> Sentence:
        """Run the part that reads the text."""


def open_vits(path: Path, *, model_id: str, threads: int, hop: int, cut: bool = True) -> Vits:
    """Load the voice at ``path``, by stretches if it can be cut. ``hop`` is samples a frame. Raises
    ``ModelError``."""
    if not path.is_file():
        raise missing(path, model_id=model_id)
    if not cut:
        return WholeVits(open_onnx(path, model_id=model_id, threads=threads), hop)
    try:
        graph = read_graph(path.read_bytes())
        cuts = _find_cuts(graph)
        reading = graph.part(list(graph.inputs), [cuts.latent, cuts.mask, cuts.durations])
        flow = graph.part([cuts.latent, cuts.mask], [cuts.frames])
        decoder = graph.part([cuts.frames], list(graph.outputs))
    except GraphError:
        return WholeVits(open_onnx(path, model_id=model_id, threads=threads), hop)
    del graph
    sessions = [open_onnx(part, model_id=model_id, threads=threads) for part in (reading, flow, decoder)]
    vits = CutVits(cuts, *sessions, hop=hop)
    if not vits.exact():
        return WholeVits(open_onnx(path, model_id=model_id, threads=threads), hop)
    return vits


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """The tensors at which the graph comes apart."""

    latent: str
    """(1, channels, frames): what the text came to, before the flow."""
    mask: str
    """(1, 1, frames) of ones, since one sentence is run at a time."""
    frames: str
    """(1, channels, frames): after the flow, before the decoder."""
    durations: str
    """(1, 1, phoneme ids): frames of each."""


def _find_cuts(graph: Graph) -> Cuts:
    """By structure, as piper's exports are built (VITS ``infer``). Raises ``GraphError``."""
    try:
        first = next(node for node in graph.nodes if node.inputs[1:2] == ("dec.conv_pre.weight",))
        durations = next(node for node in graph.nodes if node.op == "Ceil").outputs[0]
        masked = graph.producers[first.inputs[0]]
        mask = max(masked.inputs, key=lambda tensor: len(graph.consumers(tensor)))
    except (StopIteration, KeyError, ValueError) as error:
        raise GraphError("not the graph of a piper voice") from error
    for noise in (node for node in graph.nodes if node.op == "RandomNormalLike"):
        # The latent is mean + noise x deviation x scale: the first sum after the noise.
        tensor = noise.outputs[0]
        while len(users := graph.consumers(tensor)) == 1 and users[0].op != "Add":
            tensor = users[0].outputs[0]
        if len(users) == 1 and graph.depends_only(first.inputs[0], on=(users[0].outputs[0], mask)):
            return Cuts(latent=users[0].outputs[0], mask=mask, frames=first.inputs[0], durations=durations)
    raise GraphError("not the graph of a piper voice")


class WholeVits:
    """A voice run as one."""

    by_stretches = False

    def __init__(self, session: OnnxSession, hop: int) -> None:
        self._session = session
        self._hop = hop

    def read(self, inputs: Mapping[str, Array]) -> WholeSentence:
        return WholeSentence(self._session.run(None, inputs)[0].reshape(-1), self._hop)


class WholeSentence:
    """All of its sound is there at once."""

    durations: Array | None = None

    def __init__(self, sound: Sound, hop: int) -> None:
        self.frames = len(sound) // hop
        self._rest = sound
        self._hop = hop

    def stretch(self, frames: int) -> Sound | None:
        left = len(self._rest) // self._hop
        end = frames * self._hop if left - frames >= SHORTEST else len(self._rest)
        sound, self._rest = self._rest[:end], self._rest[end:]
        return sound if len(sound) else None


class CutVits:
    """A voice in three parts."""

    by_stretches = True

    def __init__(
        self, cuts: Cuts, reading: OnnxSession, flow: OnnxSession, decoder: OnnxSession, *, hop: int
    ) -> None:
        self.cuts = cuts
        self.hop = hop
        self._reading = reading
        self._flow = flow
        self._decoder = decoder

    def read(self, inputs: Mapping[str, Array]) -> CutSentence:
        wanted = [self.cuts.latent, self.cuts.mask, self.cuts.durations]
        latent, mask, durations = self._reading.run(wanted, inputs)
        return CutSentence(self, latent, mask, durations.reshape(-1))

    def flow(self, latent: Array, mask: Array) -> Array:
        return self._flow.run(None, {self.cuts.latent: latent, self.cuts.mask: mask})[0]

    def decode(self, frames: Array) -> Sound:
        return self._decoder.run(None, {self.cuts.frames: frames})[0].reshape(-1)

    def exact(self) -> bool:
        """Whether stretches join to what the whole gives, on noise in place of a sentence."""
        channels, frames = 192, 120
        latent = np.random.default_rng(7).standard_normal((1, channels, frames), dtype=np.float32)
        mask = np.ones((1, 1, frames), dtype=np.float32)
        whole = self.decode(self.flow(latent, mask))
        if len(whole) != frames * self.hop:
            return False
        sentence = CutSentence(self, latent, mask, np.ones(frames))
        stretches = [sentence.stretch(count) for count in (16, 32, frames)]
        joined = np.concatenate([stretch for stretch in stretches if stretch is not None])
        return joined.shape == whole.shape and float(np.abs(joined - whole).max()) < TOLERANCE


class CutSentence:
    """Flow and decoder follow what is asked for, each with the edges it needs."""

    def __init__(self, vits: CutVits, latent: Array, mask: Array, durations: Array) -> None:
        self.durations: Array | None = durations
        self.frames = latent.shape[2]
        self._vits = vits
        self._latent = latent
        self._mask = mask
        self._flowed = np.zeros((1, latent.shape[1], 0), dtype=np.float32)
        self._spoken = 0
        """Frames already given."""

    def stretch(self, frames: int) -> Sound | None:
        begin, end = self._spoken, self._spoken + frames
        if begin >= self.frames:
            return None
        if self.frames - end < SHORTEST:
            end = self.frames
        self._flow_to(min(end + DECODER_REACH, self.frames))
        left = max(0, begin - DECODER_REACH)
        sound = self._vits.decode(self._flowed[:, :, left : min(end + DECODER_REACH, self.frames)])
        self._spoken = end
        hop = self._vits.hop
        return sound[(begin - left) * hop : (end - left) * hop]

    def _flow_to(self, end: int) -> None:
        """Have the flow's output up to frame ``end``."""
        begin = self._flowed.shape[2]
        if begin >= end:
            return
        left, right = max(0, begin - FLOW_REACH), min(end + FLOW_REACH, self.frames)
        flowed = self._vits.flow(self._latent[:, :, left:right], self._mask[:, :, left:right])
        self._flowed = np.concatenate((self._flowed, flowed[:, :, begin - left : end - left]), axis=2)
