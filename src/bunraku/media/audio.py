"""The sound track of one file into another: copied packet by packet where the container permits, else encoded again."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.packet import Packet

from bunraku.errors import BunrakuError
from bunraku.media.files import check_input
from bunraku.media.source import motion_stream

logger = logging.getLogger(__name__)

_COPYABLE = {
    ".mp4": {"aac", "mp3", "ac3", "eac3"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "flac", "opus", "vorbis"},
    ".webm": {"opus", "vorbis"},
}
_ENCODER = {".webm": ("libopus", "s16", 48000)}
_AAC = ("aac", "fltp", None)


class AudioTrack:
    """Feeds the sound of `source`, from `start` seconds on, into `output` as its picture grows.

    Time 0 of the source is its first video frame, so that a frame range and its sound stay together. Add it before the
    first packet of `output`; a source without sound adds nothing.

    Raises:
        BunrakuError: the source is missing or unreadable.
    """

    def __init__(self, source: Path, output: OutputContainer, suffix: str, start: Fraction) -> None:
        try:
            self._input = av.open(str(check_input(source)), "r")
        except av.FFmpegError as error:
            raise BunrakuError(f"{source} has no sound that FFmpeg can read ({error.strerror})") from error
        self._output = output
        self._packets: Iterator[Packet] = iter(())
        self._next: Packet | None = None
        decodable = [stream for stream in self._input.streams.audio if stream.codec_context is not None]
        if decodable:
            stream = decodable[0]
            copy = stream.codec_context.codec.canonical_name in _COPYABLE[suffix]
            convert = self._copied if copy else self._encoded
            self._packets = convert(stream, suffix, _origin(self._input) + start)

    def mux_until(self, seconds: Fraction) -> None:
        """Writes the packets that begin before `seconds` of the output; what lies after is never read."""
        try:
            while (packet := self._next or next(self._packets, None)) is not None:
                self._next = packet
                if packet.pts is not None and packet.pts * (packet.time_base or 0) >= seconds:
                    return
                self._next = None
                self._output.mux(packet)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            logger.warning("the sound of %s is damaged (%s); the output is silent from there", self._input.name, error)
            self._packets, self._next = iter(()), None

    def close(self) -> None:
        self._input.close()

    def _copied(self, stream: AudioStream, suffix: str, start: Fraction) -> Iterator[Packet]:
        target = self._output.add_stream_from_template(stream)
        return _shifted(self._input, stream, target, start, suffix)

    def _encoded(self, stream: AudioStream, suffix: str, start: Fraction) -> Iterator[Packet]:
        codec, sample_format, rate = _ENCODER.get(suffix, _AAC)
        layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
        rate = rate or min(stream.codec_context.sample_rate, 48000)
        target = cast(AudioStream, self._output.add_stream(codec, rate, layout=layout))
        return _encoded_from(self._input, stream, target, start, sample_format)


def _origin(container: InputContainer) -> Fraction:
    stream = motion_stream(container) or container.streams.audio[0]
    return (stream.start_time or 0) * (stream.time_base or Fraction(0))


def _shifted(
    container: InputContainer, stream: AudioStream, target: AudioStream, start: Fraction, suffix: str
) -> Iterator[Packet]:
    time_base = stream.time_base or Fraction(1, 1)
    offset = round(start / time_base)
    if start > 1:
        container.seek(offset, stream=stream)
    for packet in container.demux(stream):
        if packet.pts is None or packet.dts is None:
            continue
        # One packet ahead of the cut lets the decoder warm up; MP4's edit list then hides it. Others cannot hide it.
        lead = 2 * (packet.duration or 0) if suffix in (".mp4", ".mov") else 0
        if packet.pts >= offset - lead:
            packet.pts -= offset
            packet.dts -= offset
            packet.stream = target
            yield packet


def _encoded_from(
    container: InputContainer, stream: AudioStream, target: AudioStream, start: Fraction, sample_format: str
) -> Iterator[Packet]:
    encoder = target.codec_context
    graph = Graph()
    chain = [
        graph.add_abuffer(template=stream),
        graph.add("atrim", start=f"{float(max(start, Fraction(0))):.9f}"),
        graph.add("asetpts", f"PTS-({float(start):.9f})/TB"),
        graph.add("aresample", f"{encoder.sample_rate}"),
        graph.add("aformat", f"sample_fmts={sample_format}:channel_layouts={encoder.layout.name}"),
        graph.add("asetnsamples", f"n={960 if encoder.name == 'libopus' else 1024}:p=0"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*chain).configure()

    def drained() -> Iterator[Packet]:
        while True:
            try:
                frame = cast(AudioFrame, graph.pull())
            except (BlockingIOError, EOFError):
                return
            yield from target.encode(frame)

    if start > 1:
        container.seek(round(start / (stream.time_base or 1)), stream=stream)
    for frame in container.decode(stream):
        graph.push(frame)
        yield from drained()
    graph.push(None)
    yield from drained()
    yield from target.encode(None)
