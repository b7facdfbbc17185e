"""A classroom for the corpus, and a server on the grader's machine that would give an answer away."""

import socket
import threading

import pytest

from tests.classroom import make_course, solved, submit
from tests.grading.conftest import bubblewrap  # noqa: F401
from tests.submissions.scene import Scene

ANSWER = b"def create_causal_mask(n, device=None): return torch.ones(1, 1, n, n, dtype=bool, device=device).tril()"


@pytest.fixture(scope="session")
def giving_server():
    """The port of a server that sends a right answer to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(ANSWER)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def scene(tmp_path_factory, giving_server):
    """A course with the perfect work of one student in it."""
    course = make_course(tmp_path_factory.mktemp("corpus"))
    submit(course, "0-perfect", solved())
    return Scene(course, giving_server)
