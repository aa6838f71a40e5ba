"""What W&B wrote offline, read back from its files."""

import json
import struct
from pathlib import Path


def records(session: Path):
    """Protobuf records of a W&B offline run file: LevelDB's log format after a seven-byte header."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = next(session.glob("*.wandb")).read_bytes()
    assert data[:4] == b":W&B"
    position, pending = 7, b""
    while position < len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        payload = data[position + 7 : position + 7 + length]
        position += 7 + length
        pending = payload if kind in (1, 2) else pending + payload
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(pending)
            yield record


class Session:
    """What one session of a run left for W&B."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.summary, self.metrics = {}, {}, {}
        self.history, self.artifacts, self.alerts = [], [], []
        for record in records(folder):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self._put(self.config, record.run.config.update)
            elif kind == "config":
                self._put(self.config, record.config.update)
            elif kind == "summary":
                self._put(self.summary, record.summary.update)
            elif kind == "history":
                self.history.append(self._put({}, record.history.item))
            elif kind == "metric":
                self.metrics[record.metric.name] = record.metric.summary
            elif kind == "artifact":
                self.artifacts.append(record.artifact)
            elif kind == "alert":
                self.alerts.append(record.alert)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    @staticmethod
    def _put(tree: dict, items) -> dict:
        for item in items:
            *path, last = list(item.nested_key) or [item.key]
            branch = tree
            for key in path:
                branch = branch.setdefault(key, {})
            branch[last] = json.loads(item.value_json)
        return tree

    def logged(self, key: str) -> dict[int, object]:
        """The values of a key by W&B's step."""
        rows = [(row["_step"], row[key]) for row in self.history if key in row]
        assert len(dict(rows)) == len(rows), f"{key} twice at a step"
        return dict(rows)

    def models(self) -> dict[str, dict]:
        """Metadata of the checkpoints by alias."""
        of = [a for a in self.artifacts if a.type == "model"]
        return {alias: json.loads(a.metadata) for a in of for alias in a.aliases}


def sessions(folder: Path) -> list[Session]:
    return [Session(path) for path in sorted(folder.glob("wandb/offline-run-*"))]
