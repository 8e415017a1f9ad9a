"""A real tillside-server on free loopback ports and directories of its own, ended with the test."""

import json
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

START_S_MAX = 60
STOP_S_MAX = 30


class Server:
    """One process. Started again in the same folder it finds the same data."""

    def __init__(self, binary, folder):
        self.folder = pathlib.Path(folder)
        self.log = self.folder / "server.log"
        self.addresses = self.folder / "addresses.json"
        self.addresses.unlink(missing_ok=True)
        self.target = self.http = None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    binary,
                    "--data-dir",
                    str(self.folder / "data"),
                    "--keys-dir",
                    str(self.folder / "keys"),
                    "--listen",
                    "127.0.0.1:0",
                    "--http-listen",
                    "127.0.0.1:0",
                    "--port-file",
                    str(self.addresses),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def health(self, service=""):
        """What the standard health service says, or None where nobody answers."""
        with grpc.insecure_channel(self.target) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=service), timeout=2
                )
            except grpc.RpcError:
                return None
            return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def get(self, path):
        """Status and body of a page of the HTTP port; status 0 where nobody answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.http + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_until_serving(self):
        """Waits for the addresses the server took, then polls health until SERVING; says why it gave up otherwise."""
        end = time.monotonic() + START_S_MAX
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with status {self.process.returncode}:\n{self.tail()}")
            if self._knows_addresses() and self.health() == "SERVING":
                return
            time.sleep(0.02)
        raise RuntimeError(f"the server was not serving after {START_S_MAX} s:\n{self.tail()}")

    def _knows_addresses(self):
        if self.target is None:
            try:
                addresses = json.loads(self.addresses.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                return False
            self.target, self.http = addresses["grpc"], f"http://{addresses['http']}"
        return True

    def stop(self):
        """SIGTERM, then the exit status; None where it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def tail(self):
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
