"""Pair finished pictures, which other programs name after the input in their own ways, with the true ones."""

import re
from collections.abc import Callable, Mapping, Sequence

from sr_experiments.data.paired import bare_name, match_names, without_extension
from sr_experiments.data.training_crops import first_few
from sr_experiments.errors import SRError
from sr_experiments.files.walk import composed


def pair_finished(
    hr: Sequence[str], sr: Sequence[str], scale: int, suffix: str | None = None, extensions: bool = True
) -> dict[str, str]:
    """Return the name of the finished picture, or clip, by the name of the true one.

    Names pair as HR and LR do, else where exactly one true name is the beginning of the finished one: `baby` of
    `baby_out` (Real-ESRGAN), `baby_<experiment>` (BasicSR), `babyx4`. One ending that fits all names decides first:
    `baby_2_out` is then of `baby_2`. True names may have an ending of their own: `baby_HR` of `baby_SR`.

    Args:
        hr: names relative to their folder.
        sr: the same.
        scale: upsampling factor.
        suffix: what each finished name has after the true one; others are ignored then.
        extensions: whether the names end with an extension.

    Raises:
        SRError: a name has no partner, or several.
    """
    stem = without_extension if extensions else str
    if suffix is not None:
        pairs, problems = _by_suffix({name: composed(stem(name)) for name in hr}, _by_stem(sr, stem), composed(suffix))
    else:
        pairs, problems, hr_left, sr_left = match_names(hr, sr, scale, stem, "SR")
        true, finished = ({composed(stem(name)): name for name in left} for left in (hr_left, sr_left))
        more, unpaired = _by_beginning(true, finished)
        bare = {bare_name(name, scale): true[name] for name in true}
        if unpaired and len(bare) == len(true):
            by_bare_names, still_unpaired = _by_beginning(bare, finished)
            if not still_unpaired:
                more, unpaired = by_bare_names, []
        pairs |= more
        problems += unpaired
    if problems:
        hint = "" if suffix is not None else "; if the names of SR end alike, give --suffix, as in --suffix _out"
        raise SRError(f"HR and --sr don't pair by name: {first_few(problems, 3)}{hint}")
    return pairs


def _by_stem(names: Sequence[str], stem: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(composed(stem(name)), []).append(name)
    return found


def _by_suffix(hr: Mapping[str, str], sr: Mapping[str, list[str]], suffix: str) -> tuple[dict[str, str], list[str]]:
    problems = [f"HR {name} has no SR {stem}{suffix}" for name, stem in hr.items() if stem + suffix not in sr]
    several = {name: sr[stem + suffix] for name, stem in hr.items() if len(sr.get(stem + suffix, ())) > 1}
    problems += [f"HR {name} could belong to SR {' or '.join(names)}" for name, names in several.items()]
    return {name: sr[stem + suffix][0] for name, stem in hr.items() if stem + suffix in sr}, problems


def _by_beginning(hr: Mapping[str, str], sr: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Pair by stems, which map to names."""
    candidates = {stem: [start for start in _beginnings(stem) if start in hr] for stem in sr}
    first = next(iter(candidates), "")
    endings = [first[len(start) :] for start in candidates.get(first, ())]
    fitting = [ending for ending in endings if {start + ending for start in hr} == set(sr)]
    if len(fitting) == 1:
        return {name: sr[start + fitting[0]] for start, name in hr.items()}, []
    pairs: dict[str, str] = {}
    problems = []
    for stem, starts in candidates.items():
        if not starts:
            problems.append(f"SR {sr[stem]} has no HR")
        elif len(starts) > 1:
            problems.append(f"SR {sr[stem]} could belong to HR {' or '.join(hr[start] for start in starts)}")
        elif (name := hr[starts[0]]) in pairs:
            problems.append(f"HR {name} could belong to SR {pairs[name]} or {sr[stem]}")
        else:
            pairs[name] = sr[stem]
    involved = {start for starts in candidates.values() for start in starts}
    problems += [f"HR {name} has no SR" for start, name in hr.items() if start not in involved]
    return pairs, problems


def _beginnings(stem: str) -> list[str]:
    """Return the beginnings of a name that a separator follows, or `x4`: `a` and `a_b` of `a_b_out`."""
    folder, slash, last = stem.rpartition("/")
    return [folder + slash + last[: found.start()] for found in re.finditer(r"(?<=.)([\W_]|[xX]\d)", last)]
