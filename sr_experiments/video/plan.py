"""The plan of an output: encoder, pixel format and streams that its container is known to take, and what is lost."""

from dataclasses import replace
from pathlib import Path

from sr_experiments.errors import SRError
from sr_experiments.video.colour import UNSPECIFIED_MATRIX
from sr_experiments.video.container import ExtraStream, plan_extra_streams
from sr_experiments.video.encode import (
    EncoderOptions,
    Encoding,
    check_options,
    choose_encoding,
    encoders_for,
    transparency_lost,
)
from sr_experiments.video.formats import cannot_hold, container_of
from sr_experiments.video.source import Source, VideoSource
from sr_experiments.video.trial import try_output


def plan_output(
    options: EncoderOptions, source: Source, target: Path, size: tuple[int, int]
) -> tuple[Encoding, list[ExtraStream], list[str]]:
    """Plan an output whose frames have this (width, height), try it, and also return notes for the user.

    Raises:
        SRError: the output can't be written with these options, or the source can't be read.
    """
    import av

    check_options(options)
    wanted = av.VideoFormat(options.pix_fmt) if options.pix_fmt else source.first.format
    names = [options.codec] if options.codec else encoders_for(container_of(target), source.codec, wanted)
    attempts = [(name, source.alpha) for name in names]
    if source.alpha and options.pix_fmt is None:
        attempts.append((names[-1], False))
    planned: list[ExtraStream] = []
    stream_notes: list[str] = []
    if isinstance(source, VideoSource):
        planned, stream_notes = plan_extra_streams(source.path, target)
    for name, alpha in attempts:
        try:
            encoding, notes = _choose(options, name, source, target, size, alpha)
        except SRError:
            if (name, alpha) == attempts[-1]:
                raise
        else:
            break
    kept, left_out = _choose_streams(target, source, encoding, planned)
    return encoding, kept, [*source.notes, *notes, *stream_notes, *left_out]


def _choose(
    options: EncoderOptions, name: str, source: Source, target: Path, size: tuple[int, int], alpha: bool
) -> tuple[Encoding, list[str]]:
    """Choose the encoding with an encoder, and check that the container can hold the video."""
    encoding, notes = choose_encoding(
        options, name, source.first, size, source.time_base, source.rate, source.aspect, alpha
    )
    trial = try_output(target, source, encoding, [])
    if trial.colours is None:
        raise cannot_hold(target, name, "transparency" if trial.problem == "transparency" else "video")
    asked, read = encoding.colours, trial.colours
    if read != asked:
        encoding = replace(encoding, colours=read)
        if asked.tags["colorspace"] == UNSPECIFIED_MATRIX and asked.full_range == read.full_range:
            why = "the input states none, and programs take these at the output's size"
        else:
            why = f"{name} in {target.suffix} can't state the input's colours"
        notes.append(f"encoded in {read.words()}: {why}")
    if source.alpha and not alpha:
        notes.insert(0, transparency_lost(f"{target.suffix} of {name}"))
    return encoding, notes


def _choose_streams(
    target: Path, source: Source, encoding: Encoding, planned: list[ExtraStream]
) -> tuple[list[ExtraStream], list[str]]:
    """Leave out the streams that the container doesn't take beside the video; also return notes for the user.

    Sound that it doesn't take as it is, is encoded.
    """

    def problem_with(streams: list[ExtraStream]) -> str:
        return try_output(target, source, encoding, streams).problem

    if not planned or not problem_with(planned):
        return planned, []
    kept, notes = list[ExtraStream](), list[str]()
    for stream in planned:
        if not (problem := problem_with([*kept, stream])):
            kept.append(stream)
            continue
        anew = replace(stream, action="encode")
        if stream.action == "copy" and stream.codec and not problem_with([*kept, anew]):
            kept.append(anew)
            notes.append(anew.encoded())
        else:
            notes.append(f"{stream.name} left out: {target.suffix} can't hold it ({problem})")
    return kept, notes
