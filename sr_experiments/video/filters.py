"""FFmpeg's filters on frames."""

from fractions import Fraction
from typing import Any


def one_filter(width: int, height: int, pix_fmt: str, time_base: Fraction, name: str, options: str) -> Any:
    """Return PyAV's graph of one filter of FFmpeg, which frames are pushed into and pulled from.

    Args:
        width: of the frames.
        height: of the frames.
        pix_fmt: FFmpeg's name of their format.
        time_base: unit of their times, in seconds.
        name: of the filter.
        options: of the filter, as FFmpeg writes them: "a=1:b=2".
    """
    from av import VideoFormat
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=VideoFormat(pix_fmt), time_base=time_base)
    filtering, sink = graph.add(name, options), graph.add("buffersink")
    source.link_to(filtering)
    filtering.link_to(sink)
    graph.configure()
    return graph
