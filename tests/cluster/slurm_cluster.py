"""A real Slurm of one node, for as long as tests need it: munged, slurmctld and slurmd as processes of root."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
CPUS = 8  # that the node says it has, as it does a terabyte of memory: more jobs than fit may run at once

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
JobRequeue=1
KillWait=5
MinJobAge=300
ReturnToService=2
MpiDefault=none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=graced Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why there can be no cluster here; empty if there can."""
    absent = [program for program in NEEDED if shutil.which(program, path=_path()) is None]
    if absent:
        return f"Slurm is not installed here: no {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "slurmd runs as root"


class SlurmCluster:
    """One node with the partitions `main`, `graced`, and `urgent`, whose jobs requeue those of the others.

    Args:
        folder: for its configuration, state and logs.

    Attributes:
        env: of commands that are to talk to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.guard: subprocess.Popen[bytes] | None = None
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}

    def __enter__(self) -> "SlurmCluster":
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        ports = _free_ports(2)
        values = {"host": socket.gethostname().split(".")[0], "folder": self.folder, "cpus": CPUS}
        config = CONFIG.format(**values, controller_port=ports[0], node_port=ports[1])
        (self.folder / "slurm.conf").write_text(config)
        try:
            self._guard()
            places = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munged.pid"}
            places |= {"log-file": "munged.log", "seed-file": "munged.seed"}
            self._start("munged", "--foreground", "--force", *(f"--{k}={self.folder / v}" for k, v in places.items()))
            self._until(lambda: (self.folder / "munge.sock").exists(), "munged")
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D")
            self._until(lambda: "idle" in self.run("sinfo", "--noheader", "--format=%T").stdout, "the node")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + 15
        try:
            if self.daemons and all(daemon.poll() is None for daemon in self.daemons):
                self.run("scancel", "--full", "--user=root", check=False)
                while time.monotonic() < deadline and self.run("squeue", "--noheader", check=False).stdout.strip():
                    time.sleep(0.5)
        except subprocess.TimeoutExpired:
            pass  # it no longer answers
        finally:
            for daemon in reversed(self.daemons):
                daemon.send_signal(signal.SIGTERM)
                try:
                    daemon.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
            self.end_processes()  # slurmd leaves jobs running
            if self.guard is not None:
                self.guard.kill()
                self.guard.communicate()

    def end_processes(self) -> None:
        """Kill whatever there is of it."""
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)

    def processes(self) -> list[psutil.Process]:
        """Its daemons, what its jobs run, and the commands that talk to it."""

        def belongs(process: psutil.Process) -> bool:
            if process.name() == "slurmstepd":  # which overwrites its environment
                return str(self.folder / "slurmd.log") in (file.path for file in process.open_files())
            return process.environ().get("SLURM_CONF") == self.env["SLURM_CONF"]

        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # gone, or dead and not yet waited for
                if belongs(process):
                    found.append(process)
        return found

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command that talks to the cluster, as `run("scontrol", "requeue", "12_1")`."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return done

    def queue(self) -> dict[str, str]:
        """{job id: state} of the jobs that wait or run, those of arrays one by one."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i %T").stdout.splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}

    def start_again(self, job: str) -> None:
        """Let a requeued job start in two seconds, and not in the two minutes that Slurm waits.

        Not now: slurmd drops, without a word to the job's owner, what comes in the second in which it ended the job.
        """
        self._until(lambda: self.queue().get(job) == "PENDING", f"job {job} in the queue again")
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now+2")

    def _guard(self) -> None:
        """Start a process that ends the cluster if this one is killed."""
        command = [sys.executable, __file__, str(self.folder)]
        self.guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def _start(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}.out").open("ab")
        self.daemons.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True))

    def _until(self, there: object, what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not there():  # type: ignore[operator]
            if time.monotonic() > deadline:
                logs = "\n".join(p.read_text(errors="replace")[-800:] for p in self.folder.glob("*.log"))
                raise AssertionError(f"{what} was not there after {seconds} s:\n{logs}")
            time.sleep(0.2)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":  # as the guard
    sys.stdin.read()  # ends when the process that uses the cluster does
    abandoned = SlurmCluster(Path(sys.argv[1]))
    abandoned.end_processes()
    shutil.rmtree(abandoned.folder, ignore_errors=True)
