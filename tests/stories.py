"""Stories to draw: what `demo` tells most often, and what a hostile peer would like to be drawn."""

from __future__ import annotations

from afunix.model.sequence import Lifeline, Outcome, Step, Story

SERVER, CLIENT, SECOND = (
    Lifeline("server", "pid 4121"),
    Lifeline("client 1", "pid 4122"),
    Lifeline("client 2", "pid 4123"),
)
PATH = "/tmp/afunix-demo-k2/hello.sock"

TWO_CLIENTS = Story(
    f"afunix serve {PATH} and two clients",
    (SERVER, CLIENT, SECOND),
    (
        Step(0, "socket(AF_UNIX, SOCK_STREAM) = 3", 0.0),
        Step(0, f'bind(3, "{PATH}")', 0.00012),
        Step(0, "listen(3, 4096)", 0.0002, inside=("accept queue 0 of 4096",)),
        Step(1, "socket(AF_UNIX, SOCK_STREAM) = 3", 0.0131),
        Step(1, f'connect(3, "{PATH}")', 0.0133, to=5, arrow="connection"),
        Step(0, "accept(3) = 5  pid 4122 (afunix) uid 1000 (ana)", 0.0135),
        Step(
            1,
            "write(3) = 6",
            0.014,
            to=10,
            arrow="6 bytes",
            inside=("inode 81234 ⇄ 81235, receive queue 6 bytes",),
        ),
        Step(1, "shutdown(3, SHUT_WR)", 0.0141, to=11, arrow="end of file"),
        Step(2, f'connect(3, "{PATH}")', 0.0142, Outcome.WAITED, to=9, arrow="connection"),
        Step(0, "accept(3) = 7  pid 4123 (afunix) uid 1000 (ana)", 0.0143),
        Step(0, "read(5) = 6", 0.015),
        Step(0, "read(5) = 0 (end of file)", 0.0151),
        Step(0, "write(5) ×212 = 1.2 MB", 0.0152, to=14, arrow="1.2 MB"),
        Step(0, "close(7)", 0.0153, to=15, arrow="end of file, as nobody has the descriptor any more"),
        Step(1, "read(3) ×400 = 1.2 MB", 0.9),
        Step(2, "write(3) = -1 EPIPE", 1.5, Outcome.FAILED),
        Step(0, "killed by SIGKILL: the socket file stays behind", 112.0, Outcome.NOTE),
    ),
)
"""Everything that a drawing can have: waits, failures, notes, the kernel's inside, arrows beside each other."""

FIVE_LINES = Story(
    "five life lines",
    tuple(Lifeline(f"client {line}" if line else "server", f"pid 412{line}") for line in range(5)),
    tuple(
        step
        for line in range(1, 5)
        for step in (
            Step(line, f'connect(3, "{PATH}")', line / 100, to=line * 3 - 2, arrow="connection"),
            Step(0, f"accept(3) = {line + 4}  pid 412{line} (afunix) uid 1000 (ana)", line / 100),
            Step(line, "write(3) = 6", line / 100, inside=("inode 81234 ⇄ 81235, receive queue 6 bytes",)),
        )
    ),
)

EIGHT_ARROWS = Story(
    "eight arrows on their way at once",
    tuple(Lifeline(f"client {line}" if line else "server", f"pid 412{line}") for line in range(9)),
    (
        *(Step(0, f"write({line}) = 5", 0.0, to=line + 7, arrow="5 bytes") for line in range(1, 9)),
        *(Step(line, "read(3) = 5", 0.1) for line in range(1, 9)),
    ),
)

WAITING = Story(
    "afunix serve hello.sock, and 2 times afunix connect hello.sock; held up after listen and accept, so that they wait",
    (SERVER, CLIENT, Lifeline("accepted", "descriptor 5", begins=3)),
    (
        Step(0, "listen(3, 1)", 0.0),
        Step(0, "accept(3) …", 0.01, Outcome.WAITED, inside=("accept queue 0 of 1",)),
        Step(1, 'connect(3, "hello.sock")', 0.2, to=3, arrow="connection"),
        Step(2, "a descriptor of its own", 0.2, Outcome.NOTE),
        Step(0, "accept(3) = 5  (waited 190 ms)", 0.2, Outcome.WAITED),
    ),
    notes=("The order of what happened at the same moment is not known.", "A second sentence."),
    question="What does accept do while nobody connects?",
)
"""A call that is seen waiting and returning, a life line that begins later, and all that is told around it."""

HOSTILE_TEXTS = (
    "</text></svg><script>alert(1)</script>",
    "]]><!-- & \" ' -->",
    "\x1b[31m\x1b]0;title\x07\n\r\t\0",
    "\x85\x9b31m \u2028 \u202egnp.exe \ufeff",
    "\ufffe\uffff \udcff \ud800 \U0001f600\u200d\U0001f469",
    "漢字" * 40,
    "e\u0301" * 100,
    "W" * 150,
    "",
    "   ",
    "a " * 100,
    "/very/long" * 20,
)

HOSTILE = Story(
    " ".join(HOSTILE_TEXTS),
    tuple(Lifeline(name, detail) for name, detail in zip(HOSTILE_TEXTS[:3], HOSTILE_TEXTS[-3:], strict=True)),
    tuple(
        Step(
            number % 3,
            text,
            number * 7.0,
            list(Outcome)[number % 4],
            (number * 5 + 2) % 14,
            HOSTILE_TEXTS[-number],
            HOSTILE_TEXTS[number:],
        )
        for number, text in enumerate(HOSTILE_TEXTS)
    ),
)
"""Every text hostile, arrows to every side: backwards, on the same life line, to the step itself and to none."""

STORIES = {
    "two clients": TWO_CLIENTS,
    "five lines": FIVE_LINES,
    "eight arrows": EIGHT_ARROWS,
    "waiting": WAITING,
    "hostile": HOSTILE,
}
EMPTY = (Story("nothing", ()), Story("", (SERVER,)), Story("only heads", (SERVER, CLIENT, SECOND)))
