"""The walk over a folder and all folders below it, for everything that looks for images, videos or runs."""

import functools
import importlib.util
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sr_experiments.packages.extras import install_extra

log = logging.getLogger(__name__)

# Folders in which file managers, network drives and operating systems keep thumbnails and deleted files, in lower case:
# Synology, QNAP, macOS, Windows, Linux. Names that begin with a dot are left out anyway.
SYSTEM_FOLDERS = frozenset((
    "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "__macosx", "network trash folder",
    "temporary items", "$recycle.bin", "recycler", "system volume information", "lost+found",
))  # fmt: skip

Identity = tuple[int, int]  # device and inode

_TO_PNG = "convert it to PNG"
# Formats of pictures that aren't read, and what to do with such a file.
UNREAD = {
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpf", ".jpx", ".jxr", ".wdp", ".bpg",
                     ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".psd", ".xcf", ".pcx", ".dds", ".ico", ".qoi", ".sgi",
                     ".svg"), _TO_PNG),
    **dict.fromkeys((".gif", ".apng", ".mng"), "make it a video, ffmpeg -i in.gif out.mkv"),
    **dict.fromkeys((".hdr", ".pfm"), "convert it to 16-bit PNG: its values have no defined range"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"),
                    "develop it to 16-bit TIFF or PNG"),
    **dict.fromkeys((".wmv", ".flv", ".ogv", ".vob"),
                    "put it into another container, ffmpeg -i in.wmv -c copy out.mkv"),
}  # fmt: skip
if importlib.util.find_spec("OpenEXR") is None:
    UNREAD[".exr"] = f"{install_extra('exr')}, or convert it to 16-bit PNG"
if importlib.util.find_spec("pillow_heif") is None:
    UNREAD |= dict.fromkeys((".heic", ".heif", ".hif"), f"{install_extra('heic')}, or convert it to PNG")


@dataclass
class Walk:
    """What a walk found.

    Attributes:
        root: the folder.
        folders: names of the files by folder, both sorted; folders without such files are not in it.
        unread: number of files by extension, of those in UNREAD.
        system: number of entries by name, of SYSTEM_FOLDERS.
        unreachable: what can't be read, in words: broken links, folders without permission.
    """

    root: str
    folders: dict[str, list[str]] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    system: Counter[str] = field(default_factory=Counter)
    unreachable: list[str] = field(default_factory=list)

    def paths(self) -> Iterator[str]:
        """Yield the paths of the files."""
        for folder, names in self.folders.items():
            for name in names:
                yield f"{folder}/{name}"

    def left_out(self) -> str:
        """Say what was left out, in one line; empty if nothing was."""
        counts = ", ".join(f"{count} {extension}" for extension, count in sorted(self.unread.items()))
        parts = [f"{counts} (formats that aren't read)"] if counts else []
        parts += [f"{count} in {name}" for name, count in sorted(self.system.items())]
        parts += self.unreachable[:3]
        if len(self.unreachable) > 3:
            parts.append(f"{len(self.unreachable) - 3} more that can't be reached")
        return f"left out: {'; '.join(parts)}" if parts else ""

    def log_left_out(self) -> None:
        """Log what was left out, once per process."""
        if line := self.left_out():
            _log_once(f"{self.root}: {line}")


def walk(
    folder: str | Path,
    wanted: Callable[[str], bool],
    pruned: Collection[str] = (),
    nested: bool = True,
) -> Walk:
    """List files in a folder and below it: each real folder once, whatever links lead to it, and each file once.

    Links are followed; where several ways lead to a folder or file, the one without links counts, else the first by
    name. Names that begin with a dot, SYSTEM_FOLDERS and links to a folder above are left out.

    Args:
        folder: where to begin.
        wanted: whether a file of this name is listed.
        pruned: names of further folders that are not entered.
        nested: whether to look below a folder that has such a file.
    """
    root = str(folder)
    found = Walk(root)
    above = {_identity(parent) for parent in Path(os.path.realpath(root)).parents}
    seen: set[Identity] = set()
    linked_files: list[str] = []
    waiting = [root]  # links to folders; real folders are visited first, so that theirs are the names that count
    while waiting:
        real = [waiting.pop(0)]
        while real:
            place = real.pop()
            try:
                identity = _identity(place)
                if identity in seen:
                    continue
                if identity in above:
                    found.unreachable.append(f"{_below(place, root)}, a link to a folder above")
                    continue
                seen.add(identity)
                entries = sorted(os.scandir(place), key=lambda entry: entry.name)
            except OSError as error:
                found.unreachable.append(f"{_below(place, root)} ({error.strerror})")
                continue
            files, inside, links = _sorted_out(place, entries, found, wanted, linked_files)
            if files:
                found.folders[place] = files
            if nested or not files:
                real += [f"{place}/{name}" for name in reversed(inside) if name not in pruned]
                waiting += [f"{place}/{name}" for name in links if name not in pruned]
    _add_linked_files(linked_files, seen, found, wanted)
    found.folders = dict(sorted(found.folders.items(), key=lambda item: item[0].split("/")))
    return found


def is_left_out(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or the system's own."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def composed(name: str) -> str:
    """Return a name in Unicode's composed form: macOS and others write `e` and an accent for the same name."""
    return unicodedata.normalize("NFC", name)


def _sorted_out(
    place: str, entries: list[os.DirEntry[str]], found: Walk, wanted: Callable[[str], bool], linked_files: list[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the names of wanted files, folders and links to folders; note what is left out, and links to files."""
    files: list[str] = []
    inside: list[str] = []
    links: list[str] = []
    for entry in entries:
        name = entry.name
        if name[0] == ".":
            continue
        is_link = entry.is_symlink()
        if _leads_to_folder(entry):
            if name.lower() not in SYSTEM_FOLDERS:
                (links if is_link else inside).append(name)
            elif not is_link:
                found.system[name] += _number_of_entries(entry.path)
        elif wanted(name):
            if is_link:
                linked_files.append(f"{place}/{name}")
            else:
                files.append(name)
        elif (extension := Path(name).suffix.lower()) in UNREAD:
            found.unread[extension] += 1
        elif is_link and not Path(entry.path).exists():  # perhaps to a folder
            found.unreachable.append(f"{_below(entry.path, found.root)}, a broken link")
    return files, inside, links


def _add_linked_files(
    linked: list[str], seen: set[tuple[int, int]], found: Walk, wanted: Callable[[str], bool]
) -> None:
    """List links to files, unless the file itself or an earlier link to it is listed. A broken link is listed too."""
    known: set[Identity] = set()
    for path in linked:
        try:
            identity = _identity(path)
            parent, name = os.path.split(os.path.realpath(path))
            listed = wanted(name) and not is_left_out(name) and _identity(parent) in seen
            if listed or identity in known:
                continue
            known.add(identity)
        except OSError:  # a broken link is a file that can't be read, and named where files are read
            pass
        folder, name = path.rsplit("/", 1)
        found.folders.setdefault(folder, []).append(name)
    for folder in {path.rsplit("/", 1)[0] for path in linked} & found.folders.keys():
        found.folders[folder].sort()


def _identity(path: str | Path) -> Identity:
    """Return device and inode of what a path leads to."""
    status = Path(path).stat()
    return status.st_dev, status.st_ino


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _number_of_entries(folder: str) -> int:
    try:
        return sum(1 for _ in os.scandir(folder))
    except OSError:
        return 0


def _below(path: str, root: str) -> str:
    return os.path.relpath(path, root) if path != root else root


@functools.lru_cache
def _log_once(line: str) -> None:
    log.warning("%s", line)
